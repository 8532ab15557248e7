"""Two simulated months of one installation: a world that changes behind a real endpoint, a real Hub, real processes.

Used by the test and by `benchmarks/two_months.py`, which kills the second month more often.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyoxigraph

from tests.flows.forks import MONTHS, Arm, Ended
from tests.pipeline.publishing.local_hub import TOKEN, LocalHub
from tests.pipeline.sources.sample_world import sample_as_of
from tests.pipeline.sources.sparql.endpoint_server import EndpointServer

__all__ = ["FEW", "FIRST", "REPO", "SECOND", "Installation", "Month", "make_model"]

ROOT = Path(__file__).resolve().parents[2]
SINCE, FIRST, SECOND = (datetime.date.fromisoformat(day) for day in ("2021-01-01", "2024-12-31", "2025-01-31"))
FEW = ("head_of_state", "capital")
REPO = "org/what-changed"
PROGRAM = (sys.executable, "-W", "ignore", "-m", MONTHS)
SETTINGS = {
    "limit": "1",
    "limit_sentences": "10",
    "cache": "none",
    "lora.steps": "2",
    "scoring.margin": "1",
    "scoring.hops": "false",
    "scoring.fluency": "0",
    "scoring.perplexity": "0",
}


@dataclass(frozen=True)
class Month:
    """How one run ended: its exit code (negative: the signal), what it returned, what it said, seconds."""

    code: int
    told: dict[str, Any]
    errors: str
    seconds: float


@cache
def world(day: datetime.date) -> pyoxigraph.Store:
    return sample_as_of(day)


def make_model(folder: Path) -> Path:
    """A tiny Llama with random weights: what is shown is that an experiment runs, is resumed and linked."""
    from tests.editing.models.families import tiny, tiny_tokenizer

    tiny("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def run_alone(
    asked: dict[str, Any], environment: dict[str, str], folder: Path, kill_after: float | None, arm: Arm
) -> Ended:
    """A month in a new process, as a machine's schedule would start it."""
    process = subprocess.Popen(
        [*PROGRAM, json.dumps(asked)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    arm(process.kill)
    try:
        out, errors = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
    return Ended(process.returncode, out, errors)


class Installation:
    """A folder with a store and runs, published to a Hub, reading an endpoint; run: what runs its months."""

    def __init__(
        self,
        folder: Path,
        hub: LocalHub,
        endpoint: EndpointServer,
        prefect_api: str,
        relations: Sequence[str] = FEW,
        model: Path | None = None,
        run: Callable[..., Ended] = run_alone,
    ) -> None:
        self.folder, self.hub, self.endpoint = folder, hub, endpoint
        self.prefect_api, self.relations, self.model, self.run = prefect_api, relations, model, run
        folder.mkdir(parents=True, exist_ok=True)

    def asked(self, day: datetime.date) -> dict[str, Any]:
        return {
            "clock": f"{day + datetime.timedelta(days=6)}T12:00:00+00:00",
            "source": self.endpoint.url,
            "since": str(SINCE),
            "as_of": str(day),
            "store": str(self.folder / "store"),
            "runs": str(self.folder / "runs"),
            "relations": list(self.relations),
            "repo": REPO,
            "endpoint": self.hub.url,
            "models": [str(self.model)] if self.model else [],
            "editors": ["none", "lora"],
            "settings": SETTINGS,
        }

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREFECT_"))}
        return kept | {
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PREFECT_API_URL": self.prefect_api,
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONPATH": str(ROOT),
        }

    def month(self, day: datetime.date, kill_after: float | None = None, arm: Arm = lambda kill: None) -> Month:
        """Run a month; kill_after: seconds until it is killed without warning; arm: is given what kills it at once."""
        self.endpoint.store = world(day)
        started = time.monotonic()
        ended = self.run(self.asked(day), self.environment(), self.folder, kill_after, arm)
        told = json.loads(ended.out.strip().splitlines()[-1]) if ended.code == 0 else {}
        return Month(ended.code, told, ended.errors, time.monotonic() - started)

    def copy(self, folder: Path, of: Path | None = None) -> Installation:
        """The same files elsewhere, or those that were copied before; the Hub is the same."""
        shutil.copytree(of or self.folder, folder)
        return Installation(folder, self.hub, self.endpoint, self.prefect_api, self.relations, self.model, self.run)

    def state(self) -> dict[str, Any]:
        """All that a month leaves behind, by sums; of a report, which tells seconds, only that it is there."""
        repo = self.hub.repos[REPO]
        head: str | None = repo.branches["main"]
        titles = []
        while head is not None:
            titles.append(repo.commits[head].title)
            head = repo.commits[head].parent
        published = {
            tag: {
                path: "a report" if path.startswith("reports/") else file.sha256 or file.git_oid
                for path, file in repo.files(tag).items()
            }
            for tag in repo.tags
        }
        runs = sorted(str(path.relative_to(self.folder)) for path in self.folder.glob("runs/*/*"))
        left = sorted(path.name for path in self.folder.glob("store-work/*"))
        return {
            "store": sums_of(self.folder / "store"),
            "runs": runs,
            "left": left,
            "published": published,
            "commits": titles[::-1],
            "tags": sorted(repo.tags),
        }

    def hub_state(self) -> Any:
        return copy.deepcopy(self.hub.repos)

    def restore_hub(self, repos: Any) -> None:
        self.hub.repos = copy.deepcopy(repos)


def sums_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
