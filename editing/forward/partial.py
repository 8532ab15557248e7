"""A forward pass reduced to what a training loss needs, in a model of any family.

What the tensors look like, for texts laid out in a `PackedBatch` (`packing`):
    ids                 (rows, length)              packed: few rows, no padding; else one text per row
    attention mask      (rows, 1, length, length)   packed: each token sees its own text
    states              (rows, length, width)       what enters block `start`, if blocks below are skipped
    scored positions    (groups, n)                 where a next token is scored
    logits              (groups, n, vocabulary)     at the scored positions alone
Three shortcuts: packed texts; blocks skipped (`block_range`); head, parts and attention of the last block pruned
(`pruned`, `pruned_attention`). Each is tried on the model and used only where it gives the same logits; whatever error
a family raises in a trial, the shortcut is off, and the log says so once. A model without an output embedding of its
own, such as one behind a trained prompt, is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from chronofacts.editing.forward.block_range import BlockRange
from chronofacts.editing.forward.packing import Layout, PackedBatch, label_logits, pack, pack_in_rows, pad_rows
from chronofacts.editing.forward.prompt_prefix_cache import PromptPrefix
from chronofacts.editing.forward.pruned import Pruning, idle_elsewhere, parts_of
from chronofacts.editing.forward.pruned_attention import PrunedAttention
from chronofacts.editing.forward.shortcut_trial import works
from chronofacts.editing.models.blocks import find_blocks, has_blocks
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.models.hooks import hooked
from chronofacts.editing.models.key_value_cache import after_cache
from chronofacts.editing.models.load import answer_logits
from chronofacts.editing.models.out_of_memory import fits_or_bad_input
from chronofacts.schemas.errors import BadInput

__all__ = ["PartialForward", "choose_trial", "open_partial_forward"]

LEAST_TOKENS = 256
"""In a packed row, whatever the model's width. Attention compares all of them, so that a longer row is not always
cheaper: with as many tokens as the model is wide that is about a sixth of the work. A GPU wants as many at once; a CPU
multiplies as fast with two thirds of them."""


@dataclass(frozen=True)
class _Trial:
    """Texts as they are read from now on, and what the model made of them."""

    batch: PackedBatch
    logits: torch.Tensor
    start: int
    states: torch.Tensor | None
    """What entered block `start`; None where the model never ran it."""


class PartialForward:
    """Logits at the scored positions of a batch, and the states that enter a block. Made by `open_partial_forward`."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.shortened = False
        """Whether the shortcuts are in use."""
        self.layout: Layout = pad_rows
        """How texts are to be laid out: packed where the model can read that."""
        self.row_tokens = LEAST_TOKENS
        """Of a packed row, about."""
        self.pruned: tuple[str, ...] = ()
        """Parts of the last block that are computed at the scored positions alone."""
        self.lowest = 0
        """The block whose entering states may be handed in; 0: none may."""
        self.prefix: PromptPrefix | None = None
        """What the model has read before each row, and no row has in its tokens."""
        self._blocks, self._pruning = BlockRange(), Pruning()
        self._tried: tuple[Sequence[Encoded], torch.Tensor] | None = None

    @property
    def packs(self) -> bool:
        """Whether texts are laid out packed."""
        return self.layout is not pad_rows

    def logits(self, batch: PackedBatch, states: torch.Tensor | None = None, start: int = 0) -> torch.Tensor:
        """Logits of the tokens after the scored positions: (groups, n, vocabulary).

        states: (rows, length, width) as they enter block `start`, instead of computing the blocks below.
        """
        if not self.shortened:
            return _whole_logits(self.model, batch)
        with self._blocks.running(start, states), self._pruning.at(batch.scored_positions):
            return self._run(batch).logits  # type: ignore[no-any-return]

    @torch.no_grad()
    def states(
        self, batch: PackedBatch, block: int, states: torch.Tensor | None = None, start: int = 0
    ) -> torch.Tensor:
        """The hidden states that enter `block`: (rows, length, width). states: those that enter block `start`."""
        with self._blocks.running(start, states, block), self._pruning.at(batch.scored_positions[:, :1]):
            self._run(batch)
        return self._required(self._take_entered(), block)

    def _take_entered(self) -> torch.Tensor | None:
        entered, self._blocks.entered = self._blocks.entered, None
        return entered

    def _required(self, entered: torch.Tensor | None, block: int) -> torch.Tensor:
        if entered is None:
            raise BadInput(f"{type(self.model).__name__} never runs its block {block}; choose other layers")
        return entered

    def _run(self, batch: PackedBatch) -> Any:
        given: dict[str, Any] = {"input_ids": batch.ids, "use_cache": False}
        positions, sees = batch.position_ids, batch.mask
        if sees is not None and positions is not None:
            if self.prefix is not None:
                read = sees.new_ones((*sees.shape[:-1], self.prefix.length))
                positions, sees = positions + self.prefix.length, torch.cat([read, sees], -1)
                given |= after_cache(self.model, self.prefix.cache_for(len(batch.ids)))
            given |= {"position_ids": positions, "attention_mask": self._mask(sees)}
        return self.model(**given)

    @torch.no_grad()
    def begin_after(self, prefix: PromptPrefix) -> bool:
        """Read packed texts after a prefix that they have in common, if the model gives the same logits then.

        The texts that were tried begin with it. From then on batches are of texts without it.
        """
        if self._tried is None:
            return False
        texts, expected = self._tried
        rests = pack([text.after(prefix.length) for text in texts], True, self.device)

        def read_after() -> bool:
            self.prefix = prefix
            return _near(label_logits(rests, self.logits(rests)), expected)

        if not works(self.model, "packed texts after a common beginning", read_after):
            self.prefix = None
        return self.prefix is not None

    def _mask(self, sees: torch.Tensor) -> torch.Tensor:
        """As the model's attention wants it: true or false, or what is added to its scores."""
        if getattr(self.model.config, "_attn_implementation", "") == "sdpa":
            return sees
        kind = self.model.get_input_embeddings().weight.dtype
        return torch.zeros(sees.shape, dtype=kind, device=sees.device).masked_fill(~sees, torch.finfo(kind).min)

    @torch.no_grad()
    def _try_layouts(
        self, head: nn.Module, texts: Sequence[Encoded], answer_only: bool, start: int, hooks: ExitStack
    ) -> _Trial | None:
        """Shorten the pass in the first layout in which the model gives the logits that it should.

        start: the block of which is kept what enters it. None, and the model as it was, where no layout does.
        """
        padded = pad_rows(texts, answer_only, self.device)
        expected = label_logits(padded, _whole_logits(self.model, padded))
        hooks.enter_context(self._blocks.attach(find_blocks(self.model)[1]))
        hooks.enter_context(hooked(before=[(head, self._pruning.read)]))
        self.shortened = True
        width = int(self.model.get_input_embeddings().weight.shape[-1])
        self.row_tokens = max(LEAST_TOKENS, 2 * width // 3 if self.device.type == "cpu" else width)
        found: list[_Trial] = []

        def lay_out(layout: Layout) -> bool:
            batch = layout(texts, answer_only, self.device)
            with self._blocks.keeping(start):
                logits = self.logits(batch)
            found[:] = [_Trial(batch, logits, start, self._take_entered())]
            self._tried = texts, label_logits(batch, logits)
            return _near(self._tried[1], expected)

        for what, layout in (("packed texts", pack_in_rows(self.row_tokens)), ("the head at some positions", pad_rows)):
            if works(self.model, what, lambda layout=layout: lay_out(layout)):  # type: ignore[misc]
                self.layout = layout
                return found[0]
        self.shortened, self._tried = False, None
        hooks.close()
        return None

    @torch.no_grad()
    def _try_last_blocks(self, trial: _Trial, answer_only: bool, lowest: int, hooks: ExitStack) -> None:
        """Start at the lowest trained block, or else at the last one; then prune the last one's idle parts."""
        blocks = find_blocks(self.model)[1]
        batch, start, entered = trial.batch, trial.start, list[torch.Tensor]()

        def begin_at() -> bool:
            states = self.states(batch, start) if lowest else self._required(trial.states, start)
            entered[:] = [states, self.logits(batch, states, start)]
            return _near(entered[1], trial.logits)

        if not works(self.model, "blocks that are skipped", begin_at):
            return
        self.lowest = lowest
        if not answer_only or all(int(index[0]) in batch.scored_positions for index in batch.token_index):
            return
        states, reference = entered

        def keep_if(what: str, tried: ExitStack, attempt: Callable[[], bool]) -> bool:
            with tried:
                if kept := works(self.model, what, attempt):
                    hooks.push(tried.pop_all())
            return kept

        def prune_parts() -> bool:
            parts, wanted = parts_of(blocks[-1]), states.detach().requires_grad_(True)
            idle = idle_elsewhere(
                parts, lambda: self.logits(batch, wanted, start), batch.scored_positions, batch.ids.shape
            )
            for name in idle:
                pruning.enter_context(self._pruning.prune(parts[name]))
            self.pruned = tuple(idle)
            return _near(self.logits(batch, states, start), reference)

        pruning = ExitStack()
        if not keep_if("parts of the last block at some positions", pruning, prune_parts):
            self.pruned = ()
            return
        attention, attending = PrunedAttention(self._pruning), ExitStack()

        def prune_attention() -> bool:
            attending.enter_context(attention.inside(blocks[-1]))
            return _near(self.logits(batch, states, start), reference) and attention.used

        keep_if("attention from some positions", attending, prune_attention)


def choose_trial(texts: Sequence[Encoded], short: int = 1) -> list[Encoded]:
    """The shortest of the texts, which are cheap to try things on, and the longest, in which alone shows what reaches
    beyond a window; each once."""
    by_length = sorted(texts, key=lambda text: len(text.ids))
    return list(dict.fromkeys([*by_length[:short], by_length[-1]]))


@contextmanager
def open_partial_forward(
    model: Any, texts: Sequence[Encoded], answer_only: bool = True, lowest: int = 0, shortcuts: bool = True
) -> Iterator[PartialForward]:
    """The model's partial forward pass; hooks hang on the model while inside.

    texts: a few of those to be read (`choose_trial`). On them each shortcut is tried; one that changes their logits by
    more than float order, or that the model refuses, is not used.
    lowest: the block from which the pass will be asked to start.
    shortcuts: false for the whole forward pass. Raises BadInput when the memory does not hold even these texts.
    """
    opened = PartialForward(model)
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    with ExitStack() as hooks:
        if shortcuts and head is not None and has_blocks(model):
            with fits_or_bad_input("example"):
                start = lowest or len(find_blocks(model)[1]) - 1
                trial = opened._try_layouts(head, texts, answer_only, start, hooks)
                if trial is not None:
                    opened._try_last_blocks(trial, answer_only, lowest, hooks)
        yield opened


def _whole_logits(model: Any, batch: PackedBatch) -> torch.Tensor:
    """The same by the whole forward pass, for one text per row."""
    rows, positions = batch.scored_positions // batch.ids.shape[1], batch.scored_positions % batch.ids.shape[1]
    first = int(positions.min())
    following = torch.nn.functional.pad(batch.ids, (0, 1))  # `answer_logits` leaves the last token's out
    return answer_logits(model, following, first + 1)[rows, positions - first]


def _near(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal but for the order in which floats were added."""
    tolerance = 1e-3 if expected.dtype == torch.float32 else 5e-2
    apart, scale = (found - expected).abs().max(), expected.abs().max()
    return found.shape == expected.shape and bool(apart <= tolerance * scale + 1e-6)
