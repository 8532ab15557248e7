"""Fixtures that several folders share: one snapshot of the sample, made once."""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path

import pytest

# Before anything imports Prefect: its own folder, no telemetry, no log server.
os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
_HF_HOME = tempfile.TemporaryDirectory(prefix="chronofacts-hf-")
os.environ["HF_HOME"] = _HF_HOME.name
# What a model said in a test is not kept for the user's own runs.
_KEPT = tempfile.TemporaryDirectory(prefix="chronofacts-kept-")
os.environ["CHRONOFACTS_CACHE"] = _KEPT.name

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)


@pytest.fixture(scope="session")
def sample_snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshot of the whole sample from 2021-01-01 to 2025-01-01, made without Prefect."""
    from flows.refresh import refresh

    return refresh.fn("sample", SINCE, AS_OF, tmp_path_factory.mktemp("sample") / "snapshot")


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share something costly (a pretrained model, a Prefect server) stay with one worker."""
    for item in items:
        folder = Path(item.path).relative_to(Path(__file__).parent).parts[0]
        shared = folder if folder in ("editing", "flows") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(shared))
    # The longest group first, so that the other worker has the rest meanwhile.
    items.sort(key=lambda item: "/editing/" not in item.nodeid and not item.nodeid.startswith("tests/editing"))
