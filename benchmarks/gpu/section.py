"""One section in a process of its own: `python -m benchmarks.gpu.section NAME …`, as `run` starts it."""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.record import Recorder

TESTS = "tests/editing/test_on_a_gpu.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--files", type=Path, required=True, help="as benchmarks.gpu.files made it")
    parser.add_argument("--record", type=Path, default=Path("figures.jsonl"), help="file that gets a line per figure")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--model", type=Path, help="of the section smollm2: the GGUF file")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.path.append(str(arguments.files / "site"))  # behind what is installed
    if arguments.name == "convert":
        from chronofacts.editing.models.gguf import convert_gguf

        print(convert_gguf(arguments.model))
        return
    record = Recorder(arguments.record, arguments.name, arguments.seconds)
    if arguments.name == "tests":
        record.measure("GPU-marked tests", run_tests)
    elif arguments.name == "smollm2":
        _measure_smollm2(arguments, record)
    else:
        _measure_shape(arguments, record)


def run_tests() -> dict[str, Any]:
    """Passed, failed and skipped, with the first line of what failed."""
    import pytest

    class Results:
        counts = {"passed": 0, "failed": 0, "skipped": 0}  # noqa: RUF012
        failures: list[str] = []  # noqa: RUF012

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == "call" or report.outcome != "passed":
                self.counts[report.outcome] += 1
                if report.failed:
                    self.failures.append(f"{report.nodeid.rpartition('::')[2]}: {_last_line(report)}")

    results = Results()
    pytest.main(["-q", "-m", "gpu", "--color=no", "-s", TESTS], plugins=[results])
    if not sum(results.counts.values()):
        raise RuntimeError("no test was run; the log says why")
    return {**results.counts, "note": " | ".join(results.failures)[:600]}


def _last_line(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).splitlines()[0]


def _measure_shape(arguments: argparse.Namespace, record: Recorder) -> None:
    from benchmarks.gpu.shapes import SHAPES, measure_shape
    from chronofacts.editing.snapshot import load_snapshot

    shape = SHAPES["tiny" if arguments.tiny else arguments.name]
    measure_shape(shape, load_snapshot(arguments.files / "snapshot"), record, _device())


def _measure_smollm2(arguments: argparse.Namespace, record: Recorder) -> None:
    from benchmarks.gpu.as_trained import measure_editors, write_random_model
    from chronofacts.editing.snapshot import load_snapshot

    snapshot = load_snapshot(arguments.files / "snapshot")
    with tempfile.TemporaryDirectory() as scratch:
        model = arguments.model or write_random_model(snapshot, Path(scratch) / "model")
        measure_editors(snapshot, model, record, Path(scratch), arguments.tiny)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    main()
