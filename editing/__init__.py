"""Bring a language model up to date, and measure what it learnt, what spread and what it forgot.

Needs torch, transformers, peft, safetensors, numpy and pyarrow, and nothing of `pipeline` or `flows`: a snapshot
arrives as Parquet. Start at `runs.experiment.run_experiment`.
"""

from chronofacts.editing.threads import prepare_threads

prepare_threads()  # before anything here imports torch
