"""What a person wants to know of a snapshot: counts, examples, and why things were left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a snapshot, most frequent first, with one example per kind of question and per reason."""

    manifest: SnapshotManifest
    tables: dict[str, int]
    edits_by_relation: dict[str, int]
    edits_by_kind: dict[str, int]
    edits_by_before: dict[str, int]
    """What is known of the value at since: known, nobody, unknown."""
    questions_by_kind: dict[str, int]
    questions_by_hops: dict[str, int]
    rejections_by_reason: dict[str, int]
    question_examples: dict[str, tuple[str, str]]
    """kind -> (question, answer)"""
    rejection_examples: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """The form that `inspect --json` prints."""
        return {
            "tables": self.tables,
            "edits": {
                "by_relation": self.edits_by_relation,
                "by_kind": self.edits_by_kind,
                "by_before": self.edits_by_before,
            },
            "questions": {"by_kind": self.questions_by_kind, "by_hops": self.questions_by_hops},
            "rejections": {
                "by_reason": self.rejections_by_reason,
                "set_aside": {promise: dict(counts) for promise, counts in sorted(self.manifest.set_aside.items())},
            },
        }


def summarise(snapshot: Path) -> Summary:
    """Read the counts of a snapshot; raises BadInput or CheckFailed when it is none or is damaged."""
    manifest = read_manifest(snapshot)
    tables = {name: read_table(snapshot, name) for name in SNAPSHOT_TABLES}
    edits, questions, rejections = tables["edits"], tables["questions"], tables["rejections"]
    question_examples: dict[str, tuple[str, str]] = {}
    for row in questions.select(["kind", "question", "answer"]).to_pylist():
        question_examples.setdefault(row["kind"], (row["question"], row["answer"]))
    rejection_examples: dict[str, str] = {}
    for row in rejections.select(["reason", "relation", "subject", "detail"]).to_pylist():
        where = " ".join(part for part in (row["relation"], row["subject"]) if part)
        rejection_examples.setdefault(row["reason"], f"{where}: {row['detail']}")
    return Summary(
        manifest=manifest,
        tables={name: table.num_rows for name, table in tables.items()},
        edits_by_relation=_counts(edits["relation"].to_pylist()),
        edits_by_kind=_counts(edits["kind"].to_pylist()),
        edits_by_before=_counts(edits["before"].to_pylist()),
        questions_by_kind=_counts(questions["kind"].to_pylist()),
        questions_by_hops=_counts([str(hops) for hops in questions["hops"].to_pylist()]),
        rejections_by_reason=_counts(rejections["reason"].to_pylist()),
        question_examples=question_examples,
        rejection_examples=rejection_examples,
    )


def _counts(values: list[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))
