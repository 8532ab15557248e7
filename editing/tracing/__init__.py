"""Causal tracing: at which layer and token a model looks a fact up.

`trace` restores states one by one, `layers` chooses layers by their effects, `heat_map` draws them.
"""

from __future__ import annotations

__all__ = ["RUN_OPTIONS"]

RUN_OPTIONS = ("limit", "seed", "threads", "dtype", "device", "device_map", "revision", "chat")
"""Settings of a run (`editing.runs.settings`) that a trace has, too; the others mean nothing to it."""
