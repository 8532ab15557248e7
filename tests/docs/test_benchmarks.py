"""Benchmarks: each has a command, and the table of claims is what was kept of them."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import COMMANDS
from benchmarks.claims import COLLECTED, Claim, as_json, as_table, claim, merge, read_claims, read_said, with_table

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
PARTS = {
    "__init__", "__main__", "claims", "editing_peer", "hostile_models", "machine", "synthetic_bulk", "synthetic_forms",
    "synthetic_world", "tiny_families",
}  # fmt: skip
"""Files that benchmarks share."""


def test_every_benchmark_has_a_command() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} - PARTS == set(COMMANDS)


def test_the_table_is_that_of_the_kept_claims() -> None:
    kept = read_claims(FOLDER / "claims.json")
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert with_table(page, as_table(kept, COMMANDS)) == page
    assert merge(kept, []) == kept
    assert (FOLDER / "claims.json").read_text(encoding="utf-8") == as_json(kept)
    assert {one.benchmark for one in kept} <= set(COMMANDS)


def test_what_a_benchmark_says_takes_the_place_of_what_it_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "said [1]"
    monkeypatch.setenv(COLLECTED, str(file))
    claim("rows: seconds", "at most 5", "7", met=False)
    assert capsys.readouterr().out == "claim: rows: seconds: 7, expected at most 5; met: no\n"
    said = read_said(file, "one", "a machine", datetime.date(2026, 1, 2))
    before = [Claim("one", "rows: seconds", "at most 5", "4", True), Claim("two", "bytes", "", "3", None)]
    merged = merge(before, said)
    assert [(one.benchmark, one.measured, one.met) for one in merged] == [("one", "7", False), ("two", "3", None)]
    row = as_table(merged, {"one": ["--all"]}).splitlines()[2]
    assert row == "| rows: seconds | at most 5 | 7 | **no** | 2026-01-02 | a machine | one --all |"
    assert read_said(tmp_path / "none", "one", "", datetime.date(2026, 1, 2)) == []


def test_without_a_collector_a_claim_is_printed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COLLECTED, raising=False)
    claim("rows", "", "7")


def test_an_unknown_benchmark_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "sped"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no benchmark 'sped'; take first_hour," in done.stderr
    assert json.loads((FOLDER / "claims.json").read_text(encoding="utf-8"))
