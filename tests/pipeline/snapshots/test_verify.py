"""Every promise that `verify` checks, broken on purpose in a snapshot that is otherwise right, is found by its name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronofacts.pipeline.snapshots.invariants import INVARIANTS
from chronofacts.pipeline.snapshots.set_invariants import SET_INVARIANTS
from chronofacts.pipeline.snapshots.verify import require_valid, verify
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import sha256_of
from chronofacts.schemas.promises import PROMISES
from chronofacts.schemas.reasons import REASONS, explain
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
    "every QID of an edit is an entity with that name": (
        [f"UPDATE entities SET label = NULL WHERE qid = (SELECT subject FROM edits WHERE {EDIT})"], set(),
    ),
    "no label is missing or an id": ([f"UPDATE edits SET new_label = new_object WHERE {EDIT}"], set()),
    "old and new value of an edit differ": ([f"UPDATE edits SET old_label = upper(new_label) WHERE {EDIT}"], set()),
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
         "nobody holds anything after death"},
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
    "a chain ends in its answer": ([f"UPDATE questions SET answer_id = 'Q99999999' WHERE {question('edit')}"], set()),
    "an edited hop is its edit": (
        [f"UPDATE questions SET edit_ids = [] WHERE {question('paraphrase')}"], set(),
    ),
    "every changed fact in a chain is told as edited": ([hop("edit_id := NULL", "paraphrase")], set()),
    "a question about a change has two answers": (
        [f"UPDATE questions SET answer_before = answer WHERE {question('edit')}"], set(),
    ),
    "a locality answer has not moved": (
        [f"UPDATE questions SET answer_before_id = 'Q99999999' WHERE {question('locality')}"], set(),
    ),
    "a history question asks about the past": (
        [f"UPDATE questions SET kind = 'timeline' WHERE {question('history')}"], set(),
    ),
    "every question has at least one answer and a text": (
        [f"UPDATE questions SET answer = ' ' WHERE {question('locality')}"], set(),
    ),
    "no question contains its answer": (
        [f"UPDATE questions SET question = concat('Is it ', answer, '?') WHERE {question('edit')}"], set(),
    ),
    "one text has one answer": (
        ["UPDATE questions SET question = (SELECT question FROM questions "
         f"WHERE {question('edit')}) WHERE {question('locality')}"],
        set(),
    ),
    "a name of another language is told": (
        [f"UPDATE entities SET label_language = 'fr' WHERE qid = (SELECT subject FROM edits WHERE {EDIT})"], set(),
    ),
    "no question for training asks about an edit for testing": (
        ["UPDATE questions SET split = 'test' WHERE question_id = "
         "(SELECT min(question_id) FROM questions WHERE kind = 'edit' AND split = 'train')"],
        set(),
    ),
    "every reason is in the closed list": (
        ["UPDATE rejections SET reason = 'bad_luck' WHERE rowid = 0"], set(),
    ),
    "every edit_id is the hash of its edit": (
        ["UPDATE edits SET changed_on_earliest = changed_on_earliest + 1, changed_on_latest = changed_on_latest + 1 "
         f"WHERE {EDIT}"],
        set(),
    ),
}  # fmt: skip


@pytest.fixture
def snapshot(sample_snapshot: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(sample_snapshot, tmp_path / "snapshot"))


def plant(snapshot: Path, changes: Sequence[str]) -> None:
    """Change the tables by SQL, and the manifest so that it vouches for the result."""
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    with duckdb.connect() as connection:
        for name in SNAPSHOT_TABLES:
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{snapshot / name}/*.parquet')")
        for change in changes:
            (changed,) = connection.execute(change).fetchall()[0]
            assert changed > 0, "the defect was planted nowhere"
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


def test_a_finished_snapshot_breaks_no_promise(sample_snapshot: Path) -> None:
    assert verify(sample_snapshot) == []
    require_valid(sample_snapshot)


def test_every_promise_has_a_defect_that_breaks_it() -> None:
    assert {PROMISES[id_] for id_ in INVARIANTS} == set(DEFECTS)


def test_every_promise_has_one_id_and_is_a_reason_for_a_rejection() -> None:
    of_files = {"files_there", "no_foreign_file", "files_as_written", "tables_there"}
    ids = [*INVARIANTS, *SET_INVARIANTS]
    assert len(set(ids)) == len(ids) == len({PROMISES[id_] for id_ in ids})
    assert {*ids} | of_files == set(PROMISES)
    assert all(REASONS[code][0] == "verify" and sentence in explain(code) for code, sentence in PROMISES.items())


@pytest.mark.parametrize("promise", DEFECTS)
def test_a_planted_defect_is_found_by_the_name_of_the_promise_that_it_breaks(snapshot: Path, promise: str) -> None:
    changes, implied = DEFECTS[promise]
    plant(snapshot, changes)
    found = {problem.check: problem for problem in verify(snapshot)}
    assert promise in found
    assert set(found) <= {promise} | implied
    assert found[promise].count > 0 and found[promise].examples
    with pytest.raises(CheckFailed, match="of its promises"):
        require_valid(snapshot)


def flip_a_byte(snapshot: Path) -> None:
    file = snapshot / "edits" / "edits.parquet"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)


def lose_a_file(snapshot: Path) -> None:
    (snapshot / "timelines" / "timelines.parquet").unlink()


def add_a_file(snapshot: Path) -> None:
    shutil.copy(snapshot / "edits" / "edits.parquet", snapshot / "edits" / "more.parquet")


def drop_a_column(snapshot: Path) -> None:
    rewrite(snapshot, "edits", lambda table: table.drop_columns(["prompt"]))


def mistype_a_column(snapshot: Path) -> None:
    place = SNAPSHOT_TABLES["edits"].get_field_index("sitelinks")
    rewrite(snapshot, "edits", lambda table: table.set_column(place, "sitelinks", pa.array(["many"] * table.num_rows)))


def miscount(snapshot: Path) -> None:
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["edits/edits.parquet"]["rows"] += 1
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def forget_a_table(snapshot: Path) -> None:
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    del manifest["files"]["rejections/rejections.parquet"]
    shutil.rmtree(snapshot / "rejections")
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def rewrite(snapshot: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    file = snapshot / name / f"{name}.parquet"
    table = change(pq.read_table(file))
    pq.write_table(table, file)
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][f"{name}/{name}.parquet"] = {"rows": table.num_rows, "sha256": sha256_of(file)}
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "promise", "told"),
    [
        (flip_a_byte, "every file is the one that was written", "edits.parquet is not the file that was written"),
        (lose_a_file, "every file of the manifest is there", "timelines/timelines.parquet"),
        (add_a_file, "no Parquet file is missing from the manifest", "edits/more.parquet"),
        (drop_a_column, "every file is the one that was written", "lacks the column prompt"),
        (mistype_a_column, "every file is the one that was written", "column sitelinks"),
        (miscount, "every file is the one that was written", "the manifest says"),
        (forget_a_table, "every table is there", "rejections"),
    ],
)
def test_a_damaged_file_is_named(snapshot: Path, damage: Callable[[Path], None], promise: str, told: str) -> None:
    damage(snapshot)
    (problem,) = verify(snapshot)
    assert problem.check == promise
    assert told in str(problem)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": "new"}', "null", '{"format": 1, "files": {"a": 3}}', "\x00"]
)
def test_a_damaged_manifest_is_an_error_that_names_it_and_the_mend(snapshot: Path, text: str) -> None:
    (snapshot / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckFailed, match=r"manifest.json is damaged .*make the snapshot again"):
        verify(snapshot)


def test_a_folder_without_a_manifest_is_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a snapshot"):
        verify(tmp_path)
