"""Where Wikidata states a thing in several places: agreement is counted, disagreement disputes a value.

A relation names in the catalogue (`agrees_with`) where the same is said: another relation of the same
subject (`officeholder` of the office, P1308), or of what a third relation leads to
(`office_of_head_of_government/office_holder`: the holders, by P39, of the office that P1313 names).
A silent or uncertain place has no vote.
Sources: Wikidata:WikiProject Heads of state and government ("What to do when a Head of Government changes"
lists the four pages that a change has to be entered on).
"""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa

from chronofacts.pipeline.storage.parquet_stream import spool_query
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.tables import REJECTIONS, TIMELINES

__all__ = ["DISPUTED", "count_confidence", "cross_check", "quarantine", "veto_empty_before", "write_confidence"]

DISPUTED = "disputed"
"""`certainty` of a value that would be certain but for another place that certainly says otherwise."""

_PATHS = pa.schema([("relation", pa.string()), ("path", pa.string()), ("via", pa.string()), ("other", pa.string())])


def paths(catalogue: Catalogue) -> pa.Table:
    """One row per place that a relation agrees with; `via` is null where the subject is the same."""
    rows = []
    for relation in catalogue.relations:
        for path in relation.agrees_with:
            via, _, other = path.rpartition("/")
            if other in catalogue.by_id and (not via or via in catalogue.by_id):
                rows.append({"relation": relation.id, "path": path, "via": via or None, "other": other})
    return pa.Table.from_pylist(rows, schema=_PATHS)


def cross_check(values: pa.Table, catalogue: Catalogue) -> pa.Table:
    """`values_at` of one day, compared with each other.

    A certain value that another place certainly contradicts becomes `disputed` (its object null);
    `confidence` counts the places that say the value, itself included.
    """
    with connect() as connection:
        register(connection, "given", values)
        register(connection, "paths", paths(catalogue))
        return connection.sql(CROSS_CHECK).to_arrow_table().cast(values.schema)


CROSS_CHECK = f"""
WITH told AS (SELECT relation, subject, object FROM given WHERE certainty = 'certain'),
places AS (
    SELECT t.relation, t.subject, t.object, p.path, p.other,
        CASE WHEN p.via IS NULL THEN t.subject ELSE v.object END AS other_subject
    FROM told t JOIN paths p ON p.relation = t.relation
    LEFT JOIN told v ON v.relation = p.via AND v.subject = t.subject
),
votes AS (
    SELECT s.relation, s.subject, count(*) FILTER (o.object = s.object) AS agreeing,
        count(*) FILTER (o.object <> s.object) AS contradicting
    FROM places s JOIN told o ON o.relation = s.other AND o.subject = s.other_subject
    GROUP BY s.relation, s.subject
)
SELECT g.* REPLACE (
    CASE WHEN contradicting > 0 THEN NULL ELSE g.object END AS object,
    CASE WHEN contradicting > 0 THEN NULL ELSE g.object_kind END AS object_kind,
    CASE WHEN contradicting > 0 THEN NULL ELSE g.ordinal END AS ordinal,
    CASE WHEN contradicting > 0 THEN '{DISPUTED}' ELSE g.certainty END AS certainty,
    1 + coalesce(agreeing, 0) AS confidence)
FROM given g LEFT JOIN votes v ON v.relation = g.relation AND v.subject = g.subject
ORDER BY g.relation, g.subject
"""


def veto_empty_before(changes: pa.Table, values_since: Tabular, catalogue: Catalogue) -> tuple[pa.Table, pa.Table]:
    """(changes, `REJECTIONS`): nobody is no value at since where another place names a holder.

    changes: `CHANGES`; values_since: `values_at` of since.
    """
    with connect() as connection:
        register(connection, "changes", changes)
        register(connection, "given", values_since)
        register(connection, "paths", paths(catalogue))
        connection.execute(VETOED)
        kept = connection.sql(
            "SELECT * FROM changes ANTI JOIN vetoed USING (relation, subject) ORDER BY relation, subject"
        )
        rejections = connection.sql(
            "SELECT 'crosscheck' AS stage, 'sources_disagree' AS reason, subject, relation, ids, detail FROM vetoed"
        )
        return kept.to_arrow_table().cast(changes.schema), rejections.to_arrow_table().cast(REJECTIONS)


VETOED = """
CREATE TEMP TABLE vetoed AS
SELECT c.relation, c.subject,
    list_sort(list_distinct(flatten(list(list_concat(c.statement_ids, o.statement_ids))))) AS ids,
    concat('nothing at since, but ', min(p.path), ' says ', min(coalesce(o.object, o.certainty))) AS detail
FROM changes c JOIN paths p ON p.relation = c.relation
LEFT JOIN given v ON v.relation = p.via AND v.subject = c.subject
JOIN given o ON o.relation = p.other AND o.subject = CASE WHEN p.via IS NULL THEN c.subject ELSE v.object END
WHERE c.before <> 'known' AND o.certainty <> 'vacant'
GROUP BY c.relation, c.subject
"""


def count_confidence(timelines: Tabular, catalogue: Catalogue) -> pa.Table:
    """`TIMELINES` with `confidence`: in how many places the same holder is given for a time that overlaps."""
    with connect() as connection:
        register(connection, "given", timelines)
        register(connection, "paths", paths(catalogue))
        return connection.sql(CONFIDENCE).to_arrow_table().cast(TIMELINES)


def write_confidence(timelines: Path, catalogue: Catalogue, file: Path, memory_gib: float = 0.8) -> int:
    """The same from Parquet to a Parquet file, sorted; returns its rows."""
    with connect(memory_gib=memory_gib, spill=file.parent) as connection:
        register(connection, "given", timelines)
        register(connection, "paths", paths(catalogue))
        return spool_query(connection, CONFIDENCE, TIMELINES, file)


CONFIDENCE = """
WITH places AS (
    SELECT DISTINCT t.relation, t.subject, p.path, p.other,
        CASE WHEN p.via IS NULL THEN t.subject ELSE v.object END AS other_subject
    FROM (SELECT DISTINCT relation, subject FROM given) t JOIN paths p ON p.relation = t.relation
    LEFT JOIN given v ON v.relation = p.via AND v.subject = t.subject
),
agreeing AS (
    SELECT t.relation, t.subject, t.ordinal, count(DISTINCT s.path) AS places
    FROM given t JOIN places s ON s.relation = t.relation AND s.subject = t.subject
    JOIN given o ON o.relation = s.other AND o.subject = s.other_subject AND o.object = t.object
    -- The two may be one term: neither certainly ends before the other begins.
    WHERE NOT coalesce(o.valid_to_latest <= t.valid_from_earliest, false)
        AND NOT coalesce(t.valid_to_latest <= o.valid_from_earliest, false)
    GROUP BY t.relation, t.subject, t.ordinal
)
SELECT g.* REPLACE (1 + coalesce(a.places, 0) AS confidence)
FROM given g LEFT JOIN agreeing a
    ON a.relation = g.relation AND a.subject = g.subject AND a.ordinal = g.ordinal
ORDER BY g.relation, g.subject, g.ordinal
"""


def quarantine(statements: pa.Table, source_day: datetime.date, days: int, known: Tabular | None = None) -> pa.Table:
    """The statements, the young ones marked by the fault `young_statement`.

    A statement is young when its subject was edited less than `days` days before source_day: it may yet be
    reverted, as 5 % of the edits of P6 and 13 % of those of P35 were (WiDiff, 2026). `pipeline.timelines.build`
    then takes it as possible but never as an answer. A statement that stands
    unchanged in `known` (`STATEMENTS` of an earlier snapshot) is old, whoever edited its subject since.
    Wikidata tells the time of an edit per entity only; 0 days turns the quarantine off.
    """
    if days <= 0 or not statements.num_rows:
        return statements
    with connect() as connection:
        register(connection, "given", statements)
        register(connection, "known", known if known is not None else statements.schema.empty_table())
        ids = {statement_id for (statement_id,) in connection.sql(YOUNG, params=[source_day, days]).fetchall()}
    faults = [
        sorted({*row, "young_statement"}) if statement_id in ids else row
        for statement_id, row in zip(
            statements["statement_id"].to_pylist(), statements["faults"].to_pylist(), strict=True
        )
    ]
    place = statements.schema.get_field_index("faults")
    return statements.set_column(place, statements.schema.field(place), pa.array(faults, pa.list_(pa.string())))


YOUNG = """
SELECT g.statement_id
FROM given g LEFT JOIN known k ON k.statement_id = g.statement_id AND k.object IS NOT DISTINCT FROM g.object
    AND k.rank = g.rank AND k.object_kind = g.object_kind
    AND k.start_kind = g.start_kind AND k.start_earliest IS NOT DISTINCT FROM g.start_earliest
    AND k.start_latest IS NOT DISTINCT FROM g.start_latest
    AND k.end_kind = g.end_kind AND k.end_earliest IS NOT DISTINCT FROM g.end_earliest
    AND k.end_latest IS NOT DISTINCT FROM g.end_latest AND k.qualifiers = g.qualifiers
WHERE k.statement_id IS NULL AND g.modified_at > $1::DATE::TIMESTAMPTZ - to_days($2::INTEGER) + INTERVAL 1 DAY
"""
