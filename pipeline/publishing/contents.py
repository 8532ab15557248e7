"""What a publication holds: the files of a snapshot, and a card that knows its repository and its past.

The card and the Croissant metadata of a snapshot folder do not know where they will lie. Published, they
name the repository and the tag, show a chart, and say what differs from the snapshot published before.
Everything is made from the snapshot, the earlier edits and the earlier tags, so that publishing again sends
the same bytes. Leaves out: the Hub itself (`pipeline.publishing.hub`).
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import pyarrow as pa

from chronofacts.pipeline.publishing.charts import edits_by_month_svg, edits_by_relation_svg
from chronofacts.pipeline.snapshots.card import CARD, card_text
from chronofacts.pipeline.snapshots.croissant import FILE as CROISSANT
from chronofacts.pipeline.snapshots.croissant import croissant_text
from chronofacts.pipeline.snapshots.markdown import EDIT_COLUMNS, edit_table, escape, table
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.schemas.base_answers import BASE_ANSWERS as BASE_ANSWERS_SCHEMA
from chronofacts.schemas.base_answers import FILE as BASE_ANSWERS_FILE
from chronofacts.schemas.base_answers import read_base_answers
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import is_link, sha256_of
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES, describe

__all__ = [
    "ADDED_LATER", "BASE_ANSWERS", "CARD", "REPORTS", "BaseAnswers", "ExperimentReport", "LocalFile",
    "Previous", "compose", "data_files", "is_ours", "late_files", "text_file",
]  # fmt: skip

MANIFEST = "manifest.json"
CHART, RELATIONS_CHART = "edits_by_month.svg", "edits_by_relation.svg"
REPORTS = "reports/"
"""Folder of a repository that keeps the reports of all months."""
BASE_ANSWERS = "base_answers/"
"""Folder that keeps what unedited models answered to the questions of all months."""
ADDED_LATER = (REPORTS, BASE_ANSWERS)
"""Folders of what may come later than its snapshot."""
_FIGURES = ("edit_success", "paraphrase", "multi_hop", "locality", "history", "stale_rate")
_EXAMPLES = 8


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file to publish: a path that is streamed, or the bytes of a small text made here."""

    content: Path | bytes
    size: int
    sha256: str
    git_oid: str
    """The sha1 under which git and the Hub list a file that is not large; empty for Parquet and weights, which are."""


@dataclass(frozen=True, slots=True)
class Previous:
    """The snapshot published last before this one: its tag and its `EDITS`; null when they cannot be read."""

    tag: str
    edits: pa.Table | None


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """What one model made of a snapshot."""

    model: str
    name: str
    """The model's name as part of a file name."""
    page: Path
    """A self-contained HTML page."""
    figures: Mapping[str, Mapping[str, float]]
    """editor -> metric -> value"""

    def file(self, as_of: datetime.date) -> str:
        """Where the page lies in a repository, also when later months have come."""
        return f"{REPORTS}{as_of}-{self.name}.html"


@dataclass(frozen=True, slots=True)
class BaseAnswers:
    """What one unedited model answers to a snapshot's questions: `schemas.base_answers`, in a run folder."""

    run: Path

    def file(self, snapshot: Path) -> str:
        """Where they lie in a repository, also when later months have come.

        Raises BadInput where the run has none, or has answers to questions that are not the snapshot's.
        """
        answers = read_base_answers(self.run)
        known = set(read_table(snapshot, "questions")["question_id"].to_pylist())
        foreign = next((one for one in answers["question_id"].to_pylist() if one not in known), None)
        if foreign is not None:
            raise BadInput(f"{self.run / BASE_ANSWERS_FILE} answers {foreign}, which {snapshot} does not ask")
        models = sorted({f"{name}-{key}" for name, key in zip(*_models(answers), strict=True)})
        if len(models) > 1:
            raise BadInput(f"{self.run / BASE_ANSWERS_FILE} has answers of {len(models)} models; give one run for each")
        name = re.sub(r"[^\w.-]+", "-", models[0], flags=re.ASCII).strip("-.")
        return f"{BASE_ANSWERS}{read_manifest(snapshot).as_of}-{name[-80:]}.parquet"

    def local(self) -> LocalFile:
        path = self.run / BASE_ANSWERS_FILE
        return LocalFile(path, path.stat().st_size, sha256_of(path), "")


def _models(answers: pa.Table) -> tuple[list[str], list[str]]:
    return answers["model"].to_pylist(), answers["model_hash"].to_pylist()


def is_ours(path: str) -> bool:
    """Whether a file of a repository is one that an earlier publication wrote and a later one may delete."""
    return path.partition("/")[0] in SNAPSHOT_TABLES and PurePosixPath(path).suffix == ".parquet"


def data_files(snapshot: Path) -> dict[str, LocalFile]:
    """The Parquet files of a snapshot that was verified, with the manifest's own sums, and the manifest without the
    sums of the folder's own card and metadata, which are made anew for a publication.

    Raises BadInput when the folder is no snapshot, CheckFailed for a file that is a link or is not there.
    """
    manifest, files = read_manifest(snapshot), {}
    for name, entry in manifest.files.items():
        path = snapshot / name
        if is_link(snapshot, name) or not path.is_file():
            raise CheckFailed(f"{path} is a link or no file; copy the snapshot whole, or make it again")
        files[name] = LocalFile(path, path.stat().st_size, entry.sha256, "")
    files[MANIFEST] = text_file(replace(manifest, documents={}).as_json().encode())
    return files


def compose(
    snapshot: Path,
    data: Mapping[str, LocalFile],
    repo: str,
    page: str,
    tags: Sequence[str],
    previous: Previous | None,
    reports: Sequence[ExperimentReport] = (),
    base_answers: Sequence[BaseAnswers] = (),
    answers_there: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, LocalFile]:
    """All files of a publication: `data_files` and the card, the charts, the metadata, reports and base answers.

    page: address of the repository. tags: all earlier snapshots of it, sorted. answers_there: name -> sum of the base
    answers to this snapshot's questions that the repository has already.
    """
    manifest = read_manifest(snapshot)
    edits = read_table(snapshot, "edits")
    late = late_files(snapshot, manifest.as_of, reports, base_answers)
    answers = {name: file for name, file in late.items() if name.startswith(BASE_ANSWERS)}
    versions = {**answers_there, **{name: file.sha256 for name, file in answers.items()}}
    card = card_text(snapshot, manifest, versions)  # of the tables: what lies there as README.md may be anybody's
    sections = (
        *_sections(manifest, repo, tags, edits, previous),
        *_experiments(manifest.as_of, page, reports),
        *_base_answers(repo, sorted(versions)),
    )
    made_here = "\n".join(sections)
    before, columns, after = card.replace("PATH_OR_REPO", repo).partition("\n## Columns\n")
    card = before.rstrip("\n") + f"\n\n{made_here}\n{columns}{after}"
    sizes = {name: file.size for name, file in data.items() if name in manifest.files}
    croissant = croissant_text(
        manifest, sizes, url=page, files_at=f"{page}/resolve/{manifest.as_of}/", name=repo.rpartition("/")[2]
    )
    charts = {CHART: edits_by_month_svg(edits), RELATIONS_CHART: edits_by_relation_svg(edits)}
    made = {CARD: card, CROISSANT: croissant} | charts
    return {**data, **{name: text_file(text.encode()) for name, text in made.items()}, **late}


def late_files(
    snapshot: Path, as_of: datetime.date, reports: Sequence[ExperimentReport], base_answers: Sequence[BaseAnswers]
) -> dict[str, LocalFile]:
    """The reports and base answers of a publication, which may come later than their snapshot."""
    pages = {report.file(as_of): text_file(report.page.read_bytes()) for report in reports}
    return pages | {one.file(snapshot): one.local() for one in base_answers}


def text_file(content: bytes) -> LocalFile:
    """A small file, which lies in git itself."""
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return LocalFile(content, len(content), hashlib.sha256(content).hexdigest(), oid)


def _sections(
    manifest: SnapshotManifest, repo: str, tags: Sequence[str], edits: pa.Table, previous: Previous | None
) -> list[str]:
    config = "multi_hop" if "questions/multi_hop-test.parquet" in manifest.files else "edits"
    lines = [
        "## Edits by month and by relation",
        "",
        f"![Edits by month]({CHART})",
        "",
        f"![Edits by relation]({RELATIONS_CHART})",
        "",
        "## Snapshots",
        "",
        "Each snapshot is a tag of this repository, newest first: "
        + ", ".join(f"`{tag}`" for tag in reversed([*tags, str(manifest.as_of)]))
        + ".",
        "",
        "```python",
        f'load_dataset("{repo}", "{config}", revision="{manifest.as_of}")',
        "```",
        "",
    ]
    return [*lines, *_changelog(manifest.as_of, edits, previous)]


def _experiments(as_of: datetime.date, page: str, reports: Sequence[ExperimentReport]) -> list[str]:
    """Figures of each model and a link to its report; nothing where there are none."""
    if not reports:
        return []
    lines = ["", "## Experiments", "", "How well editors brought a model from the old facts to the new ones."]
    for report in reports:
        known = [name for name in _FIGURES if any(name in figures for figures in report.figures.values())]
        rows = (
            (escape(editor), *(f"{figures[name]:.2f}" if name in figures else "" for name in known))
            for editor, figures in report.figures.items()
        )
        lines += [
            "",
            f"{escape(report.model)}: [the whole report]({page}/resolve/main/{report.file(as_of)})",
            "",
            *table(("editor", *(name.replace("_", " ") for name in known)), rows),
        ]
    return lines


def _base_answers(repo: str, files: Sequence[str]) -> list[str]:
    """How to load what unedited models answered; nothing where there are none."""
    if not files:
        return []
    return [
        "",
        "## Base answers",
        "",
        "What unedited models answer to the questions, greedily: `state` is `known` (the new answer), `stale` (the "
        "old one), `other` or `silent`. `question_id` joins them to the questions. So nobody needs to run "
        f"{'this model' if len(files) == 1 else 'these models'} to know what there is to edit.",
        "",
        "```python",
        f'load_dataset("{repo}", "base_answers", split="train")',
        "```",
        "",
        *table(("column", "type", "meaning"), ((n, f"`{t}`", escape(m)) for n, t, m in describe(BASE_ANSWERS_SCHEMA))),
        "",
    ]


def count_differences(old: pa.Table, new: pa.Table) -> dict[str, dict[str, int]]:
    """relation -> {`new`, `removed`, `changed`: edits}, for relations where something differs.

    old, new: `EDITS`. An edit is changed when its (relation, subject) is in both with another value or day.
    """
    before, after = _by_fact(old), _by_fact(new)
    counted: dict[str, Counter[str]] = {}
    for fact in sorted(set(before) | set(after)):
        if before.get(fact) != after.get(fact):
            kind = "new" if fact not in before else "removed" if fact not in after else "changed"
            counted.setdefault(fact[0], Counter())[kind] += 1
    return {
        relation: {kind: counts[kind] for kind in ("new", "removed", "changed")} for relation, counts in counted.items()
    }


def _by_fact(edits: pa.Table) -> dict[tuple[str, str], str]:
    columns = (edits[name].to_pylist() for name in ("relation", "subject", "edit_id"))
    return {(relation, subject): edit_id for relation, subject, edit_id in zip(*columns, strict=True)}


def _changelog(as_of: datetime.date, edits: pa.Table, previous: Previous | None) -> list[str]:
    """What differs from the snapshot before, in counts by relation and some of the new edits."""
    if previous is None:
        return ["## Changes since the last snapshot", "", f"{as_of} is the first snapshot of this repository."]
    lines = [f"## Changes since {previous.tag}", ""]
    if previous.edits is None:
        return [*lines, f"The snapshot `{previous.tag}` has another layout and is not compared."]
    counts = count_differences(previous.edits, edits)
    if not counts:
        return [*lines, f"No edit is new, gone or changed since `{previous.tag}`."]
    totals = {kind: sum(row[kind] for row in counts.values()) for kind in ("new", "removed", "changed")}
    lines += [
        f"{totals['new']} edits are new, {totals['removed']} are gone, {totals['changed']} have another value or day.",
        "",
        *table(("relation", *totals), ((name, *row.values()) for name, row in counts.items())),
        "",
    ]
    return [*lines, *_examples(edits, previous.edits)]


def _examples(edits: pa.Table, old: pa.Table) -> list[str]:
    """The newest edits that the snapshot before had not, as a table."""
    known = set(old["edit_id"].to_pylist())
    shown = edits.select(["edit_id", *EDIT_COLUMNS])
    fresh = [row for row in shown.to_pylist() if row["edit_id"] not in known]
    fresh.sort(key=lambda row: (row["changed_on_earliest"], row["edit_id"]), reverse=True)
    return edit_table(fresh[:_EXAMPLES]) if fresh else []
