"""What must not move: facts near an edit that are certainly the same on both dates.

Three kinds: the same relation of another subject, another relation of the same subject, and a fact about the
new object. Never a relation that may move with the edited one (the catalogue's `moves_with`), never an
answer that is the edit's old or new object, never a fact that any edit of the set touches.
Leaves out: rendering (`pipeline.questions.direct`).
"""

from __future__ import annotations

import duckdb

from chronofacts.pipeline.questions.settings import QuestionSettings

__all__ = ["create_chosen_locality"]

TRIES = 4
"""Neighbours looked at per wanted probe; the first that may serve is taken."""


def create_chosen_locality(connection: duckdb.DuckDBPyConnection, settings: QuestionSettings) -> None:
    """Create `chosen_locality` (fact_id, locality_kind, edit_ids, train, part), one row per question.

    Reads `guarded` (`pipeline.questions.sets`): a set that changed is guarded as one.
    """
    wanted = max(settings.locality_per_edit, 0)
    connection.execute("SET VARIABLE per_kind = $1::INTEGER", [wanted])
    connection.execute("SET VARIABLE tries = $1::INTEGER", [wanted * TRIES])
    connection.execute(ASKABLE)
    connection.execute(PICKED)
    connection.execute(CHOSEN)
    for table in ("askable", "picked"):
        connection.execute(f"DROP TABLE {table}")


# Stable facts that a question about now may ask, numbered within their relation in a seeded order.
ASKABLE = """
CREATE OR REPLACE TEMP TABLE askable AS
SELECT fact_id, subject, relation, after, draw,
    row_number() OVER (PARTITION BY relation ORDER BY draw, subject) - 1 AS place,
    count(*) OVER (PARTITION BY relation) AS places
FROM facts WHERE edit_id IS NULL AND NOT unaskable AND alive_after AND day IS NULL
"""

PICKED = """
CREATE OR REPLACE TEMP TABLE picked AS
WITH sizes AS (SELECT DISTINCT relation, places FROM askable),
-- A place in the relation's order is a join on one number: a hub relation costs no more than a small one.
tries AS (
    SELECT a.pick, a.relation, t.try, (a.draw % s.places + t.try) % s.places AS place
    FROM guarded a JOIN sizes s USING (relation), range(getvariable('tries')) AS t(try)
    WHERE t.try < s.places
),
found AS (
    SELECT t.pick, 'relation' AS locality_kind, k.fact_id, t.try AS preference
    FROM tries t JOIN askable k ON k.relation = t.relation AND k.place = t.place
    UNION ALL
    SELECT a.pick, 'subject', k.fact_id, drawn(concat(a.pick, k.relation)) % 1000000
    FROM guarded a JOIN askable k ON k.subject = a.subject
    ANTI JOIN moves m ON m.relation = a.relation AND m.other = k.relation
    UNION ALL
    SELECT a.pick, 'object', k.fact_id, drawn(concat(a.pick, k.relation)) % 1000000
    FROM guarded a JOIN askable k ON k.subject = a.neighbour
    ANTI JOIN moves m ON m.relation = a.relation AND m.other = k.relation
)
SELECT f.pick, f.locality_kind, f.fact_id
FROM found f JOIN guarded a USING (pick) JOIN facts k USING (fact_id)
WHERE NOT list_contains(a.objects, k.after) AND k.after <> a.subject
    AND NOT (f.locality_kind = 'relation' AND (k.subject = a.subject OR list_contains(a.objects, k.subject)))
QUALIFY row_number() OVER (PARTITION BY f.pick, f.locality_kind ORDER BY f.preference, f.fact_id)
    <= getvariable('per_kind')
"""

# A fact that guards several edits is one question.
CHOSEN = """
CREATE OR REPLACE TEMP TABLE chosen_locality AS
SELECT p.fact_id, min(p.locality_kind) AS locality_kind,
    list_sort(list_distinct(flatten(list(a.edit_ids)))) AS edit_ids, bool_and(a.train) AS train, min(a.part) AS part
FROM picked p JOIN guarded a USING (pick) GROUP BY p.fact_id
"""
