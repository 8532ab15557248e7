"""The last gate as a user of the command line meets it: exit codes, the warning, and the folder that is kept beside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from chronofacts.flows import refresh
from chronofacts.flows.cli import app

Program = Callable[..., Result]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    """The command with a fault planted in the stage that builds the tables, in which so many edits, by the order of
    their ids, get an old value with the name of the new one. The source is read, and the stage runs, once."""
    stage, build, built = refresh.stage_source, refresh.build_files, dict[str, Path]()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(refresh, "stage_source", lambda *inputs: None if built else stage(*inputs))

    def run(damaged_edits: int, *words: str) -> Result:
        def build_files(*inputs: Any) -> dict[str, Path]:
            if not built:
                (tmp_path / "built").mkdir()
                files = build(*inputs)
                built.update((name, Path(shutil.move(file, tmp_path / "built"))) for name, file in files.items())
            edits = pq.read_table(built["edits"])
            damaged = duckdb.sql(
                f"SELECT * REPLACE (CASE WHEN row_number() OVER (ORDER BY edit_id) <= {damaged_edits} "
                "THEN upper(new_label) ELSE old_label END AS old_label) FROM edits ORDER BY edit_id"
            ).to_arrow_table()
            pq.write_table(damaged.cast(edits.schema), tmp_path / "damaged.parquet")
            return built | {"edits": tmp_path / "damaged.parquet"}

        monkeypatch.setattr(refresh, "build_files", build_files)
        return told_by(*words)

    return run


def told_by(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


REFRESH = (
    "refresh",
    "--since",
    "2021-01-01",
    "--as-of",
    "2025-01-01",
    "--relations",
    "P6,P35",
    "--quiet",
    "--out",
    "S",
)


@pytest.mark.sets_aside
def test_a_damaged_row_is_set_aside_with_a_warning_and_a_fault_of_the_program_is_kept_beside(
    program: Program, tmp_path: Path
) -> None:
    done = program(2, *REFRESH)
    assert done.exit_code == 0 and done.stdout.strip() == "snapshot: S", done.stderr
    (warning,) = done.stderr.splitlines()
    assert "2 edits" in warning and "values_differ" in warning and "stage verify" in warning
    assert told_by("verify", tmp_path / "S").exit_code == 0
    told = json.loads(told_by("inspect", tmp_path / "S", "--json").stdout)
    assert told["rejections"]["set_aside"]["values_differ"]["edits"] == 2
    assert not (tmp_path / "S.broken").exists()

    (tmp_path / "S").rename(tmp_path / "T")
    done = program(30, *REFRESH)
    assert done.exit_code == 1 and not (tmp_path / "S").exists()
    (line,) = done.stderr.splitlines()
    assert "30 of" in line and "more than 1%" in line and "S.broken" in line
    checked = told_by("verify", tmp_path / "S.broken")
    assert checked.exit_code == 1 and "old and new value of an edit differ: 30 broken" in checked.stderr
    assert told_by("inspect", tmp_path / "S.broken").exit_code == 0
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/S.broken/edits/*.parquet'").fetchall() == [
        (sum(told["edits"]["by_relation"].values()) + 2,)
    ]


@pytest.mark.sets_aside
def test_the_artifact_tells_what_was_set_aside(prefect_server: str, tmp_path: Path) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    from chronofacts.flows.scheduled.artifacts import show_set_aside
    from chronofacts.schemas.manifest import read_manifest
    from tests.pipeline.publishing.small_snapshot import make_snapshot
    from tests.pipeline.snapshots.damage import written

    small = make_snapshot(tmp_path / "small")
    made, _ = written(small, ["UPDATE edits SET new_label = new_object WHERE subject = 'Q11'"], tmp_path)
    for manifest in (read_manifest(small), made):
        flow(lambda told=manifest: show_set_aside(told), name="telling", validate_parameters=False)()
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["set-aside"]))
        (artifact,) = client.read_artifacts(artifact_filter=wanted)
    assert '"edits": 1, "questions": 2' in str(artifact.data) and "labels_are_names" in str(artifact.data)
