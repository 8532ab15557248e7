"""Statements read in the direction of their relation, each with the reason why it cannot be an answer, if any.

`orient_statements` makes the table `oriented`, one row per (statement, relation). Every row has a `holding`: what
it may hold as, `value` (an answer), `blocked` (possible but unusable as an answer) or null (nothing that could hold).
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from chronofacts.pipeline.storage.session import quoted
from chronofacts.schemas.catalogue import Catalogue

__all__ = ["HUMAN", "UNUSABLE", "mark_cycles", "orient_statements", "orient_to_parquet", "register_relations"]

UNUSABLE = "blocked"
"""`object_kind` of a span that may hold but cannot be an answer; its object is null."""

# P642 of, P768 district, P518 applies to part, P5102 nature of statement (acting, disputed), P1310 disputed by,
# P794 as, P1480 sourcing circumstances, P1001 applies to jurisdiction: true only for a part, or only perhaps.
RESTRICTIVE = ("P642", "P768", "P518", "P5102", "P1310", "P794", "P1480", "P1001")
# P2868 subject has role, P3831 object has role, P5102 nature of statement, P794 as, P1552 has characteristic: each is
# used to say that somebody acts for the time being; P5168 says it in words.
ROLE_QUALIFIERS = ("P2868", "P3831", "P5102", "P794", "P1552")
ACTING_TEXTS = ("P5168=acting", "P5168=acting@en", "P5168=interim", "P5168=interim@en")
# P1319 earliest date, P1326 latest date: it began, or was known, some day.
VAGUE_DATES = ("P1319", "P1326")
HUMAN = "Q5"

_DAMAGED = "'conflicting_dates', 'malformed_time', 'absurd_year', 'unknown_calendar', 'start_after_end'"
"""Reasons that leave nothing of the dates."""


def register_relations(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> None:
    """Make `relations` visible: what the SQL needs of the catalogue, one row per relation."""
    acting = [f"{qualifier}={role}" for qualifier in ROLE_QUALIFIERS for role in catalogue.acting_roles]
    rows = [
        {
            "relation": r.id,
            "property": r.property,
            "inverse": r.inverse,
            "single_valued": r.single_valued,
            "wanted_kind": r.object_kind,
            "max_days": round(r.max_years * 365.2425) if r.max_years is not None else None,
            "undated": r.undated,
            "ends_with_subject": r.ends_with_subject,
            "ends_with_object": r.ends_with_object,
            # Types are compared for humanity only: other classes need Wikidata's subclass tree.
            "wants_human": (HUMAN in r.object_types) if r.object_types else None,
            "restrictive": sorted({*RESTRICTIVE, *r.restrictive_qualifiers}),
            "acting": sorted({*acting, *ACTING_TEXTS}),
            "object_classes": list(r.object_classes),
            "not_object_classes": list(r.not_object_classes),
            "subject_classes": list(r.subject_classes),
            "not_subject_classes": list(r.not_subject_classes),
        }
        for r in catalogue.relations
        if r.ends_of is None
    ]
    connection.register("relations", pa.Table.from_pylist(rows, schema=_RELATIONS))


_RELATIONS = pa.schema(
    [
        ("relation", pa.string()),
        ("property", pa.string()),
        ("inverse", pa.bool_()),
        ("single_valued", pa.bool_()),
        ("wanted_kind", pa.string()),
        ("max_days", pa.int32()),
        ("undated", pa.string()),
        ("ends_with_subject", pa.bool_()),
        ("ends_with_object", pa.bool_()),
        ("wants_human", pa.bool_()),
        ("restrictive", pa.list_(pa.string())),
        ("acting", pa.list_(pa.string())),
        ("object_classes", pa.list_(pa.string())),
        ("not_object_classes", pa.list_(pa.string())),
        ("subject_classes", pa.list_(pa.string())),
        ("not_subject_classes", pa.list_(pa.string())),
    ]
)


def orient_statements(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table `oriented` from the views `statements`, `entity_kinds`, `class_members`, `subject_members` and
    `relations`.

    entity_kinds: (qid, human), null where an entity's types are unknown. class_members: (relation, qid, of_class,
    ruled_out) of what belongs to a class that a relation names. subject_members: (relation, qid, of_class) of the
    subjects that a relation asks by their class, or that another one of its property does.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE oriented AS {ORIENTED}")
    mark_cycles(connection)


def orient_to_parquet(connection: duckdb.DuckDBPyConnection, folder: Path, parts: int) -> list[Path]:
    """The same as `parts` folders of Parquet, all statements of a subject in one; cycles are not yet marked."""
    connection.execute(f"""
        COPY (SELECT *, hash(subject) % {int(parts)} AS part FROM ({ORIENTED}))
        TO {quoted(folder / "oriented.parquet")} (FORMAT parquet, PARTITION_BY (part))""")
    return sorted((folder / "oriented.parquet").iterdir())


ORIENTED = f"""
WITH directed AS (
    SELECT r.relation, r.inverse, r.wanted_kind, r.wants_human, r.restrictive, r.acting,
        len(r.object_classes) > 0 AS in_classes,
        s.statement_id, s.rank, s.faults, s.qualifiers, s.replaced_by,
        CASE WHEN r.inverse THEN (CASE WHEN s.object_kind = 'item' THEN s.object END) ELSE s.subject END AS subject,
        -- A date value is spelled first/last day; it tells a year where it lies within one of our era.
        r.wanted_kind = 'year' AND s.object_kind = 'time' AS dates_it,
        CASE WHEN r.inverse THEN s.subject WHEN NOT dates_it THEN s.object
            WHEN regexp_matches(s.object, '^[0-9]{{4}}-') AND s.object[1:4] = s.object[12:15]
            THEN ltrim(s.object[1:4], '0') END AS object,
        CASE WHEN r.inverse THEN 'item' WHEN dates_it THEN 'year' ELSE s.object_kind END AS object_kind,
        s.object_kind AS main_kind,
        -- A number is true from the day it was counted.
        r.wanted_kind = 'quantity' AND s.start_kind = 'absent' AND s.point_in_time_kind = 'known' AS counted,
        CASE WHEN counted THEN s.point_in_time_earliest ELSE s.start_earliest END AS start_earliest,
        CASE WHEN counted THEN s.point_in_time_latest ELSE s.start_latest END AS start_latest,
        CASE WHEN counted THEN s.point_in_time_precision ELSE s.start_precision END AS start_precision,
        CASE WHEN counted THEN 'known' ELSE s.start_kind END AS start_kind,
        s.end_earliest, s.end_latest, s.end_precision, s.end_kind,
        -- What is dated by a point in time, or somehow, is known for that day and no other.
        s.start_kind = 'absent' AND s.point_in_time_kind = 'absent'
            AND len(list_filter(s.qualifiers, lambda q: split_part(q, '=', 1) IN {VAGUE_DATES})) = 0 AS undated
    FROM statements s JOIN relations r ON s.property = r.property
    LEFT JOIN subject_members m ON m.relation = r.relation
        AND m.qid = CASE WHEN r.inverse THEN s.object ELSE s.subject END
    -- Of relations that read one property, that of the subject's class asks; of no such class, those without classes.
    WHERE coalesce(m.of_class, len(r.subject_classes) = 0)
),
judged AS (
    SELECT directed.*, c.ruled_out,
        CASE
            WHEN len(faults) > 0 THEN faults[1]
            WHEN rank = 'deprecated' THEN 'deprecated'
            WHEN inverse AND main_kind IN ('somevalue', 'novalue') THEN 'unknown_holder'
            WHEN (inverse AND main_kind <> 'item')
                OR (NOT inverse AND object_kind NOT IN ('somevalue', 'novalue') AND object_kind <> wanted_kind)
                THEN 'wrong_object_type'
            WHEN object_kind = 'item' AND wants_human <> o.human THEN 'wrong_object_type'
            WHEN object_kind = 'item' AND in_classes AND (ruled_out IS TRUE OR of_class IS NOT TRUE) THEN 'other_class'
            WHEN len(qualifiers) > 0 AND len(list_filter(qualifiers,
                lambda q: list_contains(restrictive, split_part(q, '=', 1)) OR list_contains(restrictive, q)
                    OR list_contains(acting, q))) > 0
                THEN 'restricted'
            WHEN start_kind = 'known' AND start_earliest IS NULL OR dates_it AND coalesce(object, '') = ''
                THEN 'coarse_date'
        END AS reason,
        coalesce(reason IN ({_DAMAGED}), false) AS damaged
    FROM directed LEFT JOIN entity_kinds o ON o.qid = directed.object
    LEFT JOIN class_members c ON c.relation = directed.relation AND c.qid = directed.object
)
SELECT relation, subject, object, object_kind, statement_id, rank, replaced_by, reason,
    CASE
        WHEN subject IS NULL THEN NULL
        WHEN reason IS NULL THEN 'value'
        WHEN damaged OR reason IN ('restricted', 'young_statement', 'coarse_date') THEN '{UNUSABLE}'
        -- Of a class that nobody has listed it may be one after all.
        WHEN reason = 'other_class' AND ruled_out IS NOT TRUE THEN '{UNUSABLE}'
    END AS holding,
    -- A date that does not read is unknown, the other one of the statement stands. Of a start after its end either may
    -- be the wrong one: it began somewhere from the one to the other, and nobody knows until when it held.
    CASE WHEN reason = 'start_after_end' THEN least(start_earliest, end_earliest) ELSE start_earliest
        END AS start_earliest,
    CASE WHEN reason = 'start_after_end' THEN greatest(start_latest, end_latest) ELSE start_latest
        END AS start_latest,
    start_precision,
    CASE WHEN reason <> 'start_after_end' OR reason IS NULL THEN end_earliest END AS end_earliest,
    CASE WHEN reason <> 'start_after_end' OR reason IS NULL THEN end_latest END AS end_latest,
    end_precision,
    CASE WHEN reason = 'start_after_end' OR damaged AND end_earliest IS NULL THEN 'unknown' ELSE end_kind
        END AS end_kind, undated
FROM judged
"""


def mark_cycles(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the reason `replacement_cycle` to statements whose "replaced by" runs in a circle.

    A statement is followed by the first statement about its successor that does not begin before it, and only
    where there is none by an earlier one: a holder who returns makes no circle.
    Steps of 1, 2, 4 … are taken until each walk is longer than there are statements; who is then still
    walking goes in a circle.
    """
    connection.execute(FOLLOWERS)
    row = connection.execute("SELECT count(*) FROM walks").fetchone()
    left, taken = row[0] if row else 0, 1
    while left and taken <= left:
        connection.execute(TWICE_AS_FAR)
        taken *= 2
        row = connection.execute("SELECT count(*) FROM walks").fetchone()
        left = row[0] if row else 0
    if left:
        connection.execute(IN_A_CIRCLE)


FOLLOWERS = """
CREATE OR REPLACE TEMP TABLE walks AS
WITH followed AS (
    SELECT s.relation, s.subject, s.statement_id, s.start_earliest, t.statement_id AS follower,
        coalesce(t.start_earliest >= s.start_earliest, false) AS onward, t.start_earliest AS follower_start
    FROM oriented s JOIN oriented t
        ON t.relation = s.relation AND t.subject = s.subject AND t.object = s.replaced_by
    WHERE s.replaced_by IS NOT NULL AND s.holding IS NOT NULL AND t.holding IS NOT NULL
        AND t.statement_id <> s.statement_id
),
chosen AS (
    SELECT relation, subject, statement_id, min_by(follower, (NOT onward, follower_start, follower)) AS arrives,
        bool_or(follower_start > start_earliest) AS certainly_on
    FROM followed GROUP BY relation, subject, statement_id
)
-- Where every step goes on in time there is no way round.
SELECT relation, statement_id, arrives FROM chosen
SEMI JOIN (SELECT relation, subject FROM chosen WHERE certainly_on IS NOT TRUE) back USING (relation, subject)
"""

TWICE_AS_FAR = """
CREATE OR REPLACE TEMP TABLE walks AS
SELECT a.relation, a.statement_id, b.arrives
FROM walks a JOIN walks b ON b.relation = a.relation AND b.statement_id = a.arrives
"""

IN_A_CIRCLE = f"""
UPDATE oriented SET reason = 'replacement_cycle', holding = '{UNUSABLE}'
FROM (SELECT DISTINCT relation, arrives FROM walks) circle
WHERE oriented.relation = circle.relation AND oriented.statement_id = circle.arrives AND oriented.reason IS NULL
"""
