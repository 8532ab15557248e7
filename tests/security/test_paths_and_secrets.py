"""Names that lead elsewhere are refused, and a token is in nothing that is written, printed, logged or published."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chronofacts.flows.output import print_error
from chronofacts.flows.scheduled.monthly import report_failure
from chronofacts.flows.scheduled.retention import prune_results
from chronofacts.pipeline.publishing.hub import PublishSettings, publish
from chronofacts.pipeline.snapshots.store import open_store
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.schemas.errors import BadInput, ChronoFactsError
from tests.pipeline.publishing.local_hub import TOKEN, LocalHub
from tests.pipeline.publishing.sending import REPO
from tests.pipeline.publishing.small_snapshot import make_snapshot

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("edits/../../outside.parquet", "/etc/passwd", "..\\outside.parquet", "edits/\x00.parquet", "~/x.parquet")


def with_file_named(snapshot: Path, name: str) -> Path:
    """The snapshot, whose manifest now names a file elsewhere."""
    manifest = json.loads((snapshot / "manifest.json").read_text())
    manifest["files"][name] = manifest["files"].pop("edits/edits-test.parquet")
    (snapshot / "manifest.json").write_text(json.dumps(manifest))
    return snapshot


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_that_leads_outside_is_neither_published_nor_stored_nor_sound(
    hub: LocalHub, tmp_path: Path, name: str
) -> None:
    (tmp_path / "outside.parquet").write_bytes(b"secret")
    hostile = with_file_named(make_snapshot(tmp_path / "S"), name)
    with pytest.raises(ChronoFactsError):
        publish(hostile, REPO, PublishSettings(endpoint=hub.url), check=lambda folder: None)
    assert REPO not in hub.repos or hub.repos[REPO].tags == {}
    with pytest.raises(ChronoFactsError):
        open_store(str(tmp_path / "store")).add(hostile)
    with contextlib.suppress(ChronoFactsError):
        assert verify(hostile)
    assert (tmp_path / "outside.parquet").read_bytes() == b"secret"


@pytest.mark.parametrize("day", ["../2025-01-01", "2025-01-01/..", "/2025-01-01", "2025-01-01\n", "latest/../x"])
def test_a_day_that_is_a_path_names_no_snapshot(tmp_path: Path, day: str) -> None:
    with pytest.raises(BadInput):
        open_store(str(tmp_path / "store")).resolve(day)


def test_pruning_follows_no_link_and_takes_nothing_with_another_name(tmp_path: Path) -> None:
    runs, precious = tmp_path / "runs", tmp_path / "precious"
    for folder in (
        precious,
        runs / "2024-01-31-model",
        runs / "2024-99-31-model",
        runs / "notes-2024",
        runs / "2025-01-31-m",
    ):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (runs / "2023-01-31-link").symlink_to(precious)
    assert prune_results(runs, {datetime.date(2025, 1, 31)}) == ["2024-01-31-model"]
    assert (precious / "file").exists() and (runs / "2024-99-31-model").exists() and (runs / "notes-2024").exists()


def test_a_token_is_in_no_file_no_output_and_no_card(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREFECT_"))}
    environment |= {
        "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "chronofacts.flows.cli",
        "publish",
        str(snapshot),
        "--repo",
        REPO,
        "--endpoint",
        hub.url,
        "--yes",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment, check=True)
    assert TOKEN.encode() not in done.stdout + done.stderr
    for path in tmp_path.rglob("*"):  # the Hub client's cache
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    for name in hub.repos[REPO].files("main"):
        assert TOKEN.encode() not in hub.content(REPO, "main", name)


def test_a_failure_that_quotes_a_token_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Told:
        name = "monthly"
        message = f"401 for Authorization: Bearer {TOKEN} at https://me:secretword@host/x"

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(logging.getLogger("chronofacts"), "propagate", True)
    report_failure(Told, Told, Told)
    print_error(Told.message)
    said = caplog.text + capsys.readouterr().err
    assert "monthly" in said and TOKEN not in said and "secretword" not in said
