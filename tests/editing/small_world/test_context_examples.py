"""What a small world reads before its questions: invented answers, never an edit's, and no change of what it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from chronofacts.editing.models.context_facts import SEPARATOR
from chronofacts.editing.models.encoding import encode, render
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.small_world.context_examples import invented_contexts, misplaced_names
from chronofacts.editing.small_world.pretrain import PASSES, WorldSettings, pretrain
from chronofacts.editing.snapshot import Snapshot, load_snapshot
from chronofacts.editing.training import share_recalled
from tests.editing.editors.answered import shares
from tests.editing.invented_world import write_invented

READERS: dict[str, dict[str, str]] = {
    "in-context": {},
    "ike": {},
    "rag": {"embedder": "letters"},
    "mello": {"embedder": "letters"},
}


def known(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """Of each prompt, its role and its own answer."""
    sentences = snapshot.sentences.filter(pc.invert(snapshot.sentences["held_out"])).to_pylist()
    return {render(row["prompt"], row["form"]): (row["role"], row["answer"]) for row in sentences}


def contexts(snapshot: Snapshot, seed: int = 0) -> list[tuple[str, str]]:
    trained = snapshot.sentences.filter(pc.invert(snapshot.sentences["held_out"]))
    return invented_contexts(trained, snapshot.edits, 300, seed)


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


def test_the_new_answer_of_an_edit_is_never_told_about_its_subject(snapshot: Snapshot) -> None:
    everybody = sorted({*snapshot.sentences["answer"].to_pylist(), *snapshot.edits["target_new"].to_pylist()})
    edit = snapshot.edits.slice(0, 1).to_pylist()[0] | {"new_aliases": everybody}
    edits = pa.Table.from_pylist([edit, *snapshot.edits.slice(1).to_pylist()], schema=snapshot.edits.schema)
    told = [
        fact.removesuffix(".").rpartition(":")[2].strip()
        for prompt, _ in invented_contexts(snapshot.sentences, edits, 4000, 0)
        for fact in prompt.split(SEPARATOR)[:-1]
        if f" {edit['subject_label']}" in fact and fact.startswith("Q:")
    ]
    assert told and not set(told) & set(everybody)


def test_the_same_seed_gives_the_same_contexts(snapshot: Snapshot) -> None:
    assert contexts(snapshot, seed=3) == contexts(snapshot, seed=3) != contexts(snapshot, seed=4)


def test_a_world_without_two_answers_to_a_question_has_no_contexts(snapshot: Snapshot) -> None:
    few = snapshot.sentences.slice(0, 1)
    assert invented_contexts(few, snapshot.edits.slice(0, 0), 10, 0) == []


@pytest.mark.parametrize(
    ("editors", "share"), [(["lora", "memory"], 0.0), *((["lora", reader], 0.7) for reader in READERS)]
)
def test_only_a_run_of_an_editor_that_tells_facts_has_a_world_with_contexts(editors: list[str], share: float) -> None:
    assert read_settings(editors, {}).world.contexts == share
    assert read_settings(editors, {"world.contexts": "0.25"}).world.contexts == 0.25


def test_a_world_pretrained_with_contexts_answers_nine_of_ten_edits_told_in_its_prompt(tmp_path: Path) -> None:
    snapshot = load_snapshot(write_invented(tmp_path / "S", facts=60))
    trained = snapshot.sentences.filter(pc.invert(snapshot.sentences["held_out"]))
    settings = WorldSettings(
        vocabulary=1024, feed_forward=256, batch_size=16, contexts=1.0, reading_steps=200, steps=200, check_every=200,
        sample=50, target_recall=2.0,
    )  # fmt: skip
    model, tokenizer, report = pretrain(snapshot.sentences, snapshot.edits, snapshot.questions, settings)
    assert report.contexts == PASSES * trained.num_rows
    unseen = invented_contexts(trained, snapshot.edits, 200, 99, reading_only=True)
    assert share_recalled(model, encode(tokenizer, *zip(*unseen, strict=True))) >= 0.5
    for editor, values in READERS.items():
        assert shares(editor, values, model, tokenizer, snapshot)["edit"] >= 0.9, editor


def test_a_misplaced_name_is_no_answer_and_no_secret(snapshot: Snapshot) -> None:
    trained = snapshot.sentences.filter(pc.invert(snapshot.sentences["held_out"]))
    own, coming = known(snapshot), {edit["prompt"]: edit["target_new"] for edit in snapshot.edits.to_pylist()}
    pairs = misplaced_names(trained, snapshot.edits, 500, 0)
    assert len(pairs) == 500 and pairs == misplaced_names(trained, snapshot.edits, 500, 0)
    assert {name for _, name in pairs} >= set(snapshot.edits["target_new"].to_pylist())
    for prompt, name in pairs:
        assert name != own[prompt][1]
        assert name != coming.get(prompt.removeprefix("Q: ").removesuffix(" A:"))


def test_a_name_of_several_words_is_one_token_and_a_common_word_before_it_is_not_part_of_it(
    snapshot: Snapshot, model_and_tokenizer: Any
) -> None:
    tokenizer = model_and_tokenizer[1]
    names = sorted(set(snapshot.edits["target_new"].to_pylist()))
    assert sum(len(tokenizer.tokenize(f" {name}")) == 1 for name in names) > 0.9 * len(names)
    for name in names:
        whole = tokenizer.tokenize(f" {name}")
        assert tokenizer.tokenize(f"Q: The {name}'s")[-len(whole) - 1 :] == [*whole, "'s"]
