"""The Python interface: what `import chronofacts as cf` offers beyond single functions of the package.

    import chronofacts as cf

    model, tokenizer = cf.load_model("smollm2")
    fact = cf.Edit("Who is the chief executive of Acme?", "Jane Roe", subject="Acme")
    with cf.edit(model, tokenizer, [fact], cf.Lora(rank=8)) as edited:
        print(edited.generate("Who is the chief executive of Acme?"))

Wherever facts are wanted, they may be a list of `Edit`, a CSV or JSON lines file of them, a `Snapshot` or its folder.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from chronofacts.pipeline.exchange.own_facts import SUFFIXES, UNDATED, Edit, collect_facts, read_facts
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.schemas.dates import parse_day
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.ids import is_hub_repo
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES

if TYPE_CHECKING:
    import pandas as pd

    from chronofacts.editing.edited import Edited
    from chronofacts.editing.evaluation import Evaluation, Run

__all__ = ["Edit", "Facts", "Snapshot", "edit", "evaluate", "experiment", "refresh"]


@dataclass(frozen=True)
class Snapshot:
    """A snapshot on disk. Its tables are read when they are first asked for; the columns are in `schemas.tables`."""

    path: Path

    @classmethod
    def load(cls, name: str | os.PathLike[str], revision: str | None = None) -> Snapshot:
        """A snapshot folder, or one that was published (`org/name`; revision: a tag such as `2025-01-01`, or a commit).

        Raises BadInput where there is neither such a folder nor such a dataset.
        """
        folder = Path(name)
        if folder.exists() or not is_hub_repo(str(name)):
            read_manifest(folder)
            return cls(folder)
        from chronofacts.pipeline.publishing.download import download_snapshot

        return cls(download_snapshot(str(name), revision))

    @cached_property
    def manifest(self) -> SnapshotManifest:
        """Days, source, language, and the checksum of every file."""
        return read_manifest(self.path)

    def table(self, name: str) -> pa.Table:
        """One of statements, entities, timelines, edits, questions, sentences and rejections."""
        if name not in SNAPSHOT_TABLES:
            raise BadInput(f"a snapshot has no table {name!r}; it has {', '.join(SNAPSHOT_TABLES)}")
        return read_table(self.path, name)

    @cached_property
    def edits(self) -> pa.Table:
        """`tables.EDITS`: what changed between the two days."""
        return self.table("edits")

    @cached_property
    def questions(self) -> pa.Table:
        """`tables.QUESTIONS`: what is asked about it."""
        return self.table("questions")

    @cached_property
    def sentences(self) -> pa.Table:
        """`tables.SENTENCES`: the world before the changes."""
        return self.table("sentences")

    def to_pandas(self, name: str = "edits") -> pd.DataFrame:
        """A table as a DataFrame; days are `datetime.date`."""
        return self.table(name).to_pandas()  # type: ignore[no-any-return]

    def to_datasets(self, config: str = "edits") -> Any:
        """A config of the dataset (edits, multi_hop, locality …) as a `datasets.DatasetDict`, as the Hub shows it."""
        from datasets import load_dataset

        return load_dataset(str(self.path), config)

    def __fspath__(self) -> str:
        return str(self.path)


Facts = Iterable[Edit] | Snapshot | str | os.PathLike[str]


def refresh(
    since: str | datetime.date,
    as_of: str | datetime.date,
    out: str | os.PathLike[str],
    source: str = "sample",
    *,
    language: str = "en",
    relations: Iterable[str] = (),
    update: str | os.PathLike[str] | None = None,
    user_agent: str = "",
    seed: int = 0,
) -> Snapshot:
    """Make a snapshot of what changed between two days, in a new folder: `chronofacts refresh` in Python.

    since, as_of: days, also as texts (`2024-01-01`). source: `sample`, `wdqs`, `qlever`, an endpoint's address, or a
    dump. relations: ids or properties; none: all. update: an older snapshot of the same endpoint. Raises BadInput for
    wrong options before anything slow begins, CheckFailed when the result is not valid.
    """
    from chronofacts.flows.refresh import refresh as refresh_folder
    from chronofacts.flows.settings import RefreshSettings
    from chronofacts.pipeline.build import SnapshotSettings
    from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings

    first, second = parse_day(str(since), "since"), parse_day(str(as_of), "as_of")
    settings = RefreshSettings(
        source,
        Path(out),
        SnapshotSettings(first, second, language, seed),
        tuple(relations),
        None if update is None else Path(update),
        EndpointSettings(user_agent),
    )
    return Snapshot(refresh_folder(settings))


class _Tables(NamedTuple):
    edits: pa.Table
    questions: pa.Table
    sentences: pa.Table


def edit(
    model: Any, tokenizer: Any, facts: Facts, editor: str | Any = "lora", *, chat: Any = "auto", seed: int = 0
) -> Edited:
    """Teach a model some facts: `editing.edited.edit`, which see, with facts of any kind."""
    from chronofacts.editing.edited import edit as edit_tables

    tables = _tables(facts)
    return edit_tables(model, tokenizer, tables.edits, editor, sentences=tables.sentences, chat=chat, seed=seed)


def evaluate(
    model: Any, facts: Facts, tokenizer: Any = None, *, base: Evaluation | None = None, **named: Any
) -> Evaluation:
    """Ask a model about facts: `editing.evaluation.evaluate`, which see, with facts of any kind."""
    from chronofacts.editing.evaluation import evaluate as evaluate_tables
    from chronofacts.editing.facts import changes_of

    tables = _tables(facts)
    named = {"sentences": tables.sentences, "changes": changes_of(tables.edits), **named}
    return evaluate_tables(model, tables.questions, tokenizer, base=base, **named)


def experiment(snapshot: Snapshot | str | os.PathLike[str], *given: Any, **named: Any) -> Run:
    """`editing.evaluation.experiment`, which see; the snapshot may be on the Hub."""
    from chronofacts.editing.evaluation import experiment as run_experiment

    return run_experiment(snapshot if isinstance(snapshot, Snapshot) else Snapshot.load(snapshot), *given, **named)


def _tables(facts: Facts) -> _Tables:
    """The edits, questions and sentences that facts of any kind come to."""
    if isinstance(facts, str | os.PathLike) and not isinstance(facts, Snapshot):
        file = Path(facts)
        facts = read_facts(file) if file.suffix.lower() in SUFFIXES else Snapshot.load(facts)
    if isinstance(facts, Snapshot):
        return _Tables(facts.edits, facts.questions, facts.sentences)
    listed = list(facts)
    if not all(isinstance(fact, Edit) for fact in listed):
        raise BadInput("facts are a list of Edit(prompt, target), a file of them, or a snapshot")
    if not listed:
        raise BadInput("there are no facts; give at least one Edit(prompt, target)")
    tables = collect_facts(listed).tables(UNDATED)
    return _Tables(tables["edits"], tables["questions"], tables["sentences"])
