"""Entities named anywhere: their names, types, popularity and the days on which they began and ended.

Dates of birth, death, inception and abolition are ordinary statements; of several, those of the best
rank count (Wikidata Help:Ranking), and all of these must be possible: their hull is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

import numpy as np
import pyarrow as pa

from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas.ids import QID
from chronofacts.schemas.tables import ENTITIES

__all__ = ["DESCRIBE", "LABELS", "label_row", "list_named_entities", "name_languages"]

LONGEST_NAME = 1000
"""Characters of a name or a description. Wikidata takes 250."""
MOST_NAMES = 20_000
"""Characters of all other names of an entity together; the richest of Wikidata have some 5,000 in three languages."""

LABELS = pa.schema(
    [
        ENTITIES.field(name)
        for name in ("qid", "label", "label_language", "description", "aliases", "alias_languages", "sitelinks")
    ]
)
"""Names and number of sitelinks of entities; one row per entity."""


def name_languages(language: str) -> tuple[str, ...]:
    """The languages in which names are read, the wanted one first: labels of single languages give way to `mul`."""
    return tuple(dict.fromkeys((language, "mul", "en")))


def label_row(
    qid: str,
    labels: Mapping[str, str],
    descriptions: Mapping[str, str],
    aliases: Mapping[str, Iterable[str]],
    languages: Sequence[str],
    sitelinks: int | None,
) -> dict[str, object] | None:
    """One row of `LABELS` from names by language; None for an entity without any name.

    languages: `name_languages`. The label is the one in the first of them that has any, and so is the language of an
    alias; the description is in the wanted language or in English. A name that is the entity's own id counts as none (a
    label service makes such).
    """
    labels = {code: labels[code] for code in languages if labels.get(code, qid) != qid and is_name(labels[code])}
    chosen = next(iter(labels), None)
    language_of = {
        name: code
        for code in reversed(languages)
        for name in (*aliases.get(code, ()), labels.get(code, qid))
        if name != qid and is_name(name)
    }
    if not language_of:
        return None
    label = labels[chosen] if chosen is not None else None
    language_of.pop(label or "", None)
    wanted = (descriptions.get(code, qid) for code in (languages[0], "en"))
    others = _first(sorted(language_of))
    return {
        "qid": qid,
        "label": label,
        "label_language": chosen,
        "description": next((text for text in wanted if text != qid and is_name(text)), None),
        "aliases": others,
        "alias_languages": [language_of[name] for name in others],
        "sitelinks": sitelinks,
    }


def is_name(text: str) -> bool:
    """A text of a length that a name or a description may have; what is longer counts as none."""
    return len(text) <= LONGEST_NAME


def _first(names: Sequence[str]) -> list[str]:
    """As many of an entity's other names as it may have."""
    kept, size = list[str](), 0
    for name in names:
        size += len(name)
        if size > MOST_NAMES:
            break
        kept.append(name)
    return kept


class Qids(Sequence[str]):
    """Many QIDs in eight bytes each, in the order of their numbers."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        found = self._numbers[index]
        return Qids(found) if isinstance(index, slice) else f"Q{found}"

    def __iter__(self) -> Iterator[str]:
        return (f"Q{number}" for number in self._numbers)


def list_named_entities(statements: Tabular) -> Qids:
    """All QIDs that statements name as subject, object or unit."""
    with connect(memory_gib=0.8) as connection:
        register(connection, statements=statements)
        table = connection.sql(f"""
            SELECT DISTINCT CAST(qid[2:] AS BIGINT) AS number FROM (
                SELECT subject AS qid FROM statements
                UNION ALL SELECT object FROM statements WHERE object_kind = 'item'
                UNION ALL SELECT object_unit FROM statements WHERE object_kind = 'quantity'
            ) WHERE qid IS NOT NULL AND regexp_full_match(qid, '{QID}') ORDER BY number
        """).to_arrow_table()
    return Qids(table["number"].to_numpy())


# `ENTITIES`, one row per row of labels (`LABELS`), sorted by qid; lifecycle: `STATEMENTS` of `statements.LIFECYCLE`.
DESCRIBE = """
WITH ranked AS (
    SELECT *, CASE rank WHEN 'preferred' THEN 0 ELSE 1 END AS rank_number FROM lifecycle WHERE rank <> 'deprecated'
),
best AS (
    SELECT * FROM ranked
    QUALIFY rank_number = min(rank_number) OVER (PARTITION BY subject, property)
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
