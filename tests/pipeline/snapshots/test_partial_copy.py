"""A snapshot that was copied in part, or mixed with another: no reader takes it for a smaller one."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chronofacts.editing.snapshot import load_snapshot
from chronofacts.pipeline.exchange import export_snapshot
from chronofacts.pipeline.snapshots.compare import compare_snapshots
from chronofacts.pipeline.snapshots.entity_report import report_entity
from chronofacts.pipeline.snapshots.summary import summarise
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.errors import CheckFailed
from tests.pipeline.publishing.small_snapshot import make_snapshot

READERS: dict[str, Callable[[Path], object]] = {
    "inspect": summarise,
    "inspect --why": lambda snapshot: report_entity(snapshot, "Q11"),
    "export": lambda snapshot: export_snapshot(snapshot, "mquake", snapshot.parent / "exported"),
    "experiment": load_snapshot,
    "diff": lambda snapshot: compare_snapshots(snapshot, snapshot, load_catalogue()),
}
TABLE = {"diff": "entities/entities.parquet"}
"""A file that a reader reads; of the others, one of the edits."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_snapshot(tmp_path_factory.mktemp("sound") / "S")


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    day, offices = datetime.date(2025, 2, 1), {number: number for number in range(1, 5)}
    return make_snapshot(tmp_path_factory.mktemp("larger") / "S", day, offices)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("mix", "said"),
    [
        (lambda file, _, __: file.unlink(), r"{} is not there, .*; copy the snapshot whole, or make it again"),
        (lambda file, _, other: shutil.copyfile(other, file), r"{} has \d+ rows, and .* says \d+; copy"),
        (lambda file, _, __: shutil.copyfile(file, file.with_stem("more")), "more.parquet is no file of .*; remove it"),
        (lambda _, snapshot, other: shutil.copyfile(other.parents[1] / "manifest.json", snapshot / "manifest.json"),
         r"has \d+ rows, and .*manifest.json says \d+; copy"),
    ],
    ids=["a file is missing", "a file of another snapshot", "a file too many", "another manifest"],
)  # fmt: skip
def test_a_part_of_a_snapshot_or_a_mix_of_two_is_refused_by_every_reader(
    tmp_path: Path, sound: Path, larger: Path, reader: str, mix: Callable[[Path, Path, Path], object], said: str
) -> None:
    snapshot, name = tmp_path / "S", TABLE.get(reader) or next(sound.glob("edits/*")).relative_to(sound).as_posix()
    shutil.copytree(sound, snapshot)
    READERS[reader](snapshot)
    shutil.rmtree(tmp_path / "exported", ignore_errors=True)
    mix(snapshot / name, snapshot, larger / name)
    with pytest.raises(CheckFailed, match=said.format(re.escape(str(snapshot / name)))):
        READERS[reader](snapshot)


@pytest.mark.parametrize("reader", READERS)
def test_a_manifest_whose_edits_alone_are_others_is_refused_by_every_reader(
    tmp_path: Path, sound: Path, reader: str
) -> None:
    snapshot = Path(shutil.copytree(sound, tmp_path / "S"))
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    file = next(name for name in manifest["files"] if name.startswith("edits/"))
    manifest["files"][file]["rows"] += 1
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(CheckFailed, match=re.escape(f"{snapshot / file} has")):
        READERS[reader](snapshot)
