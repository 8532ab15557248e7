"""Defects to plant into a snapshot, each of which breaks one promise of `verify`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from chronofacts.pipeline.snapshots.verify import Problem, find_broken, open_tables
from chronofacts.schemas.files import sha256_of
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES

# The first edit and the first question of a kind; `named`: an edit with a question that names it alone.
EDIT = "edit_id = (SELECT min(edit_id) FROM edits WHERE kind = 'modification' AND object_kind = 'item')"

INJECTION = "edit_id = (SELECT min(edit_id) FROM edits WHERE kind = 'injection')"

UPDATE = "edit_id = (SELECT min(edit_id) FROM edits WHERE kind = 'update')"

OF_THE_EDIT = f"(SELECT relation FROM edits WHERE {EDIT}) AND subject = (SELECT subject FROM edits WHERE {EDIT})"


def question(kind: str) -> str:
    return f"question_id = (SELECT min(question_id) FROM questions WHERE kind = '{kind}')"


def hop(fields: str, kind: str) -> str:
    """A statement that changes fields of the first hop of the first question of a kind."""
    return (
        f"UPDATE questions SET chain = list_concat([struct_update(chain[1], {fields})], chain[2:]) "
        f"WHERE {question(kind)}"
    )


DEPARTURE = "question_id = (SELECT min(question_id) FROM questions WHERE chain[1].day IS NOT NULL)"

LEFT = "who left something left that alone on its day, by the statements"

STATED = "every fact used is stated, by a statement that may count"

CERTAIN = "every fact used is certain on its day, by the timelines"

NAMED = "every entity is called by its name, and every literal by its value"

WRITTEN = "what an edit writes is the name of its value"

ASKED = "an edit is asked by its prompt and answered by what it writes"

WORDED = "a paraphrase and a cloze are words of their edit"

HASHED = "every question_id is the hash of its question"

SUBJECT_NAMED = "every question names its subject"

# promise -> (what breaks it, the promises that cannot but break with it)
DEFECTS: dict[str, tuple[Sequence[str], set[str]]] = {
    "every statement_id is unique": (["INSERT INTO statements SELECT * FROM statements LIMIT 1"], set()),
    "every edit_id is unique": (
        [f"INSERT INTO edits SELECT * FROM edits WHERE {EDIT}"], {"no edit contradicts another"},
    ),
    "every question_id is unique": ([f"INSERT INTO questions SELECT * FROM questions WHERE {question('edit')}"], set()),
    "every entity has one row": (
        ["INSERT INTO entities SELECT * FROM entities WHERE qid = (SELECT min(qid) FROM entities)"], set(),
    ),
    "every statement behind an edit is there": (
        [f"UPDATE edits SET statement_ids = ['Q1$gone'] WHERE {EDIT}"], set(),
    ),
    "every edit names its statements": ([f"UPDATE edits SET statement_ids = [] WHERE {EDIT}"], set()),
    "every statement behind a timeline is there": (
        ["UPDATE timelines SET statement_ids = ['Q1$gone'] WHERE rowid = 0"], set(),
    ),
    "every edit that a question names is there": (
        [f"UPDATE questions SET edit_ids = list_append(edit_ids, 'none') WHERE {question('locality')}"], set(),
    ),
    "every edit has its edit question": (
        [f"DELETE FROM questions WHERE kind = 'edit' "
         f"AND list_contains(edit_ids, (SELECT edit_id FROM edits WHERE {EDIT}))"],
        set(),
    ),
    "every QID of an edit is an entity with a name": (
        [f"UPDATE entities SET label = NULL WHERE qid = (SELECT subject FROM edits WHERE {EDIT})"], {NAMED},
    ),
    "no label is missing or an id": (
        [f"UPDATE edits SET new_label = new_object WHERE {EDIT}"], {NAMED, WRITTEN},
    ),
    "old and new value of an edit differ": (
        [f"UPDATE edits SET old_label = upper(new_label) WHERE {EDIT}"], {NAMED, WRITTEN},
    ),
    "a modification has an old value, an injection and an update none": (
        [f"UPDATE edits SET kind = 'modification' WHERE {INJECTION}"], set(),
    ),
    "a change lies after since and not after as_of": (
        [f"UPDATE edits SET changed_on_latest = DATE '2025-01-02' WHERE {EDIT}"], set(),
    ),
    "no edit contradicts another": (
        [f"INSERT INTO edits SELECT * REPLACE (new_object AS old_object, new_label AS old_label, "
         f"old_object AS new_object, old_label AS new_label) FROM edits WHERE {EDIT}"],
        {"every edit_id is unique", "every edit_id is the hash of its edit", CERTAIN, STATED,
         "no statement with both dates contradicts a fact used", "an edited hop is its edit",
         "nobody holds anything after death", WRITTEN},
    ),
    "that nobody held it at since is stated, or the subject began later": (
        [f"UPDATE edits SET kind = 'injection', before = 'nobody' WHERE {UPDATE}"], set(),
    ),
    "nothing may hold at since where an edit has no old value": (
        [f"INSERT INTO timelines SELECT t.* REPLACE (DATE '2000-01-01' AS valid_from_earliest, "
         "DATE '2000-01-01' AS valid_from_latest, DATE '2021-02-01' AS valid_to_earliest, "
         "DATE '2021-02-01' AS valid_to_latest, 'known' AS valid_to_kind) "
         f"FROM timelines t SEMI JOIN (SELECT relation, subject FROM edits WHERE {INJECTION}) "
         "USING (relation, subject) LIMIT 1"],
        set(),
    ),
    CERTAIN: (
        [f"UPDATE timelines SET valid_to_kind = 'unknown' "
         f"WHERE relation = {OF_THE_EDIT} AND valid_to_earliest IS NULL"],
        set(),
    ),
    STATED: (
        ["UPDATE statements SET rank = 'deprecated' WHERE list_contains("
         f"(SELECT statement_ids FROM edits WHERE {EDIT}), statement_id)"],
        set(),
    ),
    "no statement with both dates contradicts a fact used": (
        ["INSERT INTO statements SELECT * REPLACE ('Q1$rival' AS statement_id, "
         "CASE WHEN (SELECT inverse FROM edits WHERE {e}) THEN 'Q99999999' ELSE subject END AS subject, "
         "CASE WHEN (SELECT inverse FROM edits WHERE {e}) THEN object ELSE 'Q99999999' END AS object, "
         "DATE '2020-01-01' AS start_earliest, DATE '2020-01-01' AS start_latest, 'known' AS start_kind, "
         "DATE '2026-01-01' AS end_earliest, DATE '2026-01-01' AS end_latest, 'known' AS end_kind) FROM statements "
         "WHERE statement_id = (SELECT statement_ids[1] FROM edits WHERE {e})".replace("{e}", EDIT)],
        set(),
    ),
    "nobody holds anything after death": (
        ["UPDATE entities SET ended_earliest = DATE '2020-01-01', ended_latest = DATE '2020-01-01', "
         "ended_kind = 'known' WHERE qid = (SELECT min(new_object) FROM edits JOIN entities e ON e.qid = new_object "
         "WHERE list_contains(e.types, 'Q5'))"],
        set(),
    ),
    LEFT: (
        ["INSERT INTO statements SELECT s.* REPLACE ('Q1$other' AS statement_id, 'Q99999999' AS object) "
         f"FROM statements s JOIN (SELECT chain[1] AS hop FROM questions WHERE {DEPARTURE}) "
         "ON s.property = hop.property AND s.subject = hop.subject AND s.object = hop.object "
         "AND s.end_earliest = hop.day"],
        set(),
    ),
    "a departure lies before since": (
        [f"UPDATE questions SET chain = list_concat([struct_update(chain[1], day := DATE '2021-01-01')], chain[2:]) "
         f"WHERE {DEPARTURE}"],
        {LEFT},
    ),
    "a chain is joined": ([f"UPDATE questions SET hops = hops + 1 WHERE {question('locality')}"], set()),
    "a chain ends in its answer": (
        [f"UPDATE questions SET answer_id = 'Q99999999' WHERE {question('edit')}"], {NAMED},
    ),
    "an edited hop is its edit": (
        [f"UPDATE questions SET edit_ids = [] WHERE {question('paraphrase')}"], set(),
    ),
    "every changed fact in a chain is told as edited": ([hop("edit_id := NULL", "paraphrase")], set()),
    "a question about a change has two answers": (
        [f"UPDATE questions SET answer_before = answer WHERE {question('edit')}"], {NAMED, ASKED},
    ),
    "a locality answer has not moved": (
        [f"UPDATE questions SET answer_before_id = 'Q99999999' WHERE {question('locality')}"], {NAMED},
    ),
    "a history question asks about the past": (
        [f"UPDATE questions SET kind = 'timeline' WHERE {question('history')}"], {HASHED},
    ),
    "every question has at least one answer and a text": (
        [f"UPDATE questions SET answer = ' ' WHERE {question('locality')}"], {NAMED},
    ),
    "no question contains its answer": (
        [f"UPDATE questions SET question = concat('Is it ', answer, '?') WHERE {question('edit')}"],
        {ASKED, HASHED, SUBJECT_NAMED},
    ),
    "one text has one answer": (
        ["UPDATE questions SET question = (SELECT question FROM questions "
         f"WHERE {question('edit')}) WHERE {question('locality')}"],
        {HASHED, SUBJECT_NAMED},
    ),
    "a name of another language is told": (
        [f"UPDATE entities SET label_language = 'fr' WHERE qid = (SELECT subject FROM edits WHERE {EDIT})"], set(),
    ),
    "no question for training asks about an edit for testing": (
        ["UPDATE questions SET split = 'test' WHERE question_id = "
         "(SELECT min(question_id) FROM questions WHERE kind = 'edit' AND split = 'train')"],
        set(),
    ),
    "the edits of a subject are all for training or all for testing": (
        ["UPDATE edits SET split = 'train' WHERE edit_id = (SELECT min(edit_id) FROM edits WHERE split = 'test' AND "
         "subject IN (SELECT subject FROM edits GROUP BY subject HAVING count(*) > 1))"],
        {"no question for training asks about an edit for testing"},
    ),
    "every reason is in the closed list": (
        ["UPDATE rejections SET reason = 'bad_luck' WHERE rowid = 0"], set(),
    ),
    "every edit_id is the hash of its edit": (
        ["UPDATE edits SET changed_on_earliest = changed_on_earliest + 1, changed_on_latest = changed_on_latest + 1 "
         f"WHERE {EDIT}"],
        set(),
    ),
    NAMED: (
        ["UPDATE entities SET label = 'Atlantis', label_language = 'en' WHERE qid = "
         f"(SELECT subject FROM edits WHERE {EDIT})"],
        set(),
    ),
    WRITTEN: ([f"UPDATE edits SET target_old = 'Nobody At All' WHERE {EDIT}"], {ASKED}),
    ASKED: ([f"UPDATE edits SET prompt = 'What is 2+2?' WHERE {EDIT}"], set()),
    WORDED: ([f"UPDATE edits SET cloze = 'Two and two are' WHERE {EDIT}"], set()),
    HASHED: ([f"UPDATE questions SET question = concat(question, ' Now?') WHERE {question('locality')}"], set()),
    SUBJECT_NAMED: ([f"UPDATE questions SET question = 'What is 2+2?' WHERE {question('locality')}"], {HASHED}),
}  # fmt: skip


@contextmanager
def in_memory(snapshot: Path) -> Iterator[Callable[[Sequence[str]], dict[str, Problem]]]:
    """What finds the broken promises, by their sentence, of a snapshot's tables with changes by SQL, each time anew."""
    manifest = read_manifest(snapshot)
    with open_tables(snapshot, manifest) as connection:
        connection.execute("SET threads = 1")  # for tables so small
        for name in SNAPSHOT_TABLES:
            connection.execute(f"CREATE TABLE kept AS FROM {name}; DROP VIEW {name}; ALTER TABLE kept RENAME TO {name}")

        def find(changes: Sequence[str]) -> dict[str, Problem]:
            connection.begin()
            try:
                _change(connection, changes)
                return {problem.check: problem for problem in find_broken(connection, manifest)}
            finally:
                connection.rollback()

        yield find


def _change(connection: duckdb.DuckDBPyConnection, changes: Sequence[str]) -> None:
    for change in changes:
        (changed,) = connection.execute(change).fetchall()[0]
        assert changed > 0, "the defect was planted nowhere"


def plant(snapshot: Path, changes: Sequence[str]) -> None:
    """Change the tables by SQL, and the manifest so that it vouches for the result."""
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    with duckdb.connect() as connection:
        for name in SNAPSHOT_TABLES:
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{snapshot / name}/*.parquet')")
        _change(connection, changes)
        touched = {
            name for name in SNAPSHOT_TABLES for change in changes if change.split(" SET ")[0].split()[-1] == name
        }
        touched |= {change.split()[2] for change in changes if change.split()[0] in ("INSERT", "DELETE")}
        assert touched
        for name in touched:
            table = connection.sql(f"SELECT * FROM {name}").to_arrow_table().cast(SNAPSHOT_TABLES[name])
            shutil.rmtree(snapshot / name)
            (snapshot / name).mkdir()
            file = snapshot / name / f"{name}.parquet"
            pq.write_table(table, file)
            manifest["files"] = {f: entry for f, entry in manifest["files"].items() if not f.startswith(f"{name}/")}
            manifest["files"][f"{name}/{name}.parquet"] = {"rows": table.num_rows, "sha256": sha256_of(file)}
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
