"""The snapshot store: whole snapshots or none, one refresh at a time, and recovery from a crash at any line."""

import contextlib
import datetime
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

import chronofacts.pipeline.snapshots.store
from chronofacts.pipeline.snapshots.store import Retention, SnapshotStore, days_to_remove, open_store
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.pipeline.snapshots.stored import snapshot_of

ROOT = Path(__file__).resolve().parents[3]
FIRST, SECOND, THIRD = (datetime.date(2025, month, 1) for month in (1, 2, 3))


def on_disk(folder: Path) -> SnapshotStore:
    return open_store(str(folder / "store"))


def in_memory(folder: Path) -> SnapshotStore:
    return open_store(f"memory://{uuid.uuid4().hex}/store")


def like_objects(folder: Path) -> SnapshotStore:
    """A disk used as an object store is: no renames, the manifest last."""
    (folder / "objects").mkdir(exist_ok=True)
    return SnapshotStore(LocalFileSystem(), str(folder / "objects"), renames=False)


@pytest.fixture(params=[on_disk, in_memory, like_objects], ids=lambda made: made.__name__)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    return request.param(tmp_path)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_added_is_listed_and_comes_back_byte_for_byte(store: SnapshotStore, tmp_path: Path) -> None:
    made = snapshot_of(tmp_path, FIRST)
    store.add(made)
    store.add(snapshot_of(tmp_path, SECOND))
    assert store.days() == [FIRST, SECOND]
    assert store.resolve("latest") == SECOND and store.resolve("2025-01-01") == FIRST
    assert bytes_of(store.fetch(FIRST, tmp_path / "copy")) == bytes_of(made)
    assert bytes_of(store.folder(FIRST, tmp_path / "scratch")) == bytes_of(made)


def test_an_older_snapshot_added_later_is_not_the_latest(store: SnapshotStore, tmp_path: Path) -> None:
    store.add(snapshot_of(tmp_path, SECOND))
    store.add(snapshot_of(tmp_path, FIRST))
    assert store.latest() == SECOND


def test_adding_again_changes_nothing_and_another_of_that_day_is_refused(store: SnapshotStore, tmp_path: Path) -> None:
    made = snapshot_of(tmp_path, FIRST)
    store.add(made)
    store.add(made)
    with pytest.raises(BadInput, match="another snapshot of 2025-01-01"):
        store.add(snapshot_of(tmp_path, FIRST, b"other"))
    assert bytes_of(store.fetch(FIRST, tmp_path / "copy")) == bytes_of(made)


def test_a_snapshot_whose_file_was_changed_is_not_added(store: SnapshotStore, tmp_path: Path) -> None:
    made = snapshot_of(tmp_path, FIRST)
    (made / "edits/edits-test.parquet").write_bytes(b"changed")
    with pytest.raises(CheckFailed, match="is not the file that was written"):
        store.add(made)
    assert store.days() == []


def test_damage_in_the_store_is_found_when_it_is_fetched(store: SnapshotStore, tmp_path: Path) -> None:
    store.add(snapshot_of(tmp_path, FIRST))
    store.filesystem.pipe_file(f"{store.root}/{FIRST}/edits/edits-test.parquet", b"rotten")
    with pytest.raises(CheckFailed, match="damaged"):
        store.fetch(FIRST, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_an_unknown_snapshot_is_refused_with_what_there_is(store: SnapshotStore, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="none"):
        store.resolve("latest")
    store.add(snapshot_of(tmp_path, FIRST))
    for name in ("2024-01-01", "../2025-01-01", "2025-13-01", "newest"):
        with pytest.raises(BadInput):
            store.resolve(name)


def test_a_removed_snapshot_is_gone_and_the_latest_is_the_one_before(store: SnapshotStore, tmp_path: Path) -> None:
    for day in (FIRST, SECOND):
        store.add(snapshot_of(tmp_path, day))
    store.remove(SECOND)
    assert (store.days(), store.latest()) == ([FIRST], FIRST)
    store.remove(FIRST)
    assert (store.days(), store.latest()) == ([], None)
    assert store.recover() == []


def test_pruning_keeps_what_the_policy_says(store: SnapshotStore, tmp_path: Path) -> None:
    for day in (FIRST, SECOND, THIRD):
        store.add(snapshot_of(tmp_path, day))
    assert store.prune(Retention(keep_last=1, first_of_year=True)) == [SECOND]
    assert store.days() == [FIRST, THIRD]


def test_a_pointer_to_nothing_is_mended(store: SnapshotStore, tmp_path: Path) -> None:
    store.add(snapshot_of(tmp_path, FIRST))
    for content in (b'{"as_of": "2030-01-01"}', b"{", b"[]"):
        store.filesystem.pipe_file(f"{store.root}/latest.json", content)
        assert store.latest() == FIRST
    store.recover()
    assert json.loads(store.filesystem.cat_file(f"{store.root}/latest.json"))["as_of"] == "2025-01-01"


def test_a_file_with_a_name_that_leads_outside_is_not_copied(tmp_path: Path) -> None:
    store = in_memory(tmp_path)
    store.add(snapshot_of(tmp_path, FIRST))
    store.filesystem.pipe_file(f"{store.root}/{FIRST}/../../outside", b"x")
    store.filesystem.pipe_file(f"{store.root}/{FIRST}/.hidden", b"x")
    with pytest.raises(CheckFailed, match="not safe to copy"):
        store.fetch(FIRST, tmp_path / "copy")
    assert not (tmp_path / "outside").exists()


def test_a_link_in_a_snapshot_is_not_followed(tmp_path: Path) -> None:
    made = snapshot_of(tmp_path, FIRST)
    (made / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(CheckFailed, match="does not belong in a snapshot"):
        on_disk(tmp_path).add(made)


def test_an_address_that_nothing_reads_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot be opened"):
        open_store("nosuchprotocol://bucket/path")


days = st.lists(st.dates(datetime.date(2020, 1, 1), datetime.date(2026, 12, 31)), max_size=60)
policies = st.builds(Retention, st.integers(1, 20), st.booleans(), st.booleans())


@given(days, policies)
def test_retention_keeps_the_newest_and_the_first_of_each_period(found: list, retention: Retention) -> None:
    gone = days_to_remove(found, retention)
    kept = sorted(set(found) - set(gone))
    assert kept[-retention.keep_last :] == sorted(set(found))[-retention.keep_last :]
    for wanted, period in (
        (retention.first_of_month, lambda day: (day.year, day.month)),
        (retention.first_of_year, lambda day: day.year),
    ):
        if wanted:
            assert {min(d for d in found if period(d) == period(day)) for day in found} <= set(kept)
    if not retention.first_of_month and not retention.first_of_year:
        assert len(kept) == min(retention.keep_last, len(set(found)))


@given(days, policies)
def test_pruning_twice_removes_no_more(found: list, retention: Retention) -> None:
    kept = [day for day in found if day not in days_to_remove(found, retention)]
    assert days_to_remove(kept, retention) == []


# ---- the lock


def test_two_refreshes_do_not_collide(store: SnapshotStore) -> None:
    with store.lock("the monthly refresh"):
        with pytest.raises(CheckFailed, match="the monthly refresh"), store.lock("another"):
            pass
        with pytest.raises(CheckFailed), store.lock("a third"):
            pass
    with store.lock("another") as holder:
        assert holder.owner == "another"


def test_a_lock_is_released_after_an_error(store: SnapshotStore) -> None:
    with pytest.raises(RuntimeError), store.lock("first"):
        raise RuntimeError
    with store.lock("second"):
        pass


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    store = on_disk(tmp_path)
    code = (
        "import os; from chronofacts.pipeline.snapshots.store import open_store; "
        f"open_store({store.root!r}).lock('killed').__enter__(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert store.lock("x").holder().owner == "killed"
    with store.lock("next"):
        assert store.lock("x").holder().owner == "next"


def write_lock(store: SnapshotStore, age: datetime.timedelta) -> None:
    """A lock that another machine took some time ago."""
    since = (datetime.datetime.now(datetime.UTC) - age).isoformat()
    held = {"owner": "far", "since": since, "machine": "elsewhere", "pid": 1, "started": "", "token": "t"}
    store.filesystem.pipe_file(f"{store.root}/.lock.json", json.dumps(held).encode())


def test_the_lock_of_another_machine_holds_until_it_is_old(store: SnapshotStore) -> None:
    write_lock(store, datetime.timedelta(hours=2))
    with pytest.raises(CheckFailed, match="far"), store.lock("near"):
        pass
    with store.lock("near", stale_after=datetime.timedelta(hours=1)) as holder:
        assert holder.owner == "near"


def test_an_unreadable_lock_does_not_hold_for_ever(store: SnapshotStore) -> None:
    store.filesystem.pipe_file(f"{store.root}/.lock.json", b"")
    with store.lock("next"):
        pass


def test_of_many_who_find_a_stale_lock_one_gets_it(tmp_path: Path) -> None:
    store = on_disk(tmp_path)
    for _ in range(20):
        write_lock(store, datetime.timedelta(days=3))
        held, start, done = [], threading.Barrier(8), threading.Barrier(8)

        def contend() -> None:
            lock = store.lock("contender")
            start.wait(timeout=30)  # noqa: B023
            try:
                held.append(lock.__enter__())  # noqa: B023
            except CheckFailed:
                pass
            finally:
                done.wait(timeout=30)  # noqa: B023
            lock.__exit__(None, None, None)

        threads = [threading.Thread(target=contend) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1


@pytest.mark.parametrize("at", [1, 2])
def test_who_takes_over_between_anothers_look_and_move_is_not_pushed_out(tmp_path: Path, at: int) -> None:
    store = on_disk(tmp_path)
    write_lock(store, datetime.timedelta(days=3))
    quick, slow = store.lock("quick"), store.lock("slow")
    look, looks, held = slow.holder, [], []

    def enter(lock) -> None:
        with contextlib.suppress(CheckFailed):
            held.append(lock.__enter__())

    def look_and_be_overtaken():
        found = look()
        looks.append(found)
        if len(looks) == at:
            enter(quick)
        return found

    slow.holder = look_and_be_overtaken
    enter(slow)
    assert len(held) == 1 and look() == held[0]


# ---- crashes


def lines_of(work: Callable[[], None], die_at: int) -> int:
    """Run `work` in a child that dies, uncleaned, at its die_at-th line in the store's own modules.

    Returns how many lines ran when it lived to the end, 0 when it died.
    """
    ours = {chronofacts.pipeline.snapshots.store.__file__, chronofacts.pipeline.snapshots.store_lock.__file__}
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if frame.f_code.co_filename not in ours:
            return None
        if event == "line":
            seen += 1
            if seen == die_at:
                os._exit(9)
        return trace

    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        sys.settrace(trace)
        work()
        sys.settrace(None)
        os.write(writable, str(seen).encode())
        os._exit(0)
    os.close(writable)
    os.waitpid(child, 0)
    with os.fdopen(readable) as stream:
        return int(stream.read() or 0)


@pytest.mark.parametrize("kind", [on_disk, like_objects])
def test_a_crash_at_any_line_of_a_month_is_mended_by_the_next_run(
    kind: Callable[[Path], SnapshotStore], tmp_path: Path
) -> None:
    first, second, third = (snapshot_of(tmp_path, day) for day in (FIRST, SECOND, THIRD))
    expected = bytes_of(third)

    def month(store: SnapshotStore) -> None:
        with store.lock("refresh"):
            store.recover()
            store.add(third)
            store.prune(Retention(keep_last=2, first_of_year=False))

    def begin(name: str) -> SnapshotStore:
        (tmp_path / name).mkdir()
        store = kind(tmp_path / name)
        store.add(first)
        store.add(second)
        return store

    whole = begin("whole")
    total = lines_of(lambda: month(whole), die_at=0)
    assert total > 100
    for at in range(1, total + 1, 9):
        store = begin(f"crash-{at}")
        assert lines_of(lambda store=store: month(store), die_at=at) == 0
        # A reader sees only whole snapshots, at any time.
        assert store.latest() in {SECOND, THIRD} and set(store.days()) <= {FIRST, SECOND, THIRD}
        for day in store.days():
            store.fetch(day, tmp_path / f"read-{at}-{day}")
        month(store)
        assert (store.days(), store.latest()) == ([SECOND, THIRD], THIRD)
        assert bytes_of(store.folder(THIRD, tmp_path / f"copy-{at}")) == expected
        names = {path.name for path in Path(store.root).iterdir()}
        assert names == {"2025-02-01", "2025-03-01", "latest.json"}
