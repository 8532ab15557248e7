"""The same edits in another language: taught in one, asked in the other.

A second snapshot of the same dates in another language has the same edits under the same ids; its questions are asked
beside the first one's, and nothing of it is taught. Does what was learnt reach the fact, or the wording alone?
(Wang et al., "Cross-lingual knowledge editing in large language models", 2023.)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.scoring import ScoringSettings
from chronofacts.editing.scoring.probes import direct_probes
from chronofacts.editing.snapshot import Snapshot, keep_edits, load_snapshot, nearest_sentences
from chronofacts.schemas.errors import BadInput

__all__ = ["ASKED", "load_across", "probes_across", "read_both"]

ASKED = ("edit", "paraphrase", "multi_hop", "locality", "history")
"""Kinds of question that are asked in the other language; a probe of it is of the kind `across_edit` and so on."""


def load_across(folder: Path, own: Snapshot, seed: int) -> Snapshot:
    """The snapshot of another language, of the edits of `own` and with as many sentences at most.

    Raises BadInput for one of the same language or of other dates, and for one without any of these edits or without
    questions about them.
    """
    other = load_snapshot(folder)
    mine, theirs = own.manifest, other.manifest
    if theirs.language == mine.language:
        raise BadInput(f"across = {folder}: it is in {theirs.language!r} too; name a snapshot in another language")
    if (theirs.since, theirs.as_of) != (mine.since, mine.as_of):
        raise BadInput(
            f"across = {folder}: it is of {theirs.since} to {theirs.as_of}, and the edits are of {mine.since} to "
            f"{mine.as_of}; refresh it with the same dates"
        )
    part = _keep_shared(other, own)
    asked = part.questions.filter(pc.is_in(part.questions["kind"], pa.array(ASKED)))
    if not asked.num_rows:
        raise BadInput(
            f"across = {folder}: no question in it is about these edits alone; refresh it from the same source and "
            "relations"
        )
    part = replace(part, questions=asked)
    return replace(part, sentences=nearest_sentences(part, own.sentences.num_rows, seed))


def read_both(own: Snapshot, other: Snapshot) -> Snapshot:
    """What a small world learns that is to know both languages: the sentences and questions of both."""
    return replace(
        own,
        sentences=pa.concat_tables([own.sentences, other.sentences]),
        questions=pa.concat_tables([own.questions, other.questions]),
    )


def probes_across(other: Snapshot, own: Snapshot, settings: ScoringSettings) -> pa.Table:
    """`PROBES` of the other language's questions about the edits of `own`, each kind with `across_` before its name.

    Raises BadInput where there are none.
    """
    probes = direct_probes(_keep_shared(other, own).questions, settings)
    kinds = pa.array([f"across_{kind}" for kind in probes["kind"].to_pylist()], pa.string())
    return probes.set_column(probes.schema.get_field_index("kind"), probes.schema.field("kind"), kinds)


def _keep_shared(other: Snapshot, own: Snapshot) -> Snapshot:
    shared = pc.is_in(other.edits["edit_id"], own.edits["edit_id"].combine_chunks())
    return keep_edits(other, other.edits.filter(shared))
