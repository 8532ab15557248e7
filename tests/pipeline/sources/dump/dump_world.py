"""Small dumps for tests: entities as Wikidata writes them, in any compression."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

EDITED = "2025-03-04T05:06:07Z"


def snak(property_: str, type_: str, value: object) -> dict:
    return {"snaktype": "value", "property": property_, "datavalue": {"value": value, "type": type_}}


def item(property_: str, number: int) -> dict:
    return snak(property_, "wikibase-entityid", {"entity-type": "item", "numeric-id": number, "id": f"Q{number}"})


def day(property_: str, date: str, precision: int = 11) -> dict:
    calendar = "http://www.wikidata.org/entity/Q1985727"
    value = {"time": f"+{date}T00:00:00Z", "timezone": 0, "before": 0, "after": 0, "precision": precision}
    return snak(property_, "time", {**value, "calendarmodel": calendar})


def statement(id_: str, main: dict, *qualifiers: dict, rank: str = "normal") -> dict:
    by_property: dict[str, list[dict]] = {}
    for qualifier in qualifiers:
        by_property.setdefault(qualifier["property"], []).append(qualifier)
    reference = {"hash": "0", "snaks": {"P854": [snak("P854", "string", "https://example.org")]}}
    return {
        "mainsnak": main, "type": "statement", "id": id_, "rank": rank,
        "qualifiers": by_property, "qualifiers-order": list(by_property), "references": [reference],
    }  # fmt: skip


def entity(number: int, *statements: dict, label: str | None = None, revision: int = 7, **more: object) -> dict:
    claims: dict[str, list[dict]] = {}
    for one in statements:
        claims.setdefault(one["mainsnak"]["property"], []).append(one)
    name = label if label is not None else f"item {number}"
    return {
        "type": "item", "id": f"Q{number}",
        "labels": {"en": {"language": "en", "value": name}, "de": {"language": "de", "value": f"{name} (de)"}},
        "descriptions": {}, "aliases": {"en": [{"language": "en", "value": f"{name} too"}]},
        "claims": claims or [], "sitelinks": {"enwiki": {"site": "enwiki", "title": name, "badges": []}},
        "lastrevid": revision, "modified": EDITED, **more,
    }  # fmt: skip


def holder(number: int, office: int = 11696) -> dict:
    """A person who held an office for a year that depends on the number."""
    year = 1900 + number % 120
    held = statement(
        f"Q{number}$00000000-0000-0000-0000-{number:012d}", item("P39", office),
        day("P580", f"{year}-03-04"), day("P582", f"{year + 1}-03-04"),
    )  # fmt: skip
    born = statement(f"Q{number}$10000000-0000-0000-0000-{number:012d}", day("P569", f"{year - 40}-05-06"))
    return entity(number, held, born)


def holders(first: int, count: int) -> list[dict]:
    return [holder(number) for number in range(first, first + count)]


def as_lines(entities: Iterable[dict]) -> list[bytes]:
    return [json.dumps(one, separators=(",", ":")).encode() + b",\n" for one in entities]


def as_dump(lines: Sequence[bytes]) -> bytes:
    """The array around the lines; the last entity has no comma, as in Wikidata's own dumps."""
    return b"[\n" + b"".join([*lines[:-1], lines[-1].removesuffix(b",\n") + b"\n"]) + b"]\n"


def compressed(data: bytes, form: str) -> bytes:
    if form == "gz":
        return gzip.compress(data, 1)
    if form == "bz2":
        return bz2.compress(data, 1)
    return pa.Codec("zstd").compress(data, asbytes=True) if form == "zst" else data


def write_dump(path: Path, entities: Iterable[dict]) -> Path:
    """A whole dump; the compression is that of the name."""
    path.write_bytes(compressed(as_dump(as_lines(entities)), path.suffix.removeprefix(".")))
    return path
