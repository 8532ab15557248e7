"""The last gate: what breaks a promise is set aside with all that depends on it, and the rest is written as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from chronofacts.pipeline.snapshots.gate import AT_LEAST, SHARE
from chronofacts.pipeline.snapshots.summary import summarise
from chronofacts.pipeline.snapshots.text_invariants import TEXT_INVARIANTS
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.pipeline.snapshots.write import read_table, write_valid
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.promises import PROMISES
from chronofacts.schemas.tables import SNAPSHOT_TABLES
from tests.pipeline.publishing.small_snapshot import make_snapshot
from tests.pipeline.snapshots.damage import written
from tests.pipeline.snapshots.defects import DEFECTS, EDIT, question
from tests.snapshots import iterate_everything

pytestmark = pytest.mark.sets_aside

WRONG_EDIT = [f"UPDATE edits SET old_label = upper(new_label) WHERE {EDIT}"]
WRONG_QUESTION = [f"UPDATE questions SET answer_before_id = 'Q99999999' WHERE {question('locality')}"]
WRONG_EDIT_QUESTION = [f"UPDATE questions SET answer_id = 'Q99999999' WHERE {question('edit')}"]
NOBODY_ANSWERS = DEFECTS["every statement_id is unique"][0]


Written = tuple[SnapshotManifest, Path]


@pytest.fixture(scope="module")
def without_an_edit(part_of_the_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return written(part_of_the_sample, WRONG_EDIT, tmp_path_factory.mktemp("edit"))


@pytest.fixture(scope="module")
def without_its_question(part_of_the_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return written(part_of_the_sample, WRONG_EDIT_QUESTION, tmp_path_factory.mktemp("question"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three edits."""
    return make_snapshot(tmp_path_factory.mktemp("small") / "snapshot")


def ids(snapshot: Path, table: str) -> set[str]:
    return set(read_table(snapshot, table)[f"{table.removesuffix('s')}_id"].to_pylist())


def set_aside(snapshot: Path) -> list[dict]:
    rejections = read_table(snapshot, "rejections")
    return rejections.filter(pc.equal(rejections["stage"], "verify")).to_pylist()


def naming(table: pa.Table, edit_id: str) -> set[str]:
    """The questions or sentences that an edit carries, chains included."""
    return {
        row[table.column_names[0]]
        for row in table.to_pylist()
        if edit_id in row["edit_ids"] or any(hop["edit_id"] == edit_id for hop in row.get("chain") or [])
    }


def test_a_wrong_edit_goes_with_its_questions_and_sentences_and_nothing_else(
    part_of_the_sample: Path, without_an_edit: Written
) -> None:
    manifest, out = without_an_edit
    assert verify(out) == []
    (gone,) = ids(part_of_the_sample, "edits") - ids(out, "edits")
    expected = {"edit": {gone}, "question": set(), "sentence": set()}
    for kind in ("question", "sentence"):
        expected[kind] = naming(read_table(part_of_the_sample, f"{kind}s"), gone)
        assert ids(part_of_the_sample, f"{kind}s") - ids(out, f"{kind}s") == expected[kind] != set()
    rows = set_aside(out)
    assert {row["reason"] for row in rows} == {"values_differ"}
    assert {id_ for row in rows for id_ in row["ids"]} >= set().union(*expected.values())
    assert manifest.set_aside == {"values_differ": {f"{kind}s": len(found) for kind, found in expected.items()}}
    for name in ("edits", "questions", "sentences"):
        kept, before = read_table(out, name), read_table(part_of_the_sample, name)
        key = f"{name.removesuffix('s')}_id"
        assert kept == before.filter(pc.is_in(before[key], value_set=kept[key].combine_chunks()))


def test_a_wrong_question_goes_alone(part_of_the_sample: Path, tmp_path: Path) -> None:
    manifest, out = written(part_of_the_sample, WRONG_QUESTION, tmp_path)
    assert verify(out) == [] and manifest.set_aside == {"locality_unmoved": {"questions": 1}}
    (gone,) = ids(part_of_the_sample, "questions") - ids(out, "questions")
    (row,) = set_aside(out)
    assert gone in row["ids"] and row["subject"] and row["relation"]
    assert ids(out, "edits") == ids(part_of_the_sample, "edits")


def test_an_edit_whose_own_question_is_wrong_goes_with_it(
    part_of_the_sample: Path, without_its_question: Written
) -> None:
    manifest, out = without_its_question
    assert verify(out) == []
    assert manifest.set_aside["chain_ends_in_answer"] == {"questions": 1}
    assert manifest.set_aside["edit_is_asked"]["edits"] == 1
    assert len(ids(part_of_the_sample, "edits") - ids(out, "edits")) == 1


@pytest.mark.parametrize("promise", TEXT_INVARIANTS)
def test_a_row_whose_words_are_wrong_is_set_aside(part_of_the_sample: Path, tmp_path: Path, promise: str) -> None:
    changes, _ = DEFECTS[PROMISES[promise]]
    manifest, out = written(part_of_the_sample, changes, tmp_path)
    assert verify(out) == [] and promise in manifest.set_aside
    assert 0 < len(set_aside(out)) < 60


def test_what_was_set_aside_is_told_in_the_card_and_by_inspect(
    part_of_the_sample: Path, without_an_edit: Written
) -> None:
    manifest, out = without_an_edit
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Set aside by the last check" in card and "old and new value of an edit differ" in card
    assert "Set aside" not in (part_of_the_sample / "README.md").read_text(encoding="utf-8")
    told = summarise(out).as_json()["rejections"]
    assert told["set_aside"] == manifest.set_aside
    assert told["by_reason"]["values_differ"] == sum(manifest.set_aside["values_differ"].values())


def test_the_same_damage_gives_the_same_bytes(
    part_of_the_sample: Path, without_its_question: Written, tmp_path: Path
) -> None:
    folders = [without_its_question[1], written(part_of_the_sample, WRONG_EDIT_QUESTION, tmp_path)[1]]
    files = [{path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")} for folder in folders]
    assert files[0] == files[1]


def test_a_promise_that_no_row_answers_for_leaves_the_snapshot_beside(small: Path, tmp_path: Path) -> None:
    broken = tmp_path / "out.broken"
    for _ in range(2):  # an older one is replaced
        with pytest.raises(CheckFailed, match=r"every statement_id is unique.*no row answers.*out\.broken"):
            written(small, NOBODY_ANSWERS, tmp_path)
        assert not (tmp_path / "out").exists()
        assert [problem.id for problem in verify(broken)] == ["unique_statement_ids"]
        assert summarise(broken).tables["edits"] == summarise(small).tables["edits"]
        assert not (broken / "old").exists()
        (broken / "old").touch()
    assert not list(tmp_path.glob(".*"))


def test_what_is_no_snapshot_is_never_replaced_by_a_broken_one(small: Path, tmp_path: Path) -> None:
    (tmp_path / "out.broken").mkdir()
    (tmp_path / "out.broken" / "precious").write_text("x")
    with pytest.raises(CheckFailed, match="move it away"):
        written(small, NOBODY_ANSWERS, tmp_path)
    assert (tmp_path / "out.broken" / "precious").read_text() == "x"
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


@pytest.fixture(scope="module")
def many_edits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many edits that a hundredth of them is more than what may be set aside of the smallest set."""
    return make_snapshot(tmp_path_factory.mktemp("many") / "snapshot", holders=dict.fromkeys(range(100, 800), 1))


@pytest.mark.parametrize(
    ("table", "allowed", "damage"),
    [("edit", 7, "old_label = upper(new_label)"), ("question", 100, "answer_before = answer")],
)
def test_more_than_a_hundredth_is_a_fault_of_the_program(
    many_edits: Path, tmp_path: Path, table: str, allowed: int, damage: str
) -> None:
    rows = read_table(many_edits, f"{table}s").num_rows
    assert allowed == int(max(SHARE * rows, AT_LEAST[table]))
    change = (
        f"UPDATE {table}s SET {damage} WHERE {table}_id IN "
        f"(SELECT {table}_id FROM {table}s WHERE kind <> 'edit' ORDER BY {table}_id LIMIT {{}})"
    )
    manifest, out = written(many_edits, [change.format(allowed)], tmp_path)
    assert sum(counts.get(f"{table}s", 0) for counts in manifest.set_aside.values()) >= allowed
    shutil.rmtree(out)
    with pytest.raises(CheckFailed, match=f"{allowed + 1} of {rows} {table}s break one, more than 1%"):
        written(many_edits, [change.format(allowed + 1)], tmp_path)
    assert verify(tmp_path / "out.broken")[0].count == allowed + 1


def test_one_bad_edit_of_three_costs_itself_alone_and_is_told_in_one_line(
    small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest, out = written(small, ["UPDATE edits SET new_label = new_object WHERE subject = 'Q11'"], tmp_path)
    assert verify(out) == [] and manifest.set_aside == {"labels_are_names": {"edits": 1, "questions": 2}}
    assert sorted(read_table(out, "edits")["subject"].to_pylist()) == ["Q21", "Q31"]
    (line,) = [record.getMessage() for record in caplog.records if record.name == "chronofacts.gate"]
    assert "labels_are_names" in line and "1 edits" in line and "stage verify" in line and "\n" not in line


def test_a_set_that_loses_its_only_edit_is_still_read_by_every_config(tmp_path: Path) -> None:
    small = make_snapshot(tmp_path / "small", holders={1: 1})
    manifest, out = written(small, ["UPDATE edits SET new_label = new_object WHERE subject = 'Q11'"], tmp_path)
    assert read_table(out, "edits").num_rows == read_table(out, "questions").num_rows == 0
    assert iterate_everything(out, manifest, tmp_path / "cache") == sum(e.rows for e in manifest.files.values()) > 0


def test_a_sound_snapshot_is_written_as_it_is(part_of_the_sample: Path, tmp_path: Path) -> None:
    tables = {name: read_table(part_of_the_sample, name) for name in SNAPSHOT_TABLES}
    manifest = write_valid(tables, read_manifest(part_of_the_sample), tmp_path / "out")
    assert manifest == read_manifest(part_of_the_sample) and manifest.set_aside == {}


def test_a_manifest_from_before_the_gate_is_read(part_of_the_sample: Path, tmp_path: Path) -> None:
    values = json.loads((part_of_the_sample / "manifest.json").read_text(encoding="utf-8"))
    del values["set_aside"]
    (tmp_path / "manifest.json").write_text(json.dumps(values), encoding="utf-8")
    assert read_manifest(tmp_path) == read_manifest(part_of_the_sample)
