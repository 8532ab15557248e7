"""What is fuzzed: each target takes any bytes, and must end well or with an error of ours.

`tests/fuzz/run.py` drives them by coverage (`make fuzz`), `tests/fuzz/test_targets.py` by Hypothesis and by the corpus,
which holds a file for whatever was found once.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pyoxigraph

from chronofacts.editing.editors.saved_edit import base_of, check_base, read_saved_editors
from chronofacts.pipeline.exchange import IMPORTS, import_benchmark
from chronofacts.pipeline.sources.dump.entities import EntityReader, NameRows
from chronofacts.pipeline.sources.dump.parts import PartSettings, extract_part
from chronofacts.pipeline.sources.sparql import results
from chronofacts.pipeline.sources.sparql.rate_limit import retry_after
from chronofacts.pipeline.sources.sparql.results import solutions
from chronofacts.pipeline.sources.statements import Origin, StatementRows
from chronofacts.pipeline.storage.rejections import rejection_rows
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.dates import Bound as DateBound
from chronofacts.schemas.dates import DayInterval, combine, read_json_time, read_rdf_time, spell_interval
from chronofacts.schemas.errors import ChronoFactsError
from chronofacts.schemas.manifest import read_manifest

__all__ = ["TARGETS"]

NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
GREGORIAN, JULIAN = ("http://www.wikidata.org/entity/Q1985727", "http://www.wikidata.org/entity/Q1985786")
_READER = EntityReader(["P39", "P6", "P31", "P569"], "en")
_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))


def dates(data: bytes) -> None:
    """A time of either form, its precision and calendar, and what several of them come to."""
    text, precision = data[1:].decode("utf-8", "replace"), data[0] % 16 if data else 11
    found = []
    for calendar in (GREGORIAN, JULIAN, text):
        for read in (read_json_time, read_rdf_time):
            date = read(text, precision, calendar)
            if isinstance(date, DayInterval):
                assert (date.earliest is None) == (date.latest is None)
                assert date.earliest is None or date.latest is None or date.earliest <= date.latest
                spell_interval(date)
                found.append(DateBound("known", date))
    combine(found)


def dump_line(data: bytes) -> None:
    """One line, as a row of every table that it may come to."""
    rows, names = StatementRows(Origin("fuzz", NOW)), NameRows()
    _, broken = _READER.add(data, rows, names)
    rows.table()
    names.table()
    rejection_rows(
        ("statements", "broken_line", one.subject, None, [one.statement_id or ""], one.reason) for one in broken
    )


def dump_file(data: bytes) -> None:
    """A whole file, packed or not."""
    file = _write("dump.json", data)
    for old in _FOLDER.glob("out/*"):
        old.unlink()
    with suppress(ChronoFactsError):
        extract_part(file, ["P39"], _FOLDER / "out", PartSettings(NOW.date(), language="en", keep_damaged=True))


def sparql_answer(data: bytes) -> None:
    """The body of an answer, read as each query's."""
    with suppress(SyntaxError, ValueError):  # what the engine's parser refuses is asked again
        answer = pyoxigraph.parse_query_results(data, pyoxigraph.QueryResultsFormat.JSON)
        if not isinstance(answer, pyoxigraph.QuerySolutions):
            return
        rows = list(solutions(answer))
        _read_answer(rows)


def _read_answer(rows: list) -> None:
    for read in (results.read_subjects, results.read_revisions, results.read_counts, results.read_redirects):
        with suppress(ChronoFactsError):
            read(rows)
    with suppress(ChronoFactsError):
        results.statement_table(results.sort_rows(rows), Origin("fuzz", NOW))
    with suppress(ChronoFactsError):
        results.label_table(["Q1"], rows, {}, "en")


def headers(data: bytes) -> None:
    """A Retry-After header."""
    assert retry_after(data.decode("latin-1"), NOW, 60.0) >= 1.0 or data == b""


def catalogue(data: bytes) -> None:
    with suppress(ChronoFactsError):
        load_catalogue(_write("relations.toml", data))


def manifest(data: bytes) -> None:
    _write("manifest.json", data)
    with suppress(ChronoFactsError):
        read_manifest(_FOLDER)


def card(data: bytes) -> None:
    """The card of a saved edit."""
    _write("card.json", data)
    for read in (base_of, lambda folder: check_base(folder, "0"), lambda folder: read_saved_editors([folder])):
        with suppress(ChronoFactsError):
            read(_FOLDER)


def benchmark(data: bytes) -> None:
    """A file of any of the formats; the first byte chooses."""
    formats = sorted(IMPORTS)
    file = _write("benchmark.jsonl", data[1:])
    with suppress(ChronoFactsError):
        import_benchmark(file, formats[data[0] % len(formats)] if data else formats[0], NOW.date())


def _write(name: str, data: bytes) -> Path:
    path = _FOLDER / name
    path.write_bytes(data)
    return path


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (dates, dump_line, dump_file, sparql_answer, headers, catalogue, manifest, card, benchmark)
}
