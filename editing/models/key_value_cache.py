"""What a model has read, kept to read on from there: under whose name, and whether this model can.

The argument is called `cache` since transformers 5.24 and `past_key_values` before; 5.40 knows the old name no more.
Models of one's own decide by their signature, too. Families keep different things: keys and values, the last keys of a
window, the state of a recurrence, or nothing that can be handed in. `cache_use` therefore tries it on the model itself.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from transformers.cache_utils import DynamicLayer

__all__ = [
    "CacheUse",
    "after_cache",
    "cache_of",
    "cache_use",
    "copy_rows",
    "make_room",
    "near",
    "reading",
    "select_rows",
    "window_of",
]

log = logging.getLogger("chronofacts.models")


class CacheUse(NamedTuple):
    """What can be done with a model's cache."""

    steps: bool
    """Read on token by token, with some of the rows."""
    texts: bool
    """Read on with several tokens at once, after rows that were copied."""


ROOM = 32
"""Tokens for which keys and values have room before all of them are copied."""
LENGTH, READ, TOKENS = 12, 6, 97
"""Of the trial: how many tokens its texts have beyond a sliding window, how many are read after a cache, and how many
different ones there are."""
LONGEST = 512
"""Of a window that is filled for the trial; larger ones are taken to go on beyond as they do within."""
WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window_size", "local_attention", "window_size")
"""What families call the number of tokens back to which a layer attends."""
_known: WeakKeyDictionary[Any, CacheUse] = WeakKeyDictionary()


def window_of(model: Any) -> int | None:
    """How far back the layer that sees least attends, in tokens; None where the configuration names no bound."""
    config: Any = getattr(model, "config", None)
    texts = config.get_text_config() if hasattr(config, "get_text_config") else config
    sizes = [getattr(texts, name, None) for name in WINDOWS]
    return min((size for size in sizes if isinstance(size, int) and size > 0), default=None)


def after_cache(model: Any, cache: Any) -> dict[str, Any]:
    """The named argument with which the model reads on after what the cache holds (None: nothing)."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = inspect.signature(inner.forward).parameters
    return {"cache" if "cache" in known else "past_key_values": cache}


def reading(model: Any, cache: Any) -> dict[str, Any]:
    """Named arguments for a pass after what the cache holds; None: from the beginning, and nothing is cached."""
    return {"use_cache": False} if cache is None else {"use_cache": True, **after_cache(model, cache)}


def cache_of(output: Any) -> Any:
    """What the model has read, with which it can read on. Raises AttributeError where it gives nothing of the kind."""
    return output.cache if hasattr(output, "cache") else output.past_key_values


def select_rows(cache: Any, rows: Sequence[int], device: torch.device | None) -> None:
    """Keep these rows of the cache, in this order; a row may be named several times.

    By `reorder_cache`, which every kind of layer has: beam search needs it, while others are for keys and values alone.
    """
    cache.reorder_cache(torch.tensor(rows, device=device))


def copy_rows(cache: Any, rows: int, device: torch.device | None) -> Any:
    """A copy of a cache of one row, for a batch of so many."""
    made = copy.deepcopy(cache)
    select_rows(made, [0] * rows, device)
    return made


def make_room(cache: Any) -> None:
    """Let each step of a text that is being written copy one token; by itself a cache copies all that it holds.

    Layers of other kinds (windows, recurrences, a family's own) stay as they are.
    """
    layers: Any = getattr(cache, "layers", None)
    for index, layer in enumerate(layers if isinstance(layers, list) else ()):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            layers[index] = _RoomyLayer(layer.keys, layer.values)


class _RoomyLayer(DynamicLayer):
    """`keys` and `values` are the beginnings of larger tensors, of which the ends are free."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.device, self.is_initialized = keys.device, True
        self.keys, self.values = self._room = (keys, values)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        keys, values = self._room
        if new > keys.shape[-2]:
            keys, values = self._room = (_extend(keys, new + ROOM), _extend(values, new + ROOM))
        keys[..., old:new, :], values[..., old:new, :] = key_states, value_states
        return self._show(new)

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        length, rows = self.get_seq_length(), beam_idx.to(self.device)
        self._room = (self._room[0].index_select(0, rows), self._room[1].index_select(0, rows))
        self._show(length)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.reorder_cache(torch.arange(len(self._room[0]))[indices.cpu()])

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.reorder_cache(torch.arange(len(self._room[0])).repeat_interleave(repeats))

    def _show(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        shown = (self._room[0][..., :length, :], self._room[1][..., :length, :])
        self.keys, self.values = shown
        return shown


def _extend(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """(rows, heads, length, width): the tensor, and behind it what is yet to be written."""
    whole = tensor.new_empty((*tensor.shape[:-2], length, tensor.shape[-1]))
    whole[..., : tensor.shape[-2], :] = tensor
    return whole


def cache_use(model: Any) -> CacheUse:
    """What this model's cache is good for: tried once, by reading a few tokens in parts and as a whole."""
    if model not in _known:
        _known[model] = _try(model)
    return _known[model]


@torch.no_grad()
def _try(model: Any) -> CacheUse:
    device, length = next(model.parameters()).device, LENGTH + min(window_of(model) or 0, LONGEST)
    ids = (torch.arange(2 * length, device=device).view(2, -1) * 7 + 5) % TOKENS
    ids[1, : length - READ] = ids[0, : length - READ]
    found: list[bool] = []
    for read_on in (_by_steps, _by_texts):
        if not all(found):  # what rows cannot be chosen of cannot be copied either
            found.append(False)
            break
        try:
            expected = model(input_ids=ids, use_cache=False).logits[:, -1]
            found.append(near(read_on(model, ids), expected))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a family does with a cache that it cannot read on from
            log.debug("%s cannot read on %s: %r", type(model).__name__, read_on.__name__, error)
            found.append(False)
    use = CacheUse(*found)
    if not use.steps:
        log.info("%s is read without a cache: each text whole, at every step", type(model).__name__)
    elif not use.texts:
        log.info("%s shares no beginnings of texts: it reads on token by token alone", type(model).__name__)
    return use


def _by_steps(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """The last logits of both rows, each read on alone after the other left."""
    found = []
    for row in (0, 1):
        cache, logits = _begin(model, ids[:, :-READ]), ids
        select_rows(cache, [row], ids.device)
        for place in range(ids.shape[1] - READ, ids.shape[1]):
            output = model(input_ids=ids[row, place].view(1, 1), use_cache=True, **after_cache(model, cache))
            cache, logits = cache_of(output), output.logits[:, -1]
        found.append(logits)
    return torch.cat(found)


def _by_texts(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """The last logits of both rows, read on together after copies of their common beginning."""
    cache = copy_rows(_begin(model, ids[:1, :-READ]), 2, ids.device)
    return model(input_ids=ids[:, -READ:], use_cache=True, **after_cache(model, cache)).logits[:, -1]  # type: ignore[no-any-return]


def _begin(model: Any, ids: torch.Tensor) -> Any:
    return cache_of(model(input_ids=ids, use_cache=True, **after_cache(model, None)))


def near(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """But for the order in which floats were added; what is no number is noticed where it counts."""
    tolerance = 1e-3 if expected.dtype == torch.float32 else 5e-2
    apart = (found - expected).abs().max()
    return not bool(apart > tolerance * expected.abs().max() + 1e-6)
