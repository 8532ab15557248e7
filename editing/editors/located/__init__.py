"""Editors that change the matrices in which a fact is looked up: ROME and MEMIT.

`traced_layers` chooses layers by a causal trace, `key_covariance` counts keys over ordinary text, `key_value` finds a
fact's key and the value to be found there; `rome` and `memit` solve for the weights.
"""
