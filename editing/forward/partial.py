"""A model's forward pass reduced to what a training loss needs, whatever the model's family.

Three shortcuts, found by structure and tried out on the model before they are used:
- texts are packed (`packing`), and the vocabulary head reads only the positions whose next token is scored;
- in the last block, what no other position looks at (queries, what they attend to, attention's output matrix, the
  feed-forward part) is computed at those positions alone;
- blocks below a given one are skipped where the hidden states that enter it are handed in (`hidden_state_cache` keeps
  them).

Leaves out models without an output embedding of their own, such as one behind a trained prompt: those are read whole.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from chronofacts.editing.forward.packing import Layout, Reading, pack_in_rows, predicting, spread
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.models.load import answer_logits, find_blocks
from chronofacts.schemas.errors import BadInput

__all__ = ["Passage", "lowest_trained", "open_passage"]

LEAST_TOKENS = 256
"""In a packed row, whatever the model's width. Attention compares all of them, so that a longer row is not always
cheaper: with as many tokens as the model is wide that is about a sixth of the work."""

AT_PLACES = "sdpa_at_places"
"""Our name for an attention, among those of transformers."""


class Passage:
    """Logits at chosen places of a reading, and the hidden states that enter a block. Made by `open_passage`."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.shortened = False
        """Whether the shortcuts are in use."""
        self.layout: Layout = spread
        """How texts are to be laid out: packed where the model can read that."""
        self.row = LEAST_TOKENS
        """Tokens of a packed row, about."""
        self.narrowed: tuple[str, ...] = ()
        """Parts of the last block that are computed at the chosen places alone."""
        self.attended_at_places = False
        """Whether attention in the last block was last computed for the chosen places alone."""
        self.lowest = 0
        """The block whose entering states may be handed in; 0: none may."""
        self._places: torch.Tensor | None = None
        self._states: torch.Tensor | None = None
        self._start = 0  # the block that `_states` enter
        self._stop: int | None = None  # the block whose entering states are wanted
        self._wraps: dict[int, int] = {}  # block -> length of the tuple that it gives, 0 for a bare tensor

    @property
    def packs(self) -> bool:
        """Whether texts are laid out packed."""
        return self.layout is not spread

    def logits(self, reading: Reading, states: torch.Tensor | None = None, start: int = 0) -> torch.Tensor:
        """Logits of the tokens after the reading's places: (groups, n, vocabulary).

        states: (rows, length, width) as they enter block `start`, instead of computing the blocks below.
        """
        if not self.shortened:
            return _plain_logits(self.model, reading)
        self._places, self._states, self._start = reading.places, states, start
        try:
            return self._read(reading).logits  # type: ignore[no-any-return]
        finally:
            self._places, self._states, self._start = None, None, 0

    @torch.no_grad()
    def states(self, reading: Reading, block: int, states: torch.Tensor | None = None, start: int = 0) -> torch.Tensor:
        """The hidden states that enter `block`: (rows, length, width). states: those that enter block `start`."""
        self._stop, self._states, self._start = block, states, start
        try:
            self._read(reading)
        except _Reached as reached:
            return reached.states
        finally:
            self._stop, self._states, self._start = None, None, 0
        raise BadInput(f"{type(self.model).__name__} never runs its block {block}; choose other layers")

    def _read(self, reading: Reading) -> Any:
        given: dict[str, Any] = {"input_ids": reading.ids, "use_cache": False}
        if reading.mask is not None:
            given |= {"position_ids": reading.positions, "attention_mask": self._mask(reading.mask)}
        return self.model(**given)

    def _mask(self, sees: torch.Tensor) -> torch.Tensor:
        """As the model's attention wants it: true or false, or what is added to its scores."""
        if getattr(self.model.config, "_attn_implementation", "") == "sdpa":
            return sees
        kind = self.model.get_input_embeddings().weight.dtype
        return torch.zeros(sees.shape, dtype=kind, device=sees.device).masked_fill(~sees, torch.finfo(kind).min)


@contextmanager
def open_passage(
    model: Any, texts: Sequence[Encoded], answer_only: bool = True, lowest: int = 0, shortcuts: bool = True
) -> Iterator[Passage]:
    """The model's passage; hooks hang on the model while inside.

    texts: a few short ones on which each shortcut is tried. One that changes their logits by more than float order, or
    that the model refuses, is not used. lowest: the block from which the passage will be asked to start.
    shortcuts: false for the whole forward pass. Raises BadInput when the memory does not hold even these texts.
    """
    passage, undo = Passage(model), _Undo()
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    try:
        if shortcuts and head is not None and _has_blocks(model):
            _try_all(passage, head, texts, answer_only, lowest, undo)
        yield passage
    finally:
        undo.all()


def lowest_trained(model: nn.Module) -> int:
    """The lowest block with a parameter that wants a gradient; 0 if one outside of the blocks wants it too."""
    if not _has_blocks(model):
        return 0
    _, blocks = find_blocks(model)
    inside = {id(parameter) for block in blocks for parameter in block.parameters()}
    if any(parameter.requires_grad and id(parameter) not in inside for parameter in model.parameters()):
        return 0
    trained = (n for n, block in enumerate(blocks) if any(p.requires_grad for p in block.parameters()))
    return next(trained, 0)


class _Reached(Exception):
    """Thrown out of a forward pass once the wanted states are known."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__("reached")
        self.states = states


class _Undo:
    """What must be taken off the model again."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] = []

    def all(self) -> None:
        while self.steps:
            self.steps.pop()()


def _try_all(
    passage: Passage, head: nn.Module, texts: Sequence[Encoded], answer_only: bool, lowest: int, undo: _Undo
) -> None:
    try:
        found = _try_reading(passage, head, texts, answer_only, undo)
        if found is not None:
            _try_last_blocks(passage, *found, lowest, answer_only, undo)
    except torch.OutOfMemoryError as error:
        raise BadInput("not even one example fits the memory; take fewer layers, a smaller model or cpu") from error


@torch.no_grad()
def _try_reading(
    passage: Passage, head: nn.Module, texts: Sequence[Encoded], answer_only: bool, undo: _Undo
) -> tuple[Reading, torch.Tensor] | None:
    """Hang the hooks, and find the layout in which the model gives the logits that it should; None: in neither.

    Returns the texts in that layout, and their logits.
    """
    plain = spread(texts, answer_only, passage.device)
    expected = predicting(plain, _plain_logits(passage.model, plain))
    for index, block in enumerate(find_blocks(passage.model)[1]):
        _watch_block(passage, block, index, undo)
    undo.steps.append(head.register_forward_pre_hook(lambda _head, given: _at_places(passage, given)).remove)
    passage.shortened = True
    passage.row = max(LEAST_TOKENS, int(passage.model.get_input_embeddings().weight.shape[-1]))
    for layout in (pack_in_rows(passage.row), spread):
        reading = layout(texts, answer_only, passage.device)
        try:
            logits = passage.logits(reading)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, AttributeError):  # no such mask in this model's attention
            continue
        if _agree(predicting(reading, logits), expected):
            passage.layout = layout
            return reading, logits
    passage.shortened = False
    undo.all()
    return None


@torch.no_grad()
def _try_last_blocks(
    passage: Passage, reading: Reading, expected: torch.Tensor, lowest: int, answer_only: bool, undo: _Undo
) -> None:
    """Start at the lowest trained block, or else at the last one; then see what of the last is needed where."""
    blocks = find_blocks(passage.model)[1]
    start = lowest or len(blocks) - 1
    states = passage.states(reading, start)
    reference = passage.logits(reading, states, start)
    if not _agree(reference, expected):
        return
    passage.lowest = lowest
    disturbable = any(int(slots[0]) not in reading.places for slots in reading.slots)
    if not answer_only or not disturbable:
        return
    parts = _parts_of(blocks[-1])
    chosen = _idle_elsewhere(passage, parts, reading, states, start)

    def narrow_parts(hooks: _Undo) -> None:
        for name in chosen:
            _narrow(passage, parts[name], hooks)

    def agrees() -> bool:
        return _agree(passage.logits(reading, states, start), reference)

    if _kept(narrow_parts, agrees, undo):
        passage.narrowed = tuple(chosen)
        narrow_attention = partial(_narrow_attention, passage, blocks[-1])
        _kept(narrow_attention, lambda: agrees() and passage.attended_at_places, undo)


def _kept(hang: Callable[[_Undo], None], holds: Callable[[], bool], undo: _Undo) -> bool:
    """Hang hooks, and take them off again unless what they must not change still holds."""
    hooks, kept = _Undo(), False
    try:
        hang(hooks)
        kept = holds()
    except (KeyError, ValueError):  # a model that knows but its own kinds of attention
        pass
    finally:
        if kept:
            undo.steps += hooks.steps
        else:
            hooks.all()
    return kept


def _has_blocks(model: nn.Module) -> bool:
    try:
        find_blocks(model)
    except BadInput:
        return False
    return True


def _watch_block(passage: Passage, block: nn.Module, index: int, undo: _Undo) -> None:
    """Let the block be skipped, be given its states, or tell them."""
    plain, own = block.forward, "forward" in vars(block)

    def forward(*given: Any, **named: Any) -> Any:
        entering = given[0] if given else named["hidden_states"]
        if passage._states is not None and index < passage._start:
            wraps = passage._wraps[index]
            return (entering, *[None] * (wraps - 1)) if wraps else entering
        if passage._states is not None and index == passage._start:
            entering = passage._states
            given, named = ((entering, *given[1:]), named) if given else ((), {**named, "hidden_states": entering})
        if passage._stop == index:
            raise _Reached(entering)
        leaving = plain(*given, **named)
        passage._wraps[index] = len(leaving) if isinstance(leaving, tuple) else 0
        return leaving

    block.forward = forward  # type: ignore[method-assign]

    def restore() -> None:
        if own:
            block.forward = plain  # type: ignore[method-assign]
        else:
            del block.forward

    undo.steps.append(restore)


def _parts_of(block: nn.Module) -> dict[str, nn.Module]:
    """Children of the block with matrices in them; of an attention, its children."""
    found: dict[str, nn.Module] = {}
    for name, part in block.named_children():
        if "attention" in type(part).__name__.lower():
            found |= {f"{name}.{inner}": child for inner, child in part.named_children() if _has_matrix(child)}
        elif _has_matrix(part):
            found[name] = part
    return found


def _has_matrix(part: nn.Module) -> bool:
    return any(parameter.dim() > 1 for parameter in part.parameters())


def _idle_elsewhere(
    passage: Passage, parts: Mapping[str, nn.Module], reading: Reading, states: torch.Tensor, block: int
) -> list[str]:
    """Which parts could say anything elsewhere and the logits at the places would not change: no gradient reaches it.

    states: what enters `block`, which is at or below the one whose parts these are.
    """
    said: dict[str, torch.Tensor] = {}

    def listening(name: str) -> Callable[[Any, Any, Any], None]:
        def hear(_part: Any, _given: Any, leaving: Any) -> None:
            if isinstance(leaving, torch.Tensor) and leaving.shape[:2] == reading.ids.shape:
                said[name] = leaving

        return hear

    hooks = [part.register_forward_hook(listening(name)) for name, part in parts.items()]
    try:
        with torch.enable_grad():
            logits = passage.logits(reading, states.detach().requires_grad_(True), block)
            weights = torch.linspace(-1, 2, logits.numel(), device=logits.device).view_as(logits).to(logits.dtype)
            gradients = torch.autograd.grad((logits * weights).sum(), list(said.values()), allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    elsewhere = torch.ones(reading.ids.numel(), dtype=torch.bool, device=reading.ids.device)
    elsewhere[reading.places.flatten()] = False
    return [
        name
        for name, gradient in zip(said, gradients, strict=True)
        if gradient is not None and not bool(gradient.flatten(0, 1)[elsewhere].any())
    ]


def _narrow(passage: Passage, part: nn.Module, undo: _Undo) -> None:
    """Compute the part at the places alone; elsewhere it gives zeros."""
    shape: list[tuple[int, int]] = []

    def enter(_part: Any, given: tuple[Any, ...]) -> Any:
        if passage._places is None:
            return None
        shape.append(tuple(given[0].shape[:2]))
        return _at_places(passage, given)

    def leave(_part: Any, _given: Any, leaving: torch.Tensor) -> Any:
        if passage._places is None:
            return None
        rows, length = shape.pop()
        whole = leaving.new_zeros(rows * length, leaving.shape[-1])
        return whole.index_copy(0, passage._places.flatten(), leaving.flatten(0, 1)).view(rows, length, -1)

    undo.steps += [part.register_forward_pre_hook(enter).remove, part.register_forward_hook(leave).remove]


def _narrow_attention(passage: Passage, block: Any, undo: _Undo) -> None:
    """Attend from the places alone; elsewhere attention gives zeros."""
    for part in block.children():
        plain = getattr(part, "config", None)
        if "attention" in type(part).__name__.lower() and getattr(plain, "_attn_implementation", "") == "sdpa":
            part.passage, part.config = passage, copy.copy(plain)
            part.config._attn_implementation = AT_PLACES

            def restore(part: Any = part, plain: Any = plain) -> None:
                part.config = plain
                del part.passage

            undo.steps.append(restore)


def _attend_at_places(
    attention: Any, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: Any, **named: Any
) -> tuple[torch.Tensor, None]:
    """transformers' `sdpa`, (rows, heads, length, width of a head) -> (rows, length, heads, width of a head).

    At the passage's places alone where there is a mask, which says what each looks at, and as many places in each row.
    """
    passage, (rows, _, length, _) = attention.passage, queries.shape
    places = passage._places
    whole_mask = mask is not None and mask.shape[:3] == (rows, 1, length)
    passage.attended_at_places = whole_mask and places is not None and len(places) == rows
    if not passage.attended_at_places:
        return sdpa_attention_forward(attention, queries, keys, values, mask, **named)
    flat = places.flatten()
    chosen = queries.transpose(1, 2).flatten(0, 1).index_select(0, flat).unflatten(0, places.shape).transpose(1, 2)
    seen = mask.flatten(0, 2).index_select(0, flat).view(rows, 1, -1, mask.shape[3])
    found = sdpa_attention_forward(attention, chosen, keys, values, seen, **named)[0].flatten(0, 1)
    whole = found.new_zeros(rows * length, *found.shape[1:]).index_copy(0, flat, found)
    return whole.unflatten(0, (rows, length)), None


AttentionInterface.register(AT_PLACES, _attend_at_places)


def _at_places(passage: Passage, given: tuple[Any, ...]) -> Any:
    """(rows, length, width) -> (groups, n, width)"""
    if passage._places is None:
        return None
    hidden, places = given[0], passage._places
    chosen = hidden.flatten(0, 1).index_select(0, places.flatten())
    return (chosen.view(*places.shape, hidden.shape[-1]), *given[1:])


def _plain_logits(model: Any, reading: Reading) -> torch.Tensor:
    """The same by the whole forward pass, for one text per row."""
    rows, positions = reading.places // reading.ids.shape[1], reading.places % reading.ids.shape[1]
    first = int(positions.min())
    following = torch.nn.functional.pad(reading.ids, (0, 1))  # `answer_logits` leaves the last token's out
    return answer_logits(model, following, first + 1)[rows, positions - first]


def _agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal but for the order in which floats were added."""
    near = 1e-3 if expected.dtype == torch.float32 else 5e-2
    apart, scale = (found - expected).abs().max(), expected.abs().max()
    return found.shape == expected.shape and bool(apart <= near * scale + 1e-6)
