"""What a refresh is to do: a source, a snapshot, and how the source is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.sources.dump.source import DumpSettings
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings
from chronofacts.schemas.catalogue import Catalogue, load_catalogue
from chronofacts.schemas.files import check_out

__all__ = ["RefreshSettings"]


@dataclass(frozen=True)
class RefreshSettings:
    """Raises BadInput for options that are wrong, before anything slow begins."""

    source: str
    """`sample`, `wdqs`, `qlever`, an endpoint's address, `raw:DIR` (a recording of one), or a dump's file, folder or
    pattern."""
    out: Path
    """A new folder, for the snapshot."""
    snapshot: SnapshotSettings
    relations: tuple[str, ...] = ()
    """Ids or properties of relations of the catalogue; none: all."""
    update: Path | None = None
    """An older snapshot of the same endpoint, from which the refresh takes all that has not changed since."""
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    dump: DumpSettings = field(default_factory=DumpSettings)
    task_runner: str = ""
    """What reads a dump's parts (`flows.dump.part_runner`)."""

    def __post_init__(self) -> None:
        check_out(self.out)
        self.catalogue.require_language(self.snapshot.language)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The relations that the snapshot has."""
        catalogue = load_catalogue()
        return catalogue.select(self.relations) if self.relations else catalogue
