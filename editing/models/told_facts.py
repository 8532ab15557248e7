"""Facts told before a question: how one is written, and how they stand before the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from chronofacts.editing.models.encoding import render

__all__ = ["SEPARATOR", "tell", "with_facts"]


SEPARATOR = "\n"


def tell(text: str, form: str, answer: str) -> str:
    """One fact in words: its question or cloze, rendered as a prompt, and the answer."""
    return f"{render(text, form)} {answer}"


def with_facts(facts: Sequence[str], prompt: str, separator: str = SEPARATOR) -> str:
    """The prompt with told facts before it."""
    return separator.join([*facts, prompt])
