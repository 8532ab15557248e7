"""Ask a model every probe, all ways side by side: what it says freely, and what it thinks of the right answer.

A prompt is asked once, however many probes share it, and a score does not depend on its batch. Leaves out judgement by
another model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from chronofacts.editing.models.encoding import Encoded, encode, render
from chronofacts.editing.models.load import context_length
from chronofacts.editing.progress import Progress
from chronofacts.editing.scoring.answer_match import matches, token_f1
from chronofacts.editing.scoring.answer_sets import Value, judge_set
from chronofacts.editing.scoring.fluency import ngram_entropy
from chronofacts.editing.scoring.generation import generate
from chronofacts.editing.scoring.prompt_prefixes import THINKING, answer_of, is_example
from chronofacts.editing.scoring.settings import ScoringSettings
from chronofacts.editing.scoring.teacher_forcing import Forced, teacher_force

__all__ = ["RESULTS", "SCORES", "as_scores", "ask"]

RESULTS = pa.schema(
    [
        pa.field("generated", pa.string()),  # greedy, literally, up to EOS or the end of the line
        pa.field("exact_match", pa.bool_()),  # normalised, any alias; of an answer of several: `answer_sets`
        pa.field("exact_match_before", pa.bool_()),  # the same for the old answer; null where there is none
        pa.field("named_share", pa.float32()),  # of an answer of several: share of the wanted values that are named
        pa.field("token_f1", pa.float32()),
        pa.field("token_accuracy", pa.float32()),  # teacher-forced: share of the answer's tokens that come first
        pa.field("answer_argmax", pa.bool_()),  # teacher-forced: all of them do
        pa.field("nll_answer", pa.float32()),  # mean negative log-likelihood per token of the answer, without EOS
        pa.field("nll_answer_before", pa.float32()),
        pa.field("p_new_over_old", pa.float32()),  # P(new) / (P(new) + P(old)), P = exp(-nll); null without an old one
        pa.field("tokens", pa.int32()),  # of the answer, or of the text that was read
        pa.field("walk", pa.list_(pa.string())),  # the model's answers of every hop, where it was asked hop by hop
        pa.field("ngram_entropy", pa.float32()),  # bits, of what was written freely
    ]
)
"""What a model makes of one probe."""
SCORES = pa.schema(
    [
        pa.field("question_id", pa.string()),
        pa.field("phrasing", pa.int8()),  # 0 is the question itself, then its phrasings; of kind hop: the hop's place
        pa.field("kind", pa.string()),  # the question's; chain_of_thought, hop, hop_by_hop, fluency or general
        pa.field("locality_kind", pa.string()),
        pa.field("relation", pa.string()),
        pa.field("hops", pa.int8()),
        pa.field("edited_hops", pa.int8()),
        pa.field("asked_on", pa.date32()),  # the past day asked about; null: now
        pa.field("fact", pa.string()),  # the edit tested or guarded (else the question): unit of the bootstrap
        pa.field("prompt", pa.string()),  # the wording, without the form around it
        pa.field("answer", pa.string()),
        pa.field("answer_before", pa.string()),  # null where it never was another
        *RESULTS,
        pa.field("probe_id", pa.string()),  # hash of all that decides the score
    ]
)
ROOM = 48
"""Tokens of the context that examples before a question leave for its answer."""
BETWEEN = 3
"""Tokens between two values of an answer of several, at most."""
STALL = 4
"""A walk goes on for so many hops at most."""


@dataclass
class _Model:
    """The model with what every way of asking needs of it."""

    model: Any
    tokenizer: Any
    settings: ScoringSettings
    progress: Callable[[str], None] = lambda line: None
    said: dict[tuple[str, int], str] = field(default_factory=dict)
    """What is already known to be said: (whole prompt, longest answer) -> text."""
    _lengths: dict[str, int] = field(default_factory=dict)

    @property
    def context(self) -> int | None:
        return context_length(self.model)

    def prompts(
        self,
        texts: Sequence[str],
        forms: Sequence[str],
        prefixes: Sequence[str],
        end: str = "A:",
        caps: Sequence[int] = (),
    ) -> list[str]:
        """The whole prompts. An editor that asks differently (in-context, memory) rewrites what follows the prefix.

        caps: tokens that each answer may take, for which the prefix leaves room.
        """
        rendered = [_ending(render(text, form), end) for text, form in zip(texts, forms, strict=True)]
        rewrite = getattr(self.model, "rewrite", None)
        if any(prefixes):
            least = self.settings.thought if end == THINKING else ROOM
            asked = rewrite(rendered) if rewrite else rendered
            rooms = [max(least, cap) for cap in caps or [least] * len(asked)]
            prefixes = [self._fitting(*one) for one in zip(prefixes, asked, rooms, strict=True)]
        if rewrite:
            return list(rewrite(rendered, prefixes))
        return [prefix + text for prefix, text in zip(prefixes, rendered, strict=True)]

    def _fitting(self, prefix: str, text: str, room: int) -> str:
        """The prefix without as many of its first examples as the text, and what is written after it, need room."""
        if not prefix or self.context is None:
            return prefix
        lines, left = prefix.splitlines(keepends=True), self.context - room - self._length(text)
        while sum(map(self._length, lines)) > left and any(map(is_example, lines)):
            lines.remove(next(filter(is_example, lines)))
        return "".join(lines)

    def _length(self, text: str) -> int:
        """In tokens; a little more than in a longer text."""
        if text not in self._lengths:
            self._lengths[text] = len(self.tokenizer(text)["input_ids"])
        return self._lengths[text]

    def prompts_of(self, rows: Sequence[dict[str, Any]], end: str = "A:", caps: Sequence[int] = ()) -> list[str]:
        return self.prompts(
            [row["text"] for row in rows], [row["form"] for row in rows], [row["prefix"] for row in rows], end, caps
        )

    def force(self, encoded: Sequence[Encoded]) -> list[Forced]:
        """Equal rows go through the model once."""
        rows = list(dict.fromkeys(encoded))
        found = teacher_force(self.model, rows, self.settings.batch_size, self.settings.batch_tokens)
        of = dict(zip(rows, found, strict=True))
        return [of[row] for row in encoded]

    def say(self, prompts: Sequence[str], caps: Sequence[int], to_the_end: bool = False) -> list[str]:
        """Free generation; equal prompts are asked once."""
        wanted = list(zip(prompts, caps, strict=True))
        new = [pair for pair in dict.fromkeys(wanted) if pair not in self.said]
        if new:
            encoded = encode(self.tokenizer, [prompt for prompt, _ in new], ["x"] * len(new), self.context)
            ids, most = [row.prompt for row in encoded], [cap for _, cap in new]
            rows, tokens = self.settings.batch_size, self.settings.batch_tokens
            written = Progress(self.progress, "scoring: written", len(new))
            texts = generate(self.model, self.tokenizer, ids, most, rows, tokens, to_the_end, reached=written.update)
            self.said |= dict(zip(new, texts, strict=True))
        return [self.said[pair] for pair in wanted]


def ask(
    model: Any,
    tokenizer: Any,
    probes: pa.Table,
    settings: ScoringSettings,
    progress: Callable[[str], None] = lambda line: None,
) -> pa.Table:
    """One row (`RESULTS`) per probe, in their order.

    probes: `probes.PROBES`. The model is put into eval mode: dropout never scores. Raises BadInput when a probe is
    longer than the context, ChronoFactsError when the model answers with something that is no number.
    """
    model.eval()
    rows = probes.to_pylist()
    answered: dict[int, dict[str, Any]] = {}
    ways: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        ways.setdefault(row["way"], []).append(index)
    for way, indices in ways.items():
        asked = _Model(
            model, tokenizer, settings, progress
        )  # what is said under one way of asking is another thing under another
        results = _WAYS[way](asked, [rows[index] for index in indices], progress)
        answered |= dict(zip(indices, results, strict=True))
    return pa.Table.from_pylist([answered[index] for index in range(len(rows))], schema=RESULTS)


def as_scores(probes: pa.Table, results: pa.Table) -> pa.Table:
    """Probes (`PROBES`) with their results (`RESULTS`) as `SCORES`."""
    columns = {name: results[name] for name in RESULTS.names}
    columns |= {"prompt": probes["text"]}
    return pa.table([columns[name] if name in columns else probes[name] for name in SCORES.names], schema=SCORES)


def _answer(asked: _Model, rows: list[dict[str, Any]], progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """`ask`: teacher-forced with the new and the old answer, then freely where these do not show what it would say."""
    caps = _longest(asked, rows)
    prompts = asked.prompts_of(rows, caps=caps)
    answers = [row["answer"] for row in rows]
    with_old = [index for index, row in enumerate(rows) if row["answer_before"]]
    both = [*prompts, *(prompts[index] for index in with_old)]
    encoded = encode(
        asked.tokenizer, both, [*answers, *(rows[index]["answer_before"] for index in with_old)], asked.context
    )
    forced = asked.force(encoded)
    new, old = forced[: len(rows)], dict(zip(with_old, forced[len(rows) :], strict=True))
    spoken = {index: answers[index] for index in range(len(rows)) if new[index].spoken}
    spoken |= {index: rows[index]["answer_before"] for index in with_old if old[index].spoken and index not in spoken}
    silent = [index for index in range(len(rows)) if index not in spoken]
    progress(f"scoring: {len(rows)} probes, {len(silent)} of them to be generated freely")
    said = asked.say([prompts[index] for index in silent], [caps[index] for index in silent])
    spoken |= dict(zip(silent, said, strict=True))
    lengths = [row.end - row.start for row in encoded]
    return [
        _judged(row, spoken[index]) | _weighed(new[index], old.get(index)) | {"tokens": lengths[index]}
        for index, row in enumerate(rows)
    ]


def _think(asked: _Model, rows: list[dict[str, Any]], progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """`think`: the answer is what follows the thoughts."""
    prompts = asked.prompts_of(rows, THINKING)
    progress(f"scoring: {len(rows)} questions to be thought about aloud")
    said = asked.say(prompts, [asked.settings.thought] * len(rows))
    return [_judged(row, answer_of(text)) | {"generated": text} for row, text in zip(rows, said, strict=True)]


def _walk(asked: _Model, rows: list[dict[str, Any]], progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """`walk`: each hop's question is asked with the model's own answer to the one before in it."""
    progress(f"scoring: {len(rows)} chains to be walked hop by hop")
    caps, walks = _longest(asked, rows), [[] for _ in rows]  # type: list[int], list[list[str]]
    for hop in range(STALL):
        here = [i for i, row in enumerate(rows) if hop < len(row["steps"]) and (not hop or walks[i][-1])]
        texts = [_with(rows[i]["steps"][hop], walks[i][-1] if hop else None) for i in here]
        forms = [rows[i]["form"] for i in here]
        prompts = asked.prompts(texts, forms, [rows[i]["prefix"] for i in here])
        for i, text in zip(here, asked.say(prompts, [max(caps[i], 24) for i in here]), strict=True):
            walks[i].append(text)
    return [
        _judged(row, walk[-1] if len(walk) == len(row["steps"]) else "") | {"walk": walk}
        for row, walk in zip(rows, walks, strict=True)
    ]


def _write(asked: _Model, rows: list[dict[str, Any]], progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """`write`: go on for so many tokens, whatever comes."""
    prompts = asked.prompts_of(rows)
    progress(f"scoring: {len(rows)} texts to be written freely")
    said = asked.say(prompts, [asked.settings.fluency_tokens] * len(rows), to_the_end=True)
    return [{"generated": text, "ngram_entropy": ngram_entropy(text)} for text in said]


def _read(asked: _Model, rows: list[dict[str, Any]], progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """`read`: mean negative log-likelihood of every token but the first."""
    progress(f"scoring: {len(rows)} texts to be read")
    encoded = [_text(asked, row["text"]) for row in rows]
    return [
        {"nll_answer": forced.nll, "tokens": row.end - row.start}
        for row, forced in zip(encoded, asked.force(encoded), strict=True)
    ]


_WAYS = {"ask": _answer, "think": _think, "walk": _walk, "write": _write, "read": _read}


def _ending(prompt: str, end: str) -> str:
    return f"{prompt.removesuffix('A:')}{end}" if prompt.endswith("A:") else prompt


def _with(step: dict[str, str], name: str | None) -> str:
    """The hop's question, its subject replaced by another name."""
    return step["question"] if name is None else step["question"].replace(step["subject"], name, 1)


def _text(asked: _Model, text: str) -> Encoded:
    """A whole text, cut to the context: all of it but its first token is scored."""
    ids = list(asked.tokenizer(text)["input_ids"])[: asked.context]
    return Encoded(tuple(ids), 1, len(ids))


def _longest(asked: _Model, rows: list[dict[str, Any]]) -> list[int]:
    """Tokens that the answer may take: those of the longest of its names, right or outdated, and a margin.

    Of an answer of several that is every value under its longest name. Each probe has its own limit, so that it does
    not depend on what is asked with it; a right answer always has room.
    """
    names = sorted({name for row in rows for name in _all_names(row)})
    ids = asked.tokenizer([f" {name}" for name in names], add_special_tokens=False)["input_ids"] if names else []
    lengths = {name: len(one) for name, one in zip(names, ids, strict=True)}

    def together(row: dict[str, Any], other: str) -> int:
        several = [value["names"] for value in row["values"] or () if value["role"] != other]
        return sum(max(lengths[name] for name in one if name) + BETWEEN for one in several)

    return [
        max([1, *(lengths[name] for name in _all_names(row)), together(row, "left"), together(row, "joined")])
        + asked.settings.margin
        for row in rows
    ]


def _all_names(row: dict[str, Any]) -> list[str]:
    several = [name for value in row["values"] or () for name in value["names"]]
    return [name for name in [*row["names"], *row["names_before"], *several] if name]


def _judged(row: dict[str, Any], generated: str) -> dict[str, Any]:
    right, stale = row["names"], row["names_before"]
    if row["values"]:
        values = [Value(tuple(filter(None, value["names"])), value["role"]) for value in row["values"]]
        verdict = judge_set(generated, values)
        return {
            "generated": generated,
            "exact_match": verdict.right,
            "exact_match_before": verdict.stale,
            "named_share": verdict.share,
            "token_f1": token_f1(generated, right),
        }
    return {
        "generated": generated,
        "exact_match": matches(generated, right),
        "exact_match_before": matches(generated, stale) if stale else None,
        "token_f1": token_f1(generated, right),
    }


def _weighed(new: Forced, old: Forced | None) -> dict[str, Any]:
    return {
        "token_accuracy": new.accuracy,
        "answer_argmax": new.argmax,
        "nll_answer": new.nll,
        "nll_answer_before": old.nll if old else None,
        "p_new_over_old": 1 / (1 + math.exp(min(700.0, new.nll - old.nll))) if old else None,
    }
