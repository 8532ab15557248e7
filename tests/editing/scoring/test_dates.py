"""Dates: what is compared is wrong by a few units, what is refused can have no answer, and only saying so counts."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.metrics.summary import as_mapping
from chronofacts.editing.runs.date_probes import make_date_probes
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import ScoringSettings, evaluate
from chronofacts.editing.scoring.dates import date_probes, refusal_probes, refuses, vacant_years
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.tables import SNAPSHOT_TABLES
from tests.editing.invented_world import AS_OF, write_invented
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.editing.scoring.pressed import figures, scored

EDIT: dict[str, Any] = {
    "edit_id": "e1", "kind": "modification", "relation": "mayor", "cloze": "The mayor of Elm is", "new_label": "Li",
    "changed_on_earliest": datetime.date(2022, 5, 31), "changed_on_latest": datetime.date(2022, 5, 31),
    "changed_on_precision": 11,
}  # fmt: skip
PAST: dict[str, Any] = {
    "kind": "history", "question_id": "q1", "edit_ids": ["e1"], "subject": "Q1", "relation": "mayor", "answer": "Wu",
    "question": "Who was the mayor of Elm in 2016?", "asked_on": datetime.date(2016, 7, 1), "answer_set": [],
}  # fmt: skip


@given(st.dates(datetime.date(1990, 1, 1), datetime.date(2030, 12, 31)), st.integers(9, 11), st.integers(0, 9))
def test_a_wrong_date_is_never_the_right_one_and_no_finer_than_what_is_known(
    day: datetime.date, precision: int, seed: int
) -> None:
    edit = EDIT | {"changed_on_earliest": day, "changed_on_latest": day, "changed_on_precision": precision}
    found = date_probes([edit], "en", 5, seed)
    units = ["date_year", "date_month", "date_day"][: precision - 8]
    assert {one.kind for one in found} == {*units, "since_when"}
    for unit in units:
        of = [one for one in found if one.kind == unit]
        wrong = {one.wrong for one in of}
        assert len(of) == len(wrong) == 4 and {one.answer for one in of} != wrong and of[0].answer not in wrong
    assert found == date_probes([edit], "en", 5, seed)


def test_a_date_is_written_in_the_words_of_the_language() -> None:
    in_english, in_dutch = (date_probes([EDIT], language, 1, 0) for language in ("en", "nl"))
    assert [one.answer for one in in_english if not one.phrasing] == ["2022", "May 2022", "31 May 2022", "2022"]
    assert in_english[0].text == "The mayor of Elm is Li, since" and in_dutch[0].text == "The mayor of Elm is Li, sinds"
    assert in_dutch[-1].names == ["2022", "mei 2022", "31 mei 2022"]
    assert in_english[-1].text == "Since when has it been true that the mayor of Elm is Li?"
    assert date_probes([EDIT], "xx", 1, 0) == []


def test_a_change_of_a_set_or_without_one_year_has_no_date() -> None:
    over_a_year = EDIT | {"changed_on_latest": datetime.date(2023, 1, 1)}
    assert date_probes([over_a_year, EDIT | {"kind": "addition"}, EDIT | {"cloze": None}], "en", 5, 0) == []


def years(found: Any, kind: str) -> list[int]:
    return [int(re.findall(r"\d{4}", one.text)[0]) for one in found if one.kind == kind]


def test_a_year_before_after_or_within_a_vacancy_is_asked_and_one_that_is_to_come() -> None:
    entity = {"began_earliest": datetime.date(1900, 1, 1), "ended_latest": None}
    vacant = {("Q1", "mayor"): [2018, 2019]}
    found = refusal_probes([PAST], {"Q1": entity}, vacant, AS_OF, 3, 0)
    assert [one.kind for one in found] == ["refuse_before", "refuse_vacant", "refuse_future"]
    assert years(found, "refuse_before")[0] <= 1880 and years(found, "refuse_vacant")[0] in (2018, 2019)
    assert years(found, "refuse_future")[0] > AS_OF.year
    ended = entity | {"ended_latest": datetime.date(2019, 3, 1)}
    found = refusal_probes([PAST], {"Q1": ended}, {}, AS_OF, 3, 0)
    assert 2020 <= years(found, "refuse_after")[0] < AS_OF.year and not years(found, "refuse_future")


def test_a_question_that_names_a_day_or_no_year_is_not_moved() -> None:
    texts = ["Who was the mayor of Elm on 29 February 2016?", "Who came before Li?", "Who led Elm 2016 in 2016?"]
    entity = {"began_earliest": datetime.date(1900, 1, 1)}
    for text in texts:
        assert refusal_probes([PAST | {"question": text}], {"Q1": entity}, {}, AS_OF, 3, 0) == []


def test_only_whole_years_between_certain_days_are_vacant() -> None:
    span = {
        "subject": "Q1", "relation": "mayor", "object_kind": "novalue", "valid_to_kind": "known",
        "valid_from_latest": datetime.date(2015, 3, 1), "valid_to_earliest": datetime.date(2018, 2, 1),
    }  # fmt: skip
    assert vacant_years([span]) == {("Q1", "mayor"): [2016, 2017]}
    for part in ({"object_kind": "item"}, {"valid_to_kind": "open"}, {"valid_from_latest": None}):
        assert vacant_years([span | part]) == {}


@pytest.mark.parametrize("text", [
    "Nobody", "No one did.", "none", "It did not exist yet.", "Elm didn't exist", "The office was vacant", "unknown",
    "I do not know", "That cannot be known.", "Niemand", "Het bestond nog niet",
])  # fmt: skip
def test_an_answer_that_nobody_can_be_named_refuses(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize("text", ["Li", "Noam Nobel", "", "Norway", "No Mu-hyeon", "Ann Vacant"])
def test_a_name_or_silence_does_not(text: str) -> None:
    assert not refuses(text)


def test_figures_of_dates_and_refusals() -> None:
    found = figures(
        scored("edit", "q1", "nobody"), scored("edit", "q2", "Li"),
        scored("date_year", "e1", "", p_new_over_old=0.9), scored("date_year", "e1", "", p_new_over_old=0.2),
        scored("date_day", "e1", "", p_new_over_old=0.8),
        scored("refuse_before", "q3", "Nobody"), scored("refuse_future", "q4", "Li"),
    )  # fmt: skip
    assert (found["date_year"], found["date_day"], found["date_robust"]) == (0.5, 1.0, 0.0)
    assert (found["refusal"], found["refuse_before"], found["refuse_future"]) == (0.5, 1.0, 0.0)
    assert found["false_refusal"] == 0.5


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """An invented world whose changes have days and whose subjects began in 1900."""
    folder = write_invented(tmp_path / "S", facts=4, edits=3, people=6)
    edits = pq.read_table(folder / "edits" / "part.parquet").to_pylist()
    for number, edit in enumerate(edits):
        day = datetime.date(2022, 3 + number, 1)
        edit |= {"changed_on_earliest": day, "changed_on_latest": day}
    rows = [
        dict.fromkeys(SNAPSHOT_TABLES["entities"].names)
        | {"qid": edit["subject"], "aliases": [], "types": [], "began_earliest": datetime.date(1900, 1, 1)}
        for edit in edits
    ]
    for name, several in (("edits", edits), ("entities", rows), ("timelines", [])):
        (folder / name).mkdir(exist_ok=True)
        table = pa.Table.from_pylist(several, schema=SNAPSHOT_TABLES[name])
        pq.write_table(table, folder / name / "part.parquet")
    return folder


def test_a_model_is_asked_for_the_dates_of_a_snapshot(world: Path) -> None:
    from chronofacts.editing.metrics.summary import summarise

    probes = make_date_probes(world, load_snapshot(world), 2, 0)
    assert probes is not None
    kinds = probes["kind"].to_pylist()
    assert kinds.count("date_day") == 8 and kinds.count("since_when") == 2 and kinds.count("refuse_before") == 2
    short = probes.filter(pa.compute.is_in(probes["kind"], pa.array(["date_year", "refuse_future"])))
    scores = evaluate(tiny("llama"), tiny_tokenizer(), short, ScoringSettings())
    found = as_mapping(summarise(scores, scores))
    assert 0 <= found["date_year"] <= 1 and 0 <= found["refusal"] <= 1
    for row in scores.to_pylist():
        if row["kind"] == "date_year":
            assert row["generated"] is None
            assert (row["p_new_over_old"] > 0.5) == (row["nll_answer"] < row["nll_answer_before"])


def test_none_are_made_by_default_and_what_is_missing_is_told(world: Path, tmp_path: Path) -> None:
    snapshot = load_snapshot(world)
    assert make_date_probes(world, snapshot, 0, 0) is None
    with pytest.raises(CheckFailed, match="entities"):
        make_date_probes(tmp_path, snapshot, 2, 0)
    with pytest.raises(BadInput, match=r"leave out scoring\.dates"):
        read_settings(["lora"], {"batches": "3", "scoring.dates": "5"})
    with pytest.raises(BadInput, match="dates = -1"):
        read_settings(["lora"], {"scoring.dates": "-1"})
