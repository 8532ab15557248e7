"""Scores: the same in every batch, dropout off, nothing cut at a full stop."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import torch
from torch import nn

from chronofacts.editing.models.encoding import encode, render
from chronofacts.editing.scoring import ScoringSettings, generate, score, teacher_force
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput, ChronoFactsError
from tests.editing.scoring.saying import Saying

FIGURES = ("nll_answer", "nll_answer_before", "p_new_over_old", "token_accuracy", "token_f1")


@pytest.fixture
def questions(snapshot: Snapshot) -> pa.Table:
    return snapshot.questions.slice(0, 60)


def test_a_score_does_not_depend_on_its_batch(model_and_tokenizer: Any, questions: pa.Table) -> None:
    model, tokenizer = model_and_tokenizer
    together = score(model, tokenizer, questions, ScoringSettings(batch_size=64)).to_pylist()
    alone = score(model, tokenizer, questions, ScoringSettings(batch_size=1)).to_pylist()
    backwards = questions.take(pa.array(range(questions.num_rows - 1, -1, -1)))
    turned = {(r["question_id"], r["phrasing"]): r for r in score(model, tokenizer, backwards).to_pylist()}
    for one, other in zip(together, alone, strict=True):
        for third in (other, turned[one["question_id"], one["phrasing"]]):
            assert (one["generated"], one["exact_match"]) == (third["generated"], third["exact_match"])
            for name in FIGURES:
                assert one[name] == (None if third[name] is None else pytest.approx(third[name], rel=1e-5, abs=1e-5))


def test_scores_agree_with_one_probe_at_a_time_in_float64(model_and_tokenizer: Any, questions: pa.Table) -> None:
    model, tokenizer = model_and_tokenizer
    scored = score(model, tokenizer, questions).to_pylist()[:20]
    slow = model.double()
    for row in scored:
        prompt = render(row["prompt"], "cloze" if row["kind"] == "cloze" else "question")
        start = len(tokenizer(prompt)["input_ids"])
        ids = torch.tensor([tokenizer(f"{prompt} {row['answer']}")["input_ids"]])
        with torch.no_grad():
            likely = slow(input_ids=ids).logits[0, start - 1 : -1].log_softmax(-1)
        wanted = ids[0, start:]
        nll = -likely.gather(1, wanted[:, None]).mean().item()
        assert row["nll_answer"] == pytest.approx(nll, abs=1e-4)
        assert row["token_accuracy"] == pytest.approx((likely.argmax(-1) == wanted).double().mean().item())


def test_the_answer_found_by_teacher_forcing_is_what_generation_says(
    model_and_tokenizer: Any, questions: pa.Table
) -> None:
    model, tokenizer = model_and_tokenizer
    scored = score(model, tokenizer, questions).to_pylist()
    prompts = [render(row["prompt"], "cloze" if row["kind"] == "cloze" else "question") for row in scored]
    encoded = encode(tokenizer, prompts, [row["answer"] for row in scored])
    assert generate(model, tokenizer, [row.prompt for row in encoded], 24) == [row["generated"] for row in scored]


def test_generation_agrees_with_the_library(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    model, tokenizer = model_and_tokenizer
    texts = [render(text, "question") for text in snapshot.edits["prompt"].to_pylist()[:10]]
    encoded = encode(tokenizer, texts, ["x"] * len(texts))
    ours = generate(model, tokenizer, [row.prompt for row in encoded], 12)
    for text, said in zip(texts, ours, strict=True):
        inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert tokenizer.decode(ids, skip_special_tokens=True).split("\n")[0].strip() == said


def test_dropout_is_off_in_every_score(model_and_tokenizer: Any, questions: pa.Table) -> None:
    model, tokenizer = model_and_tokenizer
    before = score(model, tokenizer, questions)
    for layer in model.model.layers:
        layer.mlp.down_proj = nn.Sequential(layer.mlp.down_proj, nn.Dropout(0.5))
    model.train()
    assert score(model, tokenizer, questions).equals(before)
    assert not any(part.training for part in model.modules())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (" St. Louis, Mo.</s>", "St. Louis, Mo."),
        (" Robert G. Wright\nQ: and then?", "Robert G. Wright"),
        (" Apple Inc.</s>", "Apple Inc."),
    ],
)
def test_a_full_stop_ends_no_answer_but_a_line_end_does(model_and_tokenizer: Any, written: str, read: str) -> None:
    _, tokenizer = model_and_tokenizer
    prompt = tuple(tokenizer("Q: Where? A:")["input_ids"])
    assert generate(Saying(tokenizer, written), tokenizer, [prompt], 40) == [read]


def test_no_questions_are_refused(model_and_tokenizer: Any, questions: pa.Table) -> None:
    with pytest.raises(BadInput, match="no questions"):
        score(*model_and_tokenizer, questions.slice(0, 0))


def test_a_question_longer_than_the_context_is_named(model_and_tokenizer: Any, questions: pa.Table) -> None:
    rows = questions.slice(0, 1).to_pylist()
    rows[0]["question"] = "Who " + "really " * 2000 + "leads?"
    with pytest.raises(BadInput, match="more than the model's context"):
        score(*model_and_tokenizer, pa.Table.from_pylist(rows, schema=questions.schema))


def test_logits_that_are_no_numbers_are_an_error(model_and_tokenizer: Any, questions: pa.Table) -> None:
    model, tokenizer = model_and_tokenizer
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ChronoFactsError, match="no numbers"):
        score(model, tokenizer, questions)


def test_padding_changes_no_likelihood(model_and_tokenizer: Any) -> None:
    model, tokenizer = model_and_tokenizer
    rows = encode(tokenizer, ["The mayor is", "Q: Who is the mayor of the very long town? A:"], ["Ann", "Bob Lee"])
    together = teacher_force(model, rows, 2)
    for row, forced in zip(rows, together, strict=True):
        assert teacher_force(model, [row], 1)[0].nll == pytest.approx(forced.nll, rel=1e-5, abs=1e-5)
