"""All that is to be shown on a GPU, section by section, each in a process and a time of its own (`gpu.sh`).

    bash benchmarks/gpu.sh [SECTION …] [--files gpu-files] [--out DIR] [--seconds 470]
    bash benchmarks/gpu.sh --tiny          the same on the CPU with tiny shapes: does it run?

A section that fails or takes too long costs its own figures alone. Prints one JSON document and one table, and writes
both to DIR ($OUT, or gpu-out). Uses the standard library alone; the sections use what they are about.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import join_parts
from benchmarks.gpu.table import render_table

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("torch", "transformers", "peft", "safetensors", "numpy", "pyarrow", "tokenizers")
SECTIONS = {"tests": 60.0, "7b": 205.0, "1b": 85.0, "smollm2": 120.0}
"""Seconds of each, its start included."""
TINY = {"tests": 150.0, "7b": 120.0, "1b": 120.0, "smollm2": 150.0}
STARTING_S = 12.0
"""Of a section: importing torch and finding the GPU."""
CONVERTING_S = 60.0
"""Of dequantizing SmolLM2, once its section has come."""
MACHINE = (
    "import json, torch; from chronofacts.editing.runs.cost import describe_machine; "
    "print(json.dumps({'cuda': torch.cuda.is_available(), **describe_machine()}))"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all of them")
    parser.add_argument("--files", type=Path, default=Path("gpu-files"), help="as benchmarks.gpu.files made it")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "gpu-out")))
    parser.add_argument("--seconds", type=float, default=470.0, help="of everything")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--keep", action="store_true", help="only keep the parts of the model that have arrived")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; take some of {', '.join(SECTIONS)}")
    model = _find_model(arguments.files)
    if arguments.keep:
        print(model)
        return 0
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        print(f"gpu.sh: this Python lacks {', '.join(missing)}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    machine = _describe_machine()
    if not machine["cuda"] and not arguments.tiny:
        print("gpu.sh: torch sees no GPU here; --tiny rehearses on the CPU", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    wanted, rows = arguments.sections or list(SECTIONS), []
    converting = _start_conversion(arguments, model) if "smollm2" in wanted else None
    for name in wanted:
        if name == "smollm2" and converting is not None:
            _end_conversion(converting)
        left = arguments.seconds - (time.monotonic() - begun)
        rows += _run_section(name, arguments, left, model)
    whole = {"machine": machine, "tiny": arguments.tiny, "seconds": round(time.monotonic() - begun, 1), "rows": rows}
    table = render_table(whole)
    document = json.dumps(whole, ensure_ascii=False)
    (arguments.out / "gpu.json").write_text(document + "\n", encoding="utf-8")
    (arguments.out / "gpu.txt").write_text(table + "\n", encoding="utf-8")
    print(document)
    print(table)
    return 0


def _start_conversion(arguments: argparse.Namespace, model: Path | str) -> subprocess.Popen[bytes] | None:
    """The GGUF file is dequantized on the CPU while the GPU is at work; its section finds it in the cache."""
    if arguments.tiny or isinstance(model, str):
        return None
    command = [sys.executable, "-m", "benchmarks.gpu.section", "convert", "--files", str(arguments.files.resolve()),
               "--model", str(model)]  # fmt: skip
    with (arguments.out / "gpu.log").open("a", encoding="utf-8") as out:
        return subprocess.Popen(command, cwd=ROOT, env=_environment(False), stdout=out, stderr=subprocess.STDOUT)


def _end_conversion(process: subprocess.Popen[bytes]) -> None:
    """Wait for it, but not for ever."""
    try:
        process.wait(CONVERTING_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _run_section(name: str, arguments: argparse.Namespace, left: float, model: Path | str) -> list[dict[str, Any]]:
    """The section's rows; it is ended when its time is up."""
    seconds = min(left, (TINY if arguments.tiny else SECTIONS)[name])
    if seconds < STARTING_S:
        return [{"section": name, "skipped": "no time left"}]
    if name == "smollm2" and not arguments.tiny and isinstance(model, str):
        return [{"section": name, "skipped": model}]
    record, log = arguments.out / f"{name}.jsonl", arguments.out / "gpu.log"
    record.write_text("", encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.gpu.section", name, "--files", str(arguments.files.resolve()),
               "--record", str(record.resolve()), "--seconds", str(seconds - STARTING_S)]  # fmt: skip
    command += ["--tiny"] if arguments.tiny else ["--model", str(model)] if name == "smollm2" else []
    problem = _run(command, seconds, log, _environment(arguments.tiny))
    rows = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    record.unlink()
    return rows + ([{"section": name, "error": problem}] if problem else [])


def _run(command: list[str], seconds: float, log: Path, environment: dict[str, str]) -> str | None:
    """Run it with its messages in the log; what went wrong, or None."""
    with log.open("a", encoding="utf-8") as out:
        begun = out.tell()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"stopped after {seconds:.0f} s"
    if code == 0:
        return None
    said = log.read_bytes()[begun:].decode("utf-8", "replace").strip().splitlines()
    return f"ended with {code}: {said[-1][:300] if said else 'without a word'}"


def _environment(tiny: bool) -> dict[str, str]:
    """Of a section: offline; the rehearsal runs the GPU's tests on the CPU."""
    given = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    given |= {"CUDA_VISIBLE_DEVICES": "", "CHRONOFACTS_GPU_TESTS": "cpu"} if tiny else {}
    return os.environ | given


def _find_model(files: Path) -> Path | str:
    """The GGUF file, joined of the parts that have arrived, or why there is none."""
    try:
        return join_parts(files / "smollm2", Path(tempfile.gettempdir()) / "chronofacts-gpu")
    except (OSError, ValueError) as error:
        return str(error)


def _describe_machine() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", MACHINE], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main())
