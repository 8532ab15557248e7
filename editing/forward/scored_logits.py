"""Logits at single places of a padded batch: the vocabulary head is computed there alone.

What the tensors look like, when the answers of `rows` texts have `n` tokens in all:
    what enters the head    (rows, length, width)   of which `n` positions are picked: (1, n, width)
    logits                  (n, vocabulary)         in the order of the places
Answers differ in length, and a column of logits for every row is mostly of padding: of 60 texts three times as many, in
float32 so large that the memory for them costs more than the products. Each model is tried once; one whose head is not
a part of its own, or that does more with logits than with each by itself, is read as a whole.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch

from chronofacts.editing.forward.shortcut_trial import works
from chronofacts.editing.models.hooks import hooked
from chronofacts.editing.models.key_value_cache import near
from chronofacts.editing.models.load import call_keeping

__all__ = ["logits_at"]

_known: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Model -> whether its head may be computed at some places alone."""


def logits_at(model: Any, rows: torch.Tensor, columns: torch.Tensor, **given: Any) -> torch.Tensor:
    """What the model says after the token at each (row, column) of `input_ids`: (n, vocabulary).

    rows, columns: (n,) int64. given: named arguments of the model, `input_ids` among them. The first call for a model
    tries it on two rows of its own, so that no hook may hang on it then that counts rows.
    """
    if model not in _known:
        _known[model] = _may_pick(model, given["input_ids"].device)
    if _known[model]:
        return _pick(model, rows, columns, given)
    wanted, index = torch.unique(columns, return_inverse=True)
    return call_keeping(model, wanted, **given).logits[rows, index]  # type: ignore[no-any-return]


def _pick(model: Any, rows: torch.Tensor, columns: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
    places = rows * given["input_ids"].shape[1] + columns

    def read(_head: Any, entering: tuple[Any, ...]) -> Any:
        return (entering[0].flatten(0, -2).index_select(0, places)[None], *entering[1:])

    with hooked(before=[(model.get_output_embeddings(), read)]):
        return model(**given).logits.flatten(0, -2)  # type: ignore[no-any-return]


@torch.no_grad()
def _may_pick(model: Any, device: torch.device) -> bool:
    if getattr(model, "get_output_embeddings", lambda: None)() is None:
        return False
    ids = (torch.arange(12, device=device).view(2, -1) * 7 + 5) % 97
    rows, columns = torch.tensor([[0, 0, 1], [1, 5, 3]], device=device)

    def gives_the_same() -> bool:
        given = {"input_ids": ids, "use_cache": False}
        found, expected = _pick(model, rows, columns, given), model(**given).logits[rows, columns]
        return found.shape == expected.shape and near(found, expected)

    return works(model, "the head at single places", gives_the_same)
