"""Where in a prompt's tokens its subject stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from chronofacts.editing.models.encoding import Encoded, marks_of
from chronofacts.schemas.errors import BadInput

__all__ = ["check_fast", "subject_end", "subject_span"]


def subject_end(tokenizer: Any, prompt: str, encoded: Encoded, names: Sequence[str]) -> tuple[int, bool]:
    """The position of the subject's last token, and whether the prompt names the subject at all.

    The prompt's last token stands in where none of the names occurs.
    """
    span = subject_span(tokenizer, prompt, encoded, names)
    return (encoded.start - 1, False) if span is None else (span[-1], True)


def subject_span(tokenizer: Any, prompt: str, encoded: Encoded, names: Sequence[str]) -> range | None:
    """The positions of the subject's tokens, by the last place of the first name that occurs; None where none does."""
    marks = marks_of(tokenizer, prompt)
    lead = encoded.start - len(marks.spans)
    for name in filter(None, names):
        # By a pattern, since lower case can be longer than the text itself (İ), and then its places are others.
        found = [*re.compile(re.escape(name), re.IGNORECASE).finditer(marks.text, marks.begin, marks.end)]
        if not found:
            continue
        first, last = found[-1].span()
        inside = [place for place, (start, end) in enumerate(marks.spans) if start < last and end > first]
        if inside:
            return range(lead + inside[0], lead + inside[-1] + 1)
    return None


def check_fast(tokenizer: Any) -> None:
    """Raises BadInput for a tokenizer that cannot say where its tokens lie in the text."""
    if not getattr(tokenizer, "is_fast", False):
        raise BadInput("rome and memit need a fast tokenizer (tokenizer.json) to find the subject; use lora or freeze")
