"""Texts laid out for one forward pass of a causal model, and where in it they are scored.

Packed: all texts in one row as a tree of tokens, so that nothing is padding and a beginning that several texts share
("Q: Who is the mayor of") is read once; a mask lets each token see its own text only. Padded: one text per row, for
models that take no such mask. A text's last token predicts nothing that is scored and is not read. Leaves out
documents longer than the context: one row of facts is bound by memory alone, since positions count within a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from editing.encoding import Encoded

__all__ = ["Layout", "Reading", "pack", "pack_groups", "predicting", "spread"]


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


def pack(texts: Sequence[Encoded], answer_only: bool, device: torch.device | str) -> Reading:
    """All texts as one row, a tree in which equal beginnings are one branch."""
    ids, depths, sees, slots = _tree(texts)
    tensors = _on(device, ids[None], depths[None], sees[None, None])
    return _reading(tensors[0], texts, answer_only, slots, tensors[1], tensors[2])


def pack_groups(groups: Sequence[Sequence[Encoded]], device: torch.device | str) -> Reading | None:
    """One row per group of texts, each a tree, padded to the longest; places and labels per group.

    Labels are (groups, n), -100 where a place is only there to make the rows even. None when some group's texts ask
    for two tokens at one place.
    """
    trees = [_tree(texts) for texts in groups]
    length = max(len(ids) for ids, *_ in trees)
    asked = [
        np.concatenate([path[text.start - 1 :] for path, text in zip(tree[3], texts, strict=True)])
        for tree, texts in zip(trees, groups, strict=True)
    ]
    if any(len(np.unique(places)) < len(places) for places in asked):
        return None
    ids, depths = np.zeros((2, len(groups), length), dtype=np.int64)
    sees = np.broadcast_to(np.eye(length, dtype=bool), (len(groups), length, length)).copy()
    most = max(map(len, asked))
    places, labels = np.zeros((len(groups), most), dtype=np.int64), np.full((len(groups), most), -100)
    slots: list[np.ndarray] = []
    for row, (tree, texts, wanted) in enumerate(zip(trees, groups, asked, strict=True)):
        size = len(tree[0])
        ids[row, :size], depths[row, :size], sees[row, :size, :size] = tree[:3]
        spare = np.setdiff1d(np.arange(length), wanted)[: most - len(wanted)]
        places[row] = row * length + np.concatenate([wanted, spare])
        labels[row, : len(wanted)] = [token for text in texts for token in text.ids[text.start :]]
        slots += [row * length + path for path in tree[3]]
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


def _tree(texts: Sequence[Encoded]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Tokens, their positions in their text, which tokens each may see, and every text's path through them."""
    ids: list[int] = []
    depths: list[int] = []
    parents: list[int] = []
    known: dict[tuple[int, int], int] = {}  # (parent, token) -> slot
    slots = []
    for text in texts:
        parent, path = -1, []
        for depth, token in enumerate(text.ids[:-1]):
            slot = known.setdefault((parent, token), len(ids))
            if slot == len(ids):
                ids.append(token)
                depths.append(depth)
                parents.append(parent)
            path.append(slot)
            parent = slot
        slots.append(np.asarray(path, dtype=np.int64))
    sees = np.eye(len(ids), dtype=bool)
    for slot, parent in enumerate(parents):
        if parent >= 0:
            sees[slot, :slot] = sees[parent, :slot]
    return np.asarray(ids), np.asarray(depths), sees, slots


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
    return logits[0] if reading.chosen is None else logits[0].index_select(0, reading.chosen)


def _on(device: torch.device | str, *arrays: np.ndarray | Sequence[object]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(array)).to(device) for array in arrays]
