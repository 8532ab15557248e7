"""Tables of cards, release notes and adapters."""

from __future__ import annotations

import datetime

from chronofacts.pipeline.snapshots.markdown import edit_table


def told(old: str | None, before: str, last: datetime.date, kind: str = "modification") -> str:
    """The row of an edit that happened on the first of July 2023, or later."""
    row = {"kind": kind, "prompt": "Who?", "target_old": old, "before": before, "target_new": "Bea"}
    return edit_table([row | {"changed_on_earliest": datetime.date(2023, 7, 1), "changed_on_latest": last}])[-1]


def test_a_table_of_edits_tells_nobody_from_a_value_that_is_not_known() -> None:
    day = datetime.date(2023, 7, 1)
    assert told("Ada", "known", day) == "| Who? | Ada | Bea | 2023-07-01 |"
    assert told(None, "nobody", day) == r"| Who? | \(nobody\) | Bea | 2023-07-01 |"
    assert told(None, "unknown", day) == r"| Who? | \(not known\) | Bea | 2023-07-01 |"


def test_who_joined_or_left_had_not_before_whatever_the_set_held() -> None:
    for kind in ("addition", "removal"):
        assert told(None, "known", datetime.date(2023, 7, 1), kind) == r"| Who? | \(not yet\) | Bea | 2023-07-01 |"


def test_a_table_of_edits_names_no_day_of_a_change_that_is_known_by_its_month() -> None:
    assert told("Ada", "known", datetime.date(2023, 7, 31)) == "| Who? | Ada | Bea | 2023-07 |"


def test_a_table_of_edits_without_days_has_no_column_for_them() -> None:
    row = {"kind": "modification", "prompt": "Who?", "target_old": "Ada", "before": "known", "target_new": "Bea"}
    undated = row | {"changed_on_earliest": None, "changed_on_latest": None}
    assert edit_table([undated]) == ["| question | before | now |", "|---|---|---|", "| Who? | Ada | Bea |"]
    dated = undated | {"changed_on_earliest": datetime.date(2023, 7, 1), "changed_on_latest": datetime.date(2023, 7, 1)}
    assert edit_table([undated, dated])[2] == "| Who? | Ada | Bea |  |"
