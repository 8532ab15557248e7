"""Facts in the context of a question: how one is written, and how they stand before the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from chronofacts.editing.models.encoding import render

__all__ = ["SEPARATOR", "prepend_facts", "render_fact"]

SEPARATOR = "\n"


def render_fact(text: str, form: str, answer: str) -> str:
    """One fact in words: its question or cloze, rendered as a prompt, and the answer."""
    return f"{render(text, form)} {answer}"


def prepend_facts(facts: Sequence[str], prompt: str, separator: str = SEPARATOR) -> str:
    """The prompt with facts before it."""
    return separator.join([*facts, prompt])
