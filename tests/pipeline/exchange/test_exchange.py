"""Exports and imports as a user meets them: whole snapshots, the two commands, and their errors."""

from __future__ import annotations

import bz2
import datetime
import gzip
import json
import logging
import lzma
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chronofacts.flows.cli import app
from chronofacts.pipeline.exchange import EXPORTS, IMPORTS, export_snapshot, import_benchmark, import_snapshot
from chronofacts.pipeline.snapshots.invariants import INVARIANTS, NEED_STATEMENTS
from chronofacts.pipeline.snapshots.set_invariants import SET_INVARIANTS
from chronofacts.pipeline.snapshots.text_invariants import TEXT_INVARIANTS
from chronofacts.pipeline.snapshots.verify import invariants_for, verify
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES
from tests.pipeline.exchange.records import CASE as MQUAKE
from tests.pipeline.exchange.records import COUNTERFACT, QAEDIT, RIPPLE, WIKIBIGEDIT, WIKIFACTDIFF, ZSRE

PUBLISHED = {
    "counterfact": COUNTERFACT,
    "easyedit": {"subject": "Veldor", "prompt": "Veldor's premier is", "target_new": "Bo Crane", "locality": {}},
    "mquake": MQUAKE,
    "qaedit": QAEDIT,
    "rippleedits": RIPPLE,
    "wikibigedit": WIKIBIGEDIT,
    "wikifactdiff": WIKIFACTDIFF,
    "zsre": ZSRE,
}


def test_every_format_is_tried_here_but_ones_own_facts() -> None:
    assert set(PUBLISHED) == set(IMPORTS) - {"facts"}, "facts has no days of its own: test_own_facts"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """format -> a file with one record in its published shape."""
    folder = tmp_path_factory.mktemp("published")
    files = {format: folder / f"{format}.json" for format in PUBLISHED}
    for format, file in files.items():
        file.write_text(json.dumps([PUBLISHED[format]]), encoding="utf-8")
    return files


@pytest.fixture(scope="module")
def imported(published: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """format -> the snapshot that its file becomes."""
    folder = tmp_path_factory.mktemp("imported")
    for format, file in published.items():
        import_snapshot(file, format, folder / format)
    return {format: folder / format for format in published}


def rows(snapshot: Path, table: str, key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in read_table(snapshot, table).to_pylist()}


@pytest.mark.parametrize(
    ("format", "file", "lost"),
    [("easyedit", "test.json", {"phrasings", "chain", "edit_ids"}), ("mquake", "ChronoFacts-T.json", set())],
)
def test_the_sample_exported_and_imported_has_the_same_rows(
    sample_snapshot: Path, tmp_path: Path, format: str, file: str, lost: set[str]
) -> None:
    export_snapshot(sample_snapshot, format, tmp_path / "out")
    import_snapshot(tmp_path / "out" / file, format, tmp_path / "in")
    rejections = read_table(tmp_path / "in", "rejections").to_pylist()
    assert [row["detail"] for row in rejections if row["reason"] == "unread_field"] == []
    edits, again = rows(sample_snapshot, "edits", "edit_id"), rows(tmp_path / "in", "edits", "edit_id")
    assert all(row == edits[edit_id] for edit_id, row in again.items())
    questions = rows(sample_snapshot, "questions", "question_id")
    # A case of MQuAKE is a multi-hop question; easyedit's file holds one split, and no sets of answers.
    kind, split = ("multi_hop", {"train", "test"}) if format == "mquake" else ("edit", {"test"})
    asked = (row["edit_ids"] for row in questions.values() if row["kind"] == kind and row["split"] in split)
    wanted = {edit for edit in set().union(*asked) if edits[edit]["kind"] not in ("addition", "removal")}
    assert len(wanted) > 100
    assert (
        len(wanted - set(again)) <= len(wanted) / 50
    )  # mquake leaves out a chain whose facts before are not all known
    for question_id, row in rows(tmp_path / "in", "questions", "question_id").items():
        known = questions[question_id]
        kept = [name for name in row if name not in lost or row["kind"] in ("edit", "paraphrase", "cloze")]
        assert [row[name] for name in kept] == [known[name] for name in kept]
        assert set(row["edit_ids"]) <= set(known["edit_ids"])  # easyedit's file holds one split


@pytest.mark.parametrize("format", sorted(PUBLISHED))
def test_an_imported_benchmark_is_a_sound_snapshot_that_says_where_it_is_from(
    imported: dict[str, Path], format: str
) -> None:
    snapshot = imported[format]
    assert verify(snapshot) == []
    written = read_manifest(snapshot)
    assert (written.origin, written.since, written.as_of) == (format, IMPORTS[format].since, IMPORTS[format].as_of)
    assert "license: other" in (snapshot / "README.md").read_text(encoding="utf-8")
    assert {name for name in SNAPSHOT_TABLES if read_table(snapshot, name).num_rows} >= {"edits", "questions"}


@pytest.mark.parametrize("format", sorted(PUBLISHED))
def test_the_same_file_gives_the_same_bytes(
    published: dict[str, Path], imported: dict[str, Path], tmp_path: Path, format: str
) -> None:
    assert import_snapshot(published[format], format, tmp_path / "again") == read_manifest(imported[format])


def test_what_is_said_of_wikidata_is_checked_of_wikidata_only(sample_snapshot: Path) -> None:
    every = set(INVARIANTS) | set(SET_INVARIANTS) | set(TEXT_INVARIANTS)
    assert every > NEED_STATEMENTS
    manifest = read_manifest(sample_snapshot)
    empty = {name: entry for name, entry in manifest.files.items() if not name.startswith(("statements", "timelines"))}
    for origin, files, checked in (
        ("wikidata", manifest.files, every),
        ("wikidata", empty, every),
        ("zsre", empty, every - NEED_STATEMENTS),
        ("zsre", manifest.files, every),  # what a manifest says of itself turns off nothing that can be checked
    ):
        assert set(invariants_for(replace(manifest, origin=origin, files=files))) == checked


def test_a_card_of_an_import_says_no_more_than_its_authors_do(imported: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("prompt,target,old\nWho leads | `Acme`?,Jane,Joe\n", encoding="utf-8")
    import_snapshot(tmp_path / "f.csv", "facts", tmp_path / "S", datetime.date(2024, 1, 1), datetime.date(2025, 1, 1))
    for snapshot in (*imported.values(), tmp_path / "S"):
        text = (snapshot / "README.md").read_text(encoding="utf-8").partition("\n## Columns")[0]
        asked = set(read_table(snapshot, "questions")["kind"].to_pylist())
        assert ('"multi_hop", split="test"' in text) == ("multi_hop" in asked)
        assert "None" not in text and "certain" not in text and "| changed |" not in text, text
        nothing = not read_table(snapshot, "rejections").num_rows
        assert ("## What was left out, and why\n\nNothing was.\n" in text) == nothing
    own = (tmp_path / "S" / "README.md").read_text(encoding="utf-8")
    assert "benchmark" not in own.partition("\n## Columns")[0]
    assert "\n| Who leads \\| \\`Acme\\`? | 1 |\n" in own


def test_an_imported_file_that_was_changed_is_found(imported: dict[str, Path], tmp_path: Path) -> None:
    changed = Path(shutil.copytree(imported["zsre"], tmp_path / "changed"))
    file = changed / "edits" / "edits-test.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert [problem.check for problem in verify(changed)] == ["every file is the one that was written"]


def test_days_given_are_the_days_of_the_snapshot(published: dict[str, Path], tmp_path: Path) -> None:
    since, as_of = datetime.date(2001, 1, 1), datetime.date(2002, 1, 1)
    import_snapshot(published["mquake"], "mquake", tmp_path / "out", since, as_of)
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.since, manifest.as_of) == (since, as_of)
    assert set(read_table(tmp_path / "out", "questions")["as_of"].to_pylist()) == {as_of}


def own_export(part_of_the_sample: Path, folder: Path, format: str, change: dict[str, Any]) -> Path:
    """An export with something else said of the set; without a change nothing of it, as exports had it before."""
    files = export_snapshot(part_of_the_sample, format, folder)
    records = json.loads(files[0].read_text(encoding="utf-8"))
    for record in records:
        record["chronofacts"]["set"] |= change
        if not change:
            del record["chronofacts"]["set"]
    files[0].write_text(json.dumps(records), encoding="utf-8")
    return files[0]


@pytest.mark.parametrize("format", ["easyedit", "mquake"])
def test_an_own_export_comes_back_with_its_days_and_its_language(
    part_of_the_sample: Path, tmp_path: Path, format: str
) -> None:
    file = own_export(part_of_the_sample, tmp_path / "out", format, {"language": "nl"})
    written, again = read_manifest(part_of_the_sample), import_snapshot(file, format, tmp_path / "in")
    assert (again.since, again.as_of, again.language) == (written.since, written.as_of, "nl")
    assert verify(tmp_path / "in") == []


def test_days_that_nobody_gives_hold_every_change_that_has_a_day(
    part_of_the_sample: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("chronofacts"), "propagate", True)
    file = own_export(part_of_the_sample, tmp_path / "out", "easyedit", {})
    manifest = import_snapshot(file, "easyedit", tmp_path / "in")
    edits = read_table(tmp_path / "in", "edits").to_pylist()
    assert all(manifest.since < row["changed_on_earliest"] for row in edits)
    assert all(row["changed_on_latest"] <= manifest.as_of for row in edits)
    assert "not between" not in caplog.text
    import_benchmark(file, "easyedit", datetime.date(2002, 1, 1))
    assert f"{len(edits)} edits changed on days that are not between" in caplog.text


def test_exports_of_two_sets_in_one_file_are_refused(part_of_the_sample: Path, tmp_path: Path) -> None:
    file = own_export(part_of_the_sample, tmp_path / "out", "easyedit", {"language": "en"})
    records = json.loads(file.read_text(encoding="utf-8"))
    records[-1]["chronofacts"]["set"] |= {"as_of": "2031-01-01"}
    file.write_text(json.dumps(records), encoding="utf-8")
    with pytest.raises(BadInput, match=f"record {len(records)}: it was exported from another snapshot"):
        import_snapshot(file, "easyedit", tmp_path / "in")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", ["not JSON"]),
        ("[]", ["no record"]),
        ('{"a": 1}', ["single dict"]),
        ("[1]", ["record 1", "an object"]),
        ('[{"subject": "x"}]', ["record 1", "src", "missing"]),
        ('[{"subject": ["x"], "src": "y", "alt": "z"}]', ["record 1", "subject", "a text"]),
        (json.dumps([ZSRE, ZSRE | {"answers": []}]), ["record 2", "answers"]),
        (json.dumps([ZSRE | {"alt": "Ana Brill"}]), ["no edit that changes anything"]),
    ],
)
def test_a_file_that_is_not_of_the_format_names_the_record_and_the_field(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    with pytest.raises(BadInput) as raised:
        import_benchmark(file, "zsre")
    assert str(file) in str(raised.value) and all(word in str(raised.value) for word in words), raised.value


def test_a_file_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name in ("bytes.json", "absent.json"):
        with pytest.raises(BadInput, match=name):
            import_benchmark(tmp_path / name, "mquake")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_told_as_such(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "zsre.json.packed"
    file.write_bytes(compress(json.dumps([ZSRE]).encode()))
    with pytest.raises(BadInput, match=r"is compressed \(\w+\); unpack it"):
        import_benchmark(file, "zsre")


def test_a_spoiled_own_export_is_refused_and_not_a_traceback(imported: dict[str, Path], tmp_path: Path) -> None:
    (file, *_) = export_snapshot(imported["mquake"], "easyedit", tmp_path / "out")
    records = json.loads(file.read_text())
    records[0]["chronofacts"]["edit"]["sitelinks"] = "many"
    file.write_text(json.dumps(records))
    with pytest.raises(BadInput, match="chronofacts"):
        import_benchmark(file, "easyedit")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "S", "--format", "easyedt", "--out", "new"], ["easyedt", "did you mean easyedit?"]),
        (["export", "S", "--format", "zsre", "--out", "new"], ["can only be imported", "mquake"]),
        (["import", "F", "--format", "lm-eval", "--out", "new"], ["can only be exported", "zsre"]),
        (["import", "F", "--format", "xml", "--out", "new"], ["xml", "counterfact"]),
        (["import", "F", "--format", "zsre", "--out", "new", "--since", "2030-01-01"], ["--since 2030-01-01"]),
        (["export", "F", "--format", "mquake", "--out", "new"], ["not a snapshot"]),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    part_of_the_sample: Path, published: dict[str, Path], tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    places = {"S": part_of_the_sample, "F": published["zsre"], "new": tmp_path / "new"}
    result = CliRunner().invoke(app, [str(places.get(argument, argument)) for argument in arguments])
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("chronofacts")]
    assert result.exit_code == 2 and all(word in line for word in words), line
    assert not (tmp_path / "new").exists()


def test_the_commands_say_what_they_wrote(part_of_the_sample: Path, published: dict[str, Path], tmp_path: Path) -> None:
    runner = CliRunner()
    for format in EXPORTS:
        out = tmp_path / f"to {format}"
        result = runner.invoke(app, ["export", str(part_of_the_sample), "--format", format, "--out", str(out)])
        assert result.exit_code == 0, result.stderr
        assert all(f"wrote {path}" in result.stdout for path in out.iterdir())
    result = runner.invoke(
        app, ["import", str(published["mquake"]), "--format", "mquake", "--out", str(tmp_path / "from")]
    )
    assert result.exit_code == 0 and "1 edits, 3 questions, 0 rejections" in result.stdout
