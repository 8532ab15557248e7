"""Write `requirements.lock`: every package that the program uses, with its version.

Usage: python .ci/lock.py [EXTRA…], by default edit, flows and gguf. pip resolves them for the Python that runs this,
and installs nothing. Leaves out what torch brings for a GPU, which depends on the GPU, and the sums of files, which
differ between the builds of torch; it names no registry, so that it serves with any.

    pip install -r requirements.lock && pip install --no-deps .
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
FOR_A_GPU = ("nvidia", "cuda", "triton")


def resolve(extras: list[str]) -> list[dict[str, Any]]:
    """What pip would install, by its own report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-m", "pip", *words, f"{ROOT}[{','.join(extras)}]"], check=True
        )
        found: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [one for one in found if one["metadata"]["name"].lower() != "chronofacts"]


def lines(packages: list[dict[str, Any]]) -> list[str]:
    named = sorted((one["metadata"]["name"].lower().replace("_", "-"), one) for one in packages)
    return [
        f"{name}=={one['metadata']['version'].partition('+')[0]}"
        for name, one in named
        if not name.startswith(FOR_A_GPU)
    ]


def main() -> None:
    extras = sys.argv[1:] or ["edit", "flows", "gguf"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    head = [f"# Python {version}, chronofacts[{','.join(extras)}]; made by: make lock"]
    LOCK.write_text("\n".join([*head, *lines(resolve(extras))]) + "\n", encoding="utf-8")
    print(f"wrote {LOCK.name}")


if __name__ == "__main__":
    main()
