"""Scores to figures with intervals.

`summary` works out what was learnt, what spread and what was forgotten; `bootstrap` says how sure a mean is.
"""
