"""Where Wikidata states a thing in several places: agreement is counted, disagreement disputes a value.

A relation names in the catalogue (`agrees_with`) where the same is said: another relation of the same
subject (`officeholder` of the office, P1308), or of what a third relation leads to
(`office_of_head_of_government/office_holder`: the holders, by P39, of the office that P1313 names).
A silent or uncertain place has no vote.
Sources: Wikidata:WikiProject Heads of state and government ("What to do when a Head of Government changes"
lists the four pages that a change has to be entered on).
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from chronofacts.pipeline.storage.parquet_stream import write_query
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.tables import REJECTIONS, TIMELINES

__all__ = ["DISPUTED", "check_agreement", "veto_empty_before", "write_confidence"]

DISPUTED = "disputed"
"""`certainty` of a value that would be certain but for another place that certainly says otherwise."""

_PATHS = pa.schema([("relation", pa.string()), ("path", pa.string()), ("via", pa.string()), ("other", pa.string())])


def _register_paths(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> None:
    """`paths`: one row per place that a relation agrees with; `via` is null where the subject is the same."""
    rows = []
    for relation in catalogue.relations:
        for path in relation.agrees_with:
            via, _, other = path.rpartition("/")
            if other in catalogue.by_id and (not via or via in catalogue.by_id):
                rows.append({"relation": relation.id, "path": path, "via": via or None, "other": other})
    register(connection, paths=pa.Table.from_pylist(rows, schema=_PATHS))


def check_agreement(values: pa.Table, catalogue: Catalogue) -> pa.Table:
    """`values_at` of one day, compared with each other.

    A certain value that another place certainly contradicts becomes `disputed` (its object null);
    `confidence` counts the places that say the value, itself included.
    """
    with connect() as connection:
        register(connection, given=values)
        _register_paths(connection, catalogue)
        return connection.sql(AGREEMENT).to_arrow_table().cast(values.schema)


AGREEMENT = f"""
WITH certain AS (SELECT relation, subject, object FROM given WHERE certainty = 'certain'),
places AS (
    SELECT t.relation, t.subject, t.object, p.path, p.other,
        CASE WHEN p.via IS NULL THEN t.subject ELSE v.object END AS other_subject
    FROM certain t JOIN paths p ON p.relation = t.relation
    LEFT JOIN certain v ON v.relation = p.via AND v.subject = t.subject
),
votes AS (
    SELECT s.relation, s.subject, count(*) FILTER (o.object = s.object) AS agreeing,
        count(*) FILTER (o.object <> s.object) AS contradicting
    FROM places s JOIN certain o ON o.relation = s.other AND o.subject = s.other_subject
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
        register(connection, changes=changes, given=values_since)
        _register_paths(connection, catalogue)
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


def write_confidence(timelines: Tabular, catalogue: Catalogue, file: Path) -> int:
    """Write `TIMELINES` with `confidence`: in how many places the same holder is given for a time that overlaps.

    The rows are sorted; returns their number.
    """
    with connect(spill=file.parent) as connection:
        register(connection, given=timelines)
        _register_paths(connection, catalogue)
        return write_query(connection, CONFIDENCE, TIMELINES, file)


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
