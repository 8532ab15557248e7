"""Training texts: the edits in some of their wordings, and sentences that the model must not forget.

The last paraphrases of an edit are never trained, so that the paraphrase metric measures generalization:
`paraphrases=n` trains the first n, and leaves out at least one. Replay is of past facts of the edited subjects and of
facts that no edit touches: with both, history stayed at 0.97. It never repeats a probe. What no edit touches may be
answered as the model itself answers it (`answer_as_before`): a model that knows other facts, and answers in sentences,
would else be taught both anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from chronofacts.editing.editors import EditBatch
from chronofacts.editing.models.encoding import Encoded, encode, form_of, render
from chronofacts.editing.models.load import context_length
from chronofacts.editing.progress import Progress
from chronofacts.editing.scoring.generation import generate
from chronofacts.schemas.errors import BadInput

__all__ = [
    "TrainingExample",
    "answer_as_before",
    "choose_replay",
    "encode_examples",
    "make_examples",
    "trained_prompts",
]

Wording = Literal["prompt", "paraphrases", "cloze"]
OWN_TOKENS = 20
"""Of the model's own answers: about as many as a question that is scored leaves for one."""


@dataclass(frozen=True)
class TrainingExample:
    """One text to train: the wording, its form, the answer."""

    text: str
    form: str
    answer: str
    ended: bool = True
    """False: the answer was cut off, and nothing is said of its end."""
    old: str | None = field(default=None, compare=False)
    """The outdated answer, where there was another one."""

    @property
    def prompt(self) -> str:
        return render(self.text, self.form)


def make_examples(edits: pa.Table, wordings: Sequence[Wording], paraphrases: int) -> list[TrainingExample]:
    """The new answers under the chosen wordings, in the order of the edits.

    Raises BadInput when no wording is chosen.
    """
    if not wordings:
        raise BadInput("wordings is empty; take some of prompt, paraphrases, cloze")
    examples = []
    for edit in edits.select(["prompt", "paraphrases", "cloze", "target_new", "target_old"]).to_pylist():
        new, old = edit["target_new"], edit["target_old"]
        old = old if old != new else None
        others = edit["paraphrases"] or []
        texts = [edit["prompt"]] if "prompt" in wordings else []
        if "paraphrases" in wordings:
            texts += others[: min(paraphrases, len(others) - 1)]
        examples += [TrainingExample(text, form_of(text), new, old=old) for text in texts]
        if "cloze" in wordings and edit["cloze"]:
            examples.append(TrainingExample(edit["cloze"], "cloze", new, old=old))
    return examples


def trained_prompts(edits: pa.Table, settings: Any) -> frozenset[str]:
    """Texts of `make_examples` under an editor's settings; none for an editor without `wordings`."""
    if not hasattr(settings, "wordings"):
        return frozenset()
    return frozenset(one.text for one in make_examples(edits, settings.wordings, settings.paraphrases))


def encode_examples(model: Any, tokenizer: Any, examples: Sequence[TrainingExample]) -> list[Encoded]:
    """Raises BadInput for an example that is longer than the model's context."""
    if not examples:
        return []
    prompts, answers = [one.prompt for one in examples], [one.answer for one in examples]
    encoded = encode(tokenizer, prompts, answers, context_length(model))
    return [
        one if example.ended else replace(one, ids=one.ids[: one.end])
        for example, one in zip(examples, encoded, strict=True)
    ]


def answer_as_before(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TrainingExample],
    progress: Callable[[str], None] = lambda line: None,
) -> list[TrainingExample]:
    """The same texts with the model's own greedy answers: rehearsal of what it says (pseudo-rehearsal, Robins 1995).

    An answer of `OWN_TOKENS` is cut off there. Leaves out texts with no answer, or no room for one in the context.
    """
    context = context_length(model)
    asked = encode(tokenizer, [one.prompt for one in examples], ["x"] * len(examples))
    kept = [index for index, one in enumerate(asked) if context is None or one.start + OWN_TOKENS < context]
    reached = Progress(progress, "hearing what the model says to other questions: token", OWN_TOKENS * len(kept)).update
    prompts = [asked[index].prompt for index in kept]
    answers = dict(zip(kept, generate(model, tokenizer, prompts, OWN_TOKENS, progress=reached), strict=True))
    said = [replace(examples[index], answer=answer) for index, answer in answers.items() if answer]
    lengths = [
        one.end - one.start for one in encode(tokenizer, [one.prompt for one in said], [one.answer for one in said])
    ]
    return [replace(one, ended=length < OWN_TOKENS) for one, length in zip(said, lengths, strict=True)]


def choose_replay(
    batch: EditBatch, history: int, neighbours: int, seed: int
) -> tuple[list[TrainingExample], list[TrainingExample]]:
    """At most `history` sentences of the edited subjects' past, and `neighbours` that no edit touches.

    Both are a seeded choice among the sentences that the small world trains (not held out) and that are no probe.
    """
    subjects = set(batch.edits["subject"].to_pylist())
    columns = ["role", "subject", "form", "held_out", "prompt", "answer", "edit_ids"]
    past: list[TrainingExample] = []
    others: list[TrainingExample] = []
    for row in batch.sentences.select(columns).to_pylist():
        if row["held_out"] or row["prompt"] in batch.probes:
            continue
        example = TrainingExample(row["prompt"], row["form"], row["answer"])
        if row["role"] == "history":
            (past if row["subject"] in subjects else others).append(example)
        elif not row["edit_ids"]:
            others.append(example)
    generator = np.random.default_rng(seed)
    return _choose(past, history, generator), _choose(others, neighbours, generator)


def _choose(examples: list[TrainingExample], most: int, generator: np.random.Generator) -> list[TrainingExample]:
    order = generator.permutation(len(examples))[:most]
    return [examples[index] for index in np.sort(order).tolist()]
