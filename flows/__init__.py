"""The command line, and the same work as Prefect flows.

`cli` and `commands` are the command line. `refresh`, `publish`, `experiment`, `demo` and `months` are the work: plain
functions over `pipeline` and `editing`, which one command runs in its own process. `scheduled` holds all that imports
Prefect: the same functions as flows, for schedules, deployments and workers.
"""
