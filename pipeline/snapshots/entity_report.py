"""Everything that a snapshot kept and left out about one entity, in order and with reasons."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, NamedTuple

from chronofacts.pipeline.snapshots.write import table_files
from chronofacts.pipeline.storage.session import connect, files_in
from chronofacts.schemas.dates import YEAR, spell_days, tell_days
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
        spans = [_tell_span(row) for row in connection.sql(SPANS).to_arrow_table().to_pylist()]
        edits = [_tell_edit(row) for row in connection.sql(EDITS).to_arrow_table().to_pylist()]
        left_out, questions = (connection.sql(step).fetchall() for step in (LEFT_OUT, QUESTIONS))
        known = connection.sql("SELECT label FROM entities SEMI JOIN about USING (qid)").fetchall()
    found = [*spans, *(Finding(False, stage, what, explain(why), tuple(ids)) for stage, what, why, ids in left_out)]
    found += [*edits, *(Finding(True, "questions", what, why, tuple(ids)) for what, why, ids in questions)]
    if not found and not known:
        raise BadInput(f"{snapshot} names no {qid}; look at its entities table, or refresh with more relations")
    return found or [Finding(True, "entities", f"{qid} {known[0][0]}", "named only", ())]


_ENDS = {"none": "no end", "open": "no known end"}


def _tell_span(row: dict[str, Any]) -> Finding:
    first, last = row["valid_from_earliest"], row["valid_from_latest"]
    if row["end_reason"] == "dateless" and row["valid_to_kind"] == "open":
        begin = "ever"
    elif first and last:
        begin = spell_days(first, last)
    else:
        begin = _tell_unknown(first, last, row["valid_from_precision"] or 0)
    first, last = row["valid_to_earliest"], row["valid_to_latest"]
    if first and last:
        end = spell_days(first, last)
    elif row["valid_to_kind"] in _ENDS:
        end = _ENDS[row["valid_to_kind"]]
    else:
        end = _tell_unknown(first, last, YEAR if row["valid_to_kind"] == "known" else 0)
    return Finding(row["kept"], "timelines", f"{row['what']}, from {begin} to {end}", row["why"], tuple(row["ids"]))


def _tell_unknown(first: datetime.date | None, last: datetime.date | None, precision: int) -> str:
    """A date of which one end or both are missing: days before year 1 are missing, too."""
    if last is None and first is None:
        return "before year 1" if precision >= YEAR else "an unknown day"
    return f"a day not after {last}" if last else f"a day not before {first}"


def _tell_edit(row: dict[str, Any]) -> Finding:
    day = tell_days(row["changed_on_earliest"], row["changed_on_latest"])
    return Finding(
        True, "edits", row["what"], f"{row['change']}, changed {day}" if day else row["change"], tuple(row["ids"])
    )


_NAME = "coalesce((SELECT concat(label, ' (', qid, ')') FROM entities WHERE qid = {0}), {0}, '(' || {1} || ')')"

SPANS = f"""
SELECT t.object_kind <> 'blocked' AS kept,
    concat(t.relation, ' of ', {_NAME.format("t.subject", "'nobody'")}, ': ',
        {_NAME.format("t.object", "t.object_kind")}) AS what,
    t.valid_from_earliest, t.valid_from_latest, t.valid_from_precision, t.valid_to_earliest, t.valid_to_latest,
    t.valid_to_kind, t.end_reason,
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
SELECT DISTINCT r.stage, concat_ws(' ', r.relation, r.subject, concat('- ', r.detail)), r.reason, r.ids
FROM rejections r, about
WHERE r.subject = about.qid OR list_contains(r.ids, about.qid)
    OR list_has_any(r.ids, (SELECT coalesce(list(id), []) FROM mine))
ORDER BY ALL
"""

EDITS = """
SELECT concat(e.prompt, ' ', coalesce(e.target_old, concat('(', e.before, ')')), ' -> ', e.target_new) AS what,
    concat(e.kind, CASE e.kind WHEN 'addition' THEN concat(' of ', e.new_label)
        WHEN 'removal' THEN concat(' of ', e.old_label) END) AS change,
    e.changed_on_earliest, e.changed_on_latest, e.statement_ids AS ids
FROM edits e, about WHERE about.qid IN (e.subject, e.old_object, e.new_object)
    OR list_contains(list_transform(e.stays, lambda v: v.id), about.qid)
ORDER BY e.relation, e.edit_id
"""

QUESTIONS = """
SELECT concat(q.question, ' ', q.answer), q.kind, q.edit_ids
FROM questions q, about
WHERE about.qid IN (q.subject, q.answer_id, q.answer_before_id)
    OR list_contains(list_transform(list_concat(q.answer_set, q.answer_before_set), lambda v: v.id), about.qid)
ORDER BY q.kind, q.question_id
"""
