"""`memory` and `in-context`: which questions an edit concerns, which not, and how hops are taken apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.prompted.english_cues import Cue
from chronofacts.editing.editors.prompted.memory import MemorySettings, _Rewriter, _Store
from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.editors.prompted.subject_index import SubjectIndex
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def rewrite(text: str, said: dict[str, str] | None = None, **options: Any) -> tuple[str, str | None]:
    """What becomes of a question behind the store of made edits, with a model that says `said`."""
    settings = MemorySettings(**options)
    store = _Store(made_batch(), settings)
    rewriter = _Rewriter(store, lambda prompts: [(said or {}).get(prompt, "") for prompt in prompts], settings)
    (rewritten,) = rewriter.rewrite([f"Q: {text} A:"])
    return rewritten.text, rewritten.answer


@pytest.mark.parametrize("cue", Cue)
def test_every_english_cue_is_in_its_example_and_not_in_its_counterexample(cue: Cue) -> None:
    assert cue.is_in(cue.example)
    assert not cue.is_in(cue.counterexample)


@pytest.mark.parametrize(
    "question", ["Who is the mayor of Linz?", "Name the mayor of Linz.", "Who is the mayor of Old Linz?"]
)
def test_a_wording_that_was_never_stored_and_an_alias_are_in_scope(question: str) -> None:
    assert rewrite(question)[1] == "Ada Moor"


@pytest.mark.parametrize(
    "question",
    [
        "Who was the mayor of Linz in 2016?",
        "Who is the mayor of Bonn?",
        "On which continent is Linz?",
        "Who is the mayor of New Linz?",
        "Who runs Linzer?",
    ],
)
def test_the_past_other_subjects_other_relations_and_longer_names_are_left_alone(question: str) -> None:
    assert rewrite(question) == (f"Q: {question} A:", None)


def test_a_hop_over_an_edit_is_replaced_by_its_new_answer() -> None:
    assert rewrite("Where was the mayor of Linz born?") == ("Q: Where was Ada Moor born? A:", None)


def test_a_hop_before_an_edit_is_asked_of_the_model() -> None:
    said = {"Q: What is the birthplace of Max Hull? A:": "Graz"}
    assert rewrite("Who is the mayor of the birthplace of Max Hull?", said) == (
        "Q: Who is the mayor of Graz? A:",
        "Bob Tann",
    )


def test_two_hops_before_an_edit_are_asked_one_after_the_other() -> None:
    said = {"Q: Who is the spouse of Max Hull? A:": "Mia Dorn", "Q: What is the birthplace of Mia Dorn? A:": "Wels"}
    asked = "Who is the mayor of the birthplace of the spouse of Max Hull?"
    assert rewrite(asked, said)[1] == "Cyd Rook"
    assert rewrite(asked, said, hops=0) == (f"Q: {asked} A:", None)


def test_a_hop_that_leads_to_no_edit_leaves_the_question_as_it_was() -> None:
    asked = "What is the capital of the country of Max Hull?"
    assert rewrite(asked, {"Q: What is the country of Max Hull? A:": "Peru"}) == (f"Q: {asked} A:", None)


def test_a_stored_answer_is_spoken_with_and_without_a_cache() -> None:
    model, chosen = tiny("llama"), read_editor_settings("memory", {}, 0)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    asked = ["Q: Who is the mayor of Linz? A:", "Q: Who is the mayor of Graz? A:", "Q: Who is the baker of Bonn? A:"]
    prompts = edited.model.rewrite(asked)
    encoded = encode(TOKENIZER, prompts, ["Ada Moor", "Bob Tann", "Nobody"])
    assert [one.greedy_match for one in teacher_force(edited.model, encoded, 8)] == [True, True, False]
    written = generate(edited.model, TOKENIZER, [one.prompt for one in encoded], 12)
    assert written[:2] == ["Ada Moor", "Bob Tann"]
    untouched = generate(model, TOKENIZER, [encoded[2].prompt], 12)
    assert written[2] == untouched[0]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma", "falcon"])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_known_answers_are_found_as_likely_where_the_model_behind_reads_many_texts_at_once(
    family: str, batch_size: int
) -> None:
    model, chosen = tiny(family), read_editor_settings("memory", {}, 0)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    asked = ["Q: Who is the mayor of Linz? A:", "Q: Who is the mayor of Graz? A:", "Q: Who is the baker of Bonn? A:"]
    # Right, wrong, right to its middle, longer than the known answer; and a text that begins as a known prompt does.
    answers = ["Ada Moor", "Bob Tann", "Nobody", "Ada Tann", "Ada Moor the Second", "Bob"]
    encoded = encode(TOKENIZER, edited.model.rewrite(asked) * len(answers), sorted(answers * len(asked)))
    edited.model.rewrite(["Q: Who is the mayor of Linz? A: Ada Moor Q: Who is the mayor of Graz? A:"])
    read = teacher_force(model, encoded, batch_size, mix=edited.model.mix_in)
    for found, expected in zip(read, teacher_force(edited.model, encoded, batch_size), strict=True):
        assert found.nll == pytest.approx(expected.nll, rel=1e-4, abs=1e-4)
        assert (found.accuracy, found.greedy_match) == (expected.accuracy, expected.greedy_match)


def test_probabilities_with_a_store_still_add_up_to_one() -> None:
    model, chosen = tiny("llama"), read_editor_settings("memory", {}, 0)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    (prompt,) = edited.model.rewrite(["Q: Who is the mayor of Linz? A:"])
    ids = torch.tensor([encode(TOKENIZER, [prompt], ["x"])[0].prompt])
    with torch.no_grad():
        logits = edited.model(input_ids=ids).logits[0, -1]
    chances = logits.softmax(-1)
    assert float(logits.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(chances.max()) == pytest.approx(0.95, abs=0.05)


def test_in_context_puts_the_named_subjects_edit_next_to_the_question() -> None:
    chosen = read_editor_settings("in-context", {"facts": "1", "room": "4"}, 0)
    edited = chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)
    lines = edited.model.rewrite(["Q: Where was the mayor of Graz born? A:"])[0].split("\n")
    assert lines == ["Q: Who is the mayor of Graz? A: Bob Tann", "Q: Where was the mayor of Graz born? A:"]


def test_in_context_never_fills_the_context() -> None:
    chosen = read_editor_settings("in-context", {"facts": "4", "room": "20"}, 0)
    edited = chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)
    for prompt in edited.model.rewrite(["Q: Who is the mayor of Linz? A:", "Q: " + "Who? " * 8 + "A:"]):
        assert len(TOKENIZER(prompt)["input_ids"]) <= 96 - 20


def test_wrong_options_are_refused() -> None:
    for editor, values in (("in-context", {"facts": "0"}), ("memory", {"weight": "1"})):
        chosen = read_editor_settings(editor, values, 0)
        with pytest.raises(BadInput, match=next(iter(values))):
            chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)


def test_a_text_is_nearest_to_itself_and_a_stranger_to_none() -> None:
    texts = ["Who is the mayor of Linz?", "What is the capital of Peru?", "Who coaches the team?"]
    retriever = Retriever(texts)
    for index, text in enumerate(texts):
        (found,) = retriever.nearest(text, 1)
        assert found == (index, pytest.approx(1.0))
    assert retriever.nearest("zzzz", 3) == []
    assert Retriever([]).nearest("Linz", 1) == []


def test_the_longest_name_wins_and_only_whole_words_count() -> None:
    index = SubjectIndex([["York"], ["New York"], ["Old Town", "York Hill"]])
    assert index.find_named("Who runs new york?") == [1]
    assert index.find_named("Is York Hill in York?") == [2, 0]
    assert index.find_named("Yorkshire") == []


def test_a_name_in_capitals_is_no_word_of_the_question() -> None:
    index = SubjectIndex([["World Health Organization", "WHO"], ["United States", "US", "USA"], ["Linz", "LINZ"]])
    assert index.find_named("Who leads us?") == []
    assert index.find_named("Who leads the WHO?") == [0]
    assert index.find_named("WHO LEADS THE US?") == [0, 1]
    assert index.find_named("who runs linz?") == [2]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_store_that_grew_by_chunks_finds_what_one_made_at_once_does(size: int) -> None:
    batch, settings = made_batch(), MemorySettings()
    whole, grown = _Store(batch, settings), _Store(batch.part(0, 0), settings)
    for begin in range(0, batch.edits.num_rows, size):
        assert grown.begins(batch.edits) and not (begin and grown.begins(batch.edits.slice(begin)))
        grown.add(batch.edits.slice(begin, size))
    towns = [row["subject_label"] for row in whole.rows]
    asked = [
        f"{words} {town}?" for words in ("Who is the mayor of", "Name the mayor of", "Who heads") for town in towns
    ]
    asked += [f"Where was the mayor of {town} born?" for town in towns]
    assert [grown.find(text) for text in asked] == [whole.find(text) for text in asked]
    assert [grown.replace(text) for text in asked] == [whole.replace(text) for text in asked]
    assert {whole.find(text) for text in asked} > {0, len(towns) - 1} and grown.trained == whole.trained


def test_a_year_in_a_subjects_own_name_is_no_past() -> None:
    facts = [("the 2032 Games", "Brisbane"), ("Linz", "Ada Moor")]
    store = _Store(made_batch(facts), MemorySettings())
    assert store.find("Who is the mayor of the 2032 Games?") == 0
    assert store.find("Who was the mayor of the 2032 Games?") is None
    assert store.find("Who was the mayor of Linz in 2016?") is None
