"""A model's cache of keys and values, under the name that the installed transformers gives it.

That is `cache` since transformers 5.24 and `past_key_values` before; 5.40 knows the old name no more. Models of one's
own decide by their signature, too.
"""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["after_cache", "cache_of", "reading"]


def after_cache(model: Any, cache: Any) -> dict[str, Any]:
    """The named argument with which the model reads on after what the cache holds (None: nothing)."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = inspect.signature(inner.forward).parameters
    return {"cache" if "cache" in known else "past_key_values": cache}


def reading(model: Any, cache: Any) -> dict[str, Any]:
    """Named arguments for a pass after what the cache holds; None: from the beginning, and nothing is cached."""
    return {"use_cache": False} if cache is None else {"use_cache": True, **after_cache(model, cache)}


def cache_of(output: Any) -> Any:
    """What the model has read, with which it can read on."""
    return output.cache if hasattr(output, "cache") else output.past_key_values
