"""Agreement with an independent slow reference: one probe at a time, no cache, float64, written apart."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
import torch

from chronofacts.editing.scoring import ScoringSettings, all_probes, evaluate
from chronofacts.editing.scoring.answer_match import matches, token_f1
from chronofacts.editing.snapshot import Snapshot

PROBES = 300


def likelihoods(model: Any, tokenizer: Any, prompt: str, answer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-probabilities of the answer's positions, its token ids), from one whole forward pass."""
    start = len(tokenizer(prompt)["input_ids"])
    ids = torch.tensor([tokenizer(f"{prompt} {answer}")["input_ids"]])
    return model(input_ids=ids, use_cache=False).logits[0, start - 1 : -1].log_softmax(-1), ids[0, start:]


def spoken(model: Any, tokenizer: Any, prompt: str, most: int) -> str:
    """Greedy, the whole text read again for every token."""
    ids = tokenizer(prompt)["input_ids"]
    start = len(ids)
    while len(ids) - start < most:
        token = int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        ids.append(token)
    return tokenizer.decode(ids[start:], skip_special_tokens=True).strip().split("\n")[0]


@torch.no_grad()
def test_every_score_of_300_probes_agrees_with_the_slow_reference(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    model, tokenizer = model_and_tokenizer
    settings = ScoringSettings(prefix="dated", hops=False, fluency=0, perplexity=0)
    probes = all_probes(snapshot.questions, snapshot.sentences, settings)
    step = max(1, probes.num_rows // PROBES)
    chosen = probes.take(pa.array(range(0, step * PROBES, step)))
    scored = evaluate(model, tokenizer, chosen, settings).to_pylist()
    slow = model.double()
    assert len(scored) == PROBES
    for probe, row in zip(chosen.to_pylist(), scored, strict=True):
        prompt = probe["prefix"] + (probe["text"] if probe["form"] == "cloze" else f"Q: {probe['text']} A:")
        likely, wanted = likelihoods(slow, tokenizer, prompt, probe["answer"])
        nll = -likely.gather(1, wanted[:, None]).mean().item()
        assert row["nll_answer"] == pytest.approx(nll, rel=1e-5, abs=1e-5)
        hits = likely.argmax(-1) == wanted
        assert row["token_accuracy"] == pytest.approx(hits.double().mean().item(), abs=1e-5)
        assert row["answer_argmax"] == bool(hits.all())
        if probe["answer_before"]:
            likely, wanted = likelihoods(slow, tokenizer, prompt, probe["answer_before"])
            old = -likely.gather(1, wanted[:, None]).mean().item()
            assert row["nll_answer_before"] == pytest.approx(old, rel=1e-5, abs=1e-5)
            assert row["p_new_over_old"] == pytest.approx(1 / (1 + math.exp(nll - old)), abs=1e-5)
        names = [name for name in [*probe["names"], *probe["names_before"]] if name]
        most = max(len(tokenizer(f" {name}", add_special_tokens=False)["input_ids"]) for name in names) + 8
        text = spoken(slow, tokenizer, prompt, most)
        assert row["generated"] == text
        assert row["exact_match"] == matches(text, probe["names"])
        assert row["token_f1"] == pytest.approx(token_f1(text, probe["names"]), abs=1e-5)


@torch.no_grad()
def test_perplexity_is_that_of_one_text_at_a_time(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    model, tokenizer = model_and_tokenizer
    probes = all_probes(snapshot.questions, snapshot.sentences, ScoringSettings())
    read = probes.filter(pa.compute.equal(probes["way"], "read")).slice(0, 20)
    scored = evaluate(model, tokenizer, read).to_pylist()
    slow = model.double()
    for probe, row in zip(read.to_pylist(), scored, strict=True):
        ids = torch.tensor([tokenizer(probe["text"])["input_ids"]])
        loss = slow(input_ids=ids, labels=ids).loss.item()
        assert row["nll_answer"] == pytest.approx(loss, rel=1e-5, abs=1e-5) and row["tokens"] == ids.shape[1] - 1
