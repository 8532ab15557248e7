"""Score a model on probes, each by its own method: what the model says, and how likely it finds the right answer.

The column `way` of a probe chooses the method. A prompt goes through the model once, however many probes share it, and
a score does not depend on its batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.models.load import context_length
from chronofacts.editing.progress import Progress
from chronofacts.editing.scoring.answer_match import matches, token_f1
from chronofacts.editing.scoring.answer_sets import Value, judge_set
from chronofacts.editing.scoring.fluency import ngram_entropy
from chronofacts.editing.scoring.generation import generate
from chronofacts.editing.scoring.prompt_prefixes import THINKING, PromptBuilder, extract_answer
from chronofacts.editing.scoring.score_tables import RESULTS
from chronofacts.editing.scoring.settings import ScoringSettings
from chronofacts.editing.scoring.teacher_forcing import Likelihood, teacher_force

__all__ = ["ProbeScorer", "score_probes"]

Row = dict[str, Any]
T = TypeVar("T")
ROOM = 48
"""Tokens of the context that examples before a question leave for its answer, at least."""
BETWEEN = 3
"""Tokens between two values of an answer of several, at most."""
HOP_TOKENS = 24
"""Tokens that the answer to a hop may take, at least."""
MAX_HOPS = 4


def score_probes(
    model: Any,
    tokenizer: Any,
    probes: pa.Table,
    settings: ScoringSettings,
    progress: Callable[[str], None] = lambda line: None,
) -> pa.Table:
    """One row (`RESULTS`) per probe, in their order.

    probes: `PROBES`. The model is put into eval mode: dropout never scores. Raises BadInput when a probe is longer than
    the context, ChronoFactsError when the model answers with something that is no number.
    """
    scorer, rows = ProbeScorer(model.eval(), tokenizer, settings, progress), probes.to_pylist()
    results: list[Row] = [{} for _ in rows]
    for way in dict.fromkeys(row["way"] for row in rows):
        indices = [index for index, row in enumerate(rows) if row["way"] == way]
        found = METHODS[way](scorer, [rows[index] for index in indices])
        for index, result in zip(indices, found, strict=True):
            results[index] = result
    return pa.Table.from_pylist(results, schema=RESULTS)


class ProbeScorer:
    """One model, with a method for each kind of probe. All methods take rows of `PROBES` and return their results."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: ScoringSettings,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._model, self._tokenizer, self._settings, self._progress = model, tokenizer, settings, progress
        self._context, self._prompts = context_length(model), PromptBuilder(model, tokenizer)
        self._generations: dict[tuple[str, int, bool], str] = {}

    def score(self, rows: Sequence[Row]) -> list[Row]:
        """Teacher-forced with the new and the old answer; generated only where these do not show the greedy answer."""
        limits = self.max_tokens(rows)
        prompts = self._prompts.build(rows, [max(ROOM, limit) for limit in limits])
        answers = {index: row["answer"] for index, row in enumerate(rows)}
        old_answers = {index: row["answer_before"] for index, row in enumerate(rows) if row["answer_before"]}
        self._progress(f"scoring: {len(rows)} probes to be read with {len(rows) + len(old_answers)} answers")
        both = [*prompts, *(prompts[index] for index in old_answers)]
        encoded = encode(self._tokenizer, both, [*answers.values(), *old_answers.values()], self._context)
        likelihoods = self._teacher_force(encoded)
        new, old = likelihoods[: len(rows)], dict(zip(old_answers, likelihoods[len(rows) :], strict=True))
        greedy = {index: old_answers[index] for index, one in old.items() if one.greedy_match}
        greedy |= {index: answers[index] for index, one in enumerate(new) if one.greedy_match}
        silent = [index for index in answers if index not in greedy]
        self._progress(f"scoring: {len(rows)} probes, {len(silent)} of them to be generated freely")
        texts = self._generate([prompts[index] for index in silent], [limits[index] for index in silent])
        greedy |= dict(zip(silent, texts, strict=True))
        return [
            _match(row, greedy[index])
            | _compare(new[index], old.get(index))
            | {"tokens": encoded[index].end - encoded[index].start}
            for index, row in enumerate(rows)
        ]

    def compare(self, rows: Sequence[Row]) -> list[Row]:
        """Teacher-forced with both answers; nothing is generated."""
        prompts = self._prompts.build(rows, [ROOM] * len(rows))
        self._progress(f"scoring: {len(rows)} pairs of answers to be compared")
        answers = [*(row["answer"] for row in rows), *(row["answer_before"] for row in rows)]
        found = self._teacher_force(encode(self._tokenizer, [*prompts, *prompts], answers, self._context))
        return [_compare(new, old) for new, old in zip(found[: len(rows)], found[len(rows) :], strict=True)]

    def chain_of_thought(self, rows: Sequence[Row]) -> list[Row]:
        """The answer is what follows the thoughts."""
        limits = [self._settings.thought] * len(rows)
        prompts = self._prompts.build(rows, limits, THINKING)
        self._progress(f"scoring: {len(rows)} questions to be thought about aloud")
        texts = self._generate(prompts, limits)
        return [_match(row, extract_answer(text)) | {"generated": text} for row, text in zip(rows, texts, strict=True)]

    def hop_by_hop(self, rows: Sequence[Row]) -> list[Row]:
        """Each hop's question holds the model's own answer to the one before."""
        self._progress(f"scoring: {len(rows)} chains to be walked hop by hop")
        limits = [max(limit, HOP_TOKENS) for limit in self.max_tokens(rows)]
        walks: list[list[str]] = [[] for _ in rows]
        for hop in range(MAX_HOPS):
            here = [i for i, row in enumerate(rows) if hop < len(row["steps"]) and (not hop or walks[i][-1])]
            asked = [rows[i] | {"text": _put_in(rows[i]["steps"][hop], walks[i])} for i in here]
            texts = self._generate(self._prompts.build(asked, [ROOM] * len(here)), [limits[i] for i in here])
            for i, text in zip(here, texts, strict=True):
                walks[i].append(text)
        return [
            _match(row, walk[-1] if len(walk) == len(row["steps"]) else "") | {"walk": walk}
            for row, walk in zip(rows, walks, strict=True)
        ]

    def free_generation(self, rows: Sequence[Row]) -> list[Row]:
        """`fluency_tokens` more, whatever comes."""
        prompts = self._prompts.build(rows, [ROOM] * len(rows))
        self._progress(f"scoring: {len(rows)} texts to be written freely")
        texts = self._generate(prompts, [self._settings.fluency_tokens] * len(rows), to_the_end=True)
        return [{"generated": text, "ngram_entropy": ngram_entropy(text)} for text in texts]

    def perplexity(self, rows: Sequence[Row]) -> list[Row]:
        """Mean negative log-likelihood of every token but the first, in a text cut to the context."""
        self._progress(f"scoring: {len(rows)} texts to be read")
        tokens = [tuple(self._tokenizer(row["text"])["input_ids"][: self._context]) for row in rows]
        found = self._teacher_force([Encoded(ids, 1, len(ids)) for ids in tokens])
        return [{"nll_answer": one.nll, "tokens": len(ids) - 1} for ids, one in zip(tokens, found, strict=True)]

    def max_tokens(self, rows: Sequence[Row]) -> list[int]:
        """Tokens that each answer may take: those of the longest of its names, right or outdated, and a margin.

        Of an answer of several that is every value under its longest name. Each probe has its own limit, so that it
        does not depend on its batch; a right answer always has room.
        """
        names = sorted({name for row in rows for name in _list_names(row)})
        spaced = [f" {name}" for name in names]
        ids = self._tokenizer(spaced, add_special_tokens=False)["input_ids"] if names else []
        lengths = {name: len(one) for name, one in zip(names, ids, strict=True)}

        def together(row: Row, without: str) -> int:
            several = [value["names"] for value in row["values"] or () if value["role"] != without]
            return sum(max(lengths[name] for name in one if name) + BETWEEN for one in several)

        return [
            max([1, *(lengths[name] for name in _list_names(row)), together(row, "left"), together(row, "joined")])
            + self._settings.margin
            for row in rows
        ]

    def _teacher_force(self, encoded: Sequence[Encoded]) -> list[Likelihood]:
        """Equal rows go through the model once."""
        by_row: dict[Encoded, Likelihood] = {}
        different = list(dict.fromkeys(encoded))
        for model, rows in self._by_reader(different, [one.prompt for one in different]):
            mixes = getattr(model, "mixes", False)
            found = teacher_force(
                model.base if mixes else model,
                rows,
                self._settings.batch_size,
                self._settings.batch_tokens,
                progress=Progress(self._progress, "scoring: read", len(rows)).update,
                mix=model.mix_in if mixes else None,
            )
            by_row |= dict(zip(rows, found, strict=True))
        return [by_row[row] for row in encoded]

    def _generate(self, prompts: Sequence[str], limits: Sequence[int], to_the_end: bool = False) -> list[str]:
        """Equal prompts go through the model once. limits: the most tokens of each text."""
        wanted = [(prompt, limit, to_the_end) for prompt, limit in zip(prompts, limits, strict=True)]
        new = [one for one in dict.fromkeys(wanted) if one not in self._generations]
        encoded = encode(self._tokenizer, [prompt for prompt, *_ in new], ["x"] * len(new), self._context)
        ids = [row.prompt for row in encoded]
        for model, members in self._by_reader(list(zip(new, ids, strict=True)), ids):
            texts = generate(
                model,
                self._tokenizer,
                [prompt for _, prompt in members],
                [limit for (_, limit, _), _ in members],
                self._settings.batch_size,
                self._settings.batch_tokens,
                to_the_end,
                progress=Progress(
                    self._progress, "scoring: tokens written,", sum(limit for (_, limit, _), _ in members)
                ).update,
            )
            self._generations |= dict(zip((one for one, _ in members), texts, strict=True))
        return [self._generations[one] for one in wanted]

    def _by_reader(self, rows: Sequence[T], prompts: Sequence[tuple[int, ...]]) -> list[tuple[Any, list[T]]]:
        """(model, the rows that it reads): where a store knows no answer, the model behind it reads all by itself."""
        has_answer = getattr(self._model, "has_answer", None)
        if has_answer is None:
            return [(self._model, list(rows))] if rows else []
        known = [has_answer(prompt) for prompt in prompts]
        parts = [
            (model, [row for row, one in zip(rows, known, strict=True) if one is stored])
            for model, stored in ((self._model, True), (self._model.base, False))
        ]
        return [(model, members) for model, members in parts if members]


METHODS: dict[str, Callable[[ProbeScorer, Sequence[Row]], list[Row]]] = {
    "ask": ProbeScorer.score,
    "compare": ProbeScorer.compare,
    "think": ProbeScorer.chain_of_thought,
    "walk": ProbeScorer.hop_by_hop,
    "write": ProbeScorer.free_generation,
    "read": ProbeScorer.perplexity,
}
"""Of each `way` of `PROBES`."""


def _put_in(step: dict[str, str], answers: Sequence[str]) -> str:
    """The hop's question, its subject replaced by the last answer."""
    return step["question"].replace(step["subject"], answers[-1], 1) if answers else step["question"]


def _list_names(row: Row) -> list[str]:
    several = [name for value in row["values"] or () for name in value["names"]]
    return [name for name in [*row["names"], *row["names_before"], *several] if name]


def _match(row: Row, generated: str) -> Row:
    """A generated answer against the right and the outdated ones."""
    result = {"generated": generated, "token_f1": token_f1(generated, row["names"])}
    if row["values"]:
        values = [Value(tuple(filter(None, value["names"])), value["role"]) for value in row["values"]]
        verdict = judge_set(generated, values)
        before, share = verdict.stale, verdict.share
        return result | {"exact_match": verdict.right, "exact_match_before": before, "named_share": share}
    before = matches(generated, row["names_before"]) if row["names_before"] else None
    return result | {"exact_match": matches(generated, row["names"]), "exact_match_before": before}


def _compare(new: Likelihood, old: Likelihood | None) -> Row:
    return {
        "token_accuracy": new.accuracy,
        "answer_argmax": new.argmax,
        "nll_answer": new.nll,
        "nll_answer_before": old.nll if old else None,
        "p_new_over_old": 1 / (1 + math.exp(min(700.0, new.nll - old.nll))) if old else None,
    }
