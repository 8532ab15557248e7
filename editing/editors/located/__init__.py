"""Editors at the matrices in which a fact is looked up: most change them, GRACE and WISE stand beside one.

`traced_layers` chooses layers by a causal trace, `key_covariance` counts keys over ordinary text, `key_value` finds a
fact's key and the value to be found there; `rome`, `memit`, `alphaedit` (in the null space of other keys) and
`ultraedit` solve for the weights, `grace` keeps entries in a codebook, `wise` has a side memory.
"""
