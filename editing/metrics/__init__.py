"""Scores to figures with intervals.

`definitions` says what each figure is the mean of, `summary` works them out, `bootstrap` says how sure a mean is.
"""
