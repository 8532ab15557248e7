"""The command line, and the same work as Prefect flows.

`program` is the program, `cli` and `commands` its command line. `refresh`, `publish`, `demo` and `months` are the work:
plain functions over `pipeline` and `editing`, which one command runs in its own process, `dump` the parts of a dump; an
experiment is `editing.runs.experiment` itself.
`settings` and `setting_keys` are what a user may set, `configuration` where options come from; `output`, `progress`,
`terminal` and `stopping` what a command prints and how it ends; `prefect_server` whether a server is named.
`scheduled` holds all that imports Prefect: the same functions as flows, for schedules, deployments and workers.
"""
