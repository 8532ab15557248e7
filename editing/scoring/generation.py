"""Greedy generation in batches without padding: prompts of unlike length read on while the others already write.

All rows of a batch stand at the same position, so that a row says the same in any batch. Leaves out sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from chronofacts.editing.forward.prompt_prefix_cache import group_by_prefix
from chronofacts.editing.models.load import context_length, keeps_some_logits

__all__ = ["generate"]

SPREAD = 8
"""Tokens by which the prompts of a batch may differ in length: each costs the batch a step."""


@torch.inference_mode()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tuple[int, ...]],
    most: int | Sequence[int],
    batch_size: int = 128,
    batch_tokens: int = 16384,
    to_the_end: bool = False,
    share: bool = True,
    reached: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The greedy continuation of every prompt (token ids), up to EOS, the end of a line or `most` tokens.

    A full stop ends nothing: "St. Louis" and "Apple Inc." are answers. Rows that have ended leave the batch.
    most: for all, or for each. to_the_end: EOS is never chosen; nothing ends a text but its length, and it may have
    several lines.
    share: read a start that many prompts have in common once. reached: is told after each batch how many are done.
    """
    context = context_length(model)
    caps = [most] * len(prompts) if isinstance(most, int) else list(most)
    if context is not None:
        caps = [max(1, min(cap, context - len(prompt))) for cap, prompt in zip(caps, prompts, strict=True)]
    writer = _Writer(model, tokenizer, to_the_end)
    texts: dict[int, str] = {}
    for start in group_by_prefix(model, prompts, [len(prompt) - 1 for prompt in prompts], share):
        for members in _batches(start.rows, prompts, caps, batch_size, batch_tokens):
            rests = [prompts[index][start.length :] for index in members]
            written = writer.write(rests, [caps[index] for index in members], start.cache_for(len(members)))
            texts |= {index: _text(tokenizer, ids, to_the_end) for index, ids in zip(members, written, strict=True)}
            reached(len(texts))
    return [texts[index] for index in range(len(prompts))]


def _batches(
    members: Sequence[int], prompts: Sequence[tuple[int, ...]], caps: Sequence[int], rows: int, tokens: int
) -> Iterator[list[int]]:
    """Members whose prompts are almost as long, in batches of at most so many rows and tokens."""
    batch: list[int] = []
    for index in sorted(members, key=lambda index: len(prompts[index])):
        whole = len(prompts[index]) + caps[index]
        too_long = batch and len(prompts[index]) - len(prompts[batch[0]]) > SPREAD
        if too_long or len(batch) == rows or (batch and (len(batch) + 1) * whole > tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class _Writer:
    """One model that goes on writing; it remembers which tokens end a line."""

    def __init__(self, model: Any, tokenizer: Any, to_the_end: bool) -> None:
        self._model, self._tokenizer, self._to_the_end = model, tokenizer, to_the_end
        self._line_ends: dict[int, bool] = {}
        self._only_last = {"logits_to_keep": 1} if keeps_some_logits(model) else {}

    def write(self, prompts: Sequence[tuple[int, ...]], caps: Sequence[int], cache: Any) -> list[list[int]]:
        """Greedy tokens of each row, EOS left out. prompts: what the cache has not read of each."""
        device = next(self._model.parameters()).device
        written: list[list[int]] = [[] for _ in prompts]
        going, position = list(range(len(prompts))), min(map(len, prompts))
        ids = torch.tensor([prompt[:position] for prompt in prompts], device=device)
        while True:
            output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **self._only_last)
            cache, chosen = output.past_key_values, self._choose(output.logits[:, -1])
            keep, following = [], []
            for place, (row, token) in enumerate(zip(going, chosen, strict=True)):
                if position < len(prompts[row]):  # it still reads
                    token = prompts[row][position]
                elif not self._take(written[row], token, caps[row]):
                    continue
                keep.append(place)
                following.append(token)
            if not keep:
                return written
            if len(keep) < len(going):
                cache.batch_select_indices(torch.tensor(keep, device=device))
                going = [going[place] for place in keep]
            ids, position = torch.tensor(following, device=device)[:, None], position + 1

    def _choose(self, logits: torch.Tensor) -> list[int]:
        """The likeliest tokens; to the end, the likeliest that do not end the text."""
        end = self._tokenizer.eos_token_id
        if self._to_the_end and end is not None:
            logits = logits.index_fill(-1, torch.tensor([end], device=logits.device), -torch.inf)
        return logits.argmax(-1).tolist()  # type: ignore[no-any-return]

    def _take(self, written: list[int], token: int, cap: int) -> bool:
        """Write the token; does the row go on?"""
        if token == self._tokenizer.eos_token_id:
            return False
        written.append(token)
        return len(written) < cap and (self._to_the_end or not self._ends_line(token))

    def _ends_line(self, token: int) -> bool:
        if token not in self._line_ends:
            self._line_ends[token] = "\n" in self._tokenizer.decode([token])
        return self._line_ends[token]


def _text(tokenizer: Any, ids: list[int], whole: bool) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text if whole else text.strip(" ").split("\n")[0].strip()
