"""The same command gives the same result, whatever the folder and the order in which a process holds its sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.editing.invented_world import write_invented
from tests.flows.tiny_runs import COSTS, TINY


def test_two_runs_in_other_folders_and_with_other_hash_seeds_are_byte_equal_and_warn_alike(tmp_path: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=8, edits=2, people=6)
    outs = tmp_path / "one" / "R", tmp_path / "two" / "deeper" / "other"
    begun = [
        start(out, snapshot, str(seed), *more)
        for seed, (out, more) in enumerate(zip(outs, (("--json",), ()), strict=True), 1)
    ]
    (as_json, error), (as_text, _) = (process.communicate(timeout=300) for process in begun)
    assert [process.returncode for process in begun] == [0, 0], error
    runs = [json.loads((out / "run.json").read_text(encoding="utf-8")) for out in outs]
    files = [sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()) for out in outs]
    assert files[0] == files[1] and len(files[0]) > 10
    for name in files[0]:
        one, other = (without_costs(out / name) for out in outs)
        assert one == other, name

    (warning,) = runs[0]["warnings"]
    assert runs[0]["model"]["target_reached"] is False and "20 steps" in warning
    assert json.loads(as_json)["warnings"] == [warning]
    assert f"warning: {warning}" in error, "told with --quiet, too, as soon as it is known"
    assert f"\nwarning: {warning}\n" in as_text


def start(out: Path, snapshot: Path, hash_seed: str, *more: str) -> subprocess.Popen[str]:
    """`experiment` begun as a user begins it, in the folder above out."""
    out.parent.mkdir(parents=True)
    given = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    words = ["experiment", str(snapshot), "--editor", "none,lora+replay,rome", "--out", out.name, "--quiet"]
    return subprocess.Popen(
        [sys.executable, "-m", "chronofacts.flows.cli", *words, *given, *more],
        cwd=out.parent,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def without_costs(file: Path) -> Any:
    """The bytes; of JSON the content without what the machine took for it, and when."""
    if file.suffix != ".json":
        return file.read_bytes()
    return drop_costs(json.loads(file.read_text(encoding="utf-8")))


def drop_costs(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, drop_costs(one)) for key, one in value.items() if key not in COSTS]
    return [drop_costs(one) for one in value] if isinstance(value, list) else value
