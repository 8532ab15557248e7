"""The dataset card of a snapshot: `README.md` with the YAML that the Hub and `load_dataset` read.

The text is made from the tables and the manifest alone, so that the same snapshot has the same card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow.dataset as ds
from huggingface_hub import DatasetCardData

from chronofacts.pipeline.snapshots.card_sections import (
    citation,
    hop_counts,
    kinds_of_change,
    limits,
    set_aside,
    verification,
    worked_example,
)
from chronofacts.pipeline.snapshots.markdown import edit_table, escape, table
from chronofacts.schemas.manifest import WIKIDATA, SnapshotManifest
from chronofacts.schemas.names import is_name
from chronofacts.schemas.reasons import explain
from chronofacts.schemas.tables import SNAPSHOT_TABLES, describe

__all__ = ["CARD", "card_text", "configs", "size_category", "write_card"]

CARD = "README.md"

_EXAMPLES = 8


def configs(manifest: SnapshotManifest) -> dict[str, dict[str, str]]:
    """config name -> {split: path}: one config per table, and one per kind of question; none for a file without rows,
    which `load_dataset` refuses. Edits and questions are split by subject; what has no split is called train."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(file for file, entry in manifest.files.items() if entry.rows):
        table, _, name = file.partition("/")
        config, _, split = name.removesuffix(".parquet").rpartition("-")
        found.setdefault(config or table, {})[split if config else "train"] = file
    return found


def write_card(folder: Path, manifest: SnapshotManifest) -> None:
    """Write `README.md` into a snapshot folder whose Parquet files are there already."""
    (folder / CARD).write_text(card_text(folder, manifest), encoding="utf-8")


def card_text(folder: Path, manifest: SnapshotManifest, base_answers: Mapping[str, str] = MappingProxyType({})) -> str:
    """The card of a snapshot folder, from its Parquet files and its manifest.

    base_answers: path in the repository -> sum of each file of base answers that is published beside it.
    """
    read = manifest.origin == WIKIDATA
    parts = (
        *_front_matter(manifest, base_answers),
        *_introduction(manifest, folder),
        *worked_example(folder, read),
        *kinds_of_change(folder, read),
        *_counts(manifest, folder),
        *verification(manifest),
        *set_aside(manifest),
        *limits(manifest),
        *citation(manifest),
        *_columns(),
    )
    return "\n".join(parts) + "\n"


def _front_matter(manifest: SnapshotManifest, base_answers: Mapping[str, str]) -> list[str]:
    """The YAML that the Hub and `load_dataset` read; values as the Hub's documentation of dataset cards lists them."""
    read = manifest.origin == WIKIDATA
    data = DatasetCardData(
        pretty_name=f"ChronoFacts {manifest.since} to {manifest.as_of}",
        license="cc0-1.0" if read else "other",
        language=[manifest.language],
        multilinguality=["monolingual"],
        annotations_creators=["expert-generated"] if manifest.curated or not read else ["crowdsourced"],
        language_creators=["machine-generated"] if read else ["other"],
        source_datasets=["original"] if manifest.curated or not read else ["extended|other-wikidata"],
        size_categories=[size_category(sum(entry.rows for entry in manifest.files.values()))],
        task_categories=["question-answering", "text-generation"],
        task_ids=["open-domain-qa", "language-modeling"],
        tags=["knowledge-editing", "temporal", "wikidata", "question-answering", "chronofacts"],
        configs=[
            *(_config(manifest, name, splits) for name, splits in configs(manifest).items()),
            *_config_of_base_answers(manifest, base_answers),
        ],
    )
    order = ["pretty_name", "license", "language"]
    return ["---", *data.to_yaml(line_break="\n", original_order=order).splitlines(), "---", ""]


def _config_of_base_answers(manifest: SnapshotManifest, files: Mapping[str, str]) -> list[dict[str, Any]]:
    """One config for all models; none where there are no base answers."""
    if not files:
        return []
    paths = sorted(files)
    version = _version(manifest, [files[path] for path in paths])
    splits = [{"split": "train", "path": paths}]
    return [{"config_name": "base_answers", "version": version, "data_files": splits}]


def _config(manifest: SnapshotManifest, name: str, splits: Mapping[str, str]) -> dict[str, Any]:
    return {
        "config_name": name,
        **({"default": True} if name == "edits" else {}),
        "version": _content_version(manifest, splits.values()),
        "data_files": [{"split": split, "path": path} for split, path in splits.items()],
    }


def size_category(rows: int) -> str:
    """The Hub's class of a size: `10K<n<100K`."""
    bounds = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    at = next((number for number, _ in enumerate(bounds) if rows < 10 ** (number + 3)), len(bounds))
    if at == 0:
        return "n<1K"
    return f"n>{bounds[-1]}" if at == len(bounds) else f"{bounds[at - 1]}<n<{bounds[at]}"


def _content_version(manifest: SnapshotManifest, files: Iterable[str]) -> str:
    """A version that changes with the bytes of a config's files.

    `datasets` caches a local folder under its name and version alone: without this a second snapshot in a folder
    of the same name would silently be read as the first.
    """
    return _version(manifest, [manifest.files[file].sha256 for file in files])


def _version(manifest: SnapshotManifest, sums: Iterable[str]) -> str:
    return f"{manifest.format}.0.{int(hashlib.sha256(''.join(sums).encode()).hexdigest()[:7], 16)}"


def _introduction(manifest: SnapshotManifest, folder: Path) -> list[str]:
    introduce = _of_wikidata if manifest.origin == WIKIDATA else _of_benchmark
    examples = ds.dataset(folder / "edits").head(_EXAMPLES).to_pylist()
    return [
        *introduce(manifest, _rows(manifest, "edits")),
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        *(
            f'{name} = load_dataset("PATH_OR_REPO", "{name}", split="test")'
            for name, splits in configs(manifest).items()
            if name in ("edits", "multi_hop") and "test" in splits
        ),
        "```",
        "",
        *edit_table(examples),
        "",
    ]


def _of_wikidata(manifest: SnapshotManifest, edits: int) -> tuple[str, ...]:
    by = "a slice of the world that was written by hand in Wikidata's form" if manifest.curated else "Wikidata"
    return (
        f"# ChronoFacts: what changed between {manifest.since} and {manifest.as_of}",
        "",
        *(_by_hand() if manifest.curated else ()),
        f"{edits} changes of facts, by {by}: what "
        f"certainly holds on {manifest.as_of} and held not, or was not known, on {manifest.since}, with questions that "
        "test whether a language model was taught the change: the fact itself, paraphrases, multi-hop questions whose "
        "answer changes with it, facts that must not move (locality), what stays of a set of which a part changed "
        "(preservation), and the past, which stays what it was (history).",
        "",
        f"Source: {escape(manifest.source_detail)}, "
        f"{'' if manifest.curated else 'read '}{manifest.retrieved_at:%Y-%m-%d}. "
        f"Facts are CC0{'' if manifest.curated else ', from Wikidata'}.",
        f"Made by chronofacts {manifest.code_version}, relation catalogue `{manifest.catalogue_hash[:12]}`, "
        f"seed {manifest.seed}. Sums of all files: `manifest.json`.",
        *_fallbacks(manifest),
    )


def _by_hand() -> tuple[str, ...]:
    return (
        "> **These facts were not read from Wikidata.** They are the sample that ships with ChronoFacts, written by "
        "hand for demonstrations and tests, with Wikidata's ids of items and properties. Its statements have ids of "
        "their own (`statement_id` leads to no page of Wikidata), and `confidence` counts the places in the sample "
        "that say a fact. For facts of Wikidata make a snapshot from an endpoint or a dump.",
        "",
    )


def _fallbacks(manifest: SnapshotManifest) -> tuple[str, ...]:
    """How many names are in another language than the questions; nothing where all are in it."""
    counts = dict(manifest.label_languages)
    every, own, general = sum(counts.values()), counts.pop(manifest.language, 0), counts.pop("mul", 0)
    if not sum(counts.values()):
        return ()
    others = ", ".join(f"{count} in `{code}`" for code, count in sorted(counts.items()))
    return (
        "",
        f"Of {every} entities {own} are named in `{manifest.language}`, {general} by a name for all languages (`mul`), "
        f"and {others} for want of either (`label_language` of `entities`). A question that shows such a name lists it "
        "in `fallback_names`.",
    )


def _of_benchmark(manifest: SnapshotManifest, edits: int) -> tuple[str, ...]:
    own = manifest.origin == "facts"
    told = "from a file of facts." if own else f"read from records of the format `{manifest.origin}`."
    licence = "The licence is its authors' to say." if own else "The licence is the benchmark's own."
    return (
        f"# {escape(manifest.name)}, in the tables of ChronoFacts",
        "",
        f"{edits} edits {told} Its facts are its authors', not checked against Wikidata; {manifest.since} and "
        f"{manifest.as_of} stand for before and after its edits.",
        "",
        f"Source: {escape(manifest.source_detail)}. {licence}",
        f"Imported by chronofacts {manifest.code_version}. Sums of all files: `manifest.json`.",
    )


def _rows(manifest: SnapshotManifest, table: str) -> int:
    return sum(entry.rows for file, entry in manifest.files.items() if file.startswith(f"{table}/"))


def _counts(manifest: SnapshotManifest, folder: Path) -> list[str]:
    left_out = [(code, count, explain(code)) for code, count in _counter(folder / "rejections", "reason")]
    counted = _counter(folder / "edits", "relation")
    relations = ((name if is_name(name) else escape(name), count) for name, count in counted)  # of others: any text
    return [
        "## What is in it",
        "",
        *table(("table", "rows"), ((name, _rows(manifest, name)) for name in SNAPSHOT_TABLES)),
        "",
        *table(("kind of question", "rows"), _counter(folder / "questions", "kind")),
        *hop_counts(folder),
        "",
        *table(("relation", "edits"), relations),
        "",
        "## What was left out, and why",
        "",
        *(table(("reason", "rows", "meaning"), left_out) if left_out else ["Nothing was."]),
        "",
    ]


def _counter(folder: Path, column: str) -> list[tuple[str, int]]:
    """(value, rows), most frequent first."""
    counted = ds.dataset(folder).to_table([column])[column].value_counts().to_pylist()
    return sorted(((pair["values"], pair["counts"]) for pair in counted), key=lambda pair: (-pair[1], pair[0]))


def _columns() -> list[str]:
    lines = ["## Columns", ""]
    for name, schema in SNAPSHOT_TABLES.items():
        rows = ((column, f"`{type_}`", escape(meaning)) for column, type_, meaning in describe(schema))
        lines += [f"### {name}", "", *table(("column", "type", "meaning"), rows), ""]
    return lines
