"""Statements to timelines: who held what, from when to when, and how sure that is.

`oriented` turns statements in the direction of their relation, `versions` marks what is current of software, `spans`
gives each its two ends; `build` runs them in this order and reports what is not single-valued. `agreement` compares
what several sources state.
"""
