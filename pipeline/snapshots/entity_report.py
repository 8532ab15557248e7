"""Everything that a snapshot kept and left out about one entity, in order and with reasons."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from chronofacts.pipeline.snapshots.write import table_files
from chronofacts.pipeline.storage.session import connect, files_in
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.ids import is_qid
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.reasons import explain

__all__ = ["Finding", "report_entity"]


class Finding(NamedTuple):
    """One line of a report: `kept` or `left out`, at which stage, what, the reason, and the ids."""

    kept: bool
    stage: str
    what: str
    why: str
    ids: tuple[str, ...]


def report_entity(snapshot: Path, qid: str) -> list[Finding]:
    """What the snapshot says of one entity, as subject or as object, in the order of the stages.

    Raises BadInput for an id that is none, or that the snapshot does not name.
    """
    if not is_qid(qid):
        raise BadInput(f"--why {qid!r} is not a QID; give one such as Q142")
    read_manifest(snapshot)
    with connect() as connection:
        for name in ("statements", "entities", "timelines", "edits", "questions", "rejections"):
            files = files_in(table_files(snapshot, name))
            connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({files}, hive_partitioning = false)")
        connection.execute("CREATE TABLE about AS SELECT $1 AS qid", [qid])
        rows = [row for step in (SPANS, LEFT_OUT, EDITS, QUESTIONS) for row in connection.sql(step).fetchall()]
        known = connection.sql("SELECT label FROM entities SEMI JOIN about USING (qid)").fetchall()
    if not rows and not known:
        raise BadInput(f"{snapshot} names no {qid}; look at its entities table, or refresh with more relations")
    return [
        Finding(kept, stage, what, explain(why) if stage != "timelines" and not kept else why, tuple(ids))
        for kept, stage, what, why, ids in rows
    ] or [Finding(True, "entities", f"{qid} {known[0][0]}", "named only", ())]


_NAME = "coalesce((SELECT concat(label, ' (', qid, ')') FROM entities WHERE qid = {0}), {0}, '(' || {1} || ')')"

SPANS = f"""
SELECT t.object_kind <> 'blocked' AS kept, 'timelines' AS stage,
    concat(t.relation, ' of ', {_NAME.format("t.subject", "'nobody'")}, ': ',
        {_NAME.format("t.object", "t.object_kind")},
        ', from ', coalesce(CASE WHEN t.end_reason = 'dateless' AND t.valid_to_kind = 'open' THEN 'ever'
            WHEN t.valid_from_precision IS NULL THEN NULL
            WHEN t.valid_from_latest IS NULL AND t.valid_from_precision >= 9 THEN 'before year 1'
            WHEN t.valid_from_earliest = t.valid_from_latest THEN t.valid_from_earliest::VARCHAR
            ELSE concat(t.valid_from_earliest, '..', t.valid_from_latest) END, '?'),
        ' to ', coalesce(CASE WHEN t.valid_to_latest IS NULL AND t.valid_to_kind = 'known' THEN 'before year 1'
            WHEN t.valid_to_earliest = t.valid_to_latest THEN t.valid_to_earliest::VARCHAR
            ELSE concat(t.valid_to_earliest, '..', t.valid_to_latest) END, t.valid_to_kind)) AS what,
    concat('end: ', t.end_reason, CASE WHEN t.end_inferred THEN ' (inferred)' ELSE '' END,
        '; said in ', t.confidence, ' place(s)') AS why,
    t.statement_ids AS ids
FROM timelines t, about WHERE t.subject = about.qid OR t.object = about.qid
ORDER BY t.subject <> about.qid, t.relation, t.subject, t.ordinal
"""

LEFT_OUT = """
WITH mine AS (
    SELECT s.statement_id AS id FROM statements s, about WHERE s.subject = about.qid OR s.object = about.qid
    UNION SELECT e.edit_id FROM edits e, about WHERE about.qid IN (e.subject, e.old_object, e.new_object)
        OR list_contains(list_transform(e.stays, lambda v: v.id), about.qid)
)
SELECT DISTINCT false, r.stage, concat_ws(' ', r.relation, r.subject, concat('- ', r.detail)), r.reason, r.ids
FROM rejections r, about
WHERE r.subject = about.qid OR list_contains(r.ids, about.qid)
    OR list_has_any(r.ids, (SELECT coalesce(list(id), []) FROM mine))
ORDER BY ALL
"""

EDITS = """
SELECT true, 'edits', concat(e.prompt, ' ', coalesce(e.target_old, concat('(', e.before, ')')), ' -> ', e.target_new),
    concat(e.kind, CASE e.kind WHEN 'addition' THEN concat(' of ', e.new_label)
        WHEN 'removal' THEN concat(' of ', e.old_label) END, ', changed on ', e.changed_on_earliest), e.statement_ids
FROM edits e, about WHERE about.qid IN (e.subject, e.old_object, e.new_object)
    OR list_contains(list_transform(e.stays, lambda v: v.id), about.qid)
ORDER BY e.relation, e.edit_id
"""

QUESTIONS = """
SELECT true, 'questions', concat(q.question, ' ', q.answer), q.kind, q.edit_ids
FROM questions q, about
WHERE about.qid IN (q.subject, q.answer_id, q.answer_before_id)
    OR list_contains(list_transform(list_concat(q.answer_set, q.answer_before_set), lambda v: v.id), about.qid)
ORDER BY q.kind, q.question_id
"""
