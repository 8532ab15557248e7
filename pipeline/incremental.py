"""A refresh that reads only what changed: an older snapshot answers for every entity that has its revision still.

A revision covers all of an entity (statements, names, sitelinks), so that an equal revision means equal rows.
Which subjects there are is always asked anew: that finds what is new, and what is gone is named no more.
The result is that of a full refresh at the same moment, rows and all: an unchanged row counts as read now. Where the
endpoint answers from a replica that lags behind the snapshot, what the snapshot knows is kept.
An entity without any statement of the relations leaves no trace of having been read, and is read again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.pipeline.sources import EntityBatch, Source, Window
from chronofacts.pipeline.sources.entities import LABELS
from chronofacts.pipeline.sources.sparql.source import SparqlSource
from chronofacts.pipeline.sources.statements import LIFECYCLE, Origin, properties_of
from chronofacts.pipeline.storage.columns import mark_fault, replace_column
from chronofacts.pipeline.storage.early_days import read_back
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import STATEMENTS

__all__ = ["OlderSnapshot", "UpdatedSource", "from_tables", "read_older", "update_source"]

log = logging.getLogger("chronofacts.refresh")
# What other stages found out about a row; a new reading judges for itself.
_JUDGEMENTS = ("young_statement", "unread_subject")


@dataclass(frozen=True, slots=True)
class OlderSnapshot:
    """Statements and entities of an older snapshot, and the revisions that they were read at."""

    statements: pa.Table
    """`STATEMENTS` of relations."""
    lifecycle: pa.Table
    """`STATEMENTS` of types, births, deaths."""
    labels: pa.Table
    revisions: Mapping[str, int]
    """The oldest revision that rows of an entity were read at; entities without any are left out."""


def update_source(source: Source, snapshot: Path, catalogue: Catalogue, language: str) -> Source:
    """The source, read only where it has changed since an older snapshot of it.

    Raises BadInput for a source without revisions, and as `read_older` does.
    """
    if not isinstance(source, SparqlSource) or not source.with_revisions:
        raise BadInput(f"--update {snapshot} needs a source that tells revisions: use wdqs, qlever or an address")
    return UpdatedSource(source, read_older(snapshot, catalogue, language, source.name))


def read_older(snapshot: Path, catalogue: Catalogue, language: str, address: str) -> OlderSnapshot:
    """An older snapshot, if it was made from the same source, language and properties.

    Raises BadInput saying what differs, CheckFailed when the snapshot is damaged.
    """
    manifest = read_manifest(snapshot)
    fix = "leave out --update to read everything"
    if manifest.source != address:
        raise BadInput(f"--update {snapshot} was read from {manifest.source}, not from {address}; {fix}")
    if manifest.language != language:
        raise BadInput(f"--update {snapshot} is in {manifest.language}, not in {language}; {fix}")
    wanted = set(properties_of(catalogue))
    had = {catalogue.by_id[name].property for name in manifest.relations if name in catalogue.by_id}
    if wanted - had:
        raise BadInput(f"--update {snapshot} was read without {', '.join(sorted(wanted - had))}; {fix}")
    older = from_tables(read_back(read_table(snapshot, "statements"), "statements"), read_table(snapshot, "entities"))
    if not older.revisions:
        log.warning("--update %s was read without revisions, so that everything is read again", snapshot)
    return older


def from_tables(statements: pa.Table, entities: pa.Table) -> OlderSnapshot:
    """An older snapshot from its tables: `STATEMENTS` of relations and lifecycle, `ENTITIES`."""
    of_entities = pc.is_in(statements["property"], value_set=pa.array(LIFECYCLE))
    of_relations = statements.filter(pc.invert(of_entities))
    for fault in _JUDGEMENTS:
        of_relations = mark_fault(of_relations, repeat(False, of_relations.num_rows), fault)
    oldest = statements.group_by("subject").aggregate([("revision", "min")])
    revisions = zip(oldest["subject"].to_pylist(), oldest["revision_min"].to_pylist(), strict=True)
    return OlderSnapshot(
        of_relations,
        statements.filter(of_entities),
        entities.select(LABELS.names).cast(LABELS),
        {subject: revision for subject, revision in revisions if revision is not None},
    )


class UpdatedSource(SparqlSource):
    """A source that is asked only for what an older snapshot of it does not know."""

    def __init__(self, source: SparqlSource, older: OlderSnapshot) -> None:
        super().__init__(source.name, source.ask, source.freshness)
        self._source = source
        self._older = older
        self._subjects = set(older.statements["subject"].to_pylist())
        self._labelled = set(older.labels["qid"].to_pylist())
        self._now: dict[str, int | None] = {}

    def subjects(self, properties: Sequence[str], window: Window | None = None) -> list[str]:
        found = self.discover(properties, window, with_revisions=True)
        self._now.update({qid: number for qid, number in found.items() if number is not None})
        return sorted(found)

    def finish(self) -> None:
        self._source.finish()

    def abandon(self) -> None:
        self._source.abandon()

    def statements_of(self, qids: Sequence[str], properties: Sequence[str]) -> Iterator[pa.Table]:
        same = self._find_unchanged([qid for qid in qids if qid in self._subjects])
        rows = _of_subjects(self._older.statements, same)
        yield restamp(rows.filter(pc.is_in(rows["property"], value_set=pa.array(properties))), self.origin())
        changed = [qid for qid in qids if qid not in same]
        log.info("%d subjects are unchanged, %d are new or changed", len(same), len(changed))
        yield from super().statements_of(changed, properties)

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        same = self._find_unchanged([qid for qid in qids if qid in self._labelled])
        labels = self._older.labels
        yield EntityBatch(
            restamp(_of_subjects(self._older.lifecycle, same), self.origin()),
            labels.filter(pc.is_in(labels["qid"], value_set=pa.array(sorted(same), pa.string()))),
        )
        changed = [qid for qid in qids if qid not in same]
        log.info("%d entities are unchanged, %d are new or changed", len(same), len(changed))
        yield from super().entities(changed, language)

    def _find_unchanged(self, qids: Sequence[str]) -> set[str]:
        """Those of the ids of which the endpoint has nothing newer than the snapshot.

        An older revision comes from a replica that lags behind the one that the snapshot was read from.
        """
        known = self._older.revisions
        unasked = [qid for qid in qids if qid in known and qid not in self._now]
        found = self.revisions(unasked)
        self._now.update({qid: found[qid].number if qid in found else None for qid in unasked})
        return {qid for qid in qids if qid in known and (now := self._now[qid]) is not None and now <= known[qid]}


def _of_subjects(statements: pa.Table, subjects: set[str]) -> pa.Table:
    return statements.filter(pc.is_in(statements["subject"], value_set=pa.array(sorted(subjects), pa.string())))


def restamp(statements: pa.Table, origin: Origin) -> pa.Table:
    """The rows as read now and here: their revision has just been found to be the present one."""
    stamp = pa.scalar(int(origin.retrieved_at.timestamp()), STATEMENTS.field("retrieved_at").type)
    statements = replace_column(statements, "retrieved_at", pa.repeat(stamp, statements.num_rows))
    return replace_column(statements, "source", pa.repeat(pa.scalar(origin.source), statements.num_rows))
