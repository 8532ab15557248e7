"""Texts laid out for one forward pass of a causal model, and where in it they are scored.

Packed: texts in one row as a tree of tokens, so that nothing is padding and a beginning that several texts share
("Q: Who is the mayor of") is read once; a mask lets each token see its own text only. As many rows of like length as
attention, which compares all tokens of a row, makes worth while. Padded: one text per row, for models that take no such
mask. A text's last token predicts nothing that is scored and is not read. Leaves out
documents longer than the context: one row of facts is bound by memory alone, since positions count within a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch

from chronofacts.editing.models.encoding import Encoded

__all__ = ["Layout", "Reading", "pack", "pack_groups", "pack_in_rows", "predicting", "shared_beginning", "spread"]


@dataclass(frozen=True)
class Reading:
    """What the model reads at once, and what is asked of it."""

    ids: torch.Tensor  # (rows, length) int64
    places: torch.Tensor  # (groups, n) int64, row * length + position where logits are wanted; none twice
    labels: torch.Tensor  # (scored,) int64, the tokens that are to be predicted; (groups, n) with -100 for several
    chosen: torch.Tensor | None  # (scored,) int64, which of the n logits predicts each; None: each its own, in order
    slots: tuple[np.ndarray, ...]  # per text, row * length + position of its tokens in order
    positions: torch.Tensor | None = None  # (rows, length), where the model would count wrong
    mask: torch.Tensor | None = None  # (rows, 1, length, length): true where a token may look


Layout = Callable[[Sequence[Encoded], bool, torch.device | str], Reading]
"""Texts, whether only answers count, device -> how they are read."""

_Tree = tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]


def pack(texts: Sequence[Encoded], answer_only: bool, device: torch.device | str) -> Reading:
    """All texts as one row, a tree in which equal beginnings are one branch."""
    ids, depths, sees, slots = _tree(texts)
    tensors = _on(device, ids[None], depths[None], sees[None, None])
    return _reading(tensors[0], texts, answer_only, slots, tensors[1], tensors[2])


def pack_in_rows(longest: int) -> Layout:
    """The layout of about so many tokens per row: `pack` for texts that are not more than that."""

    def packed(texts: Sequence[Encoded], answer_only: bool, device: torch.device | str) -> Reading:
        if sum(len(text.ids) - 1 for text in texts) < 1.5 * longest:
            return pack(texts, answer_only, device)
        order, _, new = _sorted_tokens(texts)
        fresh = new.sum(1)
        rows = round(fresh.sum() / longest)
        if rows < 2:
            return pack(texts, answer_only, device)
        row_of = np.minimum(np.cumsum(fresh) * rows // (fresh.sum() + 1), rows - 1)
        groups = [[order[place] for place in np.flatnonzero(row_of == row)] for row in range(rows)]
        groups = [group for group in groups if group]  # one text longer than a row leaves none for the next
        trees = [_tree([texts[index] for index in group]) for group in groups]
        ids, depths, sees, slots = _side_by_side(trees)
        of = dict(zip([index for group in groups for index in group], slots, strict=True))
        tensors = _on(device, ids, depths, sees[:, None])
        return _reading(
            tensors[0], texts, answer_only, [of[index] for index in range(len(texts))], tensors[1], tensors[2]
        )

    return packed


def pack_groups(groups: Sequence[Sequence[Encoded]], device: torch.device | str) -> Reading | None:
    """One row per group of texts, each a tree, padded to the longest; places and labels per group.

    Labels are (groups, n), -100 where a place is only there to make the rows even. None when some group's texts ask
    for two tokens at one place.
    """
    trees = [_tree(texts) for texts in groups]
    asked = [
        np.concatenate([path[text.start - 1 :] for path, text in zip(tree[3], texts, strict=True)])
        for tree, texts in zip(trees, groups, strict=True)
    ]
    if any(len(np.unique(places)) < len(places) for places in asked):
        return None
    ids, depths, sees, slots = _side_by_side(trees)
    length, most = ids.shape[1], max(map(len, asked))
    places, labels = np.zeros((len(groups), most), dtype=np.int64), np.full((len(groups), most), -100)
    for row, (texts, wanted) in enumerate(zip(groups, asked, strict=True)):
        spare = np.setdiff1d(np.arange(length), wanted)[: most - len(wanted)]
        places[row] = row * length + np.concatenate([wanted, spare])
        labels[row, : len(wanted)] = [token for text in texts for token in text.ids[text.start :]]
    tensors = _on(device, ids, places, labels, depths, sees[:, None])
    return Reading(tensors[0], tensors[1], tensors[2], None, tuple(slots), tensors[3], tensors[4])


def spread(texts: Sequence[Encoded], answer_only: bool, device: torch.device | str) -> Reading:
    """One text per row, padded on the right, where a causal model never looks."""
    length = max(len(text.ids) for text in texts) - 1
    ids = np.zeros((len(texts), length), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text.ids) - 1] = text.ids[:-1]
    slots = [row * length + np.arange(len(text.ids) - 1) for row, text in enumerate(texts)]
    return _reading(_on(device, ids)[0], texts, answer_only, slots)


def shared_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts have in common before they part."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def _side_by_side(trees: Sequence[_Tree]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """One row per tree, padded to the longest: ids, positions, what each token sees; all texts' row * length + path."""
    length = max(len(ids) for ids, *_ in trees)
    ids, depths = np.zeros((2, len(trees), length), dtype=np.int64)
    sees = np.broadcast_to(np.eye(length, dtype=bool), (len(trees), length, length)).copy()
    for row, tree in enumerate(trees):
        size = len(tree[0])
        ids[row, :size], depths[row, :size], sees[row, :size, :size] = tree[:3]
    return ids, depths, sees, [row * length + path for row, tree in enumerate(trees) for path in tree[3]]


def _tree(texts: Sequence[Encoded]) -> _Tree:
    """Tokens, their positions in their text, which tokens each may see, and every text's path through them."""
    order, tokens, new = _sorted_tokens(texts)
    numbered = np.where(new, np.cumsum(new).reshape(new.shape) - 1, 0)
    paths = np.maximum.accumulate(numbered, 0)  # what is not new is the last above it that is
    sees = np.zeros((int(new.sum()),) * 2, dtype=bool)
    lower = np.tri(tokens.shape[1], dtype=bool)
    slots = [paths[0]] * len(texts)
    for index, path, fresh in zip(order, paths, new.sum(1).tolist(), strict=True):
        length = len(texts[index].ids) - 1
        slots[index] = own = path[:length]
        sees[own[length - fresh :, None], own] = lower[length - fresh : length, :length]  # the end of a path is new
    return tokens[new], np.nonzero(new)[1], sees, slots


def _sorted_tokens(texts: Sequence[Encoded]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The texts' order in which those that begin alike are neighbours; in it all tokens but each text's last.

    Tokens are (texts, longest), -1 after a text's end; the third says which of them the texts before do not share.
    """
    order = sorted(range(len(texts)), key=lambda index: texts[index].ids)
    tokens = np.array(list(zip_longest(*(texts[index].ids[:-1] for index in order), fillvalue=-1))).T
    new = tokens >= 0
    new[1:] &= ~np.logical_and.accumulate(tokens[1:] == tokens[:-1], 1)
    return order, tokens, new


def _reading(
    ids: torch.Tensor,
    texts: Sequence[Encoded],
    answer_only: bool,
    slots: Sequence[np.ndarray],
    positions: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> Reading:
    """Scored are the answers and EOS, or everything after the first token."""
    begins = [text.start if answer_only else 1 for text in texts]
    asked = np.concatenate([path[begin - 1 :] for path, begin in zip(slots, begins, strict=True)])
    labels = [token for text, begin in zip(texts, begins, strict=True) for token in text.ids[begin:]]
    places, chosen = np.unique(asked, return_inverse=True)
    own = len(places) == len(asked)
    tensors = _on(ids.device, (asked if own else places)[None], labels, chosen)
    return Reading(ids, tensors[0], tensors[1], None if own else tensors[2], tuple(slots), positions, mask)


def predicting(reading: Reading, logits: torch.Tensor) -> torch.Tensor:
    """(1, n, vocabulary) logits at the places -> (scored, vocabulary), one row per label."""
    flat = logits.flatten(0, 1)  # a view, whose gradient is none of its own memory, unlike an index's
    return flat if reading.chosen is None else flat.index_select(0, reading.chosen)


def _on(device: torch.device | str, *arrays: np.ndarray | Sequence[object]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(array)).to(device) for array in arrays]
