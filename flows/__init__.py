"""Prefect flows and the command line: thin orchestration over `pipeline` and `editing`."""

from chronofacts.flows.prefect_env import prepare

prepare()  # Prefect reads its settings once, when it is first imported
