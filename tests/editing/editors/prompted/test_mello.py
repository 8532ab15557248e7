"""`mello`: chains that the model takes apart itself, the memory asked at each hop, and what is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.prompted.mello import CHAINS, NOTHING, _Memory, _Walker
from chronofacts.editing.editors.prompted.told_facts import Context
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
HOPS = "In which town was the mayor of Linz born?"


def roomy(length: int = 16384) -> Any:
    model = tiny("llama")
    model.config.max_position_embeddings = length
    return model


class Reader:
    """A model of words: it copies a fact before its question, says what it knows, and takes apart as it is told."""

    def __init__(self, known: dict[str, str], steps: dict[tuple[str, int], str], copies: bool = True) -> None:
        self.known, self.steps, self.copies = known, steps, copies
        self.asked: list[str] = []

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        self.asked += prompts
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: str) -> str:
        *before, last = prompt.split("\n")
        if "What is to be asked" in last:
            at = max(index for index, line in enumerate(before) if line.startswith("Question: "))
            return self.steps.get((before[at].removeprefix("Question: "), len(before) - at - 1), "no idea")
        if before and self.copies:
            return before[-1].partition(" A: ")[2]
        return self.known.get(last.removeprefix("Q: ").removesuffix(" A:"), "")


def rewritten(reader: Reader, prompt: str, length: int = 16384, **values: str) -> str:
    settings = read_editor_settings("mello", {"embedder": "letters", **values}, 0).settings
    rows = made_batch().edits.to_pylist()
    context = Context.of(roomy(length), TOKENIZER, rows, 4, "\n")
    (found,) = _Walker(_Memory(rows, settings), context, TOKENIZER, settings, reader).rewrite([prompt])
    assert found.answer is None
    return found.text


TWO = {
    (HOPS, 0): "Who is the mayor of Linz?",
    (HOPS, 1): "In which town was Ada Moor born?",
    (HOPS, 2): NOTHING,
}


def test_a_hop_that_an_edit_answers_goes_on_with_its_new_answer() -> None:
    reader = Reader({"In which town was Ada Moor born?": "Rom"}, TWO)
    assert rewritten(reader, f"Q: {HOPS} A:") == "Q: In which town was Ada Moor born? A:"
    transcript = [prompt for prompt in reader.asked if prompt.endswith("What is to be asked next? A:")]
    assert f"Question: {HOPS}\nWho is the mayor of Linz? Ada Moor\nQ: " in transcript[0]


def test_the_last_hop_is_asked_behind_the_fact_that_decides_it() -> None:
    asked = "Who is the mayor of the town that Max Hull lives in?"
    steps = {
        (asked, 0): "In which town does Max Hull live?",
        (asked, 1): "Who is the mayor of Graz?",
        (asked, 2): NOTHING,
    }
    reader = Reader({"In which town does Max Hull live?": "Graz"}, steps)
    expected = "Q: Who is the mayor of Graz? A: Bob Tann\nQ: Who is the mayor of Graz? A:"
    assert rewritten(reader, f"Q: {asked} A:") == expected


def test_a_fact_that_the_model_does_not_read_decides_nothing() -> None:
    known = {"Who is the mayor of Linz?": "Eve Zorn"}
    assert (
        rewritten(Reader(known, {}, copies=False), "Q: Who is the mayor of Linz? A:")
        == "Q: Who is the mayor of Linz? A:"
    )
    told = rewritten(Reader(known, {}, copies=False), "Q: Who is the mayor of Linz? A:", check="false")
    assert told.startswith("Q: Who is the mayor of Linz? A: Ada Moor\n")


def test_a_chain_that_meets_no_edit_leaves_the_question_as_it_was() -> None:
    asked = "Where was the mayor of Bonn born?"
    steps = {(asked, 0): "Who is the mayor of Bonn?", (asked, 1): "Where was Kim Doe born?", (asked, 2): NOTHING}
    reader = Reader({"Who is the mayor of Bonn?": "Kim Doe", "Where was Kim Doe born?": "Ulm"}, steps)
    assert rewritten(reader, f"Q: {asked} A:") == f"Q: {asked} A:"


@pytest.mark.parametrize(
    "said",
    ["Who is the mayor of Graz?", "The mayor of Linz", "", "Who is Napoleon Bonaparte?", NOTHING],
    ids=["another name", "no question", "silence", "an invented name", "nothing at once"],
)
def test_a_question_taken_apart_wrongly_is_asked_of_the_memory_as_a_whole(said: str) -> None:
    asked = "Who is the mayor of Linz?"
    told = rewritten(Reader({}, {(asked, 0): said}), f"Q: {asked} A:")
    assert told == "Q: Who is the mayor of Linz? A: Ada Moor\nQ: Who is the mayor of Linz? A:"


def test_the_number_of_hops_is_bounded_and_none_is_asked_twice() -> None:
    again = {(HOPS, step): "Who is the mayor of Linz?" for step in range(9)}
    reader = Reader({}, again)
    rewritten(reader, f"Q: {HOPS} A:")
    assert sum("What is to be asked" in prompt.rsplit("\n", 1)[-1] for prompt in reader.asked) == 2
    assert rewritten(Reader({}, TWO), f"Q: {HOPS} A:", hops="1").endswith(f"Q: {HOPS} A:")
    none = Reader({}, TWO)
    rewritten(none, f"Q: {HOPS} A:", hops="0")
    assert not [prompt for prompt in none.asked if "What is to be asked" in prompt]


def test_a_context_that_does_not_hold_the_examples_is_asked_for_no_chain() -> None:
    reader = Reader({}, TWO)
    rewritten(reader, f"Q: {HOPS} A:", length=200)
    assert reader.asked and not [prompt for prompt in reader.asked if "What is to be asked" in prompt]


def test_a_real_model_writes_the_same_alone_and_in_company_and_asks_each_text_once() -> None:
    chosen = read_editor_settings("mello", {"room": "4", "embedder": "letters", "hops": "2"}, 0)
    asked = [f"Q: {text} A:" for text in (HOPS, "Who is the mayor of Graz?", "Who runs Wels?", "What is it?")]
    together = chosen.method.edit(roomy(), TOKENIZER, made_batch(), chosen.settings).model.rewrite(asked)
    alone = chosen.method.edit(roomy(), TOKENIZER, made_batch(), chosen.settings).model
    assert [alone.rewrite([prompt])[0] for prompt in reversed(asked)] == together[::-1]


def test_a_chat_takes_the_examples_as_earlier_turns() -> None:
    plain = tiny_tokenizer()
    plain.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"  # noqa: E501
    tokenizer, settings = ChatTokenizer(plain), read_editor_settings("mello", {"embedder": "letters"}, 0).settings
    rows, reader = made_batch().edits.to_pylist(), Reader({}, {})
    walker = _Walker(
        _Memory(rows, settings), Context.of(roomy(), tokenizer, rows, 4, "\n"), tokenizer, settings, reader
    )
    walker.rewrite([f"Q: {HOPS} A:"])
    (first, *_) = [prompt for prompt in reader.asked if "What is to be asked" in prompt]
    text = plain.decode(tokenizer.tokens([first], [""])[0])
    assert text.count("[user]") == 1 + sum(len(steps) + 1 for _, steps in CHAINS)
    assert text.endswith(f"[user]Question: {HOPS}\nWhat is to be asked first?</s>[assistant]")


def test_a_number_of_hops_below_none_is_refused() -> None:
    chosen = read_editor_settings("mello", {"hops": "-1"}, 0)
    with pytest.raises(BadInput, match="hops"):
        chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)
