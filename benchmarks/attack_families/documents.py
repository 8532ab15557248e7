"""JSON and TOML that no parser likes, wherever a document of strangers is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.attack_families import Attack, expect_refused
from chronofacts.editing.report.runs import read_runs
from chronofacts.flows.configuration import read_configuration
from chronofacts.pipeline.sources.sparql.recording import find_recording
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.models import named_models
from tests.pipeline.publishing.small_snapshot import make_snapshot

__all__ = ["attacks"]

DEEP = 100_000
JSON: Mapping[str, bytes] = {
    "nothing": b"",
    "a number of 5,000 digits": b'{"format": ' + b"9" * 5000 + b"}",
    "lists in lists": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "half a character": b'{"format": 1, "name": "\\ud800"}',
    "not UTF-8": b'{"format": "\xff\xfe"}',
    "UTF-16": '{"format": 1}'.encode("utf-16"),
    "a BOM alone": b"\xef\xbb\xbf",
    "NULs": b"\x00" * 1000,
    "a list": b"[1, 2, 3]",
    "a text": b'"x"',
    "null": b"null",
    "an endless number": b'{"format": 1e999}',
    "NaN": b'{"format": NaN}',
    "cut off": b'{"format": 1, "files": {',
    "one key 10,000 times": b"{" + b'"format": 1,' * 10_000 + b'"format": 1}',
}
TOML: Mapping[str, bytes] = {
    "a number of 5,000 digits": b"[publish]\nrepo = " + b"9" * 5000,
    "lists in lists": b"x = " + b"[" * DEEP + b"]" * DEEP,
    "tables in tables": b"x = " + b"{a=" * DEEP + b"1" + b"}" * DEEP,
    "dotted keys": b".".join([b"a"] * DEEP) + b" = 1",
    "not UTF-8": b'[publish]\nrepo = "\xff"',
    "half a character": b'[publish]\nrepo = "\\ud800"',
    "NULs": b"\x00" * 1000,
    "no table": b"publish = 1",
    "cut off": b'[publish]\nrepo = "',
    "a day": b"[publish]\nrepo = 2020-01-01",
    "a list of tables": b"[[publish]]\nrepo = 1",
}
# field of a manifest -> values that are none
VALUES: Mapping[str, tuple[Any, ...]] = {
    "format": (None, "1", 1.5, -1, 10**30, [], True),
    "files": (
        None,
        [],
        "x",
        {"edits/edits-test.parquet": 5},
        {"edits/edits-test.parquet": {"rows": "1", "sha256": "0" * 64}},
    ),
    "documents": (None, [], {"README.md": 5}, {"README.md": "0"}),
    "since": (None, 5, "2021-13-01", "x", "99999-01-01"),
    "as_of": ("", {}, "2025-01-01T00:00:00"),
    "retrieved_at": (None, 5, "x"),
    "relations": (None, "x", [5], {"a": 1}),
    "seed": (None, "0", 1.5, True),
    "origin": (None, 5, "../x", "evil thing", ""),
    "language": (None, 5, "en/../x"),
    "set_aside": ([], {"a": 5}, {"a": {"edits": -1}}),
    "label_languages": ([], {"en": "x"}, {"en": -1}),
    "unknown": (1,),
}


def attacks(folder: Path) -> Iterator[Attack]:
    snapshot = make_snapshot(folder / "S")
    readers: dict[str, Callable[[bytes], object]] = {
        "manifest.json": partial(_read_manifest, snapshot),
        "run.json": partial(_read_run, folder / "run"),
        "card.json": partial(_read_card, folder / "edit"),
        "a recording's run.json": partial(_read_recording, folder / "raw"),
    }
    for reader, read in readers.items():
        for name, text in JSON.items():
            yield Attack(f"{reader}: {name}", partial(expect_refused, partial(read, text)))
    for name, text in TOML.items():
        for kind, load in (
            ("a catalogue", load_catalogue),
            ("models.toml", named_models),
            ("a configuration", _config),
        ):
            yield Attack(f"{kind}: {name}", partial(expect_refused, partial(_read_toml, folder / "x.toml", text, load)))
    about = json.loads((snapshot / "manifest.json").read_text())
    for field, values in VALUES.items():
        for value in values:
            text = json.dumps({**about, field: value}).encode()
            yield Attack(
                f"manifest.json: {field} is {str(value)[:30]}",
                partial(expect_refused, partial(_read_manifest, snapshot, text)),
            )


def _read_manifest(snapshot: Path, text: bytes) -> object:
    hostile = snapshot.with_name("hostile")
    shutil.rmtree(hostile, ignore_errors=True)
    hostile.mkdir()
    (hostile / "manifest.json").write_bytes(text)
    return read_manifest(hostile)


def _read_run(folder: Path, text: bytes) -> object:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_bytes(text)
    return read_runs([folder])


def _read_card(folder: Path, text: bytes) -> object:
    from chronofacts.editing.editors.saved_edit import check_base

    folder.mkdir(exist_ok=True)
    (folder / "card.json").write_bytes(text)
    return check_base(folder, "another")


def _read_recording(folder: Path, text: bytes) -> object:
    run = folder / "runs" / "20250101T000000Z-x"
    run.mkdir(parents=True, exist_ok=True)
    (run / "finished").touch()
    (run / "run.json").write_bytes(text)
    return find_recording(folder)


def _read_toml(path: Path, text: bytes, load: Callable[[Path], object]) -> object:
    path.write_bytes(text)
    return load(path)


def _config(path: Path) -> object:
    return read_configuration(path, {"publish": {"repo": "repo"}})
