"""Croissant metadata, checked by the format's own library."""

import json
from pathlib import Path

import mlcroissant
import pyarrow.parquet as pq

from chronofacts.pipeline.publishing.charts import edits_by_month, edits_by_month_svg
from chronofacts.pipeline.snapshots.croissant import croissant_text
from chronofacts.schemas.files import sha256_of
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import EDITS
from tests.pipeline.publishing.small_snapshot import make_snapshot


def test_the_formats_own_library_finds_no_error_and_reads_every_record(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "snapshot")
    dataset = mlcroissant.Dataset(str(snapshot / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    for file, entry in read_manifest(snapshot).files.items():
        name = file.removesuffix(".parquet").partition("/")[2]
        assert sum(1 for _ in dataset.records(name)) == entry.rows
    first = next(iter(dataset.records("edit-test")))
    assert first["edit-test/answer"] == b"Bo Younger 1 1"
    assert first["edit-test/chain"][0]["edit-test/chain/object_before"] == b"Q12"


def test_the_metadata_names_every_file_with_its_sum_and_every_column_with_its_meaning(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "snapshot")
    told = json.loads((snapshot / "croissant.json").read_text())
    assert {file["@id"]: file["sha256"] for file in told["distribution"]} == {
        path.relative_to(snapshot).as_posix(): sha256_of(path) for path in snapshot.rglob("*.parquet")
    }
    edits = next(records for records in told["recordSet"] if records["@id"] == "edits")
    meanings = {field["name"]: field["description"] for field in edits["field"]}
    assert list(meanings) == EDITS.names and all(meanings.values())


def test_published_metadata_names_files_by_their_address(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "snapshot")
    manifest = read_manifest(snapshot)
    sizes = dict.fromkeys(manifest.files, 1)
    told = json.loads(croissant_text(manifest, sizes, files_at="https://hub/resolve/2025-01-01/"))
    assert told["distribution"][0]["contentUrl"] == "https://hub/resolve/2025-01-01/edits/edits.parquet"


def test_the_chart_has_a_bar_for_every_month_between_the_first_and_the_last(tmp_path: Path) -> None:
    edits = pq.read_table(make_snapshot(tmp_path / "snapshot") / "edits/edits.parquet")
    rows = edits.to_pylist()
    rows[0]["changed_on_earliest"] = rows[0]["changed_on_earliest"].replace(year=2022, month=11)
    months = edits_by_month(edits.from_pylist(rows, schema=EDITS))
    assert list(months.values()) == [1, 0, 0, 0, 0, 0, 2]
    assert edits_by_month_svg(edits.from_pylist(rows, schema=EDITS)).count("<rect") == 7


def test_a_chart_of_no_edits_is_still_a_chart() -> None:
    assert "<rect" not in edits_by_month_svg(EDITS.empty_table())
