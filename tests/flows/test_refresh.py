"""Where a refresh works, and what is left of one that was killed."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.files import scratch_folder

ROOT = Path(__file__).resolve().parents[2]
WORKS = """
import sys, time
from pathlib import Path
from chronofacts.schemas.files import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("done")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_refresh_left_goes_with_the_next_one_and_a_living_one_keeps_its_own(tmp_path: Path) -> None:
    out = tmp_path / "snapshot"
    command = [sys.executable, "-c", WORKS, str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with scratch_folder(out) as folder:
            assert left.is_dir() and folder != left
        process.kill()
        process.wait()
        assert left.is_dir()
        with scratch_folder(out):
            assert not left.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="make room"), scratch_folder(tmp_path / "snapshot"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
