"""One experiment, from its settings to its run folder.

`settings` reads `--set` words, `experiment` runs editor after editor, `checkpoint` resumes after an interruption.
`sweep` tries a grid, `single_edits` one edit at a time, `parallel_scoring` splits probes between processes,
`lm_eval_tasks` runs tasks of lm-evaluation-harness, `cost` measures; `results` is what they hand on and `run_folder`
writes it. `trace_run` is a causal trace as a folder.
"""
