"""One Prefect server for all flow tests, in a temporary home."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Real flows run against a real (ephemeral) server, and do not wait for its heartbeat."""
    from prefect.testing.utilities import prefect_test_harness

    from flows.environment import quiet_flows

    with prefect_test_harness(server_startup_timeout=120), quiet_flows():
        yield
