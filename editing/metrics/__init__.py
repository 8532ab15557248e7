"""Scores to figures with intervals.

`definitions` says what each figure is the mean of, `summary` works it out, and how sure it is.
"""
