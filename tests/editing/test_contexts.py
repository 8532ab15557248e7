"""What a small world reads before its questions: invented answers, never an edit's, and no change of what it knows."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from editing.contexts import SEPARATOR, invented_contexts
from editing.encoding import render
from editing.experiment import read_settings
from editing.snapshot import Snapshot


def known(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """Of each prompt, its role and its own answer."""
    sentences = snapshot.sentences.filter(pc.invert(snapshot.sentences["held_out"])).to_pylist()
    return {render(row["prompt"], row["form"]): (row["role"], row["answer"]) for row in sentences}


def contexts(snapshot: Snapshot, secret: dict[str, list[str]] | None = None, seed: int = 0) -> list[tuple[str, str]]:
    trained = snapshot.sentences.filter(pc.invert(snapshot.sentences["held_out"]))
    return invented_contexts(trained, secret or {}, 300, seed)


def test_an_answer_is_read_where_the_facts_tell_it_and_known_where_they_do_not(snapshot: Snapshot) -> None:
    own, read, kept = known(snapshot), 0, 0
    for prompt, answer in contexts(snapshot):
        *facts, question = prompt.split(SEPARATOR)
        role, before = own[question]
        if answer == before:
            kept += 1
        else:
            read += 1
            assert any(fact.endswith(f" {answer}") for fact in facts)
            assert role in ("current", "stable")
    assert read > 100 and kept > 80


def test_questions_about_the_past_and_over_hops_keep_their_answers(snapshot: Snapshot) -> None:
    own = known(snapshot)
    for prompt, answer in contexts(snapshot):
        role, before = own[prompt.split(SEPARATOR)[-1]]
        if role in ("history", "composed"):
            assert answer == before


def test_the_new_answer_of_an_edit_is_never_told(snapshot: Snapshot) -> None:
    subject = snapshot.sentences.filter(pc.equal(snapshot.sentences["role"], "current"))["subject"][0].as_py()
    everybody = sorted(set(snapshot.sentences["answer"].to_pylist()))
    shown = [prompt for prompt, _ in contexts(snapshot, {subject: everybody})]
    told = [fact for prompt in shown for fact in prompt.split(SEPARATOR)[:-1]]
    assert told and not any(f" {subject}?" in fact for fact in told)


def test_the_same_seed_gives_the_same_contexts(snapshot: Snapshot) -> None:
    assert contexts(snapshot, seed=3) == contexts(snapshot, seed=3) != contexts(snapshot, seed=4)


def test_a_world_where_nothing_may_be_told_has_no_contexts(snapshot: Snapshot) -> None:
    everybody = sorted(set(snapshot.sentences["answer"].to_pylist()))
    assert contexts(snapshot, dict.fromkeys(snapshot.sentences["subject"].to_pylist(), everybody)) == []
    assert invented_contexts(snapshot.sentences.slice(0, 0), {}, 10, 0) == []


@pytest.mark.parametrize(
    ("editors", "share"), [(["lora", "memory"], 0.0), (["lora", "in-context"], 0.4)], ids=["without", "with"]
)
def test_only_a_run_of_the_in_context_editor_has_a_world_with_contexts(editors: list[str], share: float) -> None:
    assert read_settings(editors, {}).world.contexts == share
    assert read_settings(editors, {"world.contexts": "0.25"}).world.contexts == 0.25
