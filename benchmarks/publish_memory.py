"""Claim: publishing a snapshot of 1 GB streams: the publishing process stays under 500 MB, also when it resumes.

A Hub on this machine in another process; a snapshot of three large files of random bytes, so the check of
what is in the tables is left out (`pipeline.snapshots.verify` has its own cost). Run: python -m
benchmarks.publish_memory [MB]
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import MACHINE, ROOT
from tests.pipeline.publishing.local_hub import TOKEN, local_hub
from tests.pipeline.publishing.small_snapshot import make_snapshot

LARGE = ("statements/statements.parquet", "timelines/timelines.parquet", "entities/entities.parquet")
PUBLISH = """
import json, sys, time
from pathlib import Path
from chronofacts.pipeline.publishing.hub import PublishSettings, publish
from benchmarks.machine import peak_gib
before = peak_gib()
settings = PublishSettings(endpoint=sys.argv[2], attempts=1)
started = time.perf_counter()
try:
    publish(Path(sys.argv[1]), "org/large", settings, check=lambda folder: None)
    end = "published"
except Exception as error:
    end = f"{type(error).__name__}: {error}"
print(json.dumps({"seconds": time.perf_counter() - started, "before": before,
    "peak": peak_gib(), "end": end}))
"""


def enlarge(snapshot: Path, megabytes: int) -> int:
    """Replace the three largest tables by random bytes, also in the manifest; returns the snapshot's size."""
    manifest = json.loads((snapshot / "manifest.json").read_text())
    for name in LARGE:
        digest = hashlib.sha256()
        with (snapshot / name).open("wb") as out:
            for _ in range(megabytes // len(LARGE) + 1):
                block = os.urandom(1_000_000)
                digest.update(block)
                out.write(block)
        manifest["files"][name]["sha256"] = digest.hexdigest()
    (snapshot / "manifest.json").write_text(json.dumps(manifest))
    return sum(path.stat().st_size for path in snapshot.rglob("*") if path.is_file())


def run(snapshot: Path, url: str) -> dict[str, object]:
    environment = {**os.environ, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-W", "ignore", "-c", PUBLISH, str(snapshot), url]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(what: str, measured: dict[str, object]) -> None:
    print(
        f"{what}: {measured['end']}, {measured['seconds']:.1f} s, "
        f"memory {measured['before'] * 1024:.0f} MB after imports, {measured['peak'] * 1024:.0f} MB at its peak"
    )


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(MACHINE)
    with tempfile.TemporaryDirectory() as folder, local_hub() as hub:
        small = make_snapshot(Path(folder) / "small")
        show("small snapshot", run(small, hub.url))
        del hub.repos["org/large"]
        large = make_snapshot(Path(folder) / "large")
        size = enlarge(large, megabytes)
        print(f"large snapshot: {size / 1e6:.0f} MB in {len(LARGE)} large files")
        hub.fault("PUT", "/lfs/", status=400)  # one large file is refused, the others arrive
        show("first run, one upload refused", run(large, hub.url))
        arrived = sum(path.stat().st_size for path in hub.folder.iterdir())
        hub.log.clear()
        show("second run, resumed", run(large, hub.url))
        uploads = sum(method == "PUT" for method, _ in hub.log)
        print(f"the first run left {arrived / 1e6:.0f} MB; the second sent {uploads} large file")
        show("third run, nothing to do", run(large, hub.url))


if __name__ == "__main__":
    main()
