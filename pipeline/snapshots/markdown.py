"""Markdown of cards: tables, and texts of strangers made safe inside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chronofacts.schemas.dates import spell_days
from chronofacts.schemas.plain_text import plain

__all__ = ["EDIT_COLUMNS", "edit_table", "escape", "old_answer", "table"]

EDIT_COLUMNS = ("kind", "prompt", "target_old", "before", "target_new", "changed_on_earliest", "changed_on_latest")
"""What `edit_table` reads of a row of `EDITS`."""

_BEFORE = {"nobody": "(nobody)", "unknown": "(not known)"}


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


def old_answer(edit: dict[str, Any]) -> str:
    """The old answer of an edit, or why there is none; a set may be empty or too large to be named.

    Who joined or left is asked of the day itself: before it nobody had, whatever the set held.
    """
    if edit["kind"] in ("addition", "removal") and not edit["target_old"]:
        return "(not yet)"
    return edit["target_old"] or _BEFORE.get(edit["before"], "(not told)")


def edit_table(edits: Iterable[dict[str, Any]]) -> list[str]:
    """Rows of `EDITS`: what is asked, the answer before and now, and the day, month or year of the change; no column
    for that where none of them has one, as edits of benchmarks have none."""
    edits = list(edits)
    columns = ("question", "before", "now", "changed")
    dated = any(row["changed_on_earliest"] is not None for row in edits)
    shown = (
        (
            row["prompt"],
            old_answer(row),
            row["target_new"],
            spell_days(row["changed_on_earliest"], row["changed_on_latest"]),
        )
        for row in edits
    )
    width = len(columns) - (not dated)
    return table(columns[:width], (map(escape, cells[:width]) for cells in shown))
