"""Score a model on every probe, all ways side by side: what it says freely, and what it thinks of the right answer.

A probe is one wording of a question. Prompts of equal length are generated together, so that nothing is padded on the
left, and causal attention never sees the padding on the right: a score does not depend on its batch. Leaves out
few-shot prefixes, chat templates and judgement by another model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from editing.answers import matches, token_f1
from editing.encoding import Encoded, batches_by_length, encode, pad, render
from editing.models import answer_logits, context_length
from schemas.errors import BadInput, ChronoFactsError

__all__ = ["SCORES", "Forced", "ScoringSettings", "generate", "score", "teacher_force"]

SCORES = pa.schema(
    [
        pa.field("question_id", pa.string()),
        pa.field("phrasing", pa.int8()),  # 0 is the question itself, then its phrasings
        pa.field("kind", pa.string()),
        pa.field("locality_kind", pa.string()),
        pa.field("relation", pa.string()),
        pa.field("hops", pa.int8()),
        pa.field("fact", pa.string()),  # the edit tested or guarded (else the question): unit of the bootstrap
        pa.field("prompt", pa.string()),  # the wording, without the form around it
        pa.field("answer", pa.string()),
        pa.field("answer_before", pa.string()),  # null where it never was another
        pa.field("generated", pa.string()),  # greedy, literally, up to EOS or the end of the line
        pa.field("exact_match", pa.bool_()),  # normalised, any alias
        pa.field("exact_match_before", pa.bool_()),  # the same for the old answer; null where there is none
        pa.field("token_f1", pa.float32()),
        pa.field("token_accuracy", pa.float32()),  # teacher-forced: share of the answer's tokens that come first
        pa.field("answer_argmax", pa.bool_()),  # teacher-forced: all of them do
        pa.field("nll_answer", pa.float32()),  # mean negative log-likelihood per token of the answer, without EOS
        pa.field("nll_answer_before", pa.float32()),
        pa.field("p_new_over_old", pa.float32()),  # P(new) / (P(new) + P(old)), P = exp(-nll); null without an old one
    ]
)
ANY_WORDING = ("multi_hop",)
"""Kinds of question that are right if any wording is answered rightly: only of these are the other wordings asked."""


@dataclass(frozen=True)
class ScoringSettings:
    batch_size: int = 128
    margin: int = 8
    """Tokens that a generated answer may be longer than the longest right one."""


@dataclass(frozen=True)
class Forced:
    """Teacher-forced figures of one prompt with one answer."""

    nll: float
    accuracy: float
    argmax: bool
    spoken: bool
    """All of the answer's tokens and EOS come first: greedy generation says exactly this answer."""


@dataclass(frozen=True)
class _Probe:
    question: int  # row of the questions
    phrasing: int
    text: str
    prompt: str


def score(
    model: Any,
    tokenizer: Any,
    questions: pa.Table,
    settings: ScoringSettings = ScoringSettings(),
    progress: Callable[[str], None] = lambda line: None,
) -> pa.Table:
    """One row (`SCORES`) per wording of every question (`ANY_WORDING`), in the order of the questions.

    questions: `tables.QUESTIONS`. The model is put into eval mode: dropout never scores.
    Raises BadInput when there are no questions or one is longer than the context, ChronoFactsError when the model
    answers with something that is no number.
    """
    if not questions.num_rows:
        raise BadInput("there are no questions to score; use a snapshot that has some")
    model.eval()
    rows = questions.to_pylist()
    probes = [probe for index, row in enumerate(rows) for probe in _probes_of(index, row)]
    context, rewrite = context_length(model), getattr(model, "rewrite", None)
    prompts = [probe.prompt for probe in probes]
    if rewrite:  # an editor that asks differently: in-context, memory
        prompts = rewrite(prompts)
    answers = [rows[probe.question]["answer"] for probe in probes]
    encoded = encode(tokenizer, prompts, answers, context)
    new = teacher_force(model, encoded, settings.batch_size)
    with_old = [index for index, probe in enumerate(probes) if _old_answer(rows[probe.question])]
    old_answers = [str(_old_answer(rows[probes[index].question])) for index in with_old]
    old_encoded = encode(tokenizer, [prompts[index] for index in with_old], old_answers, context)
    old = dict(zip(with_old, teacher_force(model, old_encoded, settings.batch_size), strict=True))
    spoken = {index: answers[index] for index in range(len(probes)) if new[index].spoken}
    spoken |= {index: text for index, text in zip(with_old, old_answers, strict=True) if old[index].spoken}
    unknown = [index for index in range(len(probes)) if index not in spoken]
    progress(f"scoring: {len(probes)} probes, {len(unknown)} of them to be generated freely")
    longest = max(len(row.ids) - row.start for row in [*encoded, *old_encoded]) + settings.margin
    starts = [encoded[index].prompt for index in unknown]
    spoken |= dict(zip(unknown, generate(model, tokenizer, starts, longest, settings.batch_size), strict=True))
    scored = [
        _row(rows[probe.question], probe, spoken[index], new[index], old.get(index))
        for index, probe in enumerate(probes)
    ]
    return pa.Table.from_pylist(scored, schema=SCORES)


@torch.inference_mode()
def teacher_force(model: Any, encoded: Sequence[Encoded], batch_size: int) -> list[Forced]:
    """The answer's likelihood and first choices, given its own tokens so far. One entry per row, in order.

    Token accuracy is what EasyEdit calls rewrite accuracy (mean over tokens of argmax = target); mean NLL is ROME's
    (Meng et al. 2022). Neither counts EOS, `spoken` does.
    """
    forced: dict[int, Forced] = {}
    device = next(model.parameters()).device
    for indices in batches_by_length([len(row.ids) for row in encoded], batch_size):
        batch = pad([encoded[index] for index in indices], True, device)
        labels = batch.labels[:, batch.first :]
        logits = answer_logits(model, batch.ids, batch.first).float()
        nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
        right = (logits.argmax(-1) == labels).cpu().numpy()
        losses = nll.cpu().numpy()
        for row, index in enumerate(indices):
            one = encoded[index]
            answer = slice(one.start - batch.first, one.end - batch.first)
            whole = slice(one.start - batch.first, len(one.ids) - batch.first)
            if not np.isfinite(losses[row, answer]).all():
                raise ChronoFactsError("the model answers with logits that are no numbers; its weights are damaged")
            hits = right[row, answer]
            forced[index] = Forced(
                float(losses[row, answer].mean()), float(hits.mean()), bool(hits.all()), bool(right[row, whole].all())
            )
    return [forced[index] for index in range(len(encoded))]


@torch.inference_mode()
def generate(
    model: Any, tokenizer: Any, prompts: Sequence[tuple[int, ...]], most: int, batch_size: int = 128
) -> list[str]:
    """The greedy continuation of every prompt (token ids), up to EOS, the end of a line or `most` tokens.

    A full stop ends nothing: "St. Louis" and "Apple Inc." are answers. Prompts of one length share a batch and a
    key-value cache; rows that have ended leave it.
    """
    device, context = next(model.parameters()).device, context_length(model)
    by_length: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(index)
    texts: dict[int, str] = {}
    for length, indices in sorted(by_length.items()):
        steps = most if context is None else max(1, min(most, context - length))
        for begin in range(0, len(indices), batch_size):
            chunk = indices[begin : begin + batch_size]
            ids = torch.tensor([prompts[index] for index in chunk], device=device)
            for index, tokens in zip(chunk, _continue(model, tokenizer, ids, steps), strict=True):
                text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
                texts[index] = text.strip(" ").split("\n")[0].strip()
    return [texts[index] for index in range(len(prompts))]


def _continue(model: Any, tokenizer: Any, ids: torch.Tensor, steps: int) -> list[list[int]]:
    """Greedy tokens of each row, EOS left out. ids: (rows, length), no padding."""
    written: list[list[int]] = [[] for _ in range(len(ids))]
    going, cache = list(range(len(ids))), None
    line_ends: dict[int, bool] = {}
    for _ in range(steps):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache, chosen = output.past_key_values, output.logits[:, -1].argmax(-1)
        keep = []
        for place, token in enumerate(chosen.tolist()):
            if token == tokenizer.eos_token_id:
                continue
            written[going[place]].append(token)
            if token not in line_ends:
                line_ends[token] = "\n" in tokenizer.decode([token])
            if not line_ends[token]:
                keep.append(place)
        if not keep:
            break
        if len(keep) < len(going):
            kept = torch.tensor(keep, device=ids.device)
            cache.batch_select_indices(kept)
            chosen, going = chosen[kept], [going[place] for place in keep]
        ids = chosen[:, None]
    return written


def _probes_of(index: int, row: dict[str, Any]) -> list[_Probe]:
    form = "cloze" if row["kind"] == "cloze" else "question"
    others = row["phrasings"] or () if row["kind"] in ANY_WORDING else ()
    wordings = [row["question"], *others]
    return [_Probe(index, number, text, render(text, form)) for number, text in enumerate(wordings)]


def _old_answer(row: dict[str, Any]) -> str | None:
    """The answer before, where it is another one than now."""
    before = row["answer_before"]
    return before if before and before != row["answer"] else None


def _row(row: dict[str, Any], probe: _Probe, generated: str, new: Forced, old: Forced | None) -> dict[str, Any]:
    right = [row["answer"], *(row["answer_aliases"] or ())]
    stale = [row["answer_before"], *(row["answer_before_aliases"] or ())]
    return {
        "question_id": row["question_id"],
        "phrasing": probe.phrasing,
        "kind": row["kind"],
        "locality_kind": row["locality_kind"],
        "relation": row["relation"],
        "hops": row["hops"],
        "fact": row["edit_ids"][0] if row["edit_ids"] else row["question_id"],
        "prompt": probe.text,
        "answer": row["answer"],
        "answer_before": _old_answer(row),
        "generated": generated,
        "exact_match": matches(generated, right),
        "exact_match_before": matches(generated, stale) if old else None,
        "token_f1": token_f1(generated, right),
        "token_accuracy": new.accuracy,
        "answer_argmax": new.argmax,
        "nll_answer": new.nll,
        "nll_answer_before": old.nll if old else None,
        "p_new_over_old": 1 / (1 + math.exp(min(700.0, new.nll - old.nll))) if old else None,
    }
