"""What the unedited model itself says to the questions that an editor puts to it, each written once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chronofacts.editing.models.encoding import encode
from chronofacts.editing.progress import Progress
from chronofacts.editing.scoring import generate

__all__ = ["open_own_answers"]


def open_own_answers(
    model: Any, tokenizer: Any, tokens: int, progress: Callable[[str], None], what: str
) -> Callable[[Sequence[str]], list[str]]:
    """Prompts -> the model's greedy continuations, of at most so many tokens; what was asked before is not asked again.

    progress: told `what` is written, and how far that has come.
    """
    written: dict[str, str] = {}

    def answer(prompts: Sequence[str]) -> list[str]:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in written]
        ids = [one.prompt for one in encode(tokenizer, new, ["x"] * len(new))]
        reached = Progress(progress, f"{what}: token", tokens * len(new)).update
        written.update(zip(new, generate(model, tokenizer, ids, tokens, progress=reached), strict=True))
        return [written[prompt] for prompt in prompts]

    return answer
