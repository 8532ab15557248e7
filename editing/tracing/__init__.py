"""Causal tracing: at which layer and token a model looks a fact up.

`trace` restores states one by one, `layers` chooses layers by their effects, `heat_map` draws them.
"""
