"""Every promise about sets of values, broken on purpose in a snapshot that is otherwise right, is found by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from chronofacts.pipeline.snapshots.set_invariants import SET_INVARIANTS
from chronofacts.pipeline.snapshots.verify import Problem, verify
from chronofacts.schemas.promises import PROMISES
from tests.pipeline.membership_world import snapshot_of, unions
from tests.pipeline.snapshots.defects import in_memory

ASKED = "kind = 'edit' AND subject = 'Q33'"
ONE_MORE = "{'id': 'Q1748', 'label': 'Copenhagen', 'aliases': [], 'role': 'stays'}"

DEFECTS: dict[str, Sequence[str]] = {
    "what joined, left or stays does so by the timelines": [
        "UPDATE timelines SET valid_to_kind = 'unknown' WHERE subject = 'Q33' AND object = 'Q458'"
    ],
    "every value of a set is stated, by a statement that may count": [
        "UPDATE statements SET rank = 'deprecated' WHERE subject = 'Q35' AND object = 'Q146165'"
    ],
    "no statement with both dates contradicts what joined or left": [
        "INSERT INTO statements SELECT * REPLACE ('Q33$old' AS statement_id, DATE '2010-01-01' AS start_earliest, "
        "DATE '2010-01-01' AS start_latest, DATE '2022-01-01' AS end_earliest, DATE '2022-01-01' AS end_latest, "
        "'known' AS end_kind) FROM statements WHERE subject = 'Q33' AND object = 'Q7184'"
    ],
    "what left has a stated end": [
        "UPDATE statements SET end_latest = DATE '2025-06-01' WHERE subject = 'Q159' AND object = 'Q8908'"
    ],
    "edits of one set share their words and their answers": ["UPDATE edits SET stays = [] WHERE kind = 'addition'",
        "INSERT INTO edits SELECT * REPLACE ('00' AS edit_id, 'Q99' AS new_object, 'Oslo' AS new_label, [] AS stays, "
        "'?' AS cloze) FROM edits WHERE kind = 'addition'"],
    "an answer names its set and nothing else": [
        f"UPDATE questions SET answer = 'the European Union, NATO, Greenland and the United Nations' WHERE {ASKED}"
    ],
    "a question about a set that changed tells what joined and what left": [
        f"UPDATE questions SET answer_set = list_transform(answer_set, lambda v: struct_update(v, role := 'stays')) "
        f"WHERE {ASKED}"
    ],
    "the edits of a set are asked as one": ["UPDATE edits SET target_new = 'NATO' WHERE kind = 'addition'"],
    "a set that is asked as it was or stays has the same answer before": [
        "UPDATE questions SET answer_before_set = answer_before_set[2:] "
        "WHERE kind = 'history' AND len(answer_before_set) > 1"
    ],
    "what is preserved stays by every edit of the set": ["UPDATE edits SET stays = stays[2:] WHERE kind = 'addition'"],
    "no question about a set names one of its values": [
        f"UPDATE questions SET question = 'Is Finland in NATO or not?' WHERE {ASKED}"
    ],
    "a set that guards an edit has not moved": [
        "UPDATE questions SET subject = 'Q33' WHERE kind = 'locality' AND len(answer_set) > 0"
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshot_of(unions("P37"), tmp_path_factory.mktemp("sets") / "snapshot")


def test_a_finished_snapshot_with_sets_breaks_no_promise(finished: Path) -> None:
    assert verify(finished) == []


def test_every_promise_about_sets_has_a_defect_that_breaks_it() -> None:
    assert set(DEFECTS) == {PROMISES[id_] for id_ in SET_INVARIANTS}


@pytest.fixture(scope="module")
def find(finished: Path) -> Iterator[Callable[[Sequence[str]], dict[str, Problem]]]:
    with in_memory(finished) as finding:
        yield finding


@pytest.mark.parametrize("promise", DEFECTS)
def test_a_planted_defect_is_found_by_the_name_of_the_promise(
    find: Callable[[Sequence[str]], dict[str, Problem]], promise: str
) -> None:
    assert promise in find(DEFECTS[promise])
