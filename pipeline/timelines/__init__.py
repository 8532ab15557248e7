"""Statements to timelines: who held what, from when to when, and how sure that is.

`oriented` turns statements in the direction of their relation, `versions` marks what is current of software, `spans`
gives each its two ends, `multi_valued` reports what is not single-valued; `build` runs them in this order. `agreement`
compares what several sources state.
"""
