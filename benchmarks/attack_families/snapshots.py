"""Snapshots of strangers: files that swell, lie, lead elsewhere or hold what no snapshot holds."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.attack_families import Attack, Broken, expect_line, expect_refused
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.pipeline.exchange import export_snapshot
from chronofacts.pipeline.publishing.contents import compose, data_files
from chronofacts.pipeline.snapshots.entity_report import report_entity
from chronofacts.pipeline.snapshots.store import open_store
from chronofacts.pipeline.snapshots.summary import summarise
from chronofacts.pipeline.snapshots.verify import require_valid
from chronofacts.schemas.files import sha256_of
from chronofacts.schemas.tables import SNAPSHOT_TABLES
from tests.pipeline.publishing.small_snapshot import make_snapshot

__all__ = ["attacks"]

Readers = Mapping[str, Callable[[Path], object]]


def _publish(snapshot: Path) -> object:
    require_valid(snapshot)
    return compose(snapshot, data_files(snapshot), "org/x", "https://hub/org/x", (), None)


READERS: Readers = {
    "verify": require_valid,
    "publish": _publish,
    "store": lambda snapshot: open_store(str(snapshot.parent / "store")).add(snapshot),
    "inspect": summarise,
    "inspect --why": lambda snapshot: report_entity(snapshot, "Q1"),
    "export": lambda snapshot: export_snapshot(snapshot, "easyedit", _fresh(snapshot.parent / "exported")),
    "experiment": load_snapshot,
}
MAY_BE_NULL = (
    "edits.old_aliases", "questions.answer_before_aliases", "questions.fallback_names", "entities.alias_languages",
)  # fmt: skip
CHECKS = ("verify", "publish")
"""What must refuse everything that is wrong; the others may read it, if they come to no harm."""


def attacks(folder: Path) -> Iterator[Attack]:
    sound = make_snapshot(folder / "S")
    secret = folder / "secret"
    secret.write_text("a secret of this machine")
    for name, spoil in {**_links(secret), **_bombs(), **_values(), **_documents(), **_claims()}.items():
        for reader, read in READERS.items():
            check = expect_refused if reader in CHECKS else expect_line
            yield Attack(f"{reader}: {name}", partial(_try, sound, secret, spoil, read, check))


def _try(
    sound: Path, secret: Path, spoil: Callable[[Path], None], read: Callable[[Path], object], check: Callable[..., str]
) -> str:
    hostile = sound.with_name("hostile")
    shutil.rmtree(sound.parent / "store", ignore_errors=True)
    shutil.rmtree(hostile, ignore_errors=True)
    shutil.copytree(sound, hostile)
    spoil(hostile)

    def harmless() -> object:
        found = read(hostile)
        if secret.read_text() in _all_bytes(found):
            raise Broken("a secret was read")
        return found

    return check(harmless)


def _all_bytes(found: object) -> str:
    contents = [getattr(one, "content", b"") for one in found.values()] if isinstance(found, dict) else []
    return b" ".join(one for one in contents if isinstance(one, bytes)).decode("utf-8", "replace")


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _links(secret: Path) -> dict[str, Callable[[Path], None]]:
    def link(name: str, to: Path) -> Callable[[Path], None]:
        def spoil(snapshot: Path) -> None:
            path = snapshot / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            path.symlink_to(to if to.is_absolute() else snapshot.parent / to)

        return spoil

    return {
        "README.md is a link": link("README.md", secret),
        "a table is a link": link("edits/edits-test.parquet", secret),
        "a table is a link to the right file": link("edits/edits-test.parquet", Path("S/edits/edits-test.parquet")),
        "a folder is a link": link("edits", Path("S/edits")),
        "a table is a link to itself": link("edits/edits-test.parquet", Path("hostile/edits/edits-test.parquet")),
        "a table is a device": link("edits/edits-test.parquet", Path("/dev/zero")),
    }


def _documents() -> dict[str, Callable[[Path], None]]:
    def write(name: str, content: bytes) -> Callable[[Path], None]:
        return lambda snapshot: (snapshot / name).write_bytes(content) and None  # type: ignore[func-returns-value]

    return {
        "another README.md": write("README.md", b"---\nlicense: evil\n---\n<script>"),
        "a README.md that is not UTF-8": write("README.md", b"\xff\xfe"),
        "no README.md": lambda snapshot: (snapshot / "README.md").unlink(),
        "another croissant.json": write("croissant.json", b"{}"),
        "a foreign table": write("edits/more.parquet", b"PAR1"),
        "a table cut off": lambda s: (
            (s / "edits/edits-test.parquet").write_bytes((s / "edits/edits-test.parquet").read_bytes()[:-9]) and None
        ),  # type: ignore[func-returns-value]
        "an empty table": write("edits/edits-test.parquet", b""),
    }


def _claims() -> dict[str, Callable[[Path], None]]:
    """What a manifest says of itself turns off no promise."""

    def claim(**values: object) -> Callable[[Path], None]:
        def spoil(snapshot: Path) -> None:
            _rewrite(snapshot, "edits", _same_day)  # breaks a promise that only statements can keep
            about = json.loads((snapshot / "manifest.json").read_text())
            (snapshot / "manifest.json").write_text(json.dumps({**about, **values}))

        return spoil

    return {
        "a broken promise": claim(),
        "a broken promise of another origin": claim(origin="evil"),
        "a broken promise of a benchmark": claim(origin="mquake"),
    }


def _same_day(edits: pa.Table) -> pa.Table:
    day = pa.array([datetime.date(1999, 1, 1)] * len(edits), pa.date32())
    return edits.set_column(edits.schema.get_field_index("changed_on_earliest"), "changed_on_earliest", day)


def _bombs() -> dict[str, Callable[[Path], None]]:
    def one_text(size: int, rows: int) -> Callable[[pa.Table], pa.Table]:
        def swell(table: pa.Table) -> pa.Table:
            columns = [pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))] + [
                pa.nulls(rows, field.type) for field in list(table.schema)[1:]
            ]
            return pa.table(columns, names=table.schema.names)

        return swell

    return {
        "swells: a text of a megabyte, 20,000 times": partial(
            _rewrite, table="rejections", change=one_text(1 << 20, 20_000)
        ),
        "swells: a text of ten kilobytes, a million times": partial(
            _rewrite, table="rejections", change=one_text(10_000, 1_000_000)
        ),
        "swells: edits of a megabyte, 5,000 times": partial(_rewrite, table="edits", change=one_text(1 << 20, 5_000)),
        "swells: one text of two megabytes": partial(_rewrite, table="edits", change=one_text(2 << 20, 1)),
        "swells: questions of a megabyte": partial(_rewrite, table="questions", change=one_text(1 << 20, 5_000)),
        "swells: sentences of a megabyte": partial(_rewrite, table="sentences", change=one_text(1 << 20, 5_000)),
    }


def _values() -> dict[str, Callable[[Path], None]]:
    found: dict[str, Callable[[Path], None]] = {}
    for table in ("edits", "questions", "timelines", "entities"):
        for field in SNAPSHOT_TABLES[table]:
            if pa.types.is_list(field.type) and f"{table}.{field.name}" not in MAY_BE_NULL:
                found[f"{table}.{field.name} is null"] = partial(
                    _rewrite, table=table, change=partial(_null, field.name)
                )
            if pa.types.is_date32(field.type) and field.name.endswith("latest"):
                found[f"{table}.{field.name} is after 9999"] = partial(
                    _rewrite, table=table, change=partial(_far, field.name)
                )
    for table in ("edits", "questions", "statements"):
        found[f"{table} without its first column"] = partial(
            _rewrite, table=table, change=lambda t: t.drop_columns(t.column_names[:1])
        )
        found[f"{table} with numbers for texts"] = partial(_rewrite, table=table, change=_numbers)
        found[f"{table} without a row"] = partial(_rewrite, table=table, change=lambda t: t.slice(0, 0))
        found[f"{table} with bytes that are no text"] = partial(_rewrite, table=table, change=_bytes)
    return found


def _null(name: str, table: pa.Table) -> pa.Table:
    return table.set_column(
        table.schema.get_field_index(name), name, pa.nulls(len(table), table.schema.field(name).type)
    )


def _far(name: str, table: pa.Table) -> pa.Table:
    days = pa.array([2**31 - 1] * len(table), pa.int32()).cast(pa.date32())
    return table.set_column(table.schema.get_field_index(name), name, days)


def _numbers(table: pa.Table) -> pa.Table:
    return table.set_column(0, table.column_names[0], pa.array(range(len(table)), pa.float64()))


def _bytes(table: pa.Table) -> pa.Table:
    raw = pa.array([b"\xff\xfe\x80"] * len(table), pa.binary())
    return table.set_column(0, table.column_names[0], pa.Array.from_buffers(pa.string(), len(raw), raw.buffers()))


def _rewrite(snapshot: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a table anew, and a manifest whose sums and rows fit it."""
    about = json.loads((snapshot / "manifest.json").read_text())
    for name in [file for file in about["files"] if file.startswith(f"{table}/")]:
        changed = change(pq.read_table(snapshot / name, partitioning=None))
        pq.write_table(changed, snapshot / name, compression="zstd", store_schema=False)
        about["files"][name] = {"rows": len(changed), "sha256": sha256_of(snapshot / name)}
    (snapshot / "manifest.json").write_text(json.dumps(about))
