"""The work of `flows` as Prefect flows, for schedules, deployments and workers; nothing else imports Prefect.

`flows`: refresh, publish and experiment, their steps as tasks. `monthly`: what is scheduled. `dump_tasks`: parts of a
dump on Prefect's task runners. `artifacts`: what the UI shows. `assets`: what was made from what. `places`: where a
deployed run may work. `automations`: what the server tells a webhook. `retention`: old records. `parameters`: words as
typed parameters. `serve`: the schedule on this machine alone, with `server`, a server of our own, which
`exit_with_parent` ends. `run_log`: our lines in the runs' logs. `process_env`: what Prefect must find in the
environment before its import.
"""

from chronofacts.flows.scheduled.process_env import prepare

prepare()  # Prefect reads its settings once, when it is first imported
