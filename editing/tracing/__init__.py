"""Causal tracing: at which layer and token a model looks a fact up.

`trace` restores states one by one, `heat_map` draws their effects.
"""
