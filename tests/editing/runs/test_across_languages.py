"""Questions in another language about edits that were taught in the first: chosen, asked, counted; bad ones refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronofacts.editing.metrics.summary import as_mapping, summarise
from chronofacts.editing.runs.across_languages import load_across, probes_across, read_both
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import SCORES, ScoringSettings
from chronofacts.editing.snapshot import keep_edits, load_snapshot
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import QUESTIONS
from tests.editing.conftest import Experiment
from tests.editing.invented_world import write_invented


def other_language(own: Path, folder: Path, **manifest: str) -> Path:
    """The snapshot with every question in other words, as if in Dutch."""
    shutil.copytree(own, folder)
    path = folder / "questions" / "part.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row |= {"question_id": f"nl-{row['question_id']}", "question": f"Zeg eens: {row['question']}"}
        row["phrasings"] = [f"Zeg eens: {text}" for text in row["phrasings"] or ()]
    pq.write_table(pa.Table.from_pylist(rows, schema=QUESTIONS), path)
    stated = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(stated | {"language": "nl"} | manifest), encoding="utf-8")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_invented(tmp_path / "S [en]", facts=12, edits=6, people=8)


def test_the_other_language_asks_about_the_same_edits_alone(own: Path, tmp_path: Path) -> None:
    other_folder = other_language(own, tmp_path / "S [nl]")
    snapshot = load_snapshot(own)
    few = keep_edits(snapshot, snapshot.edits.slice(0, 2))
    other = load_across(other_folder, few, 0)
    assert other.edits["edit_id"].to_pylist() == few.edits["edit_id"].to_pylist()
    probes = probes_across(other, few, ScoringSettings()).to_pylist()
    kinds = {probe["kind"] for probe in probes}
    assert {"across_edit", "across_paraphrase", "across_history"} <= kinds
    assert all(kind.startswith("across_") for kind in kinds)
    assert all(probe["text"].startswith("Zeg eens: ") for probe in probes)
    assert {probe["fact"] for probe in probes if probe["kind"] == "across_edit"} == set(
        few.edits["edit_id"].to_pylist()
    )
    assert read_both(few, other).sentences.num_rows == few.sentences.num_rows + other.sentences.num_rows


def test_figures_of_the_other_language_stand_apart() -> None:
    def row(kind: str, name: str, generated: str, right: bool) -> dict[str, Any]:
        return dict.fromkeys(SCORES.names) | {
            "question_id": name, "phrasing": 0, "kind": kind, "prompt": name, "answer": "Li", "fact": name[-1],
            "generated": generated, "exact_match": right, "exact_match_before": False, "names": ["Li"],
        }  # fmt: skip

    before = [row("edit", "q1", "Bo", False), row("across_edit", "n1", "Bo", False),
              row("across_locality", "l1", "Ann", True), row("across_locality", "l2", "Ann", True)]  # fmt: skip
    after = [row("edit", "q1", "Li", True), row("across_edit", "n1", "Bo", False),
             row("across_locality", "l1", "Ann", True), row("across_locality", "l2", "Li", False)]  # fmt: skip
    tables = (pa.Table.from_pylist(rows, schema=SCORES) for rows in (after, before))
    found = as_mapping(summarise(*tables))
    assert (found["edit_success"], found["across_edit"], found["across_locality"]) == (1.0, 0.0, 0.5)
    assert "locality" not in found


def test_several_hops_in_the_other_language_count_under_any_wording() -> None:
    rows = [
        dict.fromkeys(SCORES.names)
        | {"question_id": "q", "phrasing": number, "kind": "across_multi_hop", "fact": "e", "prompt": str(number)}
        | {"generated": "Li" if number else "Bo", "exact_match": bool(number), "answer": "Li"}
        for number in range(3)
    ]
    table = pa.Table.from_pylist(rows, schema=SCORES)
    assert as_mapping(summarise(table, table))["across_multi_hop"] == 1.0


def test_a_run_asks_and_reports_the_other_language(experiment: Experiment, tmp_path: Path) -> None:
    other = other_language(experiment.snapshot, tmp_path / "nl")
    settings = read_settings(["memory"], {"across": str(other), "limit": "5", "cache": "none"})
    model = str(experiment.run / "model")
    figures = run_experiment(experiment.snapshot, model, settings, tmp_path / "run").metrics
    assert 0 <= figures["memory"]["across_edit"] <= 1
    assert figures["none"]["across_locality"] == 1.0
    assert {"across_edit", "across_history"} <= set(
        pq.read_table(tmp_path / "run/scores/memory.parquet")["kind"].to_pylist()
    )
    again = run_experiment(
        experiment.snapshot, model, read_settings(["memory"], {"limit": "5", "cache": "none"}), tmp_path / "alone"
    ).metrics
    assert not any(name.startswith("across_") for name in again["memory"])
    same = [name for name in again["memory"] if name not in ("seconds", "peak_memory_mb")]
    assert {name: figures["memory"][name] for name in same} == {name: again["memory"][name] for name in same}


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [({"language": "en"}, "is in 'en' too"), ({"as_of": "2024-01-01"}, "refresh it with the same dates")],
)
def test_another_window_and_the_same_language_are_refused(
    manifest: dict[str, str], reason: str, own: Path, tmp_path: Path
) -> None:
    folder = other_language(own, tmp_path / "other", **manifest)
    with pytest.raises(BadInput, match=reason):
        load_across(folder, load_snapshot(own), 0)


def test_a_snapshot_of_other_edits_is_refused(own: Path, tmp_path: Path) -> None:
    strangers = other_language(write_invented(tmp_path / "T", facts=9, edits=3, people=6, seed=5), tmp_path / "T nl")
    snapshot = load_snapshot(own)
    edits = snapshot.edits.set_column(0, "edit_id", pa.array([f"x{n}" for n in range(snapshot.edits.num_rows)]))
    with pytest.raises(BadInput, match="no question in it is about these edits alone"):
        load_across(strangers, keep_edits(snapshot, edits), 0)
    with pytest.raises(BadInput, match=r"leave out across"):
        read_settings(["lora"], {"batches": "3", "across": str(own)})
