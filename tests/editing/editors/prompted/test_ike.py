"""`ike`: which demonstrations stand before a fact, in which order, and that none of them is a probe."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.editors.prompted.demonstrations import GENERAL, DemonstrationPool, sentence_demonstrations
from chronofacts.editing.editors.prompted.ike import FILE
from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.editors.saved_edit import load_edit
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.run_folder import write_json
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
ASKED = "Q: Who is the mayor of Linz? A:"


def of(snapshot: Snapshot, probes: frozenset[str] = frozenset()) -> EditBatch:
    return EditBatch(snapshot.edits, snapshot.sentences, probes)


def roomy(length: int = 4096) -> Any:
    model = tiny("llama")
    model.config.max_position_embeddings = length
    return model


def rewritten(batch: EditBatch, prompt: str, values: dict[str, str], model: Any = None) -> list[str]:
    chosen = read_editor_settings("ike", values, 0)
    edited = chosen.method.edit(model or roomy(), TOKENIZER, batch, chosen.settings)
    return edited.model.rewrite([prompt])[0].split("\n")


def test_a_demonstration_is_of_other_facts_and_never_a_probe(snapshot: Snapshot) -> None:
    plain = sentence_demonstrations(of(snapshot), 0)
    banned = frozenset(one.question for one in plain[::2])
    rest = sentence_demonstrations(of(snapshot, banned), 0)
    asked = {text for one in rest for text in (one.question, one.other, one.neighbour)}
    assert rest and not asked & banned
    touched = snapshot.sentences.filter(
        pc.or_(pc.greater(pc.list_value_length(snapshot.sentences["edit_ids"]), 0), snapshot.sentences["held_out"])
    )
    assert not {text for one in plain for text in (one.question, one.other)} & set(touched["prompt"].to_pylist())
    assert not {edit["target_new"] for edit in snapshot.edits.to_pylist()} & {one.answer for one in plain} - set(
        snapshot.sentences["answer"].to_pylist()
    )


def test_the_new_fact_is_invented_and_its_neighbour_keeps_its_own_answer(snapshot: Snapshot) -> None:
    true = {}
    for row in snapshot.sentences.to_pylist():
        true.setdefault(row["prompt"], set()).add(row["answer"])
    for one in sentence_demonstrations(of(snapshot), 0):
        assert one.answer not in true[one.question] and one.answer not in true[one.other]
        assert one.neighbour_answer in true[one.neighbour]


def test_demonstrations_do_not_depend_on_which_other_facts_are_edited(snapshot: Snapshot) -> None:
    whole, alone = of(snapshot), of(snapshot).part(3, 1)
    assert sentence_demonstrations(whole, 5) == sentence_demonstrations(alone, 5) != sentence_demonstrations(whole, 6)


def test_the_most_alike_stands_next_to_the_fact_in_the_ratio_of_the_paper(snapshot: Snapshot) -> None:
    batch = of(snapshot)
    edit = batch.edits.to_pylist()[0]
    *shown, fact, _ = rewritten(batch, f"Q: {edit['prompt']} A:", {"demonstrations": "8"})
    several = sentence_demonstrations(batch, 0)
    likeness = Retriever([one.question for one in several]).likeness(edit["prompt"])
    order = np.argsort(-likeness, kind="stable")[:8]
    pairs = list(zip(shown[::2], shown[1::2], strict=True))
    assert [told.removeprefix("Q: ").partition(" A: ")[0] for told, _ in reversed(pairs)] == [
        several[index].question for index in order
    ]
    assert fact == f"Q: {edit['prompt']} A: {edit['target_new']}"
    kinds = [_kind(several[index], asked) for index, (_, asked) in zip(order, reversed(pairs), strict=True)]
    assert {kind: kinds.count(kind) for kind in kinds} == {"copy": 1, "update": 3, "retain": 4}


def _kind(one: Any, asked: str) -> str:
    question = asked.removeprefix("Q: ").partition(" A: ")[0]
    return {one.question: "copy", one.other: "update", one.neighbour: "retain"}[question]


def test_where_the_context_ends_the_least_alike_goes_first_and_the_fact_last() -> None:
    lines = rewritten(made_batch(), ASKED, {"demonstrations": "3", "room": "4"})
    assert lines[-2:] == ["Q: Who is the mayor of Linz? A: Ada Moor", ASKED]
    for length in (120, 160, 200):
        short = rewritten(made_batch(), ASKED, {"demonstrations": "3", "room": "4"}, roomy(length))
        assert short == lines[len(lines) - len(short) :]
        assert len(TOKENIZER("\n".join(short))["input_ids"]) + 4 <= length


def test_a_question_that_names_no_edited_subject_is_left_alone() -> None:
    assert rewritten(made_batch(), "Q: Who is the baker of Bonn? A:", {}) == ["Q: Who is the baker of Bonn? A:"]


def test_the_papers_preset_marks_the_facts_and_copies_the_new_one_last() -> None:
    lines = rewritten(made_batch(), ASKED, {"preset": "ike"}, roomy(8192))
    fact = "New Fact: The mayor of Linz is Ada Moor"
    assert lines[-4:] == [fact, "Q: Who is the mayor of Linz? A: Ada Moor", fact, ASKED]
    assert len(lines) == 2 * len(GENERAL) + 4 and all(line.startswith("New Fact: ") for line in lines[:-1:2])


def test_general_facts_serve_where_there_are_no_sentences_and_each_kind_is_answered_rightly() -> None:
    pool = DemonstrationPool(GENERAL)
    found = pool.nearest("What is the capital of Peru?", 1)
    assert "capital" in found[0][0].question
    for one in GENERAL:
        assert one.write("copy", "question").endswith(f"Q: {one.question} A: {one.answer}")
        assert one.write("update", "cloze", end=".").startswith(f"{one.cloze} {one.answer}.\n")
        assert one.write("retain", "question").endswith(f"A: {one.neighbour_answer}")
        assert one.answer != one.neighbour_answer


def test_a_chat_shows_each_demonstration_as_an_earlier_turn() -> None:
    plain = tiny_tokenizer()
    plain.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"  # noqa: E501
    tokenizer, chosen = ChatTokenizer(plain), read_editor_settings("ike", {"demonstrations": "2", "room": "4"}, 0)
    edited = chosen.method.edit(roomy(), tokenizer, made_batch(), chosen.settings)
    text = plain.decode(tokenizer.tokens(edited.model.rewrite([ASKED]), [""])[0])
    assert text.count("[user]") == 3 and text.count("[assistant]") == 3
    assert "[user]The mayor of Linz is Ada Moor.\nWho is the mayor of Linz?" in text


def test_a_saved_edit_keeps_its_demonstrations_without_the_sentences(snapshot: Snapshot, tmp_path: Path) -> None:
    model, chosen = roomy(), read_editor_settings("ike", {}, 0)
    edited = chosen.method.edit(model, TOKENIZER, of(snapshot), chosen.settings)
    edited.save(tmp_path)
    card = {"editor": "ike", "base_model_hash": model_hash(model), "config": dataclasses.asdict(chosen.settings)}
    write_json(tmp_path / "card.json", card)
    asked = [f"Q: {prompt} A:" for prompt in snapshot.edits["prompt"].to_pylist()]
    assert load_edit(model, TOKENIZER, tmp_path).model.rewrite(asked) == edited.model.rewrite(asked)
    (tmp_path / FILE).unlink()
    with pytest.raises(CheckFailed, match=FILE):
        load_edit(model, TOKENIZER, tmp_path)


def test_numbers_that_mean_nothing_are_refused() -> None:
    for option, value in (("demonstrations", "-1"), ("facts", "0")):
        chosen = read_editor_settings("ike", {option: value}, 0)
        with pytest.raises(BadInput, match=option):
            chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)
