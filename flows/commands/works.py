"""What a command calls: the plain functions, or the flows over them where the user's settings name a Prefect server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from chronofacts.flows.prefect_server import use_named_server

__all__ = ["Works", "works"]


@dataclass(frozen=True)
class Works:
    """The functions of `flows.refresh`, `flows.experiment` and `flows.publish`, or the flows of the same names; each is
    imported when it is asked for."""

    on_prefect: bool

    @property
    def refresh(self) -> Callable[..., Any]:
        return self._find("refresh", "refresh")

    @property
    def experiment(self) -> Callable[..., Any]:
        return self._find("experiment", "experiment")

    @property
    def publish(self) -> Callable[..., Any]:
        return self._find("publish", "publish")

    @property
    def publish_adapter(self) -> Callable[..., Any]:
        return self._find("publish", "publish_adapter")

    def _find(self, module: str, name: str) -> Callable[..., Any]:
        home = "scheduled.flows" if self.on_prefect else module
        found: Callable[..., Any] = getattr(import_module(f"chronofacts.flows.{home}"), name)
        return found


@contextmanager
def works() -> Iterator[Works]:
    """Raises BadInput where a Prefect server is named and does not answer."""
    if use_named_server():
        from chronofacts.flows.scheduled.process_env import quiet_flows

        with quiet_flows():
            yield Works(on_prefect=True)
    else:
        yield Works(on_prefect=False)
