"""One experiment, from its settings to its run folder.

`settings` sorts `--set` words, `experiment` runs editor after editor, `checkpoint` lets it go on after an interruption,
`sweep` tries a grid, `single_edits` one edit at a time, `parallel_scoring` shares probes between processes,
`lm_eval_tasks` asks what no edit is about, `cost` measures; `results` is what they hand on and `run_folder` writes it.
`trace_run` is a causal trace as a folder.
"""
