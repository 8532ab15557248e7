"""A model that is not changed: each prompt is rewritten before the model reads it, and some answers are known.

`scoring` calls `rewrite` on every prompt of a model that has it. A known answer is mixed into the model's own choice
as in kNN-LM (Khandelwal et al. 2020, arXiv 1911.00172): p = weight * 1[stored token] + (1 - weight) * p_model, token by
token, for as long as what was written agrees with it. Of a prompt that a fact was put before, the logits may be
contrasted with those of the prompt as it was (`contrast`). `in_context` and the other editors here decide how a prompt
is rewritten.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from chronofacts.editing.editors import EditedModel
from chronofacts.editing.editors.prompted.contrast import Contrast
from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.models.key_value_cache import after_cache, cache_of
from chronofacts.editing.models.load import call_keeping

__all__ = ["STORE", "RewrittenModel", "RewrittenPrompt", "StoreEdit"]

STORE = "store.parquet"


@dataclass(frozen=True)
class RewrittenPrompt:
    """What a prompt becomes, and the answer if it is already known."""

    text: str
    answer: str | None = None


class RewrittenModel(nn.Module):
    """The base model behind a rewriter; its weights are the base's own."""

    def __init__(
        self,
        base: Any,
        tokenizer: Any,
        rewriter: Callable[[Sequence[str]], list[RewrittenPrompt]],
        weight: float,
        contrast: float | None = None,
    ) -> None:
        """contrast: alpha of `Contrast`, for every prompt that is rewritten without a known answer; None: none is."""
        super().__init__()
        self.base = base
        self.config = copy.copy(base.config)
        self._tokenizer, self._rewriter, self._weight = tokenizer, rewriter, weight
        self._stored: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._contrast = None if contrast is None else Contrast(base, contrast)
        self._lengths: list[int] = []
        """Of the known prompts, told ones among them, the longest first."""
        self._rewritten: dict[str, RewrittenPrompt] = {}

    def rewrite(self, prompts: Sequence[str], prefixes: Sequence[str] = ()) -> list[str]:
        """The prompts as the model reads them; remembers the known answers under them.

        prefixes: what the evaluation puts before each, and the editor never sees.
        """
        found = self._rewrite(prompts)
        if prefixes:
            found = [replace(one, text=prefix + one.text) for prefix, one in zip(prefixes, found, strict=True)]
            prompts = [prefix + prompt for prefix, prompt in zip(prefixes, prompts, strict=True)]
        known = [one for one in found if one.answer is not None]
        encoded = encode(self._tokenizer, [one.text for one in known], [str(one.answer) for one in known])
        self._stored |= {one.prompt: one.ids[one.start :] for one in encoded}
        told = [(one.text, prompt) for one, prompt in zip(found, prompts, strict=True) if one.text != prompt]
        if self._contrast is not None and told:
            pairs = [self._tokens(texts) for texts in zip(*told, strict=True)]
            self._contrast.untold |= dict(zip(*pairs, strict=True))
        untold = self._contrast.untold if self._contrast is not None else {}
        self._lengths = sorted({len(prompt) for prompt in (*self._stored, *untold)}, reverse=True)
        return [one.text for one in found]

    def _tokens(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        return [one.prompt for one in encode(self._tokenizer, prompts, ["x"] * len(prompts))]

    def leaves_alone(self, prompts: Sequence[str]) -> list[bool]:
        """Of each prompt, whether the model behind reads and answers it as it is."""
        return [one == RewrittenPrompt(prompt) for prompt, one in zip(prompts, self._rewrite(prompts), strict=True)]

    def _rewrite(self, prompts: Sequence[str]) -> list[RewrittenPrompt]:
        """Each different prompt is rewritten once."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._rewritten]
        self._rewritten |= dict(zip(new, self._rewriter(new), strict=True))
        return [self._rewritten[prompt] for prompt in prompts]

    @property
    def mixes(self) -> bool:
        """Whether all that differs from the model behind are known answers (`mix_in`)."""
        return self._contrast is None

    def has_answer(self, ids: tuple[int, ...]) -> bool:
        """Does a known answer belong to this prompt, or to one that it begins with, or is it one to be contrasted?

        Else the model behind reads it.
        """
        untold = self._contrast.untold if self._contrast is not None else {}
        return any(ids[:length] in self._stored or ids[:length] in untold for length in self._lengths)

    def forward(
        self,
        input_ids: torch.Tensor,
        cache: Any = None,
        use_cache: bool = False,
        logits_to_keep: int | torch.Tensor = 0,
    ) -> Any:
        inner, history = (cache.inner, cache.history) if cache else (None, None)
        read = {"use_cache": True, **after_cache(self.base, inner)} if use_cache else {"use_cache": False}
        output = call_keeping(self.base, logits_to_keep, input_ids=input_ids, **read)
        rows = input_ids.tolist()
        if history:
            rows = [before + new for before, new in zip(history, rows, strict=True)]
        positions = torch.arange(len(rows[0]))[-input_ids.shape[1] :]
        if isinstance(logits_to_keep, torch.Tensor):
            positions = positions[logits_to_keep.cpu()]
        elif logits_to_keep:
            positions = positions[-logits_to_keep:]
        logits = output.logits
        if self._contrast is not None:
            untold = self._contrast.untold
            told = [next((tuple(row[:n]) for n in self._lengths if tuple(row[:n]) in untold), None) for row in rows]
            logits = self._contrast.apply(logits, rows, told, positions.tolist())
        logits = self._mix(logits, rows, positions.tolist())
        known = _CacheWithTokens(cache_of(output), rows) if use_cache else None
        return SimpleNamespace(logits=logits, cache=known)

    def mix_in(self, text: Encoded, logits: torch.Tensor) -> torch.Tensor:
        """What the model behind says of a text's answer and EOS, (tokens, vocabulary), with the known answer mixed in.

        So the model behind may read many texts at once. Only for a model that `mixes`.
        """
        for index, token in self._find_known(text.ids, range(text.start - 1, len(text.ids) - 1)):
            logits[index] = self._weigh(logits[index], token)
        return logits

    def _mix(self, logits: torch.Tensor, rows: list[list[int]], positions: list[int]) -> torch.Tensor:
        """logits: (rows, positions, vocabulary). Where an answer is known, its next token gets the weight."""
        mixed = None
        for number, row in enumerate(rows):
            for index, token in self._find_known(row, positions):
                mixed = logits.clone() if mixed is None else mixed
                mixed[number, index] = self._weigh(logits[number, index], token).to(mixed.dtype)
        return logits if mixed is None else mixed

    def _find_known(self, row: Sequence[int], positions: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(which of the positions, the token that the known answer has after it), while the row agrees with it."""
        prompt = next((tuple(row[:n]) for n in self._lengths if tuple(row[:n]) in self._stored), None)
        if prompt is None:
            return
        answer, begin = self._stored[prompt], len(prompt)
        for index, position in enumerate(positions):
            written = position + 1 - begin
            if 0 <= written < len(answer) and tuple(row[begin : position + 1]) == answer[:written]:
                yield index, answer[written]

    def _weigh(self, logits: torch.Tensor, token: int) -> torch.Tensor:
        """(vocabulary,) logits -> log-likelihoods in which the token has the weight."""
        chances = logits.float().softmax(-1) * (1 - self._weight)
        chances[token] += self._weight
        return chances.log()


@dataclass
class _CacheWithTokens:
    """A key-value cache that also knows the tokens behind it."""

    inner: Any
    history: list[list[int]]

    def reorder_cache(self, rows: torch.Tensor) -> None:
        self.inner.reorder_cache(rows)
        self.history = [self.history[index] for index in rows.tolist()]


@dataclass
class StoreEdit(EditedModel):
    """A store of facts beside the model."""

    edits: pa.Table | None = None

    def save(self, folder: Path) -> None:
        """`store.parquet`: the edits."""
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.edits, folder / STORE)
