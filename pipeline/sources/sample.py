"""The slice of Wikidata that ships with the project, in an embedded SPARQL engine.

Files of N-Triples (plain or gzip) are loaded into memory and asked with the same text as any endpoint.
A file must match its line in `SHA256SUMS`, so that a truncated copy is an error and never a small answer.
"""

from __future__ import annotations

import datetime
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pyoxigraph

from chronofacts.pipeline.sources import Freshness
from chronofacts.pipeline.sources.sparql.results import Solution, solutions
from chronofacts.pipeline.sources.sparql.source import Ask, SparqlSource
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.manifest import CURATED

__all__ = ["SAMPLE_DIR", "engine", "load_triples", "open_sample"]

SAMPLE_DIR = Path(__file__).resolve().parents[2] / "data" / "sample"


def open_sample(folder: Path = SAMPLE_DIR) -> SparqlSource:
    """The sample in a folder with `sample.json` (its day), `SHA256SUMS` and `*.nt.gz`.

    Raises BadInput when the folder is not a sample, CheckFailed when a file is damaged.
    """
    about = folder / "sample.json"
    if not about.is_file():
        raise BadInput(f"{folder} holds no sample (sample.json is missing); restore it from the repository")
    day = datetime.date.fromisoformat(json.loads(about.read_text(encoding="utf-8"))["as_of"])
    files = _check_files(folder)
    store = load_triples(files)
    freshness = Freshness(
        day,
        # A fixed moment: the sample is as old as its day, whenever it is read.
        datetime.datetime.combine(day, datetime.time(), datetime.UTC),
        f"curated sample as of {day}: written by hand in Wikidata's form, not read from Wikidata",
    )
    return SparqlSource(CURATED, engine(store), lambda: freshness, with_revisions=False)


def _check_files(folder: Path) -> list[Path]:
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise CheckFailed(f"{sums} is missing, so the sample cannot be checked; restore it from the repository")
    files = []
    for line in sums.read_text(encoding="ascii").splitlines():
        wanted, name = line.split(maxsplit=1)
        path = folder / name
        if not path.is_file():
            raise CheckFailed(f"{path} is missing; restore it from the repository")
        if hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            raise CheckFailed(f"{path} is truncated or changed (its sha256 differs); restore it from the repository")
        files.append(path)
    return files


def load_triples(files: list[Path]) -> pyoxigraph.Store:
    """A store in memory with the triples of N-Triples files, `.gz` or plain.

    Raises CheckFailed naming the file that cannot be read to its end.
    """
    store = pyoxigraph.Store()
    for path in files:
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
                store.bulk_load(cast(IO[bytes], stream), format=pyoxigraph.RdfFormat.N_TRIPLES)
        except (SyntaxError, EOFError, OSError) as error:
            raise CheckFailed(f"{path} cannot be read to its end ({error}); fetch it again") from error
    return store


def engine(store: pyoxigraph.Store) -> Ask:
    """The `ask` function of an embedded store."""

    def ask(query: str) -> Iterator[Solution]:
        return solutions(cast(pyoxigraph.QuerySolutions, store.query(query)))

    return ask
