"""One Prefect server for all flow tests, with a database of its own; and the local Hub of tests/pipeline/publishing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.publishing.conftest import hub, snapshot

__all__ = ["hub", "prefect_server", "snapshot"]


@pytest.fixture(scope="session")
def prefect_server(prefect_home: Path) -> Iterator[str]:
    """The address of its API. Real flows run against it, as those of a command do."""
    from prefect.settings import PREFECT_API_URL

    from chronofacts.flows.prefect_env import quiet_flows

    home = Path(os.environ["PREFECT_HOME"])
    if not (home / "prefect.db").exists():
        shutil.copy(prefect_home / "prefect.db", home)
    with quiet_flows():
        yield str(PREFECT_API_URL.value())
