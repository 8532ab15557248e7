"""A SPARQL engine in this process: triples loaded into memory, and its solutions in our terms."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pyoxigraph

from chronofacts.pipeline.sources.sparql.results import Solution
from chronofacts.pipeline.sources.sparql.source import Ask
from chronofacts.pipeline.sources.statements import RdfTerm
from chronofacts.schemas.errors import CheckFailed

__all__ = ["engine", "load_triples", "solutions"]


_TERMS_KNOWN = 10_000


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


def solutions(answer: pyoxigraph.QuerySolutions) -> Iterator[Solution]:
    """Solutions of the engine, or of an endpoint's answer that it has parsed, in our terms."""
    names = [variable.value for variable in answer.variables]
    known: dict[object, RdfTerm] = {}  # the rows of a statement repeat most of their terms
    for solution in answer:
        row = {}
        for name, term in zip(names, solution, strict=True):
            if term is not None:
                if (read := known.get(term)) is None:
                    read = known[term] = _read_term(term)
                row[name] = read
        yield row
        if len(known) > _TERMS_KNOWN:
            known.clear()


def _read_term(term: object) -> RdfTerm:
    if isinstance(term, pyoxigraph.NamedNode):
        return RdfTerm("uri", term.value)
    if isinstance(term, pyoxigraph.Literal):
        return RdfTerm("literal", term.value, term.datatype.value, term.language)
    return RdfTerm("bnode", str(term))
