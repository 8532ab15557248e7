"""Markdown of cards: tables, and texts of strangers made safe inside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chronofacts.schemas.plain_text import plain

__all__ = ["edit_table", "escape", "table"]


def escape(text: str) -> str:
    """Text from Wikidata made safe inside a Markdown table: one line, nothing that is read as markup."""
    flat = plain(" ".join(text.split()))
    return "".join(
        f"\\{c}" if c in r"\`*_{}[]()#+!|~" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in flat
    )


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """The lines of a table; its cells are escaped already."""
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (columns, *rows)]
    return [lines[0], "|---" * len(columns) + "|", *lines[1:]]


def edit_table(edits: Iterable[dict[str, Any]]) -> list[str]:
    """Rows of `EDITS`: what is asked, the answer before and now, and the day of the change."""
    shown = (
        (row["prompt"], row["target_old"] or "(nobody)", row["target_new"], str(row["changed_on_earliest"]))
        for row in edits
    )
    return table(("question", "before", "now", "changed"), (map(escape, cells) for cells in shown))
