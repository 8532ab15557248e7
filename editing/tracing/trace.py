"""Causal tracing: at which layer and token does a model look a fact up (Meng et al. 2022, ROME, arXiv 2202.05262).

Three runs of one prompt (section 2 and appendix B of the paper): clean; corrupted, with Gaussian noise of three
standard deviations on the embeddings of the subject's tokens; and corrupted with one clean state put back. What the
answer's probability regains, P(answer | restored) - P(answer | corrupted), is the *indirect effect* of that state, as
a mean over draws of noise. Restored are a block's output at one layer (`state`), or what the feed-forward parts (`mlp`)
or attentions of a window of layers add. Only facts that the model answers rightly can be traced. The facts are the old
ones, which it should know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import pyarrow as pa
import torch

from chronofacts.editing.facts import drop_duplicates
from chronofacts.editing.models.architecture import attention_modules, block_names, output_matrices
from chronofacts.editing.models.encoding import Encoded, encode, form_of, pad, render
from chronofacts.editing.models.hooks import hidden_of, hooked, in_rows, with_hidden
from chronofacts.editing.models.load import answer_logits, context_length
from chronofacts.editing.models.subject_tokens import check_fast, subject_span
from chronofacts.editing.progress import Progress
from chronofacts.editing.scoring import teacher_force
from chronofacts.schemas.errors import BadInput

__all__ = ["EFFECTS", "KINDS", "ROLES", "TraceSettings", "trace"]

Kind = Literal["state", "mlp", "attention"]
KINDS: tuple[Kind, ...] = ("state", "mlp", "attention")
ROLES = (
    "first subject token",
    "middle subject tokens",
    "last subject token",
    "first subsequent token",
    "further tokens",
    "last token",
)
"""What a token is to its prompt, as in the paper's figures. Tokens before the subject never see the noise: a causal
model gives them no effect. A subject of one token has a last token only."""

EFFECTS = pa.schema(
    [
        pa.field("edit_id", pa.string()),
        pa.field("kind", pa.string()),  # state, mlp or attention
        pa.field("layer", pa.int16()),  # that is restored, or the middle of the window
        pa.field("position", pa.int16()),  # of the token in the prompt, BOS counted
        pa.field("token", pa.string()),
        pa.field("role", pa.string()),
        pa.field("clean", pa.float32()),  # P(answer), without noise
        pa.field("corrupted", pa.float32()),  # P(answer), noise on the subject, mean over draws
        pa.field("indirect_effect", pa.float32()),  # P(answer | restored) - P(answer | corrupted), mean over draws
    ]
)


@dataclass(frozen=True)
class TraceSettings:
    facts: int = 100
    """How many edits' old facts are traced, evenly distributed; those the model does not answer are skipped."""
    draws: int = 10
    """Of noise, per fact."""
    noise: float = 3.0
    """In standard deviations of the subjects' token embeddings."""
    window: int = 10
    """Layers whose feed-forward or attention outputs are restored together; at most a fifth of the depth."""
    rows: int = 256
    """That go through the model at once."""
    kinds: tuple[Kind, ...] = KINDS
    """What is restored."""
    everywhere: bool = True
    """At every token from the subject on; false: only at the subject's last and the prompt's last token."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("facts", "draws", "window", "rows"):
            if (given := getattr(self, name)) < 1:
                raise BadInput(f"the trace: {name} = {given}; it must be at least 1")
        if not 0 < self.noise < math.inf:
            raise BadInput(f"the trace: noise = {self.noise:g}; it must be above 0, and a number")
        if not self.kinds:
            raise BadInput(f"the trace: kinds names nothing; take {', '.join(KINDS)} or some of them")


@dataclass(frozen=True)
class _KnownFact:
    """A fact that the model answers rightly."""

    edit_id: str
    encoded: Encoded
    subject: range
    """Positions of the subject's tokens."""


def trace(
    model: Any,
    tokenizer: Any,
    edits: pa.Table,
    settings: TraceSettings = TraceSettings(),
    progress: Callable[[str], None] = lambda line: None,
) -> pa.Table:
    """The indirect effect of every state, feed-forward part and attention on every old fact: `EFFECTS`.

    edits: `tables.EDITS`. The model is left in eval mode and as it was. The seed alone decides a fact's noise, and not
    the facts beside it. Raises BadInput when the model answers none of the old facts.
    """
    check_fast(tokenizer)
    model.eval()
    facts = _known_facts(model, tokenizer, edits, settings)
    scale = settings.noise * _subject_deviation(model, facts)
    progress(f"tracing {len(facts)} facts that the model knows, noise {scale:.3f}")
    rows: list[dict[str, Any]] = []
    traced = Progress(progress, "tracing: facts", len(facts))
    for number, fact in enumerate(facts):
        rows += _trace_fact(model, tokenizer, fact, scale, settings)
        traced.update(number + 1)
    return pa.Table.from_pylist(rows, schema=EFFECTS)


def _known_facts(model: Any, tokenizer: Any, edits: pa.Table, settings: TraceSettings) -> list[_KnownFact]:
    rows = [row for row in drop_duplicates(edits).to_pylist() if row["target_old"] and row["subject_label"]]
    rows = rows[:: max(1, len(rows) // settings.facts)][: settings.facts] if rows else []
    prompts = [render(row["prompt"], form_of(row["prompt"])) for row in rows]
    encoded = encode(tokenizer, prompts, [row["target_old"] for row in rows], context_length(model))
    likelihoods = teacher_force(model, encoded, settings.rows) if rows else []
    known = []
    for row, prompt, one, found in zip(rows, prompts, encoded, likelihoods, strict=True):
        names = [row["subject_label"], *(row["subject_aliases"] or ())]
        span = subject_span(tokenizer, prompt, one, names)
        if found.argmax and span is not None:
            known.append(_KnownFact(row["edit_id"], one, span))
    if not known:
        raise BadInput(
            f"the model answers none of the {len(rows)} old facts in these words, and only what it knows can be "
            "traced; take another model, a snapshot with a later --since, or more facts"
        )
    return known


def _subject_deviation(model: Any, facts: Sequence[_KnownFact]) -> float:
    """Standard deviation of the embeddings of all subjects' tokens (appendix B.1)."""
    embeddings = model.get_input_embeddings()
    ids = [fact.encoded.ids[position] for fact in facts for position in fact.subject]
    with torch.no_grad():
        return float(embeddings(torch.tensor(ids, device=embeddings.weight.device)).float().std())


@torch.no_grad()
def _trace_fact(
    model: Any, tokenizer: Any, fact: _KnownFact, scale: float, settings: TraceSettings
) -> Iterator[dict[str, Any]]:
    """Rows of `EFFECTS` for one fact."""
    one, embedding = fact.encoded, model.get_input_embeddings().weight
    drawn = torch.Generator().manual_seed(settings.seed)
    noise = scale * torch.randn((settings.draws, len(fact.subject), embedding.shape[1]), generator=drawn)
    prompt = _Prompt(model, one, fact.subject, noise.to(embedding.device))
    modules = _modules_by_kind(model)
    states, clean = prompt.run_clean(modules)
    corrupted = float(prompt.run_corrupted(list(range(settings.draws))).mean())
    positions = list(range(fact.subject[0], one.start))
    if not settings.everywhere:
        positions = sorted({fact.subject[-1], one.start - 1})
    for kind in settings.kinds:
        layers = modules[kind]
        span = 1 if kind == "state" else max(1, min(settings.window, len(layers) // 5))
        for layer in range(len(layers)):
            begin = layer - span // 2
            restored = {name: states[name] for name in layers[max(0, begin) : begin + span]}
            gained = prompt.restore_each(restored, positions, settings.rows)
            for position, probability in zip(positions, gained, strict=True):
                yield {
                    "edit_id": fact.edit_id,
                    "kind": kind,
                    "layer": layer,
                    "position": position,
                    "token": tokenizer.decode([one.ids[position]]),
                    "role": _role(position, fact),
                    "clean": clean,
                    "corrupted": corrupted,
                    "indirect_effect": probability - corrupted,
                }


def _modules_by_kind(model: Any) -> dict[str, list[str]]:
    """Kind -> the module of each layer whose output is restored."""
    return {
        "state": block_names(model),
        "mlp": [name for _, name in sorted(output_matrices(model).items())],
        "attention": [name for _, name in sorted(attention_modules(model).items())],
    }


@dataclass(frozen=True)
class _Prompt:
    """One prompt with its answer, and the noise on its subject: the paper's three runs."""

    model: Any
    encoded: Encoded
    subject: range
    noise: torch.Tensor
    """(draws, subject tokens, hidden)"""

    def run_clean(self, modules: Mapping[str, list[str]]) -> tuple[dict[str, torch.Tensor], float]:
        """Every module's output (length, hidden), and P(answer)."""
        parts, states = dict(self.model.named_modules()), dict[str, torch.Tensor]()

        def keep(name: str, _module: Any, _inputs: Any, output: Any) -> None:
            states[name] = in_rows(hidden_of(output), 1)[0].clone()

        with hooked((parts[name], partial(keep, name)) for names in modules.values() for name in names):
            return states, float(self._answer_probability(1)[0])

    def run_corrupted(
        self,
        draws: list[int],
        restored: Mapping[str, torch.Tensor] = MappingProxyType({}),
        positions: Sequence[int] = (),
    ) -> torch.Tensor:
        """P(answer) (draws,) with noise; with clean states put back, each at its own of the positions."""
        at = torch.tensor(positions, device=self.noise.device)

        def corrupt(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            moved = output.clone()
            moved[:, self.subject[0] : self.subject[-1] + 1] += self.noise[draws].to(moved.dtype)
            return moved

        def restore(state: torch.Tensor, _module: Any, _inputs: Any, output: Any) -> Any:
            whole = hidden_of(output)
            moved = in_rows(whole, len(draws)).clone()
            moved[torch.arange(len(moved), device=moved.device), at] = state[at]
            return with_hidden(output, moved.view_as(whole))

        parts = dict(self.model.named_modules())
        hooks = [(parts[name], partial(restore, state)) for name, state in restored.items()]
        with hooked([(self.model.get_input_embeddings(), corrupt), *hooks]):
            return self._answer_probability(len(draws))

    def restore_each(self, restored: Mapping[str, torch.Tensor], positions: Sequence[int], rows: int) -> list[float]:
        """P(answer) with the states put back at each position alone, mean over draws. rows: of one run, at most."""
        pairs = [(draw, position) for position in positions for draw in range(len(self.noise))]
        found = []
        for begin in range(0, len(pairs), rows):
            draws, at = zip(*pairs[begin : begin + rows], strict=True)
            found.append(self.run_corrupted(list(draws), restored, at))
        return [float(mean) for mean in torch.cat(found).view(len(positions), -1).mean(1)]

    def _answer_probability(self, rows: int) -> torch.Tensor:
        """P(answer) = product over its tokens, EOS left out: (rows,)."""
        one = self.encoded
        batch = pad([one] * rows, True, self.noise.device)
        logits = answer_logits(self.model, batch.ids, one.start).float()[:, : one.end - one.start]
        chosen = batch.ids[:, one.start : one.end, None]
        return logits.log_softmax(-1).gather(2, chosen)[:, :, 0].sum(1).exp()


def _role(position: int, fact: _KnownFact) -> str:
    last = fact.encoded.start - 1
    if position == fact.subject[-1]:
        return "last subject token"
    if position in fact.subject:
        return "first subject token" if position == fact.subject[0] else "middle subject tokens"
    if position == last:
        return "last token"
    return "first subsequent token" if position == fact.subject[-1] + 1 else "further tokens"
