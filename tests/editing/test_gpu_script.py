"""The script for a GPU, rehearsed without one: everything it measures, what it says of what fails, and its parts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu import run
from benchmarks.gpu.parts import join_parts, split_file
from benchmarks.gpu.record import Recorder
from benchmarks.gpu.shapes import SHAPES, measure_shape
from benchmarks.gpu.table import render_table
from chronofacts.editing.snapshot import Snapshot

MEASURES = {
    "matrix rate", "LoRA, all layers", "LoRA, top quarter", "evaluation without generation",
    "evaluation with generation", "single edits in one pass", "peer: LoRA, all layers", "peer: evaluation",
    "peer: single edits",
}  # fmt: skip
MACHINE = {"gpu": None, "processor": "one", "versions": {"torch": "2", "transformers": "5"}}


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_figure_of_a_shape_is_measured(snapshot: Snapshot, tmp_path: Path) -> None:
    shape = replace(SHAPES["tiny"], tokens=300, edits=6, passes=1, single=2, steps=2, probes=16, answered=4)
    measure_shape(shape, snapshot, Recorder(tmp_path / "r", "7b", 300.0), torch.device("cpu"))
    found = {row["measure"]: row for row in lines(tmp_path / "r")}
    assert found.keys() == MEASURES
    assert not [row for row in found.values() if "error" in row or "skipped" in row]
    assert found["LoRA, all layers"]["steps"] == found["LoRA, top quarter"]["steps"] == "2 of 2"
    assert found["LoRA, all layers"]["kept_layers"] == 0 < found["LoRA, top quarter"]["kept_layers"]
    assert all(found[name]["ours_over_peer"] > 0 for name in MEASURES if name.startswith("peer"))
    assert all(0 < found[name]["matrix_share"] < 1 for name in MEASURES if "LoRA, " in name and "peer" not in name)


def test_a_figure_that_fails_or_has_no_time_costs_itself_alone(tmp_path: Path) -> None:
    record = Recorder(tmp_path / "r", "7b", 60.0)
    record.measure("first", lambda: {"facts_per_s": 1 / 0})
    record.measure("second", lambda: {"facts_per_s": 2.0})
    Recorder(tmp_path / "r", "7b", 1.0).measure("third", lambda: {"facts_per_s": 3.0})
    first, second, third = lines(tmp_path / "r")
    assert first["error"] == "ZeroDivisionError: division by zero"
    assert second["facts_per_s"] == 2.0 and record.found.keys() == {"second"}
    assert third["skipped"] == "no time left"
    table = render_table({"machine": MACHINE, "tiny": False, "seconds": 9.0, "rows": [first, second, third]})
    assert "NO GPU" in table and "ZeroDivisionError" in table and "no time left" in table


def test_a_section_that_hangs_is_stopped_and_one_that_dies_tells_its_last_words(tmp_path: Path) -> None:
    environment, log = run._environment(True), tmp_path / "log"
    begun = time.monotonic()
    assert run._run([sys.executable, "-c", "import time; time.sleep(60)"], 1.0, log, environment) == "stopped after 1 s"
    assert time.monotonic() - begun < 20
    said = run._run([sys.executable, "-c", "raise SystemExit('out of sorts')"], 60.0, log, environment)
    assert said == "ended with 1: out of sorts"
    assert run._run([sys.executable, "-c", "pass"], 60.0, log, environment) is None


def test_the_whole_command_prints_one_document_and_one_table(tmp_path: Path) -> None:
    script = [str(run.ROOT / "benchmarks" / "gpu.sh"), "--tiny", "--seconds", "0", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        ["bash", *script], env=run._environment(True) | {"PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document, *table = done.stdout.splitlines()
    whole = json.loads(document)
    assert whole == json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert [(row["section"], row["skipped"]) for row in whole["rows"]] == [(n, "no time left") for n in run.SECTIONS]
    assert "\n".join(table) == (tmp_path / "out" / "gpu.txt").read_text().strip()


def test_the_times_of_all_sections_fit_into_that_of_everything() -> None:
    assert sum(run.SECTIONS.values()) <= 470 < 480


@given(st.binary(min_size=1, max_size=200), st.integers(1, 80), st.randoms())
def test_parts_that_arrive_in_any_order_give_the_file_again(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, most: int, chance: Any
) -> None:
    base = tmp_path_factory.mktemp("parts")
    (base / "model.gguf").write_bytes(content)
    parts = split_file(base / "model.gguf", base / "sent", most)
    assert all(part.stat().st_size <= most for part in parts)
    arriving = sorted((base / "sent").iterdir())
    chance.shuffle(arriving)
    for number, part in enumerate(arriving, 1):
        (base / "here").mkdir(exist_ok=True)
        (base / "here" / part.name).write_bytes(part.read_bytes())
        found = join_parts(base / "here", base / "kept")
        (base / "here" / part.name).unlink()  # the next sending brings only its own
        assert isinstance(found, Path) == (number == len(arriving))
    assert isinstance(found, Path) and found.read_bytes() == content and found.name == "model.gguf"


def test_parts_of_another_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"abcdef")
    split_file(tmp_path / "model.gguf", tmp_path / "sent", 3)
    (tmp_path / "sent" / "1").write_bytes(b"xyz")
    with pytest.raises(ValueError, match="send them again"):
        join_parts(tmp_path / "sent", tmp_path / "kept")


def test_without_a_model_the_reason_is_told(tmp_path: Path) -> None:
    assert join_parts(tmp_path / "nothing", tmp_path / "kept") == "no model was sent"
