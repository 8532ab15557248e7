"""Lines of a dump, and whole dumps, that no Wikibase wrote: each is read, or is a rejection, and none ends it."""

from __future__ import annotations

import bz2
import datetime
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.attack_families import Attack, Broken, expect_line
from chronofacts.pipeline.sources.dump.parts import PartSettings, extract_part

__all__ = ["attacks"]

DAY = datetime.date(2025, 1, 1)
TIME = {"time": "+2020-01-01T00:00:00Z", "precision": 11, "calendarmodel": "http://www.wikidata.org/entity/Q1985727"}
GOOD: dict[str, Any] = {
    "type": "item", "id": "Q1", "lastrevid": 7, "modified": "2024-01-01T00:00:00Z",
    "labels": {"en": {"language": "en", "value": "one"}}, "descriptions": {}, "aliases": {"en": [{"value": "1"}]},
    "sitelinks": {"enwiki": {"site": "enwiki"}},
    "claims": {"P39": [{
        "id": "Q1$a", "rank": "normal",
        "mainsnak": {"snaktype": "value", "datavalue": {"type": "wikibase-entityid", "value": {"id": "Q2"}}},
        "qualifiers": {"P580": [{"snaktype": "value", "datavalue": {"type": "time", "value": TIME}}]},
    }]},
}  # fmt: skip
LAST = json.dumps({**GOOD, "id": "Q77"}).encode()
VALUES: tuple[Any, ...] = (
    None, "", 5, -1.5, True, [], {}, [[]], [None], {"a": 1}, "\ud800", "x" * 1_000_000, 10**400, "Q" + "9" * 5000,
    "Q1٣", "+99999999999-00-00T00:00:00Z", "\x00", 2**63,
)  # fmt: skip
LINES: Mapping[str, bytes] = {
    "half a character in an id": b'{"type":"item","id":"Q1","claims":{"P39":[{"id":"\\ud800","mainsnak":5}]}}',
    "an id of 5,000 digits": b'{"type":"item","id":"Q' + b"9" * 5000 + b'","claims":{"P39":[]}}',
    "lists in lists": b'{"id":"Q1","claims":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects in objects": b'{"id":"Q1","claims":' + b'{"P39":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "a number with a large exponent": b'{"id":"Q1","claims":{"P39":[{"id":"Q1$a","rank":"normal","mainsnak":'
    b'{"snaktype":"value","datavalue":{"type":"quantity","value":{"amount":"+1e999999999","unit":"1"}}}}]}}',
    "not UTF-8": b'{"type":"item","id":"Q1","labels":{"en":{"value":"\xff"}},"claims":{"P39":[]}}',
    "NULs": b"{" + b"\x00" * 1000 + b"}",
    "a key a hundred thousand times": b'{"id":"Q1",' + b'"claims":{"P39":[]},' * 100_000 + b'"id":"Q1"}',
    "a hundred thousand statements": b'{"type":"item","id":"Q1","claims":{"P39":['
    + b",".join(b'{"id":"Q1$%d","rank":"normal","mainsnak":{"snaktype":"novalue"}}' % n for n in range(100_000))
    + b"]}}",
    "ten megabytes of a label": b'{"type":"item","id":"Q1","labels":{"en":{"value":"'
    + b"x" * 10_000_000
    + b'"}},"claims":{"P39":[]}}',
    "twenty thousand names": json.dumps(
        {**GOOD, "aliases": {"en": [{"value": f"{n} " + "y" * 200} for n in range(20_000)]}}
    ).encode(),
}
DUMPS: Mapping[str, bytes] = {
    "nothing": b"",
    "an empty array": b"[\n]\n",
    "an answer of the API": b'{"entities":{"Q1":{}}}',
    "an HTML page": b"<html>\n" * 2000,
    "blanks": b" " * 1_000_000,
    "lines without an end": b"{" * 1_000_000,
    "gzip, cut off": gzip.compress(LAST * 100)[:-9],
    "gzip with rubbish behind": gzip.compress(b"[\n" + LAST + b"\n]\n") + b"rubbish" * 100,
    "bzip2, cut off": bz2.compress(LAST * 100)[:-9],
    "zlib": zlib.compress(LAST),
    "zip": b"PK\x03\x04" + b"\x00" * 100,
    "UTF-16": ("[\n" + LAST.decode() + "\n]\n").encode("utf-16"),
    "carriage returns alone": b"[\r" + LAST + b"\r]\r",
    "packed blanks": gzip.compress(b" " * 50_000_000),
    "a line of a hundred megabytes": gzip.compress(
        b'[\n{"id":"Q1","x":"' + b"x" * 100_000_000 + b'"},\n' + LAST + b"\n]\n", 1
    ),
}  # fmt: skip


def attacks(folder: Path) -> Iterator[Attack]:
    for path in _paths(GOOD):
        for value in VALUES:
            name = f"{'.'.join(map(str, path))} is {str(value)[:20].encode('ascii', 'replace').decode()}"
            yield Attack(f"a line: {name}", partial(_line, folder, json.dumps(_changed(path, value)).encode()))
    for name, line in LINES.items():
        yield Attack(f"a line: {name}", partial(_line, folder, line))
    for name, content in DUMPS.items():
        yield Attack(f"a dump: {name}", partial(_dump, folder, content))


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*before, key)
        yield from _paths(inner, (*before, key))


def _changed(path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(GOOD))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy


def _line(folder: Path, line: bytes) -> str:
    """The line is met, and the one behind it is read."""
    file = folder / "line.json"
    file.write_bytes(b"[\n" + line + b",\n" + LAST + b"\n]\n")
    rows = _read(folder, file)
    if "Q77" not in rows:
        raise Broken("the line behind it was lost")
    return f"{len(rows)} statements"


def _dump(folder: Path, content: bytes) -> str:
    file = folder / "dump.json"
    file.write_bytes(content)
    return expect_line(lambda: _read(folder, file))


def _read(folder: Path, file: Path) -> list[str]:
    settings = PartSettings(DAY, language="en")
    for old in folder.glob("out/*"):
        old.unlink()
    report = extract_part(file, ["P39"], folder / "out", settings)
    pq.read_table(report.rejections)
    pq.read_table(report.names)
    return pq.read_table(report.statements)["subject"].to_pylist()  # type: ignore[no-any-return]
