"""Run a command's work: the plain function, or the flow over it where the user's settings name a Prefect server."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from chronofacts.flows.prefect_server import use_named_server

__all__ = ["run_work"]

P = ParamSpec("P")
T = TypeVar("T")


def run_work(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """`work(…)`, or with a named server the flow over it (`flows.scheduled.flows.FLOWS`), which gives the same.

    Raises BadInput where a Prefect server is named and does not answer.
    """
    if not use_named_server():
        return work(*given, **named)
    from chronofacts.flows.scheduled.process_env import quiet_flows

    with quiet_flows():
        from chronofacts.flows.scheduled.flows import FLOWS

        made: T = FLOWS[work.__name__](*given, **named)
        return made
