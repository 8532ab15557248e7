"""What commands print of a table, for a person."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest

from chronofacts.flows.terminal import print_differences
from chronofacts.pipeline.snapshots.compare import DIFFERENCES


def test_diff_names_no_day_of_a_change_that_is_known_by_its_month(capsys: pytest.CaptureFixture[str]) -> None:
    row = dict.fromkeys(DIFFERENCES.names) | {
        "kind": "world_change", "relation": "software_version", "subject": "Q94", "subject_label": "Android",
        "old_label": "14", "new_label": "15", "statement_ids": [],
        "changed_on_earliest": datetime.date(2024, 9, 1), "changed_on_latest": datetime.date(2024, 9, 30),
    }  # fmt: skip
    print_differences(pa.Table.from_pylist([row], schema=DIFFERENCES))
    assert "software_version of Android: 14 -> 15 in September 2024\n" in capsys.readouterr().out
