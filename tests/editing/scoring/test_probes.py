"""What is asked: clozes as clozes, every hop, chains walked with the model's own answers, prefixes."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronofacts.editing.editors.trained.examples import make_examples
from chronofacts.editing.models.encoding import form_of
from chronofacts.editing.models.key_value_cache import cache_use
from chronofacts.editing.scoring import ScoringSettings, all_probes, evaluate, score
from chronofacts.editing.scoring.fluency import ngram_entropy
from chronofacts.editing.scoring.prompt_prefixes import extract_answer, write_day
from chronofacts.editing.snapshot import Snapshot, load_snapshot
from chronofacts.pipeline.exchange import import_snapshot
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import QUESTIONS
from tests.editing.conftest import Experiment
from tests.pipeline.exchange.records import COUNTERFACT

FEW_PROBES = {
    "requested_rewrite": COUNTERFACT["requested_rewrite"],
    "paraphrase_prompts": ["He left early. Mira Quell, a native"],
    "neighborhood_prompts": ["The mother tongue of Tom Ash is"],
    "attribute_prompts": [],
}
LINKS = [
    {"subject_label": "Linz", "object_label": "Ann", "question": "Who is the mayor of Linz?", "edit_id": "e1"},
    {"subject_label": "Ann", "object_label": "Rome", "question": "Where was Ann born?", "edit_id": None},
]


def chained() -> pa.Table:
    """One multi-hop question with its chain, and a cloze."""
    blank: dict[str, Any] = dict.fromkeys(QUESTIONS.names)
    link = dict.fromkeys([field.name for field in QUESTIONS.field("chain").type.value_type])
    shared = {"edit_ids": ["e1"], "as_of": datetime.date(2025, 1, 1), "answer_aliases": [], "hops": 2, "edited_hops": 1}
    rows = [
        blank | shared | {
            "question_id": "q1", "kind": "multi_hop", "question": "Where was the mayor of Linz born?",
            "phrasings": ["In which town was the mayor of Linz born?"], "answer": "Rome", "answer_id": "Rome",
            "answer_before": "Oslo", "chain": [link | one for one in LINKS],
        },
        blank | shared | {"question_id": "q2", "kind": "cloze", "question": "The mayor of Linz is", "answer": "Ann"},
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=QUESTIONS)


@pytest.fixture
def counterfact(tmp_path: Path) -> Snapshot:
    file = tmp_path / "counterfact.json"
    file.write_text(json.dumps([FEW_PROBES]), encoding="utf-8")
    import_snapshot(file, "counterfact", tmp_path / "S")
    return load_snapshot(tmp_path / "S")


def test_counterfact_prompts_are_asked_as_clozes_and_trained_as_clozes(counterfact: Snapshot) -> None:
    probes = all_probes(counterfact.questions, counterfact.sentences, ScoringSettings())
    assert set(probes["kind"].to_pylist()) >= {"edit", "paraphrase", "locality"}
    assert set(probes["form"].to_pylist()) == {"cloze"}
    assert {lesson.form for lesson in make_examples(counterfact.edits, ("prompt", "paraphrases"), 9)} == {"cloze"}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Who leads Oslo?", "question"),
        ("Name the mayor of Oslo.", "question"),
        ('Who wrote "Who goes there?"', "question"),
        ("オスロの市長は誰ですか？", "question"),
        ("The mayor of Oslo is", "cloze"),
        ('The author of "Faust" is', "cloze"),
        ("Danielle Darrieux, a native", "cloze"),
    ],
)
def test_a_wording_is_a_question_when_it_ends_as_a_sentence_does(text: str, form: str) -> None:
    assert form_of(text) == form


def test_every_hop_is_asked_with_its_right_subject_and_its_own_answer() -> None:
    probes = all_probes(chained(), _no_sentences(), ScoringSettings()).to_pylist()
    hops = [probe for probe in probes if probe["kind"] == "hop"]
    assert [(hop["text"], hop["answer"], hop["edited_hops"]) for hop in hops] == [
        ("Who is the mayor of Linz?", "Ann", 1),
        ("Where was Ann born?", "Rome", 0),
    ]


def test_without_hops_only_the_questions_themselves_are_asked() -> None:
    settings = ScoringSettings(hops=False, fluency=0, perplexity=0)
    assert set(all_probes(chained(), _no_sentences(), settings)["kind"].to_pylist()) == {"multi_hop", "cloze"}


def test_a_walk_puts_the_models_own_answer_into_the_next_question(model_and_tokenizer: Any) -> None:
    model, tokenizer = model_and_tokenizer
    cache_use(model)  # tried once for each model
    asked: list[str] = []
    settings = ScoringSettings(fluency=0, perplexity=0)
    probes = all_probes(chained(), _no_sentences(), settings)
    walk = probes.filter(pa.compute.equal(probes["way"], "walk"))

    def rewrite(prompts: list[str], prefixes: list[str]) -> list[str]:
        asked.extend(prompts)
        return prompts

    model.rewrite = rewrite
    (row,) = evaluate(model, tokenizer, walk, settings).to_pylist()
    first, second = row["walk"]
    assert asked == ["Q: Who is the mayor of Linz? A:", f"Q: Where was {first} born? A:"]
    assert row["generated"] == second


def test_a_cloze_gets_no_examples_before_it_and_a_question_does() -> None:
    probes = all_probes(chained(), _no_sentences(), ScoringSettings(prefix="few-shot")).to_pylist()
    assert {bool(p["prefix"]) for p in probes if p["kind"] == "cloze"} == {False}
    assert {p["prefix"].count("\n") for p in probes if p["kind"] == "multi_hop"} == {8}


def test_a_dated_prefix_names_the_day_of_the_question() -> None:
    probes = all_probes(chained(), _no_sentences(), ScoringSettings(prefix="dated")).to_pylist()
    assert {p["prefix"] for p in probes if p["kind"] == "multi_hop"} == {"Today is 1 January 2025.\n"}
    assert write_day(datetime.date(2020, 5, 14)) == "Today is 14 May 2020.\n"


def test_a_prefix_changes_what_the_model_reads_and_not_what_is_recorded(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    some = snapshot.questions.slice(0, 12)
    plain = score(*model_and_tokenizer, some)
    under = score(*model_and_tokenizer, some, ScoringSettings(prefix="dated"))
    assert under["prompt"].equals(plain["prompt"])
    assert under["nll_answer"].to_pylist() != plain["nll_answer"].to_pylist()


def test_examples_that_do_not_fit_the_context_are_left_out_from_the_first_on(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    model, tokenizer = model_and_tokenizer
    cache_use(model)  # tried once for each model
    asked: list[str] = []
    watch = model.register_forward_pre_hook(
        lambda part, given, named: asked.extend(tokenizer.batch_decode(named["input_ids"])), with_kwargs=True
    )
    settings = ScoringSettings(cot=True, hops=False, fluency=0, perplexity=0)
    probes = all_probes(chained(), _no_sentences(), settings)
    thought = evaluate(model, tokenizer, probes.filter(pa.compute.equal(probes["way"], "think")), settings)
    watch.remove()
    assert thought.num_rows == 1 and len(tokenizer(asked[0])["input_ids"]) <= model.config.max_position_embeddings
    assert "The Last Supper" in asked[0] and "longest river of Egypt" not in asked[0]


def test_the_answer_is_what_follows_the_last_thought() -> None:
    assert extract_answer(" The mayor is Ann. Ann was born in Rome. A: Rome") == "Rome"
    assert extract_answer("A: Oslo A: Rome ") == "Rome"
    assert extract_answer("Rome") == "Rome"  # without a thought


def test_thinking_aloud_is_asked_once_for_every_multi_hop_question() -> None:
    probes = all_probes(chained(), _no_sentences(), ScoringSettings(cot=True)).to_pylist()
    (thought,) = [probe for probe in probes if probe["way"] == "think"]
    assert thought["prefix"].count("T:") == 4 and thought["answer"] == "Rome"


def test_a_probe_has_another_id_when_anything_that_decides_its_score_differs() -> None:
    questions = chained()
    one = all_probes(questions, _no_sentences(), ScoringSettings())
    assert (
        one["probe_id"].to_pylist() == all_probes(questions, _no_sentences(), ScoringSettings())["probe_id"].to_pylist()
    )
    other = all_probes(questions, _no_sentences(), ScoringSettings(prefix="few-shot"))
    same = [a == b for a, b in zip(one["probe_id"].to_pylist(), other["probe_id"].to_pylist(), strict=True)]
    assert any(same) and not all(same)


def test_sentences_that_an_edit_changes_are_not_read_for_perplexity(experiment: Experiment, snapshot: Snapshot) -> None:
    probes = all_probes(snapshot.questions, snapshot.sentences, ScoringSettings())
    read = {probe["question_id"] for probe in probes.to_pylist() if probe["way"] == "read"}
    rows = {row["sentence_id"]: row for row in snapshot.sentences.to_pylist()}
    assert read and all(rows[name]["held_out"] for name in read)
    assert not [name for name in read if rows[name]["edit_ids"] and rows[name]["role"] in ("current", "composed")]
    scores = pq.read_table(experiment.run / "scores" / "none.parquet").to_pylist()
    assert all(row["nll_answer"] > 0 and row["tokens"] > 1 for row in scores if row["kind"] == "general")


def test_texts_of_ones_own_are_read_instead(tmp_path: Path) -> None:
    file = tmp_path / "texts"
    file.write_text("One\u2028line.\n\nAnother line.\n", encoding="utf-8")
    probes = all_probes(chained(), _no_sentences(), ScoringSettings(text=str(file))).to_pylist()
    assert [probe["text"] for probe in probes if probe["way"] == "read"] == ["One\u2028line.", "Another line."]
    file.write_bytes("Une ligne: été.\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"texts is not UTF-8 .* save it as UTF-8"):
        all_probes(chained(), _no_sentences(), ScoringSettings(text=str(file)))
    with pytest.raises(BadInput, match=r"scoring\.text"):
        all_probes(chained(), _no_sentences(), ScoringSettings(text=str(tmp_path / "none")))


def test_repetition_lowers_the_ngram_entropy() -> None:
    assert ngram_entropy("a b a b a b a b") == pytest.approx(0.5 * (2 / 3 * 0.9852281 + 4 / 3 * 1.0), abs=1e-6)
    assert (ngram_entropy("one two three four five six") or 0) > (ngram_entropy("one one one one one one") or 0) == 0
    assert ngram_entropy("two words") is None


def _no_sentences() -> pa.Table:
    from chronofacts.schemas.tables import SENTENCES

    return SENTENCES.empty_table()
