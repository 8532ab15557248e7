"""Greedy generation in batches without padding: prompts of unlike length read on while the others already write.

All rows of a batch stand at the same position, so that a row gives the same text in any batch. Nothing is sampled. A
model that cannot read on after a cache (`models.key_value_cache.cache_use`) reads each text whole at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from chronofacts.editing.forward.prompt_prefix_cache import group_by_prefix
from chronofacts.editing.models.encoding import batches_by_length
from chronofacts.editing.models.key_value_cache import after_cache, cache_of, cache_use, make_room, select_rows
from chronofacts.editing.models.load import context_length, keeps_some_logits

__all__ = ["generate"]

APART = 8
"""Tokens by which the prompts of a batch may differ in length, at least: each costs the batch a step."""
PART = 4
"""Of long texts, so many times fewer than are to be written: another batch costs a step for every one of those."""


@torch.inference_mode()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tuple[int, ...]],
    max_tokens: int | Sequence[int],
    batch_size: int = 128,
    batch_tokens: int = 16384,
    to_the_end: bool = False,
    share: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The greedy continuation of every prompt (token ids), up to EOS, the end of a line or `max_tokens`.

    A full stop ends nothing: "St. Louis" and "Apple Inc." are answers. Rows that have ended leave the batch.
    max_tokens: of all, or of each. to_the_end: EOS is never chosen; nothing ends a text but its length, and it may have
    several lines. share: read a start that many prompts have in common once. progress: called after each step with the
    number of tokens that are written or, of texts that ended early, will not be.
    """
    context = context_length(model)
    limits = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else list(max_tokens)
    if context is not None:
        limits = [max(1, min(limit, context - len(prompt))) for limit, prompt in zip(limits, prompts, strict=True)]
    writer = _Writer(model, tokenizer, to_the_end)
    texts: dict[int, str] = {}
    for start in group_by_prefix(model, prompts, [len(prompt) - 1 for prompt in prompts], share):
        lengths, own_limits = [len(prompts[row]) for row in start.rows], [limits[row] for row in start.rows]
        apart = max(APART, min(own_limits) // PART)
        for indices in batches_by_length(lengths, batch_size, batch_tokens, apart, own_limits):
            rows = [start.rows[index] for index in indices]
            rests = [prompts[row][start.length :] for row in rows]
            before, most = sum(limits[row] for row in texts), [limits[row] for row in rows]

            def report(more: int, before: int = before) -> None:
                progress(before + more)

            written = writer.write(rests, most, start.cache_for(len(rows)), report)
            texts |= {row: _decode(tokenizer, ids, to_the_end) for row, ids in zip(rows, written, strict=True)}
            progress(before + sum(most))
    return [texts[index] for index in range(len(prompts))]


class _Writer:
    """One model that goes on writing; it remembers which tokens end a line."""

    def __init__(self, model: Any, tokenizer: Any, to_the_end: bool) -> None:
        self._model, self._tokenizer, self._to_the_end = model, tokenizer, to_the_end
        self._line_ends: dict[int, bool] = {}
        self._only_last = {"logits_to_keep": 1} if keeps_some_logits(model) else {}
        self._cached = cache_use(model).steps

    def write(
        self, prompts: Sequence[tuple[int, ...]], limits: Sequence[int], cache: Any, progress: Callable[[int], None]
    ) -> list[list[int]]:
        """Greedy tokens of each row, EOS left out. prompts: what the cache has not read of each."""
        device = next(self._model.parameters()).device
        written: list[list[int]] = [[] for _ in prompts]
        going, position = list(range(len(prompts))), min(map(len, prompts))
        ids = torch.tensor([prompt[:position] for prompt in prompts], device=device)
        while True:
            read = {"use_cache": True, **after_cache(self._model, cache)} if self._cached else {"use_cache": False}
            output = self._model(input_ids=ids, **read, **self._only_last)
            cache, chosen = cache_of(output) if self._cached else None, self._choose(output.logits[:, -1])
            make_room(cache)
            keep, following = [], []
            for index, (row, token) in enumerate(zip(going, chosen, strict=True)):
                if position < len(prompts[row]):  # the model still reads its prompt
                    token = prompts[row][position]
                elif not self._take(written[row], token, limits[row]):
                    continue
                keep.append(index)
                following.append(token)
            if not keep:
                return written
            if len(keep) < len(going):
                going = [going[index] for index in keep]
                if self._cached:
                    select_rows(cache, keep, device)
                else:
                    ids = ids[keep]
            new = torch.tensor(following, device=device)[:, None]
            ids, position = new if self._cached else torch.cat([ids, new], 1), position + 1
            progress(sum(limits) - sum(limits[row] - len(written[row]) for row in going))

    def _choose(self, logits: torch.Tensor) -> list[int]:
        """The likeliest tokens; to the end, the likeliest that do not end the text."""
        end = self._tokenizer.eos_token_id
        if self._to_the_end and end is not None:
            logits = logits.index_fill(-1, torch.tensor([end], device=logits.device), -torch.inf)
        return logits.argmax(-1).tolist()  # type: ignore[no-any-return]

    def _take(self, written: list[int], token: int, limit: int) -> bool:
        """Write the token; does the row go on?"""
        if token == self._tokenizer.eos_token_id:
            return False
        written.append(token)
        return len(written) < limit and (self._to_the_end or not self._ends_line(token))

    def _ends_line(self, token: int) -> bool:
        if token not in self._line_ends:
            self._line_ends[token] = "\n" in self._tokenizer.decode([token])
        return self._line_ends[token]


def _decode(tokenizer: Any, ids: list[int], whole: bool) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text if whole else text.strip(" ").split("\n")[0].strip()
