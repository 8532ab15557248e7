"""What a refresh is to do: a source, a snapshot, and how the source is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from chronofacts.flows.dump import check_task_runner
from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.sources import choose_scope
from chronofacts.pipeline.sources.dump.files import find_parts, is_dump
from chronofacts.pipeline.sources.dump.source import DumpSettings
from chronofacts.pipeline.sources.sparql.endpoint_source import ENDPOINTS, EndpointSettings, is_endpoint
from chronofacts.pipeline.sources.sparql.rate_limit import full_user_agent
from chronofacts.pipeline.sources.sparql.recording import find_recording
from chronofacts.schemas.addresses import hide, is_address
from chronofacts.schemas.catalogue import Catalogue, load_catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import check_out
from chronofacts.schemas.manifest import read_manifest

__all__ = ["RefreshSettings"]


@dataclass(frozen=True)
class RefreshSettings:
    """Raises BadInput for options that are wrong, before anything slow begins."""

    source: str
    """`sample`, `wdqs`, `qlever`, an endpoint's address (without its secrets, which `schemas.addresses` keeps),
    `raw:DIR` (a recording of one), or a dump's file, folder or pattern."""
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
        if is_address(self.source):
            object.__setattr__(self, "source", hide(self.source))
        check_out(self.out)
        self.catalogue.require_language(self.snapshot.language)
        choose_scope(self.endpoint.scope, "whole")
        check_task_runner(self.task_runner)
        self._check_source()

    def _check_source(self) -> None:
        """Raises BadInput for a source that is none, or that cannot be asked so."""
        name = self.source
        if name.startswith("raw:"):
            find_recording(Path(name.removeprefix("raw:")))
        elif is_endpoint(name):
            full_user_agent(self.endpoint.user_agent, ENDPOINTS.get(name, name))
        elif is_dump(name):
            find_parts(name)
        elif name != "sample":
            raise BadInput(
                f"--source {name[:200]!r} is not a source; use sample, wdqs, qlever, an address http://…, raw:DIR, "
                "or the file or folder of a dump"
            )
        if self.update is not None:
            read_manifest(self.update)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The relations that the snapshot has."""
        catalogue = load_catalogue()
        return catalogue.select(self.relations) if self.relations else catalogue
