"""What a snapshot has of one entity, statement by statement, beside what Wikidata itself says of it at this moment.

Leaves out: judgement. A statement that a snapshot does not have may have been made since, or was outside of
what its refresh read; `pipeline.snapshots.entity_report` says what became of those that it has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from chronofacts.pipeline.snapshots.write import table_files
from chronofacts.pipeline.sources.wikibase_api import EntityApi
from chronofacts.pipeline.storage.session import connect, files_in
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import SOURCE_COLUMNS

__all__ = ["LiveStatement", "check_live", "compare_statements"]


class LiveStatement(NamedTuple):
    """One statement of a snapshot beside the same of Wikidata now.

    verdict: `same`, `changed`, `gone` (only the snapshot has it), `other` (only Wikidata has it), or of the
    whole entity `merged` and `missing`. ids: the statement, or what an entity was merged into.
    """

    verdict: str
    what: str
    detail: str
    ids: tuple[str, ...]


def check_live(snapshot: Path, qid: str, api: EntityApi) -> list[LiveStatement]:
    """The statements about one entity, of the properties that the snapshot has, sorted by property and id.

    Of an entity that was merged, the statements of what it has become. Raises BadInput for an id that is none
    and EndpointFailed when the API cannot be reached.
    """
    language = read_manifest(snapshot).language
    with connect() as connection:
        files = files_in(table_files(snapshot, "statements"))
        connection.execute(f"CREATE VIEW statements AS FROM read_parquet({files}, hive_partitioning = false)")
        properties = connection.sql("SELECT DISTINCT property FROM statements ORDER BY ALL").fetchall()
        ours = connection.sql("SELECT * FROM statements WHERE subject = $qid", params={"qid": qid}).to_arrow_table()
    theirs = api.read([qid], [pid for (pid,) in properties], language)
    if theirs.missing:
        return [LiveStatement("missing", f"{qid} is not in Wikidata", "deleted, or never there", (qid,))]
    lines = [LiveStatement("merged", f"{old} is now {new}", "", (new,)) for old, new in theirs.redirects.items()]
    return lines + compare_statements(ours, theirs.statements)


def compare_statements(ours: pa.Table, theirs: pa.Table) -> list[LiveStatement]:
    """Two readings of `STATEMENTS` of one entity; where and when they were read does not count."""
    before, after = (
        {row["statement_id"]: row for row in table.drop_columns(list(SOURCE_COLUMNS)).to_pylist()}
        for table in (ours, theirs)
    )
    rows = sorted({**before, **after}.values(), key=lambda row: (int(row["property"][1:]), row["statement_id"]))
    return [_compare(before.get(row["statement_id"]), after.get(row["statement_id"])) for row in rows]


def _compare(old: dict[str, Any] | None, new: dict[str, Any] | None) -> LiveStatement:
    if new is None or old is None:
        row: dict[str, Any] = old or new or {}
        return LiveStatement(
            "gone" if new is None else "other", _format_statement(row), row["rank"], (row["statement_id"],)
        )
    # a merged entity's statements have another subject, and nothing else of them has changed
    changed = [
        f"{name}: {_value(old[name])} -> {_value(new[name])}"
        for name in old
        if old[name] != new[name] and name != "subject"
    ]
    return LiveStatement(
        "changed" if changed else "same", _format_statement(new), "; ".join(changed), (new["statement_id"],)
    )


def _format_statement(row: dict[str, Any]) -> str:
    """`P6 Q42, start 2020-01-01, end (none)`."""
    dates = [
        f", {name.replace('_', ' ')} {_interval(row, name)}"
        for name in ("start", "end", "point_in_time")
        if row[f"{name}_kind"] != "absent"
    ]
    return f"{row['property']} {row['object'] or '(' + row['object_kind'] + ')'}{''.join(dates)}"


def _interval(row: dict[str, Any], name: str) -> str:
    first, last = row[f"{name}_earliest"], row[f"{name}_latest"]
    if first is None and last is None:
        return f"({row[f'{name}_kind']})"
    return str(first) if first == last else f"{first}..{last}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "(none)"
    return "(none)" if value is None else str(value)
