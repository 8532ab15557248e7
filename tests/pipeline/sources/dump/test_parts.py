"""A part of a dump becomes Parquet once, whatever is killed in between, and within a bounded memory."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.pipeline.sources.dump import filter as line_filter
from chronofacts.pipeline.sources.dump.filter import read_qids, write_qids
from chronofacts.pipeline.sources.dump.lines import DamagedDump
from chronofacts.pipeline.sources.dump.parts import PartSettings, extract_part
from chronofacts.schemas.tables import REJECTIONS, STATEMENTS
from tests.pipeline.sources.dump.dump_world import as_dump, as_lines, compressed, entity, holder, holders, write_dump

ROOT = Path(__file__).resolve().parents[4]
SETTINGS = PartSettings(datetime.date(2025, 3, 5))
PIDS = ("P39", "P6")


def rows(name: str) -> pa.Table:
    return pq.read_table(name)


def test_a_part_gives_the_statements_of_the_wanted_properties_only(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "dump.json.gz", [*holders(1, 50), entity(99)])

    report = extract_part(path, PIDS, tmp_path / "out", SETTINGS)

    table = rows(report.statements)
    assert table.cast(STATEMENTS).num_rows == 50
    assert table.schema.names == STATEMENTS.names
    assert (report.entities, report.decoded, report.rows, report.broken) == (51, 50, 50, 0)
    assert set(table["property"].to_pylist()) == {"P39"}
    assert set(table["retrieved_at"].to_pylist()) == {datetime.datetime(2025, 3, 5, tzinfo=datetime.UTC)}
    assert report.newest == "2025-03-04T05:06:07+00:00"


def test_a_finished_part_is_not_read_again_and_other_settings_or_another_file_are(tmp_path: Path) -> None:
    path, out = write_dump(tmp_path / "dump.json.gz", holders(1, 20)), tmp_path / "out"
    first = extract_part(path, PIDS, out, SETTINGS)

    assert extract_part(path, ("P6", "P39"), out, SETTINGS).reused
    assert extract_part(path, ("P569",), out, SETTINGS).reused is False
    write_dump(path, holders(1, 30))
    again = extract_part(path, PIDS, out, SETTINGS)
    assert (first.rows, again.rows, again.reused) == (20, 30, False)


def test_the_same_part_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "dump.json.zst", holders(1, 200))

    one, two = (extract_part(path, PIDS, tmp_path / name, SETTINGS) for name in ("one", "two"))

    assert Path(one.statements).read_bytes() == Path(two.statements).read_bytes()


def test_where_nearly_every_line_is_wanted_all_are_decoded_and_the_rows_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [*holders(1, 40), *(entity(number) for number in range(41, 51))]
    path = write_dump(tmp_path / "dump.json", people)
    filtered = extract_part(path, PIDS, tmp_path / "filtered", SETTINGS)
    monkeypatch.setattr(line_filter, "_TRIAL_LINES", 20)

    report = extract_part(path, PIDS, tmp_path / "out", SETTINGS)

    assert (filtered.decoded, report.decoded) == (40, 50)
    assert rows(report.statements) == rows(filtered.statements)


def test_names_are_read_for_the_wanted_items_only_wherever_their_id_stands(tmp_path: Path) -> None:
    people = holders(1, 10)
    people[4] = {"pageid": 1, **dict(reversed(people[4].items()))}
    wanted = tmp_path / "wanted"
    write_qids(["Q3", "Q5", "Q77"], wanted)

    report = extract_part(
        write_dump(tmp_path / "dump.json", people), ("P569",), tmp_path / "out",
        PartSettings(SETTINGS.day, qids=wanted, language="de"),
    )  # fmt: skip

    names = rows(report.names)
    assert names.select(["qid", "label"]).to_pylist() == [
        {"qid": "Q3", "label": "item 3 (de)"}, {"qid": "Q5", "label": "item 5 (de)"},
    ]  # fmt: skip
    assert rows(report.statements)["subject"].to_pylist() == ["Q3", "Q5"]


def test_what_cannot_be_read_is_a_rejection_with_its_line(tmp_path: Path) -> None:
    lines = as_lines(holders(1, 5))
    lines[2] = lines[2][:200] + b"\n"
    path = tmp_path / "dump.json"
    path.write_bytes(as_dump(lines))

    report = extract_part(path, PIDS, tmp_path / "out", SETTINGS)

    table = rows(report.rejections)
    assert table.schema.equals(REJECTIONS)
    assert (report.rows, report.broken) == (4, 1)
    assert [(row["reason"], row["detail"]) for row in table.to_pylist()] == [
        ("broken_line", "dump.json line 4: cut off")
    ]


def test_a_damaged_part_is_refused_unless_its_readable_beginning_is_asked_for(tmp_path: Path) -> None:
    whole = compressed(as_dump(as_lines(holders(1, 3000))), "gz")
    path, out = tmp_path / "dump.json.gz", tmp_path / "out"
    path.write_bytes(whole[: len(whole) * 2 // 3])

    with pytest.raises(DamagedDump):
        extract_part(path, PIDS, out, SETTINGS)
    assert not list(out.glob("*"))
    kept = extract_part(path, PIDS, out, PartSettings(SETTINGS.day, keep_damaged=True))
    assert 500 < kept.rows < 3000
    assert "cut off or damaged" in (kept.damage or "")
    with pytest.raises(DamagedDump):  # what was kept on request is no finished part
        extract_part(path, PIDS, out, SETTINGS)


def extraction(path: Path, out: Path, before: str = "") -> list[str]:
    code = (
        f"{before}\nimport datetime\nfrom pathlib import Path\n"
        "from chronofacts.pipeline.sources.dump.parts import PartSettings, extract_part\n"
        f"extract_part(Path({str(path)!r}), {PIDS!r}, Path({str(out)!r}), PartSettings(datetime.date(2025, 3, 5)))\n"
    )
    return [sys.executable, "-c", code]


def test_a_killed_reading_leaves_no_finished_part_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path, out = write_dump(tmp_path / "dump.json", holders(1, 40_000)), tmp_path / "out"
    with subprocess.Popen(extraction(path, out), cwd=ROOT) as running:
        while not list(out.glob("*.partial")):
            assert running.poll() is None
            time.sleep(0.01)
        os.kill(running.pid, signal.SIGKILL)
    assert list(out.glob("*.partial"))
    assert not list(out.glob("*.json"))

    report = extract_part(path, PIDS, out, SETTINGS)

    assert (report.reused, report.rows) == (False, 40_000)
    assert not list(out.glob("*.partial"))


def test_two_readers_of_one_part_do_not_disturb_each_other(tmp_path: Path) -> None:
    path, out = write_dump(tmp_path / "dump.json", holders(1, 6000)), tmp_path / "out"

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: extract_part(path, PIDS, out, SETTINGS), range(2)))

    assert [report.rows for report in reports] == [6000, 6000]
    assert rows(reports[0].statements)["subject"].to_pylist() == [f"Q{number}" for number in range(1, 6001)]
    assert not list(out.glob("*.partial"))


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs the limit on a file's size that POSIX has")
def test_a_full_disk_is_told_with_its_mend(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "dump.json", holders(1, 3000))
    limit = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\nsys.dont_write_bytecode = True"
    )

    done = subprocess.run(extraction(path, tmp_path / "out", limit), cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 1
    assert "BadInput" in done.stderr.splitlines()[-1]
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "out").glob("*.done.json"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of a process's own peak")
def test_memory_stays_bounded_while_rows_go_on_without_end(tmp_path: Path) -> None:
    thousand = b"".join(as_lines(holders(1, 1000)))
    told = "import atexit\natexit.register(lambda: print(open('/proc/self/status').read()))"
    peaks = []
    for thousands in (20, 60):
        path = tmp_path / f"{thousands}.json.zst"
        path.write_bytes(compressed(thousand * thousands, "zst"))
        done = subprocess.run(extraction(path, tmp_path / "out", told), cwd=ROOT, capture_output=True, check=True)
        peaks.append(int(done.stdout.partition(b"VmHWM:")[2].split()[0]))

    assert peaks[1] < 400 * 1024  # KiB
    assert peaks[1] - peaks[0] < 40 * 1024


@given(
    st.sets(st.one_of(st.integers(1, 3000), st.integers(2**28 - 9, 2**28 + 9), st.integers(1, 10**12 - 1))), st.data()
)
def test_a_written_set_of_items_has_exactly_its_members(
    tmp_path_factory: pytest.TempPathFactory, numbers, data
) -> None:
    path = tmp_path_factory.getbasetemp() / "items"
    write_qids((f"Q{number}" for number in numbers), path)
    other = data.draw(st.integers(1, 10**12))

    found = read_qids(path)

    assert all(number in found for number in numbers)
    assert (other in found) == (other in numbers)


def test_one_holder_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = extract_part(write_dump(tmp_path / "d.json.bz2", [holder(7)]), PIDS, tmp_path / "out", SETTINGS)

    [row] = rows(report.statements).to_pylist()

    assert (row["subject"], row["property"], row["object"], row["rank"]) == ("Q7", "P39", "Q11696", "normal")
    assert (row["start_earliest"], row["end_latest"]) == (datetime.date(1907, 3, 4), datetime.date(1908, 3, 4))
    assert (row["revision"], row["source"]) == (7, "dump")
