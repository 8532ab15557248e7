"""What is claimed of speed and size: expected, measured, by which command; kept as JSON and shown as one table.

A benchmark says `claim(…)` where it has a figure that was promised. `python -m benchmarks` runs the benchmarks and
collects what they say: `claims.json` keeps the latest of each, and `benchmarks/README.md` shows them.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["BEGIN", "COLLECTED", "Claim", "as_table", "claim", "merge", "read_claims", "read_said", "with_table"]

COLLECTED = "BENCHMARK_CLAIMS"
"""Environment variable that names the file in which claims are collected."""
BEGIN, END = "<!-- claims -->", "<!-- end of claims -->"
MET = {True: "yes", False: "**no**", None: "–"}


@dataclass(frozen=True)
class Claim:
    benchmark: str
    """File in this folder, without `.py`."""
    what: str
    expected: str
    """Empty where nothing was promised."""
    measured: str
    met: bool | None
    """None where nothing was promised, or where this machine cannot tell."""
    day: str = ""
    machine: str = ""


def claim(what: str, expected: str, measured: str, met: bool | None = None) -> None:
    """Say a promised figure; kept where `python -m benchmarks` runs this process, else printed alone."""
    print(
        f"claim: {what}: {measured}{f', expected {expected}' if expected else ''}; met: {MET[met].strip('*')}",
        flush=True,
    )
    if path := os.environ.get(COLLECTED):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "expected": expected, "measured": measured, "met": met}) + "\n")


def read_said(path: Path, benchmark: str, machine: str, day: datetime.date) -> list[Claim]:
    """What the processes of one benchmark said."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Claim(benchmark, **json.loads(line), day=str(day), machine=machine) for line in lines]


def read_claims(path: Path) -> list[Claim]:
    return [Claim(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def merge(kept: Iterable[Claim], said: Iterable[Claim]) -> list[Claim]:
    """The latest of each claim, in the order in which they were first made, each benchmark's together."""
    found = {(one.benchmark, one.what): one for one in kept} | {(one.benchmark, one.what): one for one in said}
    order = list(dict.fromkeys(one.benchmark for one in found.values()))
    return sorted(found.values(), key=lambda one: order.index(one.benchmark))


def as_json(claims: Iterable[Claim]) -> str:
    return json.dumps([asdict(one) for one in claims], indent=1, ensure_ascii=False) + "\n"


def as_table(claims: Iterable[Claim], commands: Mapping[str, Sequence[str]]) -> str:
    """Markdown. commands: of each benchmark, the words behind its name."""
    lines = ["| claim | expected | measured | met | day | machine | command |", "|---|---|---|---|---|---|---|"]
    for one in claims:
        words = " ".join([one.benchmark, *commands.get(one.benchmark, ())])
        page = f"[{words}]({one.benchmark}.md)" if (Path(__file__).parent / f"{one.benchmark}.md").exists() else words
        cells = (one.what, one.expected or "–", one.measured, MET[one.met], one.day, one.machine, page)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str, table: str) -> str:
    """The page with its table put in place of the one between the two marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"
