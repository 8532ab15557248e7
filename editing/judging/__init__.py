"""Verdicts of a judge beside exact match: what is judged, verdicts read and checked, and how far both agree.

`items` lists answers of a run with the prompt that a judge reads, `verdicts` reads what a judge said and keeps it in
the run, `agreement` compares, `local_judge` lets a model on this machine judge. A verdict never replaces exact match.
"""
