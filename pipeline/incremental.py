"""A refresh that reads only what changed: an older snapshot answers for every entity that has its revision still.

A revision covers all of an entity (statements, names, sitelinks), so that an equal revision means equal rows.
Which subjects there are is always asked anew: that finds what is new, and what is gone is named no more.
The result is that of a full refresh at the same moment, rows and all: an unchanged row counts as read now. Where the
endpoint answers from a replica that lags behind the snapshot, what the snapshot knows is kept.
An entity without any statement of the relations leaves no trace of having been read, and is read again.
Leaves out: how an endpoint is asked (`pipeline.sources.sparql.source`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.pipeline.sources import EntityBatch, Freshness, Source, Window
from chronofacts.pipeline.sources.entities import LABELS
from chronofacts.pipeline.sources.sparql.source import SparqlSource
from chronofacts.pipeline.sources.statements import LIFECYCLE, Origin, properties_of
from chronofacts.pipeline.storage.early_days import read_back
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import STATEMENTS

__all__ = ["Known", "UpdatedSource", "known_of", "read_known"]

log = logging.getLogger("chronofacts.refresh")
# What other stages found out about a row; a new reading judges for itself.
_JUDGED = frozenset({"young_statement", "unread_subject"})


@dataclass(frozen=True, slots=True)
class Known:
    """What an older snapshot holds of its source."""

    statements: pa.Table
    """`STATEMENTS` of relations."""
    lifecycle: pa.Table
    """`STATEMENTS` of types, births, deaths."""
    labels: pa.Table
    revisions: Mapping[str, int]
    """The oldest revision that rows of an entity were read at; entities without any are left out."""


def read_known(snapshot: Path, catalogue: Catalogue, language: str, address: str) -> Known:
    """What a snapshot knows, if it was made from the same source, language and properties.

    Raises BadInput saying what differs, CheckFailed when the snapshot is damaged.
    """
    manifest = read_manifest(snapshot)
    mend = "leave out --update to read everything"
    if manifest.source != address:
        raise BadInput(f"--update {snapshot} was read from {manifest.source}, not from {address}; {mend}")
    if manifest.language != language:
        raise BadInput(f"--update {snapshot} is in {manifest.language}, not in {language}; {mend}")
    wanted = set(properties_of(catalogue))
    had = {catalogue.by_id[name].property for name in manifest.relations if name in catalogue.by_id}
    if wanted - had:
        raise BadInput(f"--update {snapshot} was read without {', '.join(sorted(wanted - had))}; {mend}")
    known = known_of(read_back(read_table(snapshot, "statements"), "statements"), read_table(snapshot, "entities"))
    if not known.revisions:
        log.warning("--update %s was read without revisions, so that everything is read again", snapshot)
    return known


def known_of(statements: pa.Table, entities: pa.Table) -> Known:
    """What two tables of a snapshot know: `STATEMENTS` of relations and lifecycle, `ENTITIES`."""
    of_entities = pc.is_in(statements["property"], value_set=pa.array(LIFECYCLE))
    return Known(
        _without_judgements(statements.filter(pc.invert(of_entities))),
        statements.filter(of_entities),
        entities.select(LABELS.names).cast(LABELS),
        _oldest_revisions(statements),
    )


def _oldest_revisions(statements: pa.Table) -> dict[str, int]:
    table = statements.group_by("subject").aggregate([("revision", "min")])
    pairs = zip(table["subject"].to_pylist(), table["revision_min"].to_pylist(), strict=True)
    return {subject: revision for subject, revision in pairs if revision is not None}


def _without_judgements(statements: pa.Table) -> pa.Table:
    faults = [[fault for fault in row if fault not in _JUDGED] for row in statements["faults"].to_pylist()]
    place = STATEMENTS.get_field_index("faults")
    return statements.set_column(place, STATEMENTS.field(place), pa.array(faults, pa.list_(pa.string())))


class UpdatedSource(Source):
    """A source, and what an older snapshot knows of it."""

    def __init__(self, source: SparqlSource, known: Known) -> None:
        self.name = source.name
        self._source = source
        self._known = known
        self._subjects = set(known.statements["subject"].to_pylist())
        self._labelled = set(known.labels["qid"].to_pylist())
        self._now: dict[str, int | None] = {}

    def freshness(self) -> Freshness:
        return self._source.freshness()

    def subjects(self, properties: Sequence[str], window: Window | None = None) -> list[str]:
        found = self._source.subjects_with_revisions(properties, window)
        self._now.update({qid: number for qid, number in found.items() if number is not None})
        return sorted(found)

    def subjects_with_value(self, property_: str, qids: Sequence[str]) -> list[str]:
        return self._source.subjects_with_value(property_, qids)

    def redirects(self, qids: Sequence[str]) -> dict[str, str]:
        return self._source.redirects(qids)

    def finish(self) -> None:
        self._source.finish()

    def abandon(self) -> None:
        self._source.abandon()

    def statements_of(self, qids: Sequence[str], properties: Sequence[str]) -> Iterator[pa.Table]:
        same = self._unchanged([qid for qid in qids if qid in self._subjects])
        rows = _of(self._known.statements, same)
        yield restamp(rows.filter(pc.is_in(rows["property"], value_set=pa.array(properties))), self._source.origin())
        changed = [qid for qid in qids if qid not in same]
        log.info("%d subjects are unchanged, %d are new or changed", len(same), len(changed))
        yield from self._source.statements_of(changed, properties)

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        same = self._unchanged([qid for qid in qids if qid in self._labelled])
        labels = self._known.labels
        yield EntityBatch(
            restamp(_of(self._known.lifecycle, same), self._source.origin()),
            labels.filter(pc.is_in(labels["qid"], value_set=pa.array(sorted(same), pa.string()))),
        )
        changed = [qid for qid in qids if qid not in same]
        log.info("%d entities are unchanged, %d are new or changed", len(same), len(changed))
        yield from self._source.entities(changed, language)

    def _unchanged(self, qids: Sequence[str]) -> set[str]:
        """Those of the ids of which the endpoint has nothing newer than the snapshot.

        An older revision comes from a replica that lags behind the one that the snapshot was read from.
        """
        known = self._known.revisions
        unasked = [qid for qid in qids if qid in known and qid not in self._now]
        told = self._source.revisions(unasked)
        self._now.update({qid: told[qid].number if qid in told else None for qid in unasked})
        return {qid for qid in qids if qid in known and (now := self._now[qid]) is not None and now <= known[qid]}


def _of(statements: pa.Table, subjects: set[str]) -> pa.Table:
    return statements.filter(pc.is_in(statements["subject"], value_set=pa.array(sorted(subjects), pa.string())))


def restamp(statements: pa.Table, origin: Origin) -> pa.Table:
    """The rows as read now and here: their revision has just been found to be the present one."""
    stamp = pa.scalar(int(origin.retrieved_at.timestamp()), STATEMENTS.field("retrieved_at").type)
    for name, value in (("retrieved_at", stamp), ("source", pa.scalar(origin.source))):
        place = STATEMENTS.get_field_index(name)
        statements = statements.set_column(place, STATEMENTS.field(place), pa.repeat(value, statements.num_rows))
    return statements
