"""Attention in bfloat16 on a CPU by plain products, for what is trained: keys and values are never copied to each head.

What the tensors look like, where `heads` queries share `groups` keys and values:
    queries            (rows, heads, length, head width)   as (rows, groups, heads / groups * length, head width)
    keys and values    (rows, groups, seen, head width)
    what it gives      (rows, length, heads, head width)
torch's fused kernel is fast forwards, and its way back in bfloat16 takes up to five times that of these products; its
own plain products copy keys and values to every head and into float32. Of one layer of SmolLM2 forwards and back, two
threads with AMX: 60 rows of 21 tokens after 35 take 4 ms (29 by the fused kernel, 14 by torch's products), a row of
390 tokens 4 (6, 9), 16 rows of 17 after 31 take 1.1 (6.5, 3.1). Scores are bfloat16 and their softmax float32, as in
transformers' `eager`. Leaves out what is read without a gradient, long rows, whose scores would fill the memory, soft
caps, biases of positions and masks by head.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

__all__ = ["grouped_attention", "grouped_attention_forward"]

HIDDEN = -1e30
"""What is added to the score of a token that is not seen; with infinity one that sees nothing gets no number."""
MOST_SCORES = 4 << 20
"""Of a layer, all heads together: they are kept for the way back, 6 bytes each, where the fused kernel keeps none."""
ELSEWHERE = ("softcap", "position_bias", "s_aux")
"""What families pass that these products do not know."""


_wanted: ContextVar[bool] = ContextVar("grouped_attention", default=False)
"""Of this thread: others may train or score in float32 meanwhile."""
_lock, _before = threading.Lock(), list[Any]()
"""What stood in transformers' table before each context that is open; the first is put back after the last."""


@contextmanager
def grouped_attention() -> Iterator[None]:
    """While inside, models whose attention is transformers' `sdpa` attend by `grouped_attention_forward` in this
    thread."""
    with _lock:
        _before.append(ALL_ATTENTION_FUNCTIONS["sdpa"])
        ALL_ATTENTION_FUNCTIONS["sdpa"] = _attend
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)
        with _lock:
            own = _before.pop()
            if not _before:
                del ALL_ATTENTION_FUNCTIONS["sdpa"]
                if ALL_ATTENTION_FUNCTIONS["sdpa"] is not own:  # another program's, put there before
                    ALL_ATTENTION_FUNCTIONS["sdpa"] = own


def _attend(*given: Any, **named: Any) -> tuple[torch.Tensor, None]:
    forward = grouped_attention_forward if _wanted.get() else sdpa_attention_forward
    return forward(*given, **named)


def grouped_attention_forward(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers' `sdpa_attention_forward`, which does what this one leaves out."""
    learns = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    by_head = attention_mask is not None and attention_mask.shape[1] != 1
    many = query.shape[:3].numel() * key.shape[2] > MOST_SCORES
    if not learns or many or dropout or by_head or any(named.get(name) is not None for name in ELSEWHERE):
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **named
        )
    rows, heads, length, width = query.shape
    groups, seen = key.shape[1], key.shape[2]
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and causal and length > 1:
        attention_mask = torch.ones(length, seen, dtype=torch.bool, device=query.device).tril()[None, None]
    scaled = (query * (width**-0.5 if scaling is None else scaling)).to(torch.bfloat16)
    keys, values = key.to(torch.bfloat16), value.to(torch.bfloat16)
    scores = scaled.reshape(rows, groups, heads // groups * length, width) @ keys.transpose(-1, -2)
    scores = scores.view(rows, groups, heads // groups, length, seen)
    if attention_mask is not None:
        scores = scores + _added(attention_mask)[:, :, None]
    shares = scores.softmax(-1, dtype=torch.float32).to(torch.bfloat16).view(rows, groups, -1, seen)
    found = (shares @ values).view(rows, heads, length, value.shape[-1])
    return found.transpose(1, 2).contiguous().to(value.dtype), None


def _added(mask: torch.Tensor) -> torch.Tensor:
    """(rows, 1, length, seen): what is added to scores. mask: true where a token looks, or what is added already."""
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, dtype=torch.bfloat16, device=mask.device).masked_fill(~mask, HIDDEN)
    return mask.clamp_min(HIDDEN).to(torch.bfloat16)
