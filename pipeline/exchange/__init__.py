"""Snapshots in the formats of other tools, and other people's benchmarks as snapshots.

Each format is one module here, MQuAKE two; `EXPORTS` and `IMPORTS` say which there are.
Leaves out: the command line (`flows.cli`).
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import logging
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from chronofacts.pipeline.exchange.collector import Benchmark, OwnSet
from chronofacts.pipeline.exchange.counterfact import read_counterfact
from chronofacts.pipeline.exchange.easyedit import read_knowedit, write_knowedit
from chronofacts.pipeline.exchange.lm_eval import write_lm_eval
from chronofacts.pipeline.exchange.mquake import read_mquake
from chronofacts.pipeline.exchange.mquake_cases import write_mquake
from chronofacts.pipeline.exchange.own_facts import UNDATED, read_own_facts
from chronofacts.pipeline.exchange.qaedit import read_qaedit
from chronofacts.pipeline.exchange.rippleedits import read_rippleedits
from chronofacts.pipeline.exchange.snapshot_rows import Contents, read_contents
from chronofacts.pipeline.exchange.wikibigedit import read_wikibigedit
from chronofacts.pipeline.exchange.wikifactdiff import read_wikifactdiff
from chronofacts.pipeline.exchange.zsre import read_zsre
from chronofacts.pipeline.snapshots.write import write_valid
from chronofacts.schemas.dates import check_dates
from chronofacts.schemas.errors import BadInput, ChronoFactsError
from chronofacts.schemas.files import check_out, create_folder
from chronofacts.schemas.manifest import SnapshotManifest

log = logging.getLogger("chronofacts.exchange")

__all__ = ["EXPORTS", "IMPORTS", "Import", "export_snapshot", "import_benchmark", "import_snapshot"]


class Import(NamedTuple):
    """One format that can be read, and the days that stand for before and after its edits; None: nobody but the user
    knows them."""

    read: Callable[[Path], Benchmark]
    since: datetime.date | None
    as_of: datetime.date | None


EXPORTS: dict[str, Callable[[Contents, Path], list[Path]]] = {
    "easyedit": write_knowedit,
    "lm-eval": write_lm_eval,
    "mquake": write_mquake,
}

# MQuAKE-T, WikiBigEdit and WikiFactDiff compare dumps of Wikidata, whose days these are. For the others the days are
# those of their papers and of a year before: they say no more than which answer counts as the old one.
IMPORTS: dict[str, Import] = {
    "counterfact": Import(read_counterfact, datetime.date(2021, 2, 10), datetime.date(2022, 2, 10)),
    "easyedit": Import(read_knowedit, datetime.date(2023, 1, 2), datetime.date(2024, 1, 2)),
    "facts": Import(read_own_facts, None, None),
    "mquake": Import(read_mquake, datetime.date(2021, 4, 1), datetime.date(2023, 4, 1)),
    "qaedit": Import(read_qaedit, datetime.date(2024, 2, 16), datetime.date(2025, 2, 16)),
    "rippleedits": Import(read_rippleedits, datetime.date(2022, 7, 24), datetime.date(2023, 7, 24)),
    "wikibigedit": Import(read_wikibigedit, datetime.date(2024, 2, 1), datetime.date(2024, 7, 1)),
    "wikifactdiff": Import(read_wikifactdiff, datetime.date(2021, 1, 4), datetime.date(2023, 2, 27)),
    "zsre": Import(read_zsre, datetime.date(2016, 6, 13), datetime.date(2017, 6, 13)),
}


def export_snapshot(snapshot: Path, format: str, out: Path) -> list[Path]:
    """Write a snapshot into the new folder out in one of `EXPORTS`; returns the files, the main one first.

    Raises BadInput for an unknown format, a folder that is no snapshot or one that is not empty, CheckFailed for a
    damaged snapshot.
    """
    write = EXPORTS[_known(format, EXPORTS, IMPORTS, "imported")]
    check_out(out)
    contents = read_contents(snapshot)
    with create_folder(out) as folder:
        files = [path.relative_to(folder) for path in write(contents, folder)]
    return [out / path for path in files]


def import_benchmark(file: Path, format: str, as_of: datetime.date | None = None) -> dict[str, pa.Table]:
    """All tables of `SNAPSHOT_TABLES` from a benchmark's file in one of `IMPORTS`.

    Statements and timelines are empty: a benchmark does not say where its facts are from. as_of: the day on which
    its new answers are taken to be right; by default the format's own.
    Raises BadInput for an unknown format, and for a file that is not of it, naming the record and the field.
    """
    known = IMPORTS[_known(format, IMPORTS, EXPORTS, "exported")]
    _require_day(as_of or known.as_of, format)
    return _read(file, format, None, as_of)[0]


def import_snapshot(
    file: Path, format: str, out: Path, since: datetime.date | None = None, as_of: datetime.date | None = None
) -> SnapshotManifest:
    """A benchmark's file as a snapshot folder, verified; its `origin` is the format.

    Days that are not given are those that our own exports carry, or else the format's.
    Raises BadInput as `import_benchmark` does, for since not before as_of, and when out is not empty.
    """
    known = IMPORTS[_known(format, IMPORTS, EXPORTS, "exported")]
    for given, usual in ((since, known.since), (as_of, known.as_of)):
        _require_day(given or usual, format)
    if since and as_of:
        check_dates(since, as_of)
    check_out(out)
    tables, (since, as_of, language) = _read(file, format, since, as_of)
    check_dates(since, as_of)
    manifest = SnapshotManifest(
        name=f"{format} {file.name}",
        since=since,
        as_of=as_of,
        language=language,
        source=format,
        source_day=as_of,
        source_detail=f"{file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}",
        retrieved_at=datetime.datetime.combine(as_of, datetime.time(), datetime.UTC),
        code_version=version("chronofacts"),
        catalogue_hash="",
        relations=tuple(sorted(tables["edits"]["relation"].unique().to_pylist())),
        seed=0,
        origin=format,
    )
    return write_valid(tables, manifest, out)


def _read(
    file: Path, format: str, since: datetime.date | None, as_of: datetime.date | None
) -> tuple[dict[str, pa.Table], OwnSet]:
    """The tables of a file, with the days and the language of the set."""
    try:
        benchmark = IMPORTS[format].read(file)
        if not benchmark.edits:
            raise BadInput(f"{file} has no edit that changes anything; is --format {format} its format?")
        for name, count in benchmark.unread.items():
            log.warning("%d records of %s have a field %s that is not read", count, file.name, name[:200])
        for (reason, what), count in sorted(benchmark.notes.items()):
            log.warning("%s: %s %d times (%s)", file.name, what, count, reason)
        own_set = _choose_days(benchmark, IMPORTS[format], since, as_of)
        return benchmark.tables(own_set.as_of), own_set
    except ChronoFactsError:
        raise
    except pa.ArrowException as error:
        raise BadInput(
            f"{file}: a column under `chronofacts` is not what our exports write ({str(error)[:200]})"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        # Whatever stands where in a file of others, it is the file that does not fit.
        raise BadInput(
            f"{file} cannot be read as {format} ({type(error).__name__}: {str(error)[:200]}); is --format its format?"
        ) from error


def _choose_days(
    benchmark: Benchmark, known: Import, since: datetime.date | None, as_of: datetime.date | None
) -> OwnSet:
    """The days before and after all changes: as given, else as our export carries them, else the format's, which
    give way to changes that the file has a day for. Without any, `UNDATED` is the day before."""
    own = benchmark.own_set or OwnSet(known.since or UNDATED, known.as_of or UNDATED, "en")
    changed = [
        (edit.changed_on_earliest, edit.changed_on_latest)
        for edit in benchmark.edits.values()
        if edit.changed_on_earliest is not None and edit.changed_on_latest is not None
    ]
    if changed and benchmark.own_set is None:
        before = min(earliest for earliest, _ in changed) - datetime.timedelta(1)
        own = own._replace(since=min(own.since, before), as_of=max(own.as_of, *(latest for _, latest in changed)))
    chosen = own._replace(since=since or own.since, as_of=as_of or own.as_of)
    outside = sum(earliest <= chosen.since or latest > chosen.as_of for earliest, latest in changed)
    if outside:
        log.warning("%d edits changed on days that are not between %s and %s", outside, chosen.since, chosen.as_of)
    return chosen


def _require_day(day: datetime.date | None, format: str) -> None:
    if day is None:
        raise BadInput(f"--format {format} does not say when its facts changed; give --since and --as-of")


def _known(format: str, offered: Iterable[str], others: Iterable[str], done: str) -> str:
    """The format, if it is offered; BadInput with the nearest one if not."""
    names = sorted(offered)
    if format in names:
        return format
    if format in others:
        raise BadInput(f"--format {format} can only be {done}; here use one of {', '.join(names)}")
    near = difflib.get_close_matches(format, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}"
    raise BadInput(f"--format {format!r} is not known; {hint}")
