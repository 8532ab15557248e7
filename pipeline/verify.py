"""Checks a finished snapshot against every promise of the design, from its Parquet files alone.

Shares no code with the stages that built it: what holds on a day is worked out again here, in SQL, once
from the timelines and once from the raw statements.
Each check is a query that returns the rows that break it; a snapshot is right when all return nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.duck import connect
from pipeline.snapshot import sha256_of, table_files
from pipeline.spool import pieces
from pipeline.verify_sets import SET_CHECKS, SET_FACTS_TO_CHECK, SET_OF_WIKIDATA
from schemas.errors import CheckFailed
from schemas.manifest import SnapshotManifest, read_manifest
from schemas.reasons import REASONS
from schemas.tables import SNAPSHOT_TABLES

__all__ = ["Problem", "promises", "require_sound", "verify"]

_SHOWN = 3  # examples told per broken check


@dataclass(frozen=True, slots=True)
class Problem:
    """One promise that a snapshot breaks: what was promised, how often it is broken, and examples."""

    check: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.check}: {self.count} broken, for example {'; '.join(self.examples)}"


def verify(snapshot: Path) -> list[Problem]:
    """All broken promises of a snapshot folder; an empty list when it is right.

    Raises BadInput when the folder is no snapshot, CheckFailed when its manifest cannot be read.
    """
    manifest = read_manifest(snapshot)
    problems = [*_files(snapshot, manifest)]
    if problems:  # what cannot be trusted to be the written bytes is not worth a further look
        return problems
    with connect() as connection:
        for name in SNAPSHOT_TABLES:
            files = [str(path) for path in table_files(snapshot, name)]
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({_sql_list(files)})")
        connection.execute("CREATE TABLE days AS SELECT $1::DATE AS since, $2::DATE AS as_of", _days(manifest))
        connection.execute("SET VARIABLE language = $1::VARCHAR", [manifest.language])
        connection.execute("CREATE TABLE reason_codes AS SELECT unnest($1) AS reason", [list(REASONS)])
        connection.execute(FACTS_TO_CHECK)
        connection.execute(SET_FACTS_TO_CHECK)
        problems += [p for name, sql in promises(manifest).items() if (p := _run(connection, name, sql))]
        problems += _ids(connection)
    return problems


def promises(manifest: SnapshotManifest) -> dict[str, str]:
    """The checks that apply to a snapshot: all, or for an imported benchmark those that need no statements."""
    return {name: sql for name, sql in CHECKS.items() if manifest.origin == "wikidata" or name not in OF_WIKIDATA}


def _days(manifest: SnapshotManifest) -> list[object]:
    return [manifest.since, manifest.as_of]


def _sql_list(values: Sequence[str]) -> str:
    return "[" + ", ".join("'" + value.replace("'", "''") + "'" for value in values) + "]"


def _files(snapshot: Path, manifest: SnapshotManifest) -> Iterator[Problem]:
    """Missing, foreign and changed files; columns that are not those of the schema."""
    present = {str(path.relative_to(snapshot)) for path in snapshot.rglob("*.parquet")}
    if missing := sorted(set(manifest.files) - present):
        yield Problem("every file of the manifest is there", len(missing), tuple(missing[:_SHOWN]))
    if foreign := sorted(present - set(manifest.files)):
        yield Problem("no Parquet file is missing from the manifest", len(foreign), tuple(foreign[:_SHOWN]))
    wrong = []
    for name in sorted(present & set(manifest.files)):
        path, entry = snapshot / name, manifest.files[name]
        if sha256_of(path) != entry.sha256:
            wrong.append(f"{path} is not the file that was written (its sha256 differs)")
            continue
        try:
            rows = sum(part.num_rows for part in pieces(path, SNAPSHOT_TABLES[name.partition("/")[0]]))
        except (CheckFailed, OSError, ValueError, KeyError) as error:
            wrong.append(f"{path}: {error}")
            continue
        if rows != entry.rows:
            wrong.append(f"{path} has {rows} rows, the manifest says {entry.rows}")
    if wrong:
        yield Problem("every file is the one that was written", len(wrong), tuple(wrong[:_SHOWN]))
    absent = [name for name in SNAPSHOT_TABLES if not any(file.startswith(f"{name}/") for file in manifest.files)]
    if absent:
        yield Problem("every table is there", len(absent), tuple(absent))


def _run(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> Problem | None:
    rows = connection.execute(f"SELECT count(*) OVER (), * FROM ({sql}) LIMIT {_SHOWN}").fetchall()
    if not rows:
        return None
    return Problem(name, rows[0][0], tuple(" ".join(str(cell) for cell in row[1:]) for row in rows))


def _ids(connection: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    """`edit_id` is what its content hashes to (schemas.tables.EDITS)."""
    rows = connection.execute(
        "SELECT edit_id, relation, subject, old_object, new_object, changed_on_earliest::VARCHAR FROM edits"
    ).fetchall()
    wrong = [row[0] for row in rows if row[0] != _content_hash(row[1:])]
    if wrong:
        yield Problem("every edit_id is the hash of its edit", len(wrong), tuple(wrong[:_SHOWN]))


def _content_hash(content: Sequence[object]) -> str:
    text = json.dumps(list(content), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# Every triple that an edit or a question relies on, with the day on which it must be certain.
FACTS_TO_CHECK = """
CREATE TABLE facts_to_check AS
WITH hops AS (
    SELECT question_id, asked_on, hop.subject AS subject, hop.relation AS relation, hop.property AS property,
        hop.inverse AS inverse, hop.object AS object, hop.object_before AS object_before, hop.day AS told_day
    FROM (SELECT question_id, asked_on, unnest(chain) AS hop FROM questions WHERE kind <> 'timeline')
)
SELECT DISTINCT owner, subject, relation, property, inverse, object, day FROM (
    SELECT 'edit ' || edit_id AS owner, subject, relation, property, inverse, new_object AS object, as_of AS day
    FROM edits, days WHERE kind NOT IN ('addition', 'removal')
    UNION ALL
    SELECT 'edit ' || edit_id, subject, relation, property, inverse, old_object, since
    FROM edits, days WHERE old_object IS NOT NULL AND kind <> 'removal'
    UNION ALL
    SELECT 'question ' || question_id, subject, relation, property, inverse, object, coalesce(asked_on, as_of)
    FROM hops, days WHERE told_day IS NULL
    UNION ALL
    SELECT 'question ' || question_id, subject, relation, property, inverse, object_before, since
    FROM hops, days WHERE asked_on IS NULL AND object_before IS NOT NULL AND told_day IS NULL
);
-- Who left what on which day.
CREATE TABLE departures_to_check AS
SELECT DISTINCT 'question ' || question_id AS owner, hop.subject AS subject, hop.property AS property,
    hop.inverse AS inverse, hop.object AS object, hop.day AS day
FROM (SELECT question_id, unnest(chain) AS hop FROM questions) WHERE hop.day IS NOT NULL;
CREATE MACRO certainly_not(from_earliest, to_latest, day) AS
    coalesce(from_earliest > day, false) OR coalesce(to_latest <= day, false);
CREATE MACRO certainly(from_latest, to_earliest, to_kind, day) AS
    coalesce(from_latest <= day, false)
    AND CASE WHEN to_earliest IS NOT NULL THEN to_earliest > day ELSE to_kind IN ('none', 'open') END;
CREATE MACRO plain(text) AS trim(regexp_replace(lower(strip_accents(text)), '[^\\pL\\pN]+', ' ', 'g'));
"""

CHECKS = {
    "every statement_id is unique": "SELECT statement_id FROM statements GROUP BY ALL HAVING count(*) > 1",
    "every edit_id is unique": "SELECT edit_id FROM edits GROUP BY ALL HAVING count(*) > 1",
    "every question_id is unique": "SELECT question_id FROM questions GROUP BY ALL HAVING count(*) > 1",
    "every entity has one row": "SELECT qid FROM entities GROUP BY ALL HAVING count(*) > 1",
    "every statement behind an edit is there": """
        SELECT e.edit_id, i.id FROM edits e, unnest(e.statement_ids) AS i(id)
        ANTI JOIN statements s ON s.statement_id = i.id""",
    "every edit names its statements": "SELECT edit_id FROM edits WHERE len(statement_ids) = 0",
    "every statement behind a timeline is there": """
        SELECT t.relation, t.subject, i.id FROM timelines t, unnest(t.statement_ids) AS i(id)
        ANTI JOIN statements s ON s.statement_id = i.id""",
    "every edit that a question names is there": """
        SELECT q.question_id, i.id FROM questions q, unnest(q.edit_ids) AS i(id)
        ANTI JOIN edits e ON e.edit_id = i.id""",
    "every edit has its edit question": """
        SELECT e.edit_id FROM edits e ANTI JOIN (
            SELECT unnest(edit_ids) AS edit_id FROM questions WHERE kind = 'edit') q USING (edit_id)""",
    "every QID of an edit is an entity with that name": """
        SELECT edit_id, qid, label FROM (
            SELECT edit_id, subject AS qid, subject_label AS label FROM edits
            UNION ALL SELECT edit_id, old_object, old_label FROM edits WHERE object_kind = 'item'
            UNION ALL SELECT edit_id, new_object, new_label FROM edits WHERE object_kind = 'item') named
        ANTI JOIN entities e ON e.qid = named.qid AND len(trim(e.label)) > 0
        WHERE named.qid IS NOT NULL""",
    "no label is missing or an id": r"""
        SELECT edit_id, label FROM (
            SELECT edit_id, subject_label AS label FROM edits UNION ALL SELECT edit_id, new_label FROM edits
            WHERE kind <> 'removal'
            UNION ALL SELECT edit_id, old_label FROM edits WHERE old_object IS NOT NULL)
        WHERE label IS NULL OR trim(label) = '' OR regexp_full_match(label, '[QP]\d+')""",
    "old and new value of an edit differ": """
        SELECT edit_id FROM edits WHERE old_object = new_object OR plain(old_label) = plain(new_label)""",
    "a modification has an old value, an injection none": """
        SELECT edit_id, kind, before FROM edits
        WHERE kind NOT IN ('modification', 'injection', 'update', 'addition', 'removal')
            OR (kind IN ('modification', 'removal')) <> (old_object IS NOT NULL)
            OR (kind = 'removal') <> (new_object IS NULL)
            OR before <> CASE kind WHEN 'injection' THEN 'nobody' WHEN 'update' THEN 'unknown' ELSE 'known' END""",
    "a change lies after since and not after as_of": """
        SELECT edit_id, changed_on_earliest, changed_on_latest FROM edits, days
        WHERE changed_on_earliest IS NULL OR changed_on_earliest <= since OR changed_on_latest > as_of""",
    "no edit contradicts another": """
        SELECT relation, subject FROM edits
        GROUP BY relation, subject, CASE WHEN kind IN ('addition', 'removal') THEN coalesce(new_object, old_object) END
        HAVING count(*) > 1""",
    "nothing may hold at since where an edit is an injection": """
        SELECT e.edit_id, t.object FROM days, edits e JOIN timelines t USING (relation, subject)
        WHERE e.kind = 'injection' AND NOT certainly_not(t.valid_from_earliest, t.valid_to_latest, days.since)""",
    "every fact used is certain on its day, by the timelines": """
        SELECT f.owner, f.subject, f.relation, f.object, f.day
        FROM facts_to_check f LEFT JOIN timelines t ON t.relation = f.relation AND t.subject = f.subject
            AND NOT certainly_not(t.valid_from_earliest, t.valid_to_latest, f.day)
        GROUP BY ALL
        HAVING NOT coalesce(bool_or(t.object = f.object
                AND certainly(t.valid_from_latest, t.valid_to_earliest, t.valid_to_kind, f.day)), false)
            OR NOT coalesce(bool_and(t.object = f.object), false)""",
    "every fact used is stated, by a statement that may count": """
        SELECT f.owner, f.subject, f.relation, f.object, f.day FROM facts_to_check f
        ANTI JOIN statements s ON s.property = f.property AND s.rank <> 'deprecated' AND len(s.faults) = 0
            AND s.subject = CASE WHEN f.inverse THEN f.object ELSE f.subject END
            AND CASE WHEN s.object_kind = 'time' AND s.object[1:4] = s.object[12:15] THEN ltrim(s.object[1:4], '0')
                ELSE s.object END = CASE WHEN f.inverse THEN f.subject ELSE f.object END
            AND coalesce(s.start_latest <= f.day, s.point_in_time_latest <= f.day, true)
            AND coalesce(s.end_earliest > f.day, s.end_kind <> 'unknown')""",
    # In two halves, each joined by an equality: in one, all facts of a property would meet all its statements.
    "no statement with both dates contradicts a fact used": """
        SELECT owner, subject, relation, object, day, statement_id FROM (
            SELECT f.*, s.* EXCLUDE (subject, property, object) FROM facts_to_check f
            JOIN statements s ON s.property = f.property AND s.object = f.subject AND s.subject <> f.object
            WHERE f.inverse
            UNION ALL
            SELECT f.*, s.* EXCLUDE (subject, property, object) FROM facts_to_check f
            JOIN statements s ON s.property = f.property AND s.subject = f.subject AND s.object <> f.object
            WHERE NOT f.inverse)
        -- What is of another class, or of an older branch, is no rival (P54: club and national team).
        ANTI JOIN (SELECT relation, unnest(ids) AS statement_id FROM rejections
            WHERE reason IN ('other_class', 'older_branch', 'no_release')) beside USING (relation, statement_id)
        WHERE rank <> 'deprecated' AND len(faults) = 0 AND object_kind NOT IN ('novalue')
            AND start_latest <= day AND end_earliest > day""",
    "who left something left that alone on its day, by the statements": """
        SELECT d.owner, d.subject, d.object, d.day
        FROM departures_to_check d LEFT JOIN statements s ON s.property = d.property
            AND d.subject = CASE WHEN d.inverse THEN s.object ELSE s.subject END
            AND s.rank <> 'deprecated' AND len(s.faults) = 0
            AND coalesce(s.end_earliest <= d.day, s.end_kind IN ('known', 'unknown'))
            AND coalesce(s.end_latest >= d.day, s.end_kind IN ('known', 'unknown'))
        GROUP BY ALL
        HAVING NOT coalesce(bool_and(d.object = CASE WHEN d.inverse THEN s.subject ELSE s.object END
                AND s.end_earliest = d.day AND s.end_latest = d.day), false)""",
    "a departure lies before since": "SELECT owner, day FROM departures_to_check, days WHERE day >= since",
    "nobody holds anything after death": """
        SELECT f.owner, f.object, f.day FROM facts_to_check f JOIN entities e ON e.qid = f.object
        JOIN edits d ON f.owner = 'edit ' || d.edit_id
        WHERE e.ended_latest <= f.day AND list_contains(e.types, 'Q5')""",
    "a chain is joined": """
        SELECT question_id FROM questions
        WHERE len(chain) <> CASE WHEN len(answer_set) > 0 THEN 0 ELSE hops END
            OR (kind <> 'reverse' AND chain[1].subject <> subject)
            OR len(list_filter(range(1, len(chain)), lambda i: chain[i].object <> chain[i + 1].subject)) > 0""",
    "a chain ends in its answer": """
        SELECT question_id, kind FROM questions
        WHERE kind NOT IN ('reverse', 'timeline') AND chain[len(chain)].object <> answer_id""",
    "an edited hop is its edit": """
        SELECT q.question_id, h.hop.edit_id FROM questions q, unnest(q.chain) AS h(hop)
        LEFT JOIN edits e ON e.edit_id = h.hop.edit_id
        WHERE h.hop.edit_id IS NOT NULL AND q.asked_on IS NULL AND (e.edit_id IS NULL OR e.subject <> h.hop.subject
            OR e.relation <> h.hop.relation OR e.new_object <> h.hop.object
            OR NOT list_contains(q.edit_ids, e.edit_id))""",
    "every changed fact in a chain is told as edited": """
        SELECT q.question_id, e.edit_id FROM questions q, unnest(q.chain) AS h(hop)
        JOIN edits e ON e.subject = h.hop.subject AND e.relation = h.hop.relation
        WHERE q.asked_on IS NULL AND q.kind <> 'timeline' AND h.hop.edit_id IS DISTINCT FROM e.edit_id""",
    "a question about a change has two answers": """
        SELECT question_id, kind FROM questions
        WHERE kind IN ('edit', 'paraphrase', 'cloze', 'alias', 'multi_hop')
            AND (answer_id = answer_before_id OR plain(answer) = plain(answer_before))""",
    "a locality answer has not moved": """
        SELECT question_id FROM questions
        WHERE kind = 'locality' AND answer_id IS DISTINCT FROM answer_before_id
        UNION ALL
        SELECT q.question_id FROM questions q, unnest(q.chain) AS h(hop)
        JOIN edits e ON e.subject = h.hop.subject AND e.relation = h.hop.relation
        WHERE q.kind = 'locality'""",
    "a history question asks about the past": """
        SELECT question_id, asked_on FROM questions, days
        WHERE (kind = 'history') <> (asked_on IS NOT NULL) OR asked_on > days.as_of""",
    "every question has at least one answer and a text": """
        SELECT question_id FROM questions
        WHERE coalesce(trim(answer), '') = '' OR coalesce(trim(question), '') = ''""",
    "no question contains its answer": """
        SELECT question_id, question, answer FROM questions
        WHERE contains(' ' || plain(question) || ' ', ' ' || plain(answer) || ' ')""",
    "one text has one answer": """
        SELECT question FROM questions GROUP BY question HAVING count(DISTINCT answer_id) > 1""",
    "a name of another language is told": """
        WITH shown AS (
            SELECT question_id, answer_id AS qid, fallback_names FROM questions
            UNION ALL SELECT question_id, subject, fallback_names FROM questions WHERE kind <> 'alias')
        SELECT question_id, qid, label_language FROM shown JOIN entities USING (qid)
        WHERE (label_language NOT IN (getvariable('language'), 'mul')) <> list_contains(fallback_names, qid)""",
    "no question for training asks about an edit for testing": """
        WITH asked AS (SELECT question_id, kind, split, unnest(edit_ids) AS edit_id FROM questions)
        SELECT q.question_id, q.edit_id FROM asked q JOIN asked e ON e.edit_id = q.edit_id AND e.kind = 'edit'
        WHERE q.split = 'train' AND e.split <> 'train'""",
    "every reason is in the closed list": """
        SELECT DISTINCT reason FROM rejections ANTI JOIN reason_codes USING (reason)""",
    **SET_CHECKS,
}

# What only a snapshot made from statements can promise. An imported benchmark has neither statements nor dates, and its
# wordings are what its authors made them.
OF_WIKIDATA = frozenset(
    {
        "every statement behind an edit is there",
        "every edit names its statements",
        "a change lies after since and not after as_of",
        "nothing may hold at since where an edit is an injection",
        "every fact used is certain on its day, by the timelines",
        "every fact used is stated, by a statement that may count",
        "no statement with both dates contradicts a fact used",
        "who left something left that alone on its day, by the statements",
        "a departure lies before since",
        "a chain is joined",
        "no question contains its answer",
        "one text has one answer",
        *SET_OF_WIKIDATA,
    }
)


def require_sound(snapshot: Path) -> None:
    """Raises CheckFailed with the first broken promise, if any."""
    if problems := verify(snapshot):
        raise CheckFailed(f"the snapshot breaks {len(problems)} of its promises; first: {problems[0]}")
