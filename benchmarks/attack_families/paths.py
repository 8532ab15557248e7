"""Paths as they are: signs of patterns, quotes, blanks, links and lengths in what the user names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.attack_families import Attack, Broken, expect_line, expect_refused
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.flows.commands.checks import check_source
from chronofacts.flows.dump import part_runner
from chronofacts.pipeline.exchange import export_snapshot
from chronofacts.pipeline.snapshots.entity_report import report_entity
from chronofacts.pipeline.snapshots.summary import summarise
from chronofacts.pipeline.snapshots.verify import require_valid
from chronofacts.pipeline.sources.dump.source import DumpSettings, open_dump
from chronofacts.schemas.dates import parse_day
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import check_out, create_folder
from tests.pipeline.publishing.small_snapshot import make_snapshot

__all__ = ["attacks"]

NAMES = (
    "S[1]",
    "S*",
    "S?",
    "it's",
    'a "b"',
    "a\nb",
    " S ",
    "é 文",
    "a=1",
    "#x",
    "{a,b}",
    "~",
    "-S",
    "a;b",
    "$HOME",
    "%20",
    "a\\b",
)


def attacks(folder: Path) -> Iterator[Attack]:
    sound = make_snapshot(folder / "S")
    decoy = make_snapshot(folder / "decoy", holders={7: 7})
    for name in NAMES:
        yield Attack(f"a snapshot in {name!r}", partial(_snapshot, folder / "in", sound, decoy, name))
        yield Attack(f"a dump in {name!r}", partial(_dump, folder / "dumps", name))
        yield Attack(f"--out {name!r}", partial(_out, folder / "outs" / name))
    for name, make in {
        "a link to an empty folder": lambda out: (out.with_name("real").mkdir(exist_ok=True), out.symlink_to("real")),
        "a dangling link": lambda out: out.symlink_to("nowhere"),
        "a link to itself": lambda out: out.symlink_to(out.name),
        "a file": lambda out: out.touch(),
        "a full folder": lambda out: (out / "x").mkdir(parents=True),
        "a pipe": lambda out: os.mkfifo(out),
    }.items():
        yield Attack(f"--out is {name}", partial(_refused_out, folder / "refused" / name, make))
    for out in (
        Path(),
        Path(".."),
        Path("/"),
        Path("x" * 256),
        Path("x" * 240),
        Path("x/" * 3000),
        Path("a\x00b"),
        Path("/dev/null/x"),
    ):
        yield Attack(f"--out {str(out)[:20]!r}", partial(expect_refused, partial(check_out, out)))
    for source in (
        "x" * 5000,
        "a\x00b",
        "",
        "/dev/zero",
        "[",
        "**",
        "raw:",
        "raw:" + "x" * 5000,
        "http://",
        "https://[",
        "\n",
        "-",
    ):
        check = partial(check_source, source, "", parse_day("2025-01-01", "a test"))
        yield Attack(f"--source {source[:20]!r}", partial(expect_line, check))


def _snapshot(folder: Path, sound: Path, decoy: Path, name: str) -> str:
    """The folder of that name is read, and none that its name as a pattern fits."""
    shutil.rmtree(folder, ignore_errors=True)
    snapshot = folder / name / "S"
    shutil.copytree(sound, snapshot)
    for other in ("S1", "SS", "S"):
        if other != name:
            shutil.copytree(decoy, folder / other / "S")
    require_valid(snapshot)
    if not all("Seat 7" not in what for what in summarise(snapshot).question_examples["edit"]):
        raise Broken("another folder was read")
    report_entity(snapshot, "Q11")
    if load_snapshot(snapshot).edits.num_rows != 3:
        raise Broken("another folder was read")
    export_snapshot(snapshot, "mquake", folder / name / "out")
    return "read"


def _dump(folder: Path, name: str) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / name).mkdir(parents=True)
    file = folder / name / "all.json"
    file.write_text('[\n{"type":"item","id":"Q1","claims":{"P39":[]}}\n]\n')
    source = open_dump(str(file), ["P39"], DumpSettings(parse_day("2025-01-01", "a test")), part_runner("threads"))
    found = sum(table.num_rows for table in source.statements(["P39"]))
    source.finish()
    return f"{found} statements"


def _out(out: Path) -> str:
    shutil.rmtree(out.parent, ignore_errors=True)
    with create_folder(out) as aside:
        (aside / "file").touch()
    if [path.name for path in out.parent.iterdir()] != [out.name]:
        raise Broken(f"left: {list(out.parent.iterdir())}")
    return "written"


def _refused_out(out: Path, make) -> str:  # type: ignore[no-untyped-def]
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir(parents=True)
    make(out)
    before = sorted(path.name for path in out.parent.iterdir())
    met = expect_refused(lambda: check_out(out))
    try:
        with create_folder(out):
            raise Broken("it was begun")
    except BadInput:
        pass
    if sorted(path.name for path in out.parent.iterdir()) != before:
        raise Broken("something was left")
    return met
