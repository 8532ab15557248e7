"""Two snapshots of one kind, and what lies between them: the world moved, or Wikidata was edited.

- `world_change`: by what the newer snapshot knows, the value differs between the two `as_of` days, and no other place
  of Wikidata says otherwise; of a relation with several values at once, one of them joined or left (`detail` says
  addition or removal).
- `correction`: the two snapshots disagree about one and the same day, the older one's `as_of`.
- `addition`: a statement about a time before that day, which the older snapshot had not.
- `removal`: a statement that is gone.
- `merge`: a statement that now stands under another item, since the two items were merged (a redirect).
- `edited`: a statement with the same id that says something else, and that changed no value on that day.
Every row names its statements. A newer statement about a time after the older `as_of` is news, and shows as
the world change that it makes, if it makes one.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from chronofacts.pipeline.changes import CHANGES, find_changes
from chronofacts.pipeline.memberships import MEMBERS, find_memberships
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.pipeline.storage.early_days import read_back
from chronofacts.pipeline.storage.session import connect, register
from chronofacts.pipeline.timelines.agreement import check_agreement, veto_empty_before
from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.tables import field

__all__ = ["DIFFERENCES", "KINDS", "compare_snapshots", "count_kinds", "find_differences"]

KINDS = ("world_change", "correction", "addition", "removal", "merge", "edited")

DIFFERENCES = pa.schema(
    [
        field("kind", pa.string(), "one of KINDS"),
        field("subject", pa.string(), "QID"),
        field("subject_label", pa.string(), "its name, if it has one"),
        field("relation", pa.string(), "relation (world_change, correction) or PID (the others)"),
        field("old", pa.string(), "what the older snapshot says; null: nothing"),
        field("new", pa.string(), "what the newer snapshot says; null: nothing"),
        field("old_label", pa.string(), "name of old"),
        field("new_label", pa.string(), "name of new"),
        field("changed_on_earliest", pa.date32(), "world_change: first day on which it may have happened"),
        field("changed_on_latest", pa.date32(), "world_change: last such day"),
        field("statement_ids", pa.list_(pa.string()), "statements that show it, sorted"),
        field("detail", pa.string(), "for a person: which columns differ, or where it went"),
    ]
)

# What a statement says; the other columns say where and when it was read.
CONTENT = [
    "object", "object_kind", "object_unit", "rank", "start_kind", "start_earliest", "start_latest", "end_kind",
    "end_earliest", "end_latest", "point_in_time_earliest", "point_in_time_latest", "replaces", "replaced_by",
    "qualifiers",
]  # fmt: skip


def compare_snapshots(old: Path, new: Path, catalogue: Catalogue) -> pa.Table:
    """`DIFFERENCES` between two snapshot folders, sorted by kind and subject.

    Raises BadInput when one is no snapshot or the older is not the older, CheckFailed when one is damaged.
    """
    before, after = read_manifest(old), read_manifest(new)
    check_comparable(old, before, new, after)
    names = ("statements", "timelines", "entities")
    return find_differences(
        {name: read_back(read_table(old, name), name) for name in names},
        {name: read_back(read_table(new, name), name) for name in names},
        catalogue,
        before.as_of,
        after.as_of,
    )


def check_comparable(old: Path, before: SnapshotManifest, new: Path, after: SnapshotManifest) -> None:
    """Raises BadInput for snapshots of other relations or in the wrong order."""
    if before.as_of > after.as_of:
        raise BadInput(f"{old} is of {before.as_of}, later than {new} of {after.as_of}; give the older one first")
    if only := sorted(set(before.relations) ^ set(after.relations)):
        raise BadInput(
            f"{old} and {new} do not hold the same relations ({', '.join(only[:5])} in one only); "
            "make both with the same --relations"
        )


def find_differences(
    old: Mapping[str, pa.Table],
    new: Mapping[str, pa.Table],
    catalogue: Catalogue,
    old_as_of: datetime.date,
    new_as_of: datetime.date,
) -> pa.Table:
    """`DIFFERENCES` between two sets of `statements`, `timelines` and `entities`."""
    with connect() as connection:
        register(connection, old_statements=old["statements"], old_entities=old["entities"])
        register(connection, new_statements=new["statements"], new_entities=new["entities"])
        was, known_now = values_at(old["timelines"], old_as_of), values_at(new["timelines"], old_as_of)
        changes, members = _find_moves(new, known_now, catalogue, old_as_of, new_as_of)
        register(connection, was=was, known_now=known_now, world_changes=changes, members=members)
        for step in (STATEMENT_DIFFERENCES, CORRECTIONS):
            connection.execute(step, [old_as_of] if "$1" in step else [])
        return connection.sql(ALL_DIFFERENCES).to_arrow_table().cast(DIFFERENCES)


def _find_moves(
    new: Mapping[str, pa.Table], known_now: pa.Table, catalogue: Catalogue, since: datetime.date, as_of: datetime.date
) -> tuple[pa.Table, pa.Table]:
    """(`CHANGES`, `MEMBERS`) between the two `as_of` days, by what the newer snapshot knows; none on one day."""
    if since == as_of:
        return CHANGES.empty_table(), MEMBERS.empty_table()
    timelines, statements, entities = (new[name] for name in ("timelines", "statements", "entities"))
    before, after = (check_agreement(values, catalogue) for values in (known_now, values_at(timelines, as_of)))
    changes, _ = find_changes(timelines, before, after, statements, catalogue, since, as_of, entities=entities)
    changes, _ = veto_empty_before(changes, before, catalogue)
    members, _ = find_memberships(timelines, statements, entities, catalogue, since, as_of)
    return changes, members


def count_kinds(differences: pa.Table) -> dict[str, int]:
    """Rows per kind, every kind named."""
    counted = Counter(differences["kind"].to_pylist())
    return {kind: counted.get(kind, 0) for kind in KINDS}


_SAYS = "concat_ws(' ', {0}.object, {0}.rank, concat({0}.start_earliest, '/', {0}.end_earliest))"
_DIFFERING = ", ".join(f"CASE WHEN o.{name} IS DISTINCT FROM n.{name} THEN '{name}' END" for name in CONTENT)
_SAME_SAVE_SUBJECT = " AND ".join(f"o.{name} IS NOT DISTINCT FROM n.{name}" for name in ("property", *CONTENT))

STATEMENT_DIFFERENCES = f"""
CREATE TEMP TABLE statement_differences AS
WITH gone AS (SELECT * FROM old_statements ANTI JOIN new_statements USING (statement_id)),
come AS (SELECT * FROM new_statements ANTI JOIN old_statements USING (statement_id)),
-- The item of a gone statement is gone altogether, and another item says the same now.
merged AS (
    SELECT o.statement_id AS old_id, n.statement_id AS new_id, o.subject AS old_subject, n.subject AS new_subject,
        o.property, o.object
    FROM gone o JOIN come n ON {_SAME_SAVE_SUBJECT} AND o.subject <> n.subject
    WHERE o.subject NOT IN (SELECT subject FROM new_statements)
    QUALIFY row_number() OVER (PARTITION BY o.statement_id ORDER BY n.statement_id) = 1
),
differing AS (
    SELECT o.statement_id, o.subject, o.property, {_SAYS.format("o")} AS old_says, {_SAYS.format("n")} AS new_says,
        o.object AS old_object, n.object AS new_object, list_filter([{_DIFFERING}], lambda c: c IS NOT NULL) AS columns
    FROM old_statements o JOIN new_statements n USING (statement_id)
)
SELECT 'merge' AS kind, old_subject AS subject, property AS relation, object AS old, object AS new,
    list_sort([old_id, new_id]) AS statement_ids, concat(old_subject, ' is now ', new_subject) AS detail
FROM merged
UNION ALL
SELECT 'removal', subject, property, object, NULL, [statement_id], {_SAYS.format("gone")}
FROM gone WHERE statement_id NOT IN (SELECT old_id FROM merged)
UNION ALL
SELECT 'addition', subject, property, NULL, object, [statement_id], {_SAYS.format("come")}
FROM come WHERE statement_id NOT IN (SELECT new_id FROM merged)
    AND coalesce(start_earliest <= $1::DATE, end_earliest <= $1::DATE, true)
UNION ALL
SELECT 'edited', subject, property, old_object, new_object, [statement_id],
    concat(array_to_string(columns, ', '), ': ', old_says, ' -> ', new_says)
FROM differing WHERE len(columns) > 0
"""

CORRECTIONS = """
CREATE TEMP TABLE corrections AS
SELECT 'correction' AS kind, subject, relation, w.object AS old, n.object AS new,
    list_sort(list_distinct(list_concat(w.statement_ids, n.statement_ids))) AS statement_ids,
    concat('of ', $1::DATE) AS detail
FROM was w JOIN known_now n USING (relation, subject)
WHERE w.certainty = 'certain' AND n.certainty = 'certain' AND w.object <> n.object
"""

ALL_DIFFERENCES = """
WITH moved AS (
    SELECT subject, relation, CASE WHEN role = 'left' THEN object END AS old,
        CASE WHEN role = 'joined' THEN object END AS new, changed_on_earliest, changed_on_latest, statement_ids,
        CASE role WHEN 'joined' THEN 'addition' ELSE 'removal' END AS detail
    FROM members WHERE role <> 'stays'
),
shown AS (
    SELECT unnest(statement_ids) AS id FROM corrections
    UNION SELECT unnest(statement_ids) FROM world_changes
    UNION SELECT unnest(statement_ids) FROM moved
),
rows AS (
    SELECT 'world_change' AS kind, subject, relation, old_object AS old, new_object AS new,
        changed_on_earliest, changed_on_latest, statement_ids, kind AS detail
    FROM world_changes
    UNION ALL
    SELECT 'world_change', subject, relation, old, new, changed_on_earliest, changed_on_latest, statement_ids, detail
    FROM moved
    UNION ALL SELECT kind, subject, relation, old, new, NULL, NULL, statement_ids, detail FROM corrections
    UNION ALL SELECT kind, subject, relation, old, new, NULL, NULL, statement_ids, detail FROM statement_differences
    -- What already shows as the change or the correction that it made is not shown again.
    WHERE kind IN ('merge', 'removal') OR NOT list_has_any(statement_ids, (SELECT coalesce(list(id), []) FROM shown))
),
names AS (
    SELECT qid, coalesce(n.label, o.label) AS label FROM new_entities n FULL JOIN old_entities o USING (qid)
)
SELECT r.kind, r.subject, s.label AS subject_label, r.relation, r.old, r.new, coalesce(a.label, r.old) AS old_label,
    coalesce(b.label, r.new) AS new_label, r.changed_on_earliest, r.changed_on_latest, r.statement_ids, r.detail
FROM rows r LEFT JOIN names s ON s.qid = r.subject LEFT JOIN names a ON a.qid = r.old LEFT JOIN names b ON b.qid = r.new
ORDER BY r.kind, r.relation, r.subject, r.statement_ids
"""
