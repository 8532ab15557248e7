"""Files and folders that are whole or absent, whatever the folder is called, and locks between processes."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import create_folder, lock_file, remove_leftovers, replace_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["plain", "[a]*? 'b' \"c\"", "zażółć\nx"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_a_file_is_replaced_whole_and_nothing_lies_beside_it(folder: Path) -> None:
    for content in (b"first", b"second"):
        with replace_file(folder / "f[1].json") as aside:
            aside.write_bytes(content)
            assert not (folder / "f[1].json").exists() or (folder / "f[1].json").read_bytes() == b"first"
        assert (folder / "f[1].json").read_bytes() == content
    assert [path.name for path in folder.iterdir()] == ["f[1].json"]


def test_a_write_that_fails_leaves_the_file_as_it_was(folder: Path) -> None:
    folder.mkdir()
    (folder / "file").write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), replace_file(folder / "file") as aside:
        aside.write_bytes(b"half")
        raise ZeroDivisionError
    assert [path.read_bytes() for path in folder.iterdir()] == [b"before"]


def test_two_writers_of_one_file_do_not_share_what_they_write(tmp_path: Path) -> None:
    with replace_file(tmp_path / "file") as one, replace_file(tmp_path / "file") as other:
        one.write_bytes(b"one")
        other.write_bytes(b"other")
    assert (tmp_path / "file").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_there_with_all_its_files_or_not_at_all(folder: Path) -> None:
    folder.mkdir()
    with create_folder(folder / "out[1]") as aside:
        (aside / "part").mkdir()
        (aside / "part" / "file").write_bytes(b"content")
        assert not (folder / "out[1]").exists()
    assert (folder / "out[1]" / "part" / "file").read_bytes() == b"content"
    with pytest.raises(ZeroDivisionError), create_folder(folder / "other") as aside:
        (aside / "file").write_bytes(b"half")
        raise ZeroDivisionError
    assert [path.name for path in folder.iterdir()] == ["out[1]"]


def test_a_folder_with_content_is_refused_and_an_empty_one_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with create_folder(tmp_path / "out") as aside:
        (aside / "file").touch()
    with pytest.raises(BadInput, match="not empty"), create_folder(tmp_path / "out"):
        pass


def test_what_another_run_made_meanwhile_is_kept_and_told(tmp_path: Path) -> None:
    for before in (False, True):
        out = tmp_path / f"out-{before}"
        if before:
            out.mkdir()
        with pytest.raises(BadInput, match="made by another run meanwhile"), create_folder(out) as aside:
            (aside / "file").touch()
            out.mkdir(exist_ok=True)
            (out / "theirs").touch()
        assert [path.name for path in out.iterdir()] == ["theirs"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-False", "out-True"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError(f"I/O error: No space left on device (os error {errno.ENOSPC})"),  # of a library in Rust
    ],
)
def test_a_full_disk_is_an_error_with_its_fix_and_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(CheckFailed, match=r"is full.*make room"), create_folder(tmp_path / "out"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_and_nothing_else(folder: Path) -> None:
    folder.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from chronofacts.schemas.files import create_folder, replace_file; "
        "out = Path(sys.argv[1]); file = replace_file(out / 'f[1]'); aside = file.__enter__(); aside.touch(); "
        "made = create_folder(out / 'f[1]'); made.__enter__(); os._exit(9)"
    )
    (folder / ".f1.keep.partial").touch()
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=False)
    assert len(list(folder.iterdir())) == 3
    remove_leftovers(folder / "f[1]")
    assert [path.name for path in folder.iterdir()] == [".f1.keep.partial"]


def test_a_lock_keeps_every_other_out_until_its_process_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from chronofacts.schemas.files import lock_file; "
        "held = lock_file(Path(sys.argv[1])); held.__enter__(); print('held', flush=True); sys.stdin.read()"
    )
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), lock_file(lock, wait=False):
            pass
        process.kill()
    with lock_file(lock, wait=False), pytest.raises(BlockingIOError), lock_file(lock, wait=False):
        pass
