"""Every promise that `verify` checks, broken on purpose in a snapshot that is otherwise right, is found by its name."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronofacts.pipeline.snapshots.invariants import INVARIANTS, MACROS
from chronofacts.pipeline.snapshots.set_invariants import SET_INVARIANTS
from chronofacts.pipeline.snapshots.text_invariants import TEXT_INVARIANTS, TEXT_MACROS
from chronofacts.pipeline.snapshots.verify import Problem, require_valid, verify
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import sha256_of
from chronofacts.schemas.promises import PROMISES
from chronofacts.schemas.reasons import REASONS, explain
from chronofacts.schemas.tables import SNAPSHOT_TABLES
from tests.pipeline.snapshots.defects import DEFECTS, EDIT, in_memory, plant, question

KINDS = ("edit", "paraphrase", "cloze", "alias", "multi_hop", "locality", "history", "timeline")


@pytest.fixture
def snapshot(part_of_the_sample: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(part_of_the_sample, tmp_path / "snapshot"))


@pytest.fixture(scope="module")
def find(part_of_the_sample: Path) -> Iterator[Callable[[Sequence[str]], dict[str, Problem]]]:
    with in_memory(part_of_the_sample) as finding:
        yield finding


def test_a_finished_snapshot_breaks_no_promise(sample_snapshot: Path) -> None:
    require_valid(sample_snapshot)


def test_what_is_broken_in_the_files_is_found_and_raised(snapshot: Path) -> None:
    changes, _ = DEFECTS["every edit names its statements"]
    plant(snapshot, changes)
    (problem,) = verify(snapshot)
    assert problem.check == "every edit names its statements"
    with pytest.raises(CheckFailed, match=f"1 of its promises; first: {re.escape(str(problem))}"):
        require_valid(snapshot)


def test_every_promise_has_a_defect_that_breaks_it() -> None:
    assert {PROMISES[id_] for id_ in INVARIANTS | TEXT_INVARIANTS} == set(DEFECTS)


def test_every_promise_has_one_id_and_is_a_reason_for_a_rejection() -> None:
    of_files = {"files_there", "no_foreign_file", "no_links", "files_as_written", "tables_there"}
    ids = [*INVARIANTS, *SET_INVARIANTS, *TEXT_INVARIANTS]
    assert len(set(ids)) == len(ids) == len({PROMISES[id_] for id_ in ids})
    assert {*ids} | of_files == set(PROMISES)
    assert all(REASONS[code][0] == "verify" and sentence in explain(code) for code, sentence in PROMISES.items())


@pytest.mark.parametrize("promise", DEFECTS)
def test_a_planted_defect_is_found_by_the_name_of_the_promise_that_it_breaks(
    find: Callable[[Sequence[str]], dict[str, Problem]], promise: str
) -> None:
    changes, implied = DEFECTS[promise]
    found = find(changes)
    assert promise in found
    assert set(found) <= {promise} | implied
    assert found[promise].count > 0 and found[promise].examples


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_not_the_name_of_its_id_is_found(
    find: Callable[[Sequence[str]], dict[str, Problem]], kind: str
) -> None:
    found = find([f"UPDATE questions SET answer = 'Nobody At All' WHERE {question(kind)}"])
    assert "every entity is called by its name, and every literal by its value" in found


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_of_other_words_is_found(find: Callable[[Sequence[str]], dict[str, Problem]], kind: str) -> None:
    found = find([f"UPDATE questions SET question = 'What is 2+2?' WHERE {question(kind)}"])
    assert {"every question_id is the hash of its question", "every question names its subject"} <= set(found)


@pytest.mark.parametrize(
    "change",
    [
        "target_new = 'Nobody At All'",
        "target_old = NULL",
        "subject_label = 'Atlantis'",
        "new_label = 'Nobody At All', target_new = 'Nobody At All'",
        "new_aliases = ['Nobody At All']",
        "prompt = 'What is 2+2?'",
        "paraphrases = ['What is 2+2?']",
        "cloze = 'Two and two are'",
    ],
)
def test_words_of_an_edit_that_its_tables_contradict_are_found_and_the_edit_answers_for_them(
    find: Callable[[Sequence[str]], dict[str, Problem]], change: str
) -> None:
    found = find([f"UPDATE edits SET {change} WHERE {EDIT}"])
    assert found and all(example.startswith("edit ") for problem in found.values() for example in problem.examples)


def test_another_name_of_an_entity_is_not_taken_for_its_own(
    find: Callable[[Sequence[str]], dict[str, Problem]],
) -> None:
    found = find([f"UPDATE edits SET new_label = concat('New ', new_label) WHERE {EDIT}"])
    assert "every entity is called by its name, and every literal by its value" in found


@pytest.mark.parametrize(
    ("name", "literal", "told"),
    [
        ("1,234,567", "+1234567", True),
        ("1.234.567,5", "+1234567.50", True),
        ("-12", "-12", True),
        ("12", "+1200", False),
        ("12", "-12", False),
        ("many", "+12", False),
    ],
)
def test_a_number_is_told_in_figures_however_a_language_divides_them(name: str, literal: str, told: bool) -> None:
    with duckdb.connect() as connection:
        connection.execute(MACROS + TEXT_MACROS)
        said = connection.execute("SELECT says_number($1, $2::DECIMAL(38, 6))", [name, literal.lstrip("+")])
        assert said.fetchall() == [(told,)]


def flip_a_byte(snapshot: Path) -> None:
    file = snapshot / "edits" / "edits-test.parquet"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)


def lose_a_file(snapshot: Path) -> None:
    (snapshot / "timelines" / "timelines.parquet").unlink()


def add_a_file(snapshot: Path) -> None:
    shutil.copy(snapshot / "edits" / "edits-test.parquet", snapshot / "edits" / "more.parquet")


def drop_a_column(snapshot: Path) -> None:
    rewrite(snapshot, "edits", lambda table: table.drop_columns(["prompt"]))


def mistype_a_column(snapshot: Path) -> None:
    place = SNAPSHOT_TABLES["edits"].get_field_index("sitelinks")
    rewrite(snapshot, "edits", lambda table: table.set_column(place, "sitelinks", pa.array(["many"] * table.num_rows)))


def miscount(snapshot: Path) -> None:
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["edits/edits-test.parquet"]["rows"] += 1
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def forget_a_table(snapshot: Path) -> None:
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    del manifest["files"]["rejections/rejections.parquet"]
    shutil.rmtree(snapshot / "rejections")
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def rewrite(snapshot: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    file = min((snapshot / name).glob("*.parquet"))
    table = change(pq.read_table(file))
    pq.write_table(table, file)
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][f"{name}/{file.name}"] = {"rows": table.num_rows, "sha256": sha256_of(file)}
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "promise", "told"),
    [
        (flip_a_byte, "every file is the one that was written", "edits-test.parquet is not the file that was written"),
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
