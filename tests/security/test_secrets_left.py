"""What a command was told in secret is in nothing that it leaves: no file, no line, no row, no schedule."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chronofacts.flows.scheduled.serve
from chronofacts.editing.models.load import save_model
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.flows import cli
from chronofacts.flows.commands.serving import serve
from chronofacts.schemas.addresses import PASSED, reveal
from chronofacts.schemas.redact import redact
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.editing.runs.months_of import write_months
from tests.flows.conftest import free_port
from tests.flows.forks import COMMANDS, Ended, Forks
from tests.pipeline.publishing.local_hub import LocalHub
from tests.pipeline.publishing.small_snapshot import make_snapshot
from tests.pipeline.sources.rdf_world import offices
from tests.pipeline.sources.sparql.endpoint_server import serving

ROOT = Path(__file__).resolve().parents[2]
PLANTED = ("S3cretPassw0rd", "S3cretKey", "hf_S3cretTokenOfTheHub", "S3cretHook")
DAYS = "--since 2003-06-01 --as-of 2005-06-01 --relations office_holder"
HIDDEN = "http://user:S3cretPassw0rd@{}/sparql?api_key=S3cretKey"
NOWHERE = HIDDEN.format("127.0.0.1:9")
BUCKET = "s3://S3cretKey:S3cretPassw0rd@bucket/snapshots?api_key=S3cretKey"
RUN = "experiment S --model tiny --editor none,memory --set scoring.fluency=0 --set scoring.perplexity=0"
CALLS = {
    "demo": ["--quick --out full"],
    "refresh": [f"{DAYS} --source {NOWHERE} --out new1", f"--since model:{NOWHERE} --as-of 2005-06-01 --out new2"],
    "backfill": [
        f"--months 2004-12 --source sample --store {BUCKET}",
        f"--months 2004-12 --source sample --store store2 --repo org/x --endpoint {NOWHERE}",
    ],
    "inspect": [f"small --why Q11 --live --api {NOWHERE}", NOWHERE],
    "verify": ["small", NOWHERE],
    "diff": [f"small {NOWHERE}"],
    "export": ["small --format easyedit --out E", "small --format easyedit --out full",
               f"R --format judge --judge {NOWHERE} --out J"],
    "import": ["facts.jsonl --format facts --since 2020-01-01 --as-of 2021-01-01 --out I",
               f"{NOWHERE} --format facts --out new3", "broken.jsonl --format facts --out new4"],
    "publish": [f"small --repo org/x --endpoint {NOWHERE} --yes", f"small --repo {NOWHERE} --yes",
                "small --repo org/x --yes"],
    "edit": ["--model tiny --facts facts.jsonl --editor memory --out edit",
             f"--model {NOWHERE} --facts facts.jsonl", "--model org/x --facts facts.jsonl"],
    "experiment": [
        f"{RUN} --out R1",
        f"S --model {NOWHERE} --out new5", f"S --model tiny --load {NOWHERE} --out new6",
        f"S --model tiny --set scoring.text={NOWHERE} --out new7",
    ],
    "trace": ["S --model tiny --out T --set facts=1 --set draws=1", f"S --model {NOWHERE} --out new8"],
    "report": [f"{RUN} --out R0", "report R0 --out page", f"{NOWHERE} --out new9"],
    "stale": ["tiny --snapshot S --limit 1 --out stale", f"{NOWHERE} --snapshot S", f"tiny --store {BUCKET}"],
    "follow": ["S S2 --model tiny --editor memory --limit 1 --out F", f"S {BUCKET} --model tiny --out new10",
               f"S S2 --model {NOWHERE} --out new11"],
    "serve": ["--set sorce=S3cretPassw0rd", f"--cron {NOWHERE}"],
    "editors": [""],
    "settings": ["", NOWHERE],
}  # fmt: skip
"""What each command is called with, in a folder with snapshots of three months and facts, and a model. A line that
begins with another command prepares."""
ALL_FAIL = ("demo", "refresh", "backfill", "inspect", "diff", "publish", "trace", "serve")
"""Which of them only fail here; those that ask somebody end well in tests of their own below,
and in a model that knows nothing there is nothing to trace."""


def environment_of(folder: Path) -> dict[str, str]:
    """With secrets; every library keeps what it keeps in the folder."""
    own = {name: str(folder / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "PREFECT_HOME")}
    for path in own.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREFECT_", "CHRONO"))}
    planted = {"HF_TOKEN": PLANTED[2], "CHRONOFACTS_WEBHOOK": f"http://127.0.0.1:9/{PLANTED[3]}"}
    planted |= {"HF_ENDPOINT": NOWHERE, "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    return {**kept, **own, **planted, "PYTHONPATH": str(ROOT)}


def call(folder: Path, *words: str, stop_at: str = "") -> Ended:
    """A command as a user calls it, in a folder that holds all that it leaves. stop_at: in a line on standard error,
    at which it is stopped."""
    command = [sys.executable, "-W", "ignore", "-m", "chronofacts.flows.cli", *words]
    with subprocess.Popen(
        command, cwd=folder, env=environment_of(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        first = list[str]()
        while stop_at and (not first or stop_at not in first[-1]):
            first.append(process.stderr.readline())
            assert first[-1], first
        if stop_at:
            process.send_signal(signal.SIGTERM)
        said, error = process.communicate(timeout=300)
        return Ended(process.returncode, said, "".join(first) + error)


def assert_nothing_is_left(folder: Path, *said: Ended) -> None:
    texts = {f"output {number}": (one.out + one.errors).encode() for number, one in enumerate(said)}
    texts |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts |= {f"the name of {path}": str(path).encode() for path in folder.rglob("*")}
    assert [name for name, text in texts.items() if any(word.encode() in text for word in PLANTED)] == []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("every")
    write_invented(place / "S", facts=6, edits=6, people=6)
    for number, month in enumerate(write_months(place / "months", load_snapshot(place / "S"))[:2]):
        shutil.rmtree(place / ("S", "S2")[number], ignore_errors=True)
        month.rename(place / ("S", "S2")[number])
    make_snapshot(place / "small")
    save_model(tiny("llama"), tiny_tokenizer(), place / "tiny")
    fact = {"prompt": "Who runs Acme?", "target": "Jane Roe", "old": "John Doe", "subject": "Acme"}
    (place / "facts.jsonl").write_text(json.dumps(fact) + "\n")
    (place / "broken.jsonl").write_text('{"prompt": 1}\n')
    (place / "full").mkdir()
    (place / "full" / "file").write_text("x")
    return place


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks(COMMANDS) as forks:
        yield forks


@pytest.mark.parametrize("command", CALLS)
def test_no_command_leaves_a_secret_whether_it_ends_well_or_not(command: str, place: Path, forks: Forks) -> None:
    lines = [words.split() for words in CALLS[command]]
    asked = [words if words[:1] == ["experiment"] else [command, *words] for words in lines]
    calls = [forks.run({"words": words}, environment_of(place), place) for words in asked]
    told = [one.errors.splitlines()[-1:] for one in calls]
    assert "Traceback" not in "".join(one.errors for one in calls)
    ended = {one.code for one in calls}
    assert ended <= {0, 1, 2} and (0 in ended) == (command not in ALL_FAIL), told
    assert_nothing_is_left(place, *calls)


def test_every_command_is_called_with_secrets() -> None:
    assert list(CALLS) == list(cli.COMMANDS)


def test_a_reading_of_an_endpoint_keeps_its_address_without_user_and_key(tmp_path: Path) -> None:
    with serving(offices().store()) as server:
        source = HIDDEN.format(f"127.0.0.1:{server.server_port}")
        days = ("--since", "2003-06-01", "--as-of", "2005-06-01", "--relations", "office_holder")
        done = call(tmp_path, "refresh", "--source", source, *days, "--out", "S")
        assert done.code == 0, done.errors
        again = call(tmp_path, "refresh", "--source", source, *days, "--out", "S2", "--update", "S")
        assert again.code == 0, again.errors
        months = ("--months", "2004-12", "--relations", "office_holder", "--raw", "raw")
        filled = call(tmp_path, "backfill", "--source", source, *months, "--store", "store")
        assert filled.code == 0, filled.errors
        assert list((tmp_path / "store").rglob("*.parquet")) and list((tmp_path / "raw").rglob("*.*"))
    tired = call(tmp_path, "backfill", "--source", NOWHERE, *months, "--store", "empty", stop_at="gave no answer")
    assert tired.code == 128 + signal.SIGTERM
    away = call(tmp_path, "refresh", "--source", NOWHERE, *days, "--out", "S3")
    late = call(tmp_path, "refresh", "--source", source, "--since", "2003-06-01", "--as-of", "x", "--out", "S3")
    odd = call(tmp_path, "refresh", "--source", HIDDEN.format("[::1"), *days, "--out", "S3")
    assert (away.code, late.code, odd.code) == (1, 2, 2)
    assert all("Traceback" not in one.errors for one in (away, late, odd))
    assert b"127.0.0.1" in (tmp_path / "S" / "manifest.json").read_bytes()
    assert_nothing_is_left(tmp_path, done, again, filled, tired, away, late, odd)


def test_publishing_and_looking_live_leave_no_secret_either(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    sent = call(tmp_path, "publish", str(snapshot), "--repo", "org/x", "--endpoint", hub.url, "--yes", "--dry-run")
    refused = call(tmp_path, "publish", str(snapshot), "--repo", "org/x", "--endpoint", HIDDEN.format("h"), "--yes")
    live = call(tmp_path, "inspect", str(snapshot), "--why", "Q11", "--live", "--api", NOWHERE)
    # The Hub does not know the planted token; one that it takes is in test_paths_and_secrets.py.
    assert [one.code for one in (sent, refused, live)] == [2, 2, 1] and "401" in sent.errors
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
    source = NOWHERE
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
    command = [sys.executable, "-W", "ignore", "-c", code, NOWHERE]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert "EndpointFailed" in done.stdout, done.stderr[-2000:]
    database = own_prefect_home / "prefect.db"
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM flow_run").fetchone()[0] > 0
    assert_nothing_is_left(own_prefect_home, Ended(done.returncode, done.stdout, done.stderr))
    assert_nothing_is_left(tmp_path)


def deployed(home: Path) -> list[tuple[str]]:
    """The parameters of every deployment in Prefect's database."""
    with sqlite3.connect(home / "prefect.db", timeout=60) as connection:
        return connection.execute("SELECT parameters FROM deployment").fetchall()


def test_serving_leaves_no_secret_in_what_it_prints_and_in_its_database(own_prefect_home: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREFECT_", "CHRONO"))}
    environment = {**kept, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(own_prefect_home), "HF_TOKEN": PLANTED[2]}
    words = ["serve", "--port", str(free_port()), "--set", f"source={NOWHERE}", "--set", "repo=org/x"]
    words += ["--webhook", f"http://127.0.0.1:9/{PLANTED[3]}"]
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-u", "-m", "chronofacts.flows.cli", *words],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = bytearray()
        while b"serving monthly" not in said:
            line = process.stdout.readline()
            assert line, said.decode()
            said += line
        until = time.monotonic() + 120
        while not (stored := deployed(own_prefect_home)) and time.monotonic() < until:
            time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        said += process.stdout.read()
        code = process.wait(timeout=60)
    assert code == 128 + signal.SIGTERM and said.splitlines()[-1].startswith(b"chronofacts serve: stopped by SIGTERM")
    ((parameters,),) = stored
    assert json.loads(parameters)["source"] == "http://127.0.0.1:9/sparql"
    assert_nothing_is_left(own_prefect_home)
    assert_nothing_is_left(tmp_path, Ended(code, said.decode(), ""))
