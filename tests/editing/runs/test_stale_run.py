"""How stale a model is: every answer has one state, and the oldest stale ones come first."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.metrics.answer_states import STATES, judge_answer
from chronofacts.editing.metrics.state_shares import share_states
from chronofacts.editing.models.load import save_model
from chronofacts.editing.report.stale import stale_as_json, stale_as_text
from chronofacts.editing.runs import stale_run
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.runs.stale_run import summarise_staleness
from chronofacts.editing.scoring import ScoringSettings
from chronofacts.editing.scoring.score_tables import SCORES
from chronofacts.editing.snapshot import Snapshot
from tests.editing.models.families import tiny, tiny_tokenizer

ANSWERS = st.tuples(st.booleans(), st.sampled_from([None, True, False]), st.sampled_from(["Jane", "", " ?", "."]))


@given(ANSWERS)
def test_every_answer_has_one_state(answer: tuple[bool, bool | None, str]) -> None:
    right, old, text = answer
    state = judge_answer({"exact_match": right, "exact_match_before": old, "generated": text})
    assert state in STATES
    assert (state == "known") == right
    assert (state == "stale") == (not right and old is True)
    assert (state == "silent") == (not right and not old and text != "Jane")


@given(st.lists(st.tuples(ANSWERS, st.sampled_from(["2024-01", "2024-02", None])), min_size=1, max_size=30))
def test_the_shares_of_a_group_add_up_to_one(answers: list[Any]) -> None:
    rows = [
        {"exact_match": a, "exact_match_before": b, "generated": text, "fact": str(number), "month": month}
        for number, ((a, b, text), month) in enumerate(answers)
    ]
    shares = share_states([row | {"state": judge_answer(row)} for row in rows], ("month",)).to_pylist()
    groups = {(row["by"], row["group"]) for row in shares}
    assert groups == {("all", None)} | {("month", month) for _, month in answers if month}
    for group in groups:
        of = [row for row in shares if (row["by"], row["group"]) == group]
        assert abs(sum(row["value"] for row in of) - 1) < 1e-9 and len({row["n"] for row in of}) == 1
        assert all(row["low"] <= row["value"] <= row["high"] for row in of)


def asked(snapshot: Snapshot, popular: int | None = None) -> tuple[Snapshot, pa.Table]:
    """A model that answers every edit question with the old answer; the first edits changed long ago."""
    edits = snapshot.edits.to_pylist()
    for number, edit in enumerate(edits):
        day = datetime.date(2021, 2, 1) + datetime.timedelta(days=40 * number)
        edit |= {"changed_on_earliest": day, "changed_on_latest": day, "sitelinks": popular}
    rows = []
    for question in snapshot.questions.to_pylist():
        if question["kind"] == "edit":
            rows.append(
                dict.fromkeys(SCORES.names)
                | {"question_id": question["question_id"], "kind": "edit", "fact": question["edit_ids"][0]}
                | {"relation": question["relation"], "prompt": question["question"], "answer": question["answer"]}
                | {"phrasing": 0, "exact_match": False, "exact_match_before": True, "p_new_over_old": 0.1}
                | {"generated": question["answer_before"]}
            )
    made = Snapshot(
        pa.Table.from_pylist(edits, schema=snapshot.edits.schema),
        snapshot.questions, snapshot.sentences, snapshot.manifest,
    )  # fmt: skip
    return made, pa.Table.from_pylist(rows, schema=SCORES)


def test_ten_stale_answers_are_shown_and_the_oldest_come_first(snapshot: Snapshot) -> None:
    found = summarise_staleness(*asked(snapshot), "a/model", "hash", seed=0)
    assert len(found.embarrassing) == 10
    days = [one.changed_on for one in found.embarrassing]
    assert days[0] == "2021-02-01" and days == sorted(days)
    assert all(one.questions > 1 for one in found.embarrassing)


def test_one_event_that_two_facts_ask_about_is_shown_once(snapshot: Snapshot) -> None:
    made, scores = asked(snapshot)
    edits, rows = made.edits.to_pylist(), scores.to_pylist()
    first, second = edits[:2]
    second |= {name: first[name] for name in ("changed_on_earliest", "changed_on_latest")}
    of = {row["fact"]: row for row in rows}
    of[second["edit_id"]] |= {name: of[first["edit_id"]][name] for name in ("generated", "answer")}
    both = Snapshot(
        pa.Table.from_pylist(edits, schema=made.edits.schema), made.questions, made.sentences, made.manifest
    )
    found = summarise_staleness(both, pa.Table.from_pylist(rows, schema=SCORES), "m", "h", seed=0).embarrassing
    events = [(one.generated, one.answer, one.changed_on) for one in found]
    assert len(events) == len(set(events)) == 10
    assert of[first["edit_id"]]["generated"] in {generated for generated, _, _ in events}


def test_popularity_is_told_where_the_snapshot_has_it_and_said_to_be_missing_elsewhere(snapshot: Snapshot) -> None:
    without = summarise_staleness(*asked(snapshot), "a/model", "hash", seed=0)
    assert stale_as_json(without)["by_popularity"] is None
    assert "does not say how popular" in stale_as_text(without)
    known = summarise_staleness(*asked(snapshot, popular=57), "a/model", "hash", seed=0)
    (group,) = stale_as_json(known)["by_popularity"]
    assert group["popularity"] == "30–99 pages" and group["stale"]["value"] == 1
    assert "does not say how popular" not in stale_as_text(known)


def test_a_terminal_shows_all_shares_and_numbers_the_answers(snapshot: Snapshot) -> None:
    text = stale_as_text(summarise_staleness(*asked(snapshot), "a/model", "hash", seed=0))
    assert text.count("\n 1. ") == 1 and "100%" in text


def test_names_within_a_sentence_are_counted_beside_and_change_no_state(snapshot: Snapshot) -> None:
    made, scores = asked(snapshot)
    rows = scores.to_pylist()
    edits = {edit["edit_id"]: edit for edit in made.edits.to_pylist()}
    texts = ["It is {new_label}, I think.", "That is {old_label}.", "Not {old_label} but {new_label}", "I do not know."]
    for row, text in zip(rows, texts, strict=False):
        row |= {"generated": text.format(**edits[row["fact"]]), "exact_match_before": False}
    found = summarise_staleness(made, pa.Table.from_pylist(rows, schema=SCORES), "m", "h", 0)
    assert found.in_sentences == {"new": 2, "old": 1} == stale_as_json(found)["in_sentences"]
    assert "2 name the new answer within a sentence, and 1 the old one" in stale_as_text(found)
    told = stale_as_json(found)["answers"]["other"]
    assert round(told["value"] * told["n"]) == len(texts)


def test_a_chat_model_is_shown_bare_answers_first_unless_told_otherwise(
    invented: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
    save_model(tiny("llama"), tokenizer, tmp_path / "model")
    prefixes: list[str] = []
    real = stale_run.ask_edits

    def ask(questions: pa.Table, prepared: Any, scoring: ScoringSettings, *rest: Any) -> pa.Table:
        prefixes.append(scoring.prefix)
        return real(questions, prepared, scoring, *rest)

    monkeypatch.setattr(stale_run, "ask_edits", ask)
    for words in ({}, {"scoring.prefix": "none"}, {"scoring.prefix": "dated"}, {"chat": "no"}):
        settings = read_settings(["none"], {"limit": "2", "cache": "none", **words})
        stale_run.run_stale(invented, str(tmp_path / "model"), settings)
    assert prefixes == ["few-shot", "none", "dated", "none"]
