"""`wise`: a side memory of one feed-forward matrix, and a router before it (Wang et al. 2024, arXiv 2405.14768).

The side memory is a copy W' of a late matrix W; edits change W' alone. With x what enters the matrix, the activation
a(x) = |(W' - W) x| (eq. 3) tells whether x is about an edit: the side memory answers where a(x) > ε, and W everywhere
else (eq. 5), so that there every logit is the base model's, bit for bit. It is trained by the answer's loss plus a
margin that parts the edits (x_e) from other texts (x_i), L = -log p(y | x_e) + L_a (eq. 6), with (eq. 4)

    L_a = max(0, a(x_i) - α) + max(0, β - a(x_e)) + max(0, γ - (a(x_e) - a(x_i)))

Only a random share of W' learns (eq. 7, `mask`). So many facts are a shard, with a mask of its own; shards are merged
into one memory by TIES (eq. 8; Yadav et al. 2023), or stay apart, and the one with the largest a(x) answers
(`merge=none`). ε is a share of the least a(x_e) of all taught texts, but not below the middle of α and β: one fact that
was not learnt would else open the side memory to everything.

The paper takes the mean of a(x) over a query's tokens and decides once for the whole query. Here each token decides for
itself, by what enters the matrix there: a cached, packed or freely written text, with a chat template or without, is
then routed alike in any batch, and nothing has to remember where a prompt ended. So the x_e are the positions from
which an answer is predicted, and the x_i all positions of other texts and all earlier ones of the edits' own prompts. A
step reads many facts; the paper's reads one. Margins are in units of what W gives on average (`unit`), since a width of
128 and one of 4,096 have no common scale. Other texts are the snapshot's sentences that no edit touches, and those
about the past of the edited subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from chronofacts.editing.editors import EditBatch, ModelCache, undo_on_error
from chronofacts.editing.editors.located.side_memory import (
    Lessons,
    Router,
    Shard,
    SideMemory,
    WiseEdit,
    margin_loss,
    merge_shards,
)
from chronofacts.editing.editors.trained.examples import Wording, choose_replay, encode_examples, make_examples
from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.forward.packing import label_logits
from chronofacts.editing.forward.partial import choose_trial, open_partial_forward
from chronofacts.editing.models.architecture import matrix_of, output_matrices, share_of_depth
from chronofacts.editing.models.blocks import find_blocks
from chronofacts.editing.models.encoding import Encoded, batches_by_length, pad
from chronofacts.editing.models.gradients import only_trained
from chronofacts.editing.models.hooks import hooked, in_rows
from chronofacts.editing.progress import Progress
from chronofacts.editing.training import TrainingFailed, find_recalled
from chronofacts.schemas.errors import BadInput

__all__ = ["Wise", "WiseSettings"]

LAYER = 0.85
"""Share of the depth at which the paper edits: 27 of Llama 2's 32."""
PAPERS_MASK = 0.2
FEWEST_OTHERS = 64
POSITIONS = 20_000
"""Of other texts, at most, whose input is kept; and so many of them are compared in a step."""
COMPARED = 2048
TEACHINGS = 20
"""Of one shard, at most."""


@dataclass(frozen=True)
class WiseSettings:
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    layer: int | None = None
    """None: at 0.85 of the depth, as in the paper, and below the last."""
    wordings: tuple[Wording, ...] = ("prompt",)
    paraphrases: int = 2
    epochs: int = 100
    """Passes over a shard's texts, at most; they end when all is learnt."""
    batch: int = 32
    """Texts of a step."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """The paper has SGD."""
    learning_rate: float = 0.05
    """Of Adam: the share of `unit` by which a step moves what the matrix gives; of SGD the rate itself."""
    stop_loss: float = 0.02
    """A shard is learnt when the loss of a pass, margins included, is below."""
    mask: float | None = None
    """Share of the matrix that learns; none: all of it where one shard holds all facts, else the paper's 0.2."""
    norm: float | None = None
    """No entry moves further than this; the paper: 1."""
    alpha: float = 0.25
    """α: a text that no edit is about stays below. The paper's 5, 20 and 10 have the same proportions."""
    beta: float = 1.0
    """β: what was taught comes above."""
    gamma: float = 0.5
    """γ: as far apart are the two."""
    unit: Literal["output", "one"] = "output"
    """Of the margins: the mean norm of what the matrix gives for the edits, or 1, as in the paper."""
    ratio: float = 0.88
    """ε as a share of the least a(x) of what was taught."""
    others: int = 4
    """Other texts per fact, at least 64 in all, as far as the snapshot has them; the paper: 1."""
    shard: int = 500
    """Facts of a shard."""
    merge: Literal["ties", "none"] = "ties"
    density: float = 0.53
    """Share of a shard that TIES keeps."""
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.density, 1.0 if self.mask is None else self.mask)
        if min(self.shard, self.batch, self.epochs) < 1 or not all(0 < share <= 1 for share in shares):
            raise BadInput("editor wise: shard, batch and epochs must be at least 1, mask and density within 0 and 1")


class Wise:
    Settings = WiseSettings

    def check_chunk(self, size: int, settings: WiseSettings) -> None:
        """Raises BadInput for chunks so small that a shard would be taught again more than `TEACHINGS` times."""
        if size * TEACHINGS < settings.shard:
            raise BadInput(
                f"chunk = {size}: each chunk teaches wise's unfinished shard of {settings.shard} facts again; take at "
                f"least {-(-settings.shard // TEACHINGS)} facts, or --set wise.shard={size * TEACHINGS}"
            )

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: WiseSettings, cache: ModelCache | None = None
    ) -> WiseEdit:
        """Teach the side memory; no edits, no change. In chunks the last shard is filled up, and taught again with it.

        Raises TrainingFailed when the loss is no longer a number, and BadInput for a layer or an architecture that has
        no such matrix.
        """
        layer = _default_layer(model) if settings.layer is None else settings.layer
        name = output_matrices(model, [layer])[layer]
        module, edited = dict(model.named_modules())[name], WiseEdit(model.eval(), model, name=name)
        if not batch.edits.num_rows:
            return edited
        examples = make_examples(batch.edits, settings.wordings, settings.paraphrases)
        edited.trained_prompts = frozenset(example.text for example in examples)
        past, others = choose_replay(batch, *_counts(batch, settings), settings.seed)
        others_encoded = encode_examples(model, tokenizer, past + others)
        memory: dict[str, Any] = {} if cache is None or cache.earlier_chunks is None else cache.earlier_chunks
        earlier: Router | None = memory.get("wise")
        edited.before = earlier.lessons if earlier else None
        edited.router = router = memory["wise"] = earlier or Router(module, None)
        with undo_on_error(edited), only_trained(model):
            router.memory = None  # teaching begins from W
            shards = list(router.lessons.shards)
            trainer = _Trainer(model, module, layer, settings, batch)
            for facts in _fill(shards, batch, settings):
                lessons = make_examples(facts, settings.wordings, settings.paraphrases)
                texts = encode_examples(model, tokenizer, lessons)
                opened = shards.pop() if shards and shards[-1].facts < settings.shard else None
                shards.append(trainer.teach(opened, texts, facts.num_rows, others_encoded, len(shards)))
            router.lessons = Lessons(tuple(shards), trainer.build_memory(shards))
            router.memory = router.lessons.memory
            taught = [text for shard in shards for text in shard.texts]
            left = len(taught) - sum(find_recalled(model, taught))
        edited.report = {
            "layer": layer, "matrix": name, "facts": sum(shard.facts for shard in shards), "shards": len(shards),
            "texts": len(taught), "not_said": left, "other_texts": len(others_encoded), "steps": trainer.steps,
            "threshold": [round(float(one), 4) for one in (router.memory.thresholds if router.memory else ())],
        }  # fmt: skip
        return edited


@dataclass
class _Trainer:
    """Teaches shards beside one matrix."""

    model: Any
    module: Any
    layer: int
    settings: WiseSettings
    batch: EditBatch
    steps: int = 0
    unit: float = 1.0
    _states: HiddenStateCache = field(default_factory=lambda: HiddenStateCache(2 << 30))

    def teach(
        self, opened: Shard | None, texts: Sequence[Encoded], facts: int, others: Sequence[Encoded], number: int
    ) -> Shard:
        """A shard with these texts beside those that it had. number: of the shard, which seeds its mask."""
        settings, taught = self.settings, [*(opened.texts if opened else ()), *texts]
        shape, device = tuple(matrix_of(self.module).shape), next(self.model.parameters()).device
        chance = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)
        mask = (torch.rand(shape, generator=chance) < self._share()).float().to(device)
        outside = self._outside(taught, others, number)
        self.unit = self._unit(taught) if settings.unit == "output" else 1.0
        start = opened.change if opened else torch.zeros(shape, device=device)
        change = start.clone().requires_grad_(True)
        self._optimise(change, mask, taught, outside, number)
        return Shard((change.detach() * mask), tuple(taught), facts + (opened.facts if opened else 0))

    def build_memory(self, shards: Sequence[Shard]) -> SideMemory:
        """One memory, or one per shard, and from which activation on each answers."""
        settings = self.settings
        if settings.merge == "none":
            changes, parts = [shard.change for shard in shards], [shard.texts for shard in shards]
        else:
            changes = [merge_shards([shard.change for shard in shards], settings.density)]
            parts = [tuple(text for shard in shards for text in shard.texts)]
        floor = 0.5 * (settings.alpha + settings.beta) * self.unit
        least = [
            max(floor, settings.ratio * float(_activation(self._inside(texts), change).min()))
            for change, texts in zip(changes, parts, strict=True)
        ]
        stacked = torch.stack(changes)
        return SideMemory(stacked, torch.tensor(least).to(stacked))

    def _optimise(
        self, change: torch.Tensor, mask: torch.Tensor, texts: Sequence[Encoded], outside: torch.Tensor, number: int
    ) -> None:
        """Until all is learnt, or for `epochs` passes."""
        settings, chance = self.settings, np.random.default_rng([self.settings.seed, number])
        optimizer = self._optimizer(change, texts)
        highest = optimizer.param_groups[0]["lr"]
        passes = Progress(self.batch.progress, f"wise: shard {number + 1}, {len(texts)} texts, pass", settings.epochs)
        with open_partial_forward(self.model, choose_trial(texts), lowest=self.layer) as forward:
            for done in range(settings.epochs):
                if settings.optimizer == "adam":
                    optimizer.param_groups[0]["lr"] = highest * (1 - 0.9 * done / settings.epochs)
                order, losses = chance.permutation(len(texts)).tolist(), []
                for begin in range(0, len(order), settings.batch):
                    few = [texts[index] for index in order[begin : begin + settings.batch]]
                    compared = outside[torch.from_numpy(chance.integers(0, max(1, len(outside)), COMPARED))]
                    with torch.enable_grad():
                        loss = self._loss(forward, change * mask, few, compared)
                        (change.grad,) = torch.autograd.grad(loss, change)
                    losses.append(float(loss.detach()))
                    if not np.isfinite(losses[-1]):
                        raise TrainingFailed("wise: the loss is no longer a number; lower learning_rate")
                    optimizer.step()
                    if settings.norm is not None:
                        change.data.clamp_(-settings.norm, settings.norm)
                    self.steps += 1
                passes.update(done + 1, f", loss {np.mean(losses):.3f}")
                if np.mean(losses) < settings.stop_loss:
                    break

    def _loss(
        self, forward: Any, change: torch.Tensor, texts: Sequence[Encoded], outside: torch.Tensor
    ) -> torch.Tensor:
        """The answers' loss with the side memory where they are predicted, and the margins' (eq. 6)."""
        rows = forward.layout(texts, True, forward.device)
        states = self._states.lookup(forward, forward.lowest, rows, texts, forward.layout) if forward.lowest else None
        active: list[torch.Tensor] = []

        def answer(_module: Any, entering: Any, leaving: torch.Tensor) -> torch.Tensor:
            x, flat = entering[0].flatten(0, -2), leaving.flatten(0, -2)
            scored = rows.scored_positions.flatten()
            where = scored if len(x) == rows.ids.numel() else torch.arange(len(x), device=x.device)  # pruned: all
            moved = x[where].float() @ change.T
            active.append(torch.linalg.vector_norm(moved, dim=-1))
            return flat.index_add(0, where, moved.to(flat.dtype)).view_as(leaving)

        with hooked([(self.module, answer)]):
            logits = label_logits(rows, forward.logits(rows, states, forward.lowest if states is not None else 0))
        loss = functional.cross_entropy(logits.float(), rows.labels)
        unit, margins = self.unit, self.settings
        inside, other = active[-1] / unit, _activation(outside, change) / unit
        return loss + margin_loss(inside, other, margins.alpha, margins.beta, margins.gamma)

    def _share(self) -> float:
        """Of the matrix that a shard learns in."""
        whole = self.batch.edits if self.batch.whole is None else self.batch.whole
        alone = 1.0 if whole.num_rows <= self.settings.shard else PAPERS_MASK
        return alone if self.settings.mask is None else self.settings.mask

    def _optimizer(self, change: torch.Tensor, texts: Sequence[Encoded]) -> torch.optim.Optimizer:
        if self.settings.optimizer == "sgd":
            return torch.optim.SGD([change], lr=self.settings.learning_rate, weight_decay=1e-5)
        reach = float(self._inside(texts).abs().sum(1).mean())  # what a step of 1 in every entry moves an output
        return torch.optim.Adam([change], lr=self.settings.learning_rate * self.unit / max(reach, 1e-12))

    def _outside(self, taught: Sequence[Encoded], others: Sequence[Encoded], number: int) -> torch.Tensor:
        """What enters the matrix at other texts' tokens and at the prompts' earlier ones: (positions, in)."""
        inside = {text.ids[: at + 1] for text in taught for at in _scored(text)}
        wanted = [(text, at) for text in others for at in range(len(text.ids) - 1)]
        wanted += [(text, at) for text in taught for at in range(text.start - 1)]
        different = {text.ids[: at + 1]: (text, at) for text, at in wanted if text.ids[: at + 1] not in inside}
        chosen = list(different.values())
        if len(chosen) > POSITIONS:
            chance = np.random.default_rng([self.settings.seed, number])
            chosen = [chosen[index] for index in np.sort(chance.permutation(len(chosen))[:POSITIONS]).tolist()]
        return _enter(self.model, self.module, chosen)

    def _inside(self, texts: Sequence[Encoded]) -> torch.Tensor:
        return _enter(self.model, self.module, [(text, at) for text in texts for at in _scored(text)])

    def _unit(self, texts: Sequence[Encoded]) -> float:
        """The mean norm of what the matrix gives where the answers are predicted."""
        given = self._inside(texts) @ matrix_of(self.module).float().T
        return float(torch.linalg.vector_norm(given, dim=1).mean())


def _activation(entering: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """a(x) (eq. 3): (positions,)."""
    found: torch.Tensor = torch.linalg.vector_norm(entering @ change.T, dim=-1)
    return found


def _scored(text: Encoded) -> range:
    """The positions from which the answer and its end are predicted."""
    return range(text.start - 1, len(text.ids) - 1)


@torch.no_grad()
def _enter(model: Any, module: Any, wanted: Sequence[tuple[Encoded, int]], rows: int = 64) -> torch.Tensor:
    """What enters the module at these positions: (positions, in) float32."""
    positions: dict[Encoded, list[tuple[int, int]]] = {}
    for number, (text, at) in enumerate(wanted):
        positions.setdefault(text, []).append((number, at))
    texts, caught = list(positions), list[torch.Tensor]()
    device = next(model.parameters()).device
    found = torch.zeros((len(wanted), matrix_of(module).shape[1]), device=device)

    def keep(_module: Any, entering: Any) -> None:
        caught.append(entering[0])
        raise _Caught

    with hooked(before=[(module, keep)]):
        for indices in batches_by_length([len(text.ids) for text in texts], rows):
            several = [texts[index] for index in indices]
            with suppress(_Caught):
                model(input_ids=pad(several, True, device).ids, use_cache=False)
            entered = in_rows(caught.pop(), len(several))
            for row, text in enumerate(several):
                numbers, places = zip(*positions[text], strict=True)
                found[list(numbers)] = entered[row, list(places)].float()
    return found


class _Caught(Exception):
    """Ends a forward pass: the layers above have no part in what was captured."""


def _fill(shards: Sequence[Shard], batch: EditBatch, settings: WiseSettings) -> list[Any]:
    """The edits, cut where a shard is full: the first part fills up the last one."""
    room = settings.shard - shards[-1].facts if shards else settings.shard
    first = room if room > 0 else settings.shard
    cuts = [0, *range(first, batch.edits.num_rows, settings.shard), batch.edits.num_rows]
    return [batch.edits.slice(begin, end - begin) for begin, end in pairwise(cuts) if end > begin]


def _counts(batch: EditBatch, settings: WiseSettings) -> tuple[int, int]:
    """Sentences about the edited subjects' past, and others."""
    count = max(FEWEST_OTHERS, settings.others * batch.edits.num_rows)
    return count // 4, count


def _default_layer(model: Any) -> int:
    return max(0, min(share_of_depth(model, LAYER), len(find_blocks(model)[1]) - 2))
