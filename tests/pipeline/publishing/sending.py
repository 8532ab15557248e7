"""A snapshot sent to the local Hub, and read from it by a fresh process."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path

from chronofacts.pipeline.publishing.hub import Published, PublishSettings, publish
from tests.pipeline.publishing.local_hub import LocalHub

REPO, TAG, NEXT = "org/what-changed", "2025-01-01", datetime.date(2025, 2, 1)


def send(hub: LocalHub, snapshot: Path, waits: list[float] | None = None, **settings) -> Published:
    """Publish without waiting; what was made here is verified once, when it is made."""
    waited: list[float] = [] if waits is None else waits
    endpoint = PublishSettings(endpoint=hub.url, **settings)
    return publish(snapshot, REPO, endpoint, check=lambda folder: None, wait=waited.append)


def run_datasets(hub: LocalHub, code: str, home: Path) -> list[str]:
    """Lines that a fresh process prints which uses `datasets` with this Hub as its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
    code = f"import json\nfrom datasets import load_dataset\nREPO = {REPO!r}\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.strip().splitlines()
