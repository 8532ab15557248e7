"""Uses of an edited fact: what follows from it, worded as the world words it, and nothing that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.editors.trained.gradient import choose_texts
from chronofacts.editing.editors.trained.uses import make_uses
from chronofacts.editing.runs.single_edits import batch_settings
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.schemas.tables import EDITS, SENTENCES
from tests.editing.models.families import tiny, tiny_tokenizer


def edit(
    number: str, subject: str, relation: str, old: str, new: str, split: str = "train", **more: Any
) -> dict[str, Any]:
    return dict.fromkeys(EDITS.names) | {
        "edit_id": number, "kind": "modification", "relation": relation, "subject": subject, "subject_label": subject,
        "old_object": old, "new_object": new, "prompt": f"What is the {relation} of {subject}?", "target_new": new,
        "target_old": old, "paraphrases": [f"Name the {relation} of {subject}.", "Which?"], "split": split,
    } | more  # fmt: skip


def sentence(
    role: str, subject: str, relation: str, prompt: str, answer: str, ids: tuple[str, ...] = ()
) -> dict[str, Any]:
    return dict.fromkeys(SENTENCES.names) | {
        "sentence_id": prompt, "role": role, "subject": subject, "relation": relation, "form": "question",
        "phrasing": 0, "held_out": False, "prompt": prompt, "answer": answer, "edit_ids": list(ids),
    }  # fmt: skip


EDITED = [
    edit("e0", "Ann", "club", "Reds", "Blues"),
    edit("e1", "Bob", "club", "Reds", "Greens"),
    edit("e2", "Cid", "club", "Reds", "Blues", split="test"),
    edit("e3", "Greens", "coach", "Old", "New"),
    edit("e4", "Dan", "club", "Reds", "Blues", kind="addition"),
]
SAID = [
    sentence("current", "Blues", "coach", "Who coaches Blues?", "Zoe"),
    sentence("current", "Greens", "coach", "Who coaches Greens?", "Old", ("e3",)),
    sentence("composed", "Ann", "coach", "Who coaches Ann's club?", "Rex", ("e0",)),
    sentence("composed", "Cid", "coach", "Who coaches Cid's club?", "Rex", ("e2",)),
]


def batch(probes: frozenset[str] = frozenset(), edited: Sequence[dict[str, Any]] = EDITED) -> EditBatch:
    tables = (pa.Table.from_pylist(list(rows), schema=one) for rows, one in ((edited, EDITS), (SAID, SENTENCES)))
    return EditBatch(*tables, probes)


def test_what_follows_from_an_edit_is_asked_in_the_worlds_own_wording() -> None:
    """Bob's new club has a new coach as well: the answer is the coach after all edits."""
    assert [(one.text, one.answer) for one in make_uses(batch(), 8, 0)] == [
        ("Who coaches Ann's club?", "Zoe"),
        ("Who coaches Bob's club?", "New"),
    ]


def test_no_probe_and_no_subject_of_the_test_half_is_trained() -> None:
    uses = make_uses(batch(frozenset({"Who coaches Ann's club?"})), 8, 0)
    assert [one.text for one in uses] == ["Who coaches Bob's club?"]


def test_no_step_of_a_use_is_an_edit_of_the_test_half() -> None:
    held_out = [one | {"split": "test"} if one["edit_id"] == "e3" else one for one in EDITED]
    assert [one.text for one in make_uses(batch(edited=held_out), 8, 0)] == ["Who coaches Ann's club?"]


def test_nothing_follows_from_a_fact_that_became_a_set_or_that_another_chunk_changes() -> None:
    added = edit("e5", "Blues", "coach", "Zoe", "Kim", kind="addition")
    assert [one.text for one in make_uses(batch(edited=[*EDITED, added]), 8, 0)] == ["Who coaches Bob's club?"]
    first, second = batch().part(0, 2), batch().part(1, 4)
    assert [one.text for one in make_uses(first, 8, 0)] == ["Who coaches Ann's club?"]
    assert make_uses(second, 8, 0)[0].answer == "New"


def test_only_so_many_uses_of_an_edit_are_trained() -> None:
    assert make_uses(batch(), 0, 0) == []


def test_lora_trains_them_beside_the_edits_and_says_so() -> None:
    model, plain = tiny("llama"), read_editor_settings("lora", {}, 0).settings
    settings = read_editor_settings("lora", {"uses": "true"}, 0).settings
    texts = choose_texts(model, tiny_tokenizer(), batch(), settings)
    added = {one.text for one in texts.edits} - {
        one.text for one in choose_texts(model, tiny_tokenizer(), batch(), plain).edits
    }
    assert added == {"Who coaches Ann's club?", "Who coaches Bob's club?"} <= texts.prompts
    assert batch_settings(settings, model) is None


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_of_the_held_out_half_of_the_sample_leaks(sample_snapshot: Path, seed: int) -> None:
    snapshot = load_snapshot(sample_snapshot)
    asked = snapshot.questions.to_pylist()
    texts = frozenset(text for row in asked for text in (row["question"], *(row["phrasings"] or ())))
    uses = {one.text for one in make_uses(EditBatch(snapshot.edits, snapshot.sentences, texts), 8, seed)}
    assert len(uses) > 20 and not uses & texts
    without = make_uses(EditBatch(snapshot.edits, snapshot.sentences), 8, seed)
    held_out = {
        text for row in asked if row["split"] == "test" for text in (row["question"], *(row["phrasings"] or ()))
    }
    assert not {one.text for one in without} & held_out  # by the split alone, before any text is compared
