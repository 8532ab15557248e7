"""What a command was told in secret is in nothing that it leaves: no file, no line, no row, no schedule."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import chronofacts.flows.scheduled.serve
from chronofacts.flows.commands.serving import serve
from chronofacts.schemas.addresses import PASSED, reveal
from chronofacts.schemas.redact import redact
from tests.pipeline.publishing.local_hub import LocalHub
from tests.pipeline.sources.rdf_world import offices
from tests.pipeline.sources.sparql.endpoint_server import serving

ROOT = Path(__file__).resolve().parents[2]
PLANTED = ("S3cretPassw0rd", "S3cretKey", "hf_S3cretTokenOfTheHub", "S3cretHook")
HIDDEN = "http://user:S3cretPassw0rd@{}/sparql?api_key=S3cretKey"


def call(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command as a user calls it, in a folder that holds all that it leaves."""
    own = {name: str(folder / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "PREFECT_HOME")}
    for path in own.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREFECT_", "CHRONO"))}
    planted = {"HF_TOKEN": PLANTED[2], "CHRONOFACTS_WEBHOOK": f"http://127.0.0.1:9/{PLANTED[3]}"}
    command = [sys.executable, "-W", "ignore", "-m", "chronofacts.flows.cli", *words]
    everything = {**kept, **own, **planted, **environment, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=everything, capture_output=True, check=False, timeout=120)


def assert_nothing_is_left(folder: Path, *said: subprocess.CompletedProcess[bytes]) -> None:
    texts = {f"output {number}": one.stdout + one.stderr for number, one in enumerate(said)}
    texts |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts |= {f"the name of {path}": str(path).encode() for path in folder.rglob("*")}
    assert [name for name, text in texts.items() if any(word.encode() in text for word in PLANTED)] == []


def test_a_reading_of_an_endpoint_keeps_its_address_without_user_and_key(tmp_path: Path) -> None:
    with serving(offices().store()) as server:
        source = HIDDEN.format(f"127.0.0.1:{server.server_port}")
        days = ("--since", "2003-06-01", "--as-of", "2005-06-01", "--relations", "office_holder")
        done = call(tmp_path, "refresh", "--source", source, *days, "--out", "S")
        assert done.returncode == 0, done.stderr.decode()
        again = call(tmp_path, "refresh", "--source", source, *days, "--out", "S2", "--update", "S")
        assert again.returncode == 0, again.stderr.decode()
    away = call(tmp_path, "refresh", "--source", HIDDEN.format("127.0.0.1:9"), *days, "--out", "S3")
    late = call(tmp_path, "refresh", "--source", source, "--since", "2003-06-01", "--as-of", "x", "--out", "S3")
    odd = call(tmp_path, "refresh", "--source", HIDDEN.format("[::1"), *days, "--out", "S3")
    assert (away.returncode, late.returncode, odd.returncode) == (1, 2, 2)
    assert all(one.stderr.count(b"Traceback") == 0 for one in (away, late, odd))
    assert b"127.0.0.1" in (tmp_path / "S" / "manifest.json").read_bytes()
    assert_nothing_is_left(tmp_path, done, again, away, late, odd)


def test_publishing_and_looking_live_leave_no_secret_either(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    sent = call(tmp_path, "publish", str(snapshot), "--repo", "org/x", "--endpoint", hub.url, "--yes", "--dry-run")
    refused = call(tmp_path, "publish", str(snapshot), "--repo", "org/x", "--endpoint", HIDDEN.format("h"), "--yes")
    live = call(tmp_path, "inspect", str(snapshot), "--why", "Q11", "--live", "--api", HIDDEN.format("127.0.0.1:9"))
    # The Hub does not know the planted token; one that it takes is in test_paths_and_secrets.py.
    assert [one.returncode for one in (sent, refused, live)] == [2, 2, 1] and b"401" in sent.stderr
    assert_nothing_is_left(tmp_path, sent, refused, live)


def test_a_token_that_may_not_be_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, hub: LocalHub, snapshot: Path
) -> None:
    import huggingface_hub

    from chronofacts.pipeline.publishing import hub as publishing
    from chronofacts.schemas.errors import BadInput

    def refuse() -> str:
        raise PermissionError(13, "Permission denied", "/home/other/token")

    monkeypatch.setattr(huggingface_hub, "get_token", refuse)
    monkeypatch.setattr(publishing, "get_token", refuse)
    assert redact("any line") == "any line"
    with pytest.raises(BadInput, match="token file cannot be read"):
        publishing.check_options("org/x", publishing.PublishSettings(endpoint=hub.url))


def test_a_schedule_stores_no_secret_in_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSED, "")
    monkeypatch.setenv("CHRONOFACTS_WEBHOOK", "")
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        chronofacts.flows.scheduled.serve, "serve_monthly", lambda cron, words, port, show: told.append(dict(words))
    )
    source = HIDDEN.format("127.0.0.1:9")
    serve(set_=[f"source={source}", "repo=org/x"], webhook=f"http://127.0.0.1:9/{PLANTED[3]}")
    assert told == [{"source": "http://127.0.0.1:9/sparql", "repo": "org/x"}]
    assert reveal(told[0]["source"]) == source  # a run in a process of this one still asks with it


def test_a_flow_on_a_server_writes_no_secret_into_its_database(own_prefect_home: Path, tmp_path: Path) -> None:
    """A run that fails, with the settings that the flow of a refresh gets."""
    code = (
        "import sys; from pathlib import Path; import datetime\n"
        "from prefect.testing.utilities import prefect_test_harness\n"
        "from chronofacts.flows.settings import RefreshSettings\n"
        "from chronofacts.flows.scheduled.flows import refresh\n"
        "from chronofacts.pipeline.build import SnapshotSettings\n"
        "from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings\n"
        "days = SnapshotSettings(datetime.date(2020, 1, 1), datetime.date(2021, 1, 1))\n"
        "settings = RefreshSettings(sys.argv[1], Path('S'), days, endpoint=EndpointSettings(raw=Path('raw')))\n"
        "try: refresh(settings)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    environment = {**os.environ, "PREFECT_HOME": str(own_prefect_home), "PYTHONPATH": str(ROOT)}
    environment |= {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_LOGGING_TO_API_ENABLED": "true"}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-W", "ignore", "-c", code, HIDDEN.format("127.0.0.1:9")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=180, check=False)
    assert b"EndpointFailed" in done.stdout, done.stderr.decode()[-2000:]
    database = own_prefect_home / "prefect.db"
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM flow_run").fetchone()[0] > 0
    assert_nothing_is_left(own_prefect_home, done)
    assert_nothing_is_left(tmp_path)
