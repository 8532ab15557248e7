"""Names that would be paths: in manifests, cards of edits, runs and stores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.attack_families import Attack, Broken, expect_refused
from chronofacts.editing.report.runs import read_runs
from chronofacts.pipeline.publishing.contents import data_files
from chronofacts.pipeline.snapshots.store import open_store
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.names import check_name, path_within
from tests.pipeline.publishing.small_snapshot import make_snapshot

__all__ = ["attacks"]

HOSTILE = (
    "../outside", "/../../../outside", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "..\\outside", "~", "~/x", "a\x00b",
    "a\nb", "x" * 5000, "a b", "-rf", ".hidden", "é", "a:b", "$(id)", "`id`", "%2e%2e", "a\u202eb", "٣", "con\r",
)  # fmt: skip


def attacks(folder: Path) -> Iterator[Attack]:
    snapshot = make_snapshot(folder / "S")
    secret = folder / "outside"
    secret.write_text("precious")
    for number, name in enumerate(HOSTILE):
        for what, attack in (
            ("a manifest's file, read", partial(_manifest, snapshot, name, read_manifest)),
            ("a manifest's file, verified", partial(_manifest, snapshot, name, verify)),
            ("a manifest's file, published", partial(_manifest, snapshot, name, data_files)),
            ("a manifest's document", partial(_document, snapshot, name)),
            ("a run's editor", partial(_run, folder / f"run-{number}", name)),
            ("a saved edit's editor", partial(_card, folder / f"edit-{number}", name)),
            ("a store's day", partial(_day, folder / "store", name)),
        ):
            yield Attack(f"{what}: {name[:30]!r}", partial(_guarded, secret, attack))


def _guarded(secret: Path, attack: Callable[[], str]) -> str:
    met = attack()
    if secret.read_text() != "precious" or (secret.parent.parent / "outside").exists():
        raise Broken("a file outside was written")
    return met


def _manifest(snapshot: Path, name: str, read: Callable[[Path], object]) -> str:
    about = json.loads((snapshot / "manifest.json").read_text())
    about["files"][f"edits/{name}.parquet" if name else "edits/"] = about["files"].pop("edits/edits-test.parquet")
    return _with_manifest(snapshot, about, read)


def _document(snapshot: Path, name: str) -> str:
    about = json.loads((snapshot / "manifest.json").read_text())
    about["documents"] = {name: about["documents"]["README.md"]}
    return _with_manifest(snapshot, about, verify)


def _with_manifest(snapshot: Path, about: object, read: Callable[[Path], object]) -> str:
    hostile = snapshot.with_name("hostile")
    shutil.rmtree(hostile, ignore_errors=True)
    shutil.copytree(snapshot, hostile)
    (hostile / "manifest.json").write_text(json.dumps(about))
    return expect_refused(lambda: read(hostile))


def _run(folder: Path, editor: str) -> str:
    folder.mkdir()
    about = {"metrics": {editor: {}}, "model": {"hash": "0"}, "snapshot": {"as_of": "2025-01-01"}}
    (folder / "run.json").write_text(json.dumps(about))
    return expect_refused(lambda: read_runs([folder]))


def _card(folder: Path, editor: str) -> str:
    from chronofacts.editing.editors.saved_edit import read_saved_editors

    folder.mkdir()
    (folder / "card.json").write_text(json.dumps({"editor": editor, "base_model_hash": "0"}))
    return expect_refused(lambda: read_saved_editors([folder]))


def _day(folder: Path, day: str) -> str:
    folder.mkdir(exist_ok=True)
    expect_refused(lambda: check_name(day, "a test"))
    if "/" not in day:
        expect_refused(lambda: path_within(folder, f"x/{day}", "a test"))
    return expect_refused(lambda: open_store(str(folder)).resolve(day))
