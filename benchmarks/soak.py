"""Claim: a command that is killed at any moment loses nothing and leaves nothing.

Each command that writes is run once to its end, then again and again in a folder of its own, stopped at a moment drawn
by chance (by SIGKILL, SIGTERM or Ctrl-C), and run once more to its end. What then lies there is byte-equal to the
first, and no process, lock or temporary file is left. Ctrl-C and SIGTERM end it within two seconds.
Run: python -m benchmarks.soak [--kills 12] [--seed 0] [COMMAND ...]
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import claim
from benchmarks.machine import MACHINE, ROOT
from tests.editing.invented_world import write_invented
from tests.flows.tiny_runs import COSTS, TINY
from tests.pipeline.publishing.local_hub import TOKEN, LocalHub, local_hub
from tests.pipeline.publishing.small_snapshot import make_snapshot
from tests.pipeline.sources.rdf_world import offices
from tests.pipeline.sources.sparql.endpoint_server import serving

ENDS_IN_S = 2.0
"""Within which Ctrl-C and SIGTERM must end a command, on a machine that does nothing else."""
MARK = "SOAK_MARK"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
OFFICES = ("--since", "2003-06-01", "--as-of", "2005-06-01", "--relations", "office_holder")


@dataclass(frozen=True)
class Command:
    """words: what is run in a folder. made: what it leaves, by name, to be compared."""

    words: Callable[[Path], list[str]]
    made: Callable[[Path], Mapping[str, str]]
    ends: bool = True
    """False for one that runs until it is stopped."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("commands", nargs="*")
    chosen = parser.parse_args(arguments)
    print(MACHINE)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, prepared(Path(folder)) as commands:
        for name in chosen.commands or commands:
            faults += soak(name, commands[name], Path(folder) / name, chosen.kills, random.Random(chosen.seed))
    print("0 faults" if not faults else f"{faults} FAULTS")
    claim("commands killed at any moment: faults", "0", str(faults), not faults)
    return 1 if faults else 0


@contextmanager
def prepared(folder: Path) -> Iterator[dict[str, Command]]:
    """The commands, with the inputs and servers that they need."""
    small, world = make_snapshot(folder / "small"), write_invented(folder / "world", facts=8, edits=2, people=6)
    dump = folder / "dump.json.gz"
    dump.write_bytes(gzip.compress(_dump(2000)))
    benchmark = folder / "benchmark.jsonl"
    benchmark.write_text("".join(json.dumps(_fact(number)) + "\n" for number in range(3000)))
    given = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    tree = lambda out: lambda at: digests(at / out)  # noqa: E731
    months = ["backfill", "--months", "2024-11..2024-12", "--source", "sample", "--relations", "capital,head_of_state"]
    run(Command(lambda at: [*months, "--store", "store"], lambda at: {}), folder / "months")
    with serving(offices().store()) as endpoint, local_hub() as hub:
        os.environ["HF_TOKEN"] = TOKEN
        yield {
            "refresh-sample": Command(
                lambda at: ["refresh", "--since", "2021-01-01", "--as-of", "2025-01-01", "--relations", "P6,P35",
                            "--out", "S"],
                tree("S"),
            ),
            "refresh-dump": Command(
                lambda at: ["refresh", "--source", str(dump), "--since", "2016-01-01", "--as-of", "2021-12-31",
                            "--dump-day", "2022-01-05", "--relations", "P39", "--out", "S"],
                tree("S"),
            ),
            "refresh-endpoint": Command(
                lambda at: ["refresh", "--source", endpoint.url, *OFFICES, "--out", "S"],
                lambda at: _without_moments(at / "S"),
            ),
            "export": Command(lambda at: ["export", str(small), "--format", "lm-eval", "--out", "E"], tree("E")),
            "import": Command(
                lambda at: ["import", str(benchmark), "--format", "facts", "--since", "2020-01-01", "--as-of",
                            "2021-01-01", "--out", "I"],
                tree("I"),
            ),
            "publish": Command(
                lambda at: ["publish", str(small), "--repo", f"org/{at.name}", "--endpoint", hub.url, "--yes"],
                lambda at: published(hub, f"org/{at.name}"),
            ),
            "experiment": Command(
                lambda at: ["experiment", str(world), "--editor", "none,lora", "--out", "R", *given],
                lambda at: _without_costs(at / "R", "run.json"),
            ),
            "backfill": Command(lambda at: [*months, "--store", "store"], tree("store")),
            "follow": Command(
                lambda at: ["follow", str(folder / "months/store"), "--editor", "lora", "--out", "F", *given],
                lambda at: _without_costs(at / "F", "follow.json"),
            ),
            "serve": Command(
                lambda at: ["serve", "--port", str(_free_port()), "--set", "source=sample"], lambda at: {}, ends=False
            ),
        }  # fmt: skip


def soak(name: str, command: Command, folder: Path, kills: int, chance: random.Random) -> int:
    """Run, kill, run again; prints what came of it and returns the faults."""
    whole = folder / "whole"
    began = time.monotonic()
    if command.ends:
        run(command, whole)
        wanted = command.made(whole)
        if not wanted:
            print(f"{name:17} FAULT: it made nothing")
            return 1
    seconds = time.monotonic() - began if command.ends else 20.0
    faults, slowest = list[str](), 0.0
    for number in range(kills):
        at = folder / f"killed-{number}"
        sign = SIGNALS[number % len(SIGNALS)]
        after = chance.uniform(0.05, 1.0) * seconds
        took = kill_after(command, at, after, sign)
        what = f"{sign.name} after {after:.1f} s"
        if sign != signal.SIGKILL and took is not None:
            slowest = max(slowest, took)
        if left := running(at):
            faults.append(f"{what}: processes are left: {left}")
        if command.ends:
            run(command, at)
            made = command.made(at)
            if differing := sorted(key for key in {**wanted, **made} if wanted.get(key) != made.get(key)):
                faults.append(f"{what}: other bytes in {', '.join(differing[:3])}")
        if found := leftovers(at):
            faults.append(f"{what}: left {', '.join(found[:3])}")
        shutil.rmtree(at, ignore_errors=True)
    print(
        f"{name:17} {seconds:6.1f} s whole, {kills} kills, {kills - len(faults)} as if never killed, "
        f"ended {slowest:.1f} s after a signal at most",
        flush=True,
    )
    for fault in faults:
        print(f"    FAULT {fault}")
    if slowest > ENDS_IN_S:
        print(f"    SLOW more than {ENDS_IN_S} s (load {os.getloadavg()[0]:.0f})")
    return len(faults)


def begin(command: Command, at: Path) -> subprocess.Popen[bytes]:
    own = {name: at / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "PREFECT_HOME")}
    for path in own.values():
        path.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {name: str(path) for name, path in own.items()}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_XET": "1", MARK: str(at)}
    environment |= {"CHRONOFACTS_CACHE": "", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    words = [sys.executable, "-W", "ignore", "-m", "chronofacts.flows.cli", *command.words(at), "--quiet"]
    return subprocess.Popen(
        words, cwd=at, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def run(command: Command, at: Path) -> None:
    """To its end; what it says is told where it fails."""
    process = begin(command, at)
    said, _ = process.communicate(timeout=1800)
    done_before = process.returncode == 2 and b"is not empty" in said
    if process.returncode != 0 and not done_before:
        raise SystemExit(f"{at}: it ended with {process.returncode}: {said.decode()[-2000:]}")


def kill_after(command: Command, at: Path, seconds: float, sign: signal.Signals) -> float | None:
    """Seconds from the signal to the end; None for one that was done before."""
    process = begin(command, at)
    try:
        process.wait(seconds)
        return None
    except subprocess.TimeoutExpired:
        pass
    sent = time.monotonic()
    # A terminal sends Ctrl-C to all processes of the command; the others are for one.
    os.killpg(process.pid, sign) if sign == signal.SIGINT else process.send_signal(sign)
    process.communicate(timeout=120)
    return time.monotonic() - sent


def running(at: Path) -> list[str]:
    """The processes that a command started and that live on, once they had the time to notice."""
    for _ in range(50):
        found = [process for process in Path("/proc").iterdir() if process.name.isdigit() and _is_of(process, at)]
        if not found:
            return []
        time.sleep(0.1)
    return [(process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:100] for process in found]


def _is_of(process: Path, at: Path) -> bool:
    try:
        return f"{MARK}={at}".encode() in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def leftovers(at: Path) -> list[str]:
    """Hidden folders and files on their way, locks, and anything in the temporary folder."""
    found = [path for path in (at / "TMPDIR").rglob("*") if path.is_file()]
    found += [path for path in at.rglob("*") if path.name.endswith((".partial", ".work", ".lock"))]
    return sorted({str(path.relative_to(at)) for path in found if "PREFECT_HOME" not in path.parts})


def digests(folder: Path) -> dict[str, str]:
    """file -> sha256"""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def published(hub: LocalHub, repo: str) -> dict[str, str]:
    """What a repository holds under its tag, and how many commits it took."""
    if repo not in hub.repos or not hub.repos[repo].tags:
        return {}
    (tag,) = hub.repos[repo].tags
    named = {
        name: hashlib.sha256(hub.content(repo, tag, name).replace(repo.encode(), b"REPO")).hexdigest()
        for name in hub.repos[repo].files(tag)
        if name not in ("README.md", "croissant.json")  # which name the repository
    }
    return {**named, "commits": str(len(hub.repos[repo].commits))}


def _without_moments(snapshot: Path) -> dict[str, str]:
    """The tables of an endpoint's snapshot without the moment at which it was asked."""
    import pyarrow.parquet as pq

    found = {}
    for path in sorted(snapshot.rglob("*.parquet")):
        table = pq.read_table(path, partitioning=None)
        kept = table.select([name for name in table.column_names if name != "retrieved_at"])
        found[str(path.relative_to(snapshot))] = hashlib.sha256(str(kept.to_pylist()).encode()).hexdigest()
    return found


def _without_costs(made: Path, about: str) -> dict[str, str]:
    """All files of a run; `about` and the cards of edits without seconds and memory, and no page: it shows them."""
    found = {name: digest for name, digest in digests(made).items() if not name.endswith(".html")}
    for name in [name for name in found if name == about or name.endswith("card.json")]:
        text = json.loads((made / name).read_text())
        found[name] = hashlib.sha256(json.dumps(_cut(text), sort_keys=True).encode()).hexdigest()
    return found


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cut(inner) for key, inner in value.items() if key not in COSTS}
    return [_cut(inner) for inner in value] if isinstance(value, list) else value


def _dump(people: int) -> bytes:
    """Offices that change hands, one line each."""
    time_ = {"precision": 11, "calendarmodel": "http://www.wikidata.org/entity/Q1985727"}

    def dated(pid: str, day: str) -> dict[str, Any]:
        value = {"type": "time", "value": {**time_, "time": f"+{day}T00:00:00Z"}}
        return {"snaktype": "value", "property": pid, "datavalue": value}

    lines = []
    for number in range(1, people + 1):
        office = f"Q{900_000 + number // 2}"
        days = ("2010-01-01", "2018-05-05") if number % 2 == 0 else ("2018-05-05", None)
        qualifiers = {"P580": [dated("P580", days[0])]} | ({"P582": [dated("P582", days[1])]} if days[1] else {})
        main = {"type": "wikibase-entityid", "value": {"id": office}}
        statement = {"id": f"Q{number}$a", "rank": "normal", "qualifiers": qualifiers}
        claims = {"P39": [{**statement, "mainsnak": {"snaktype": "value", "datavalue": main}}]}
        for qid, name, said in (
            (f"Q{number}", f"Person {number}", claims),
            (office, f"Mayor of Town {number // 2}", {}),
        ):
            names = {"en": {"language": "en", "value": name}}
            lines.append(json.dumps({"type": "item", "id": qid, "labels": names, "claims": said}))
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def _fact(number: int) -> dict[str, str]:
    return {"prompt": f"Who runs Acme {number}?", "target": f"Jane Roe {number}", "old": f"John Doe {number}"}


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
