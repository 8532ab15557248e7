"""Texts laid out for one forward pass of a causal model, and where in it they are scored.

Packed: texts in one row as a tree of tokens, so that nothing is padding and a beginning that several texts share
("Q: Who is the mayor of") is read once; a mask lets each token see its own text only. Padded: one text per row, for
models that take no such mask. A text's last token predicts nothing that is scored and is not read. Attention compares
all tokens of a row, so that many texts take several rows of like length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch

from chronofacts.editing.models.encoding import Encoded

__all__ = ["Layout", "PackedBatch", "label_logits", "pack", "pack_groups", "pack_in_rows", "pad_rows"]


@dataclass(frozen=True)
class PackedBatch:
    """What the model reads at once, and where it is scored."""

    ids: torch.Tensor  # (rows, length) int64
    scored_positions: torch.Tensor  # (groups, n) int64, row * length + position where logits are wanted; none twice
    labels: torch.Tensor  # (scored,) int64, the tokens that are to be predicted; (groups, n) with -100 for several
    logit_index: torch.Tensor | None  # (scored,) int64, which of the n logits predicts each; None: its own, in order
    token_index: tuple[np.ndarray, ...]  # per text, row * length + position of its tokens in order
    position_ids: torch.Tensor | None = None  # (rows, length), where the model would count wrong
    mask: torch.Tensor | None = None  # (rows, 1, length, length): true where a token may look


Layout = Callable[[Sequence[Encoded], bool, torch.device | str], PackedBatch]
"""Texts, whether only answers are scored, device -> one batch."""

_Tree = tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]
"""Token ids (n,), their positions in their text (n,), which tokens each sees (n, n), every text's path through them."""


def pack(texts: Sequence[Encoded], answer_only: bool, device: torch.device | str) -> PackedBatch:
    """All texts as one row, a tree in which equal beginnings are one branch."""
    return _pack_rows([range(len(texts))], texts, answer_only, device)


def pack_in_rows(row_tokens: int) -> Layout:
    """The layout of about so many tokens per row: `pack` for texts that are not more than that."""

    def packed(texts: Sequence[Encoded], answer_only: bool, device: torch.device | str) -> PackedBatch:
        if sum(len(text.ids) - 1 for text in texts) < 1.5 * row_tokens:
            return pack(texts, answer_only, device)
        order, _, new = _sorted_tokens(texts)
        tokens = np.cumsum(new.sum(1))
        rows = max(1, round(tokens[-1] / row_tokens))
        row_of = np.minimum(tokens * rows // (tokens[-1] + 1), rows - 1)
        members = [[order[index] for index in np.flatnonzero(row_of == row)] for row in range(rows)]
        members = [row for row in members if row]  # one text longer than a row leaves none for the next
        return _pack_rows(members, texts, answer_only, device)

    return packed


def pack_groups(groups: Sequence[Sequence[Encoded]], device: torch.device | str) -> PackedBatch | None:
    """One row per group of texts, each a tree, padded to the longest; scored positions and labels per group.

    Labels are (groups, n), -100 where a position only makes the rows even. None when some group's texts have two
    tokens to predict at one position.
    """
    trees = [_tree(texts) for texts in groups]
    scored = [
        np.concatenate([path[text.start - 1 :] for path, text in zip(tree[3], texts, strict=True)])
        for tree, texts in zip(trees, groups, strict=True)
    ]
    if any(len(np.unique(positions)) < len(positions) for positions in scored):
        return None
    ids, position_ids, sees, paths = _side_by_side(trees)
    length, most = ids.shape[1], max(map(len, scored))
    positions, labels = np.zeros((len(groups), most), dtype=np.int64), np.full((len(groups), most), -100)
    for row, (texts, wanted) in enumerate(zip(groups, scored, strict=True)):
        spare = np.setdiff1d(np.arange(length), wanted)[: most - len(wanted)]
        positions[row] = row * length + np.concatenate([wanted, spare])
        labels[row, : len(wanted)] = [token for text in texts for token in text.ids[text.start :]]
    tensors = _on(device, ids, positions, labels, position_ids, sees[:, None])
    return PackedBatch(tensors[0], tensors[1], tensors[2], None, tuple(paths), tensors[3], tensors[4])


def pad_rows(texts: Sequence[Encoded], answer_only: bool, device: torch.device | str) -> PackedBatch:
    """One text per row, padded on the right, where a causal model never looks."""
    length = max(len(text.ids) for text in texts) - 1
    ids = np.zeros((len(texts), length), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text.ids) - 1] = text.ids[:-1]
    paths = [row * length + np.arange(len(text.ids) - 1) for row, text in enumerate(texts)]
    return _score(_on(device, ids), texts, answer_only, paths)


def label_logits(batch: PackedBatch, logits: torch.Tensor) -> torch.Tensor:
    """(1, n, vocabulary) logits at the scored positions -> (scored, vocabulary), one row per label."""
    flat = logits.flatten(0, 1)  # a view, whose gradient is none of its own memory, unlike an index's
    return flat if batch.logit_index is None else flat.index_select(0, batch.logit_index)


def _pack_rows(
    rows: Sequence[Sequence[int]], texts: Sequence[Encoded], answer_only: bool, device: torch.device | str
) -> PackedBatch:
    """A tree per row. rows: of each, the indices of its texts."""
    ids, position_ids, sees, paths = _side_by_side([_tree([texts[index] for index in row]) for row in rows])
    path_of = dict(zip((index for row in rows for index in row), paths, strict=True))
    tensors = _on(device, ids, position_ids, sees[:, None])
    return _score(tensors, texts, answer_only, [path_of[index] for index in range(len(texts))])


def _score(
    tensors: Sequence[torch.Tensor], texts: Sequence[Encoded], answer_only: bool, paths: Sequence[np.ndarray]
) -> PackedBatch:
    """Scored are the answers and EOS, or everything after the first token. tensors: ids, position_ids and mask."""
    begins = [text.start if answer_only else 1 for text in texts]
    scored = np.concatenate([path[begin - 1 :] for path, begin in zip(paths, begins, strict=True)])
    labels = [token for text, begin in zip(texts, begins, strict=True) for token in text.ids[begin:]]
    positions, index = np.unique(scored, return_inverse=True)
    own = len(positions) == len(scored)
    first, *more = tensors
    found = _on(first.device, (scored if own else positions)[None], labels, index)
    return PackedBatch(first, found[0], found[1], None if own else found[2], tuple(paths), *more)


def _side_by_side(trees: Sequence[_Tree]) -> _Tree:
    """One row per tree, padded to the longest; all texts' paths as row * length + position."""
    length = max(len(ids) for ids, *_ in trees)
    ids, position_ids = np.zeros((2, len(trees), length), dtype=np.int64)
    sees = np.zeros((len(trees), length, length), dtype=bool)
    for row, tree in enumerate(trees):
        size = len(tree[0])
        ids[row, :size], position_ids[row, :size], sees[row, :size, :size] = tree[:3]
        padding = np.arange(size, length)
        sees[row, padding, padding] = True  # a token that sees nothing has no attention
    return ids, position_ids, sees, [row * length + path for row, tree in enumerate(trees) for path in tree[3]]


def _tree(texts: Sequence[Encoded]) -> _Tree:
    order, tokens, new = _sorted_tokens(texts)
    numbered = np.where(new, np.cumsum(new).reshape(new.shape) - 1, 0)
    whole_paths = np.maximum.accumulate(numbered, 0)  # what is not new is the last above it that is
    sees = np.zeros((int(new.sum()),) * 2, dtype=bool)
    lower = np.tri(tokens.shape[1], dtype=bool)
    paths = [whole_paths[0]] * len(texts)
    for index, path, fresh in zip(order, whole_paths, new.sum(1).tolist(), strict=True):
        length = len(texts[index].ids) - 1
        paths[index] = own = path[:length]
        sees[own[length - fresh :, None], own] = lower[length - fresh : length, :length]  # the end of a path is new
    return tokens[new], np.nonzero(new)[1], sees, paths


def _sorted_tokens(texts: Sequence[Encoded]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The texts' order in which those that begin alike are neighbours; in it all tokens but each text's last.

    Tokens are (texts, longest), -1 after a text's end; the third says which of them the texts before do not share.
    """
    order = sorted(range(len(texts)), key=lambda index: texts[index].ids)
    tokens = np.array(list(zip_longest(*(texts[index].ids[:-1] for index in order), fillvalue=-1))).T
    new = tokens >= 0
    new[1:] &= ~np.logical_and.accumulate(tokens[1:] == tokens[:-1], 1)
    return order, tokens, new


def _on(device: torch.device | str, *arrays: np.ndarray | Sequence[object]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(array)).to(device) for array in arrays]
