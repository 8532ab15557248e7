"""Entities named anywhere: their names, types, popularity and the days on which they began and ended.

Dates of birth, death, inception and abolition are ordinary statements; of several, those of the best
rank count (Wikidata Help:Ranking), and all of these must be possible: their hull is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import numpy as np
import pyarrow as pa

from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas.ids import QID
from chronofacts.schemas.tables import ENTITIES

__all__ = ["LABELS", "describe_entities", "in_order", "named_entities"]

LABELS = pa.schema(
    [
        ENTITIES.field(name)
        for name in ("qid", "label", "label_language", "description", "aliases", "alias_languages", "sitelinks")
    ]
)
"""What a source tells of names; one row per entity."""


def in_order(aliases: Mapping[str, str]) -> dict[str, list[str]]:
    """The columns `aliases` and `alias_languages` of one row. aliases: the language of each alias."""
    names = sorted(aliases)
    return {"aliases": names, "alias_languages": [aliases[name] for name in names]}


class Qids(Sequence[str]):
    """Many QIDs in eight bytes each, in the order of their numbers."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        found = self._numbers[place]
        return Qids(found) if isinstance(place, slice) else f"Q{found}"

    def __iter__(self) -> Iterator[str]:
        return (f"Q{number}" for number in self._numbers)


def named_entities(statements: Tabular) -> Qids:
    """All QIDs that statements name as subject, object or unit."""
    with connect(memory_gib=0.8) as connection:
        register(connection, "statements", statements)
        table = connection.sql(f"""
            SELECT DISTINCT CAST(qid[2:] AS BIGINT) AS number FROM (
                SELECT subject AS qid FROM statements
                UNION ALL SELECT object FROM statements WHERE object_kind = 'item'
                UNION ALL SELECT object_unit FROM statements WHERE object_kind = 'quantity'
            ) WHERE qid IS NOT NULL AND regexp_full_match(qid, '{QID}') ORDER BY number
        """).to_arrow_table()
    return Qids(table["number"].to_numpy())


def describe_entities(lifecycle: Tabular, labels: Tabular) -> pa.Table:
    """`ENTITIES`, one row per row of labels, sorted by qid.

    lifecycle: `STATEMENTS` of P31, P569, P570, P571 and P576; labels: `LABELS`.
    """
    with connect() as connection:
        register(connection, "lifecycle", lifecycle)
        register(connection, "labels", labels)
        return connection.sql(DESCRIBE).to_arrow_table().cast(ENTITIES)


DESCRIBE = """
WITH ranked AS (
    SELECT *, CASE rank WHEN 'preferred' THEN 0 ELSE 1 END AS place FROM lifecycle WHERE rank <> 'deprecated'
),
best AS (
    SELECT * FROM ranked
    QUALIFY place = min(place) OVER (PARTITION BY subject, property)
),
days AS (
    SELECT subject, CASE WHEN property IN ('P569', 'P571') THEN 'began' ELSE 'ended' END AS what, object_kind,
        TRY_CAST(split_part(object, '/', 1) AS DATE) AS earliest, TRY_CAST(split_part(object, '/', 2) AS DATE) AS latest
    FROM best WHERE property <> 'P31' AND object_kind IN ('time', 'somevalue')
),
spans AS (
    SELECT subject, what,
        bool_and(earliest IS NOT NULL) AS dated,
        -- Dates that can all be true narrow each other; dates that cannot leave their hull.
        CASE WHEN max(earliest) <= min(latest) THEN max(earliest) ELSE min(earliest) END AS earliest,
        CASE WHEN max(earliest) <= min(latest) THEN min(latest) ELSE max(latest) END AS latest
    FROM days GROUP BY subject, what
),
types AS (
    SELECT subject, list_sort(list_distinct(list(object))) AS types
    FROM best WHERE property = 'P31' AND object_kind = 'item' GROUP BY subject
)
SELECT l.qid, l.label, l.label_language, l.description, coalesce(l.aliases, []) AS aliases,
    coalesce(l.alias_languages, []) AS alias_languages,
    coalesce(t.types, []) AS types, l.sitelinks,
    CASE WHEN b.dated THEN b.earliest END AS began_earliest, CASE WHEN b.dated THEN b.latest END AS began_latest,
    CASE WHEN e.dated THEN e.earliest END AS ended_earliest, CASE WHEN e.dated THEN e.latest END AS ended_latest,
    CASE WHEN e.dated THEN 'known' WHEN e.subject IS NOT NULL THEN 'unknown' ELSE 'absent' END AS ended_kind
FROM labels l
LEFT JOIN types t ON t.subject = l.qid
LEFT JOIN spans b ON b.subject = l.qid AND b.what = 'began'
LEFT JOIN spans e ON e.subject = l.qid AND e.what = 'ended'
ORDER BY l.qid
"""
