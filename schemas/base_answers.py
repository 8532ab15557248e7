"""What an unedited model answers to a snapshot's questions, as a table: so that others need neither it nor a GPU.

`editing` writes it, `pipeline` publishes it beside the snapshot.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.parquet import check_unpacked, parquet_errors
from chronofacts.schemas.tables import conform, field

__all__ = ["BASE_ANSWERS", "FILE", "read_base_answers"]

FILE = "base_answers.parquet"
"""Its name in a run folder."""

BASE_ANSWERS = pa.schema(
    [
        field("model", pa.string(), "name of the model: of the Hub, or the last parts of a folder"),
        field("model_hash", pa.string(), "sha256 of its weights, 16 hex digits"),
        field("question_id", pa.string(), "of `questions`"),
        field("kind", pa.string(), "kind of the question: edit, paraphrase, history …"),
        field("fact", pa.string(), "edit that the question tests or guards, the first by id"),
        field("relation", pa.string(), "relation of the last fact walked"),
        field("question", pa.string(), "the question, without the form of the prompt"),
        field("answer", pa.string(), "the right answer at as_of"),
        field("answer_before", pa.string(), "the right answer at since; null where there was none or no other"),
        field("generated", pa.string(), "the model's free greedy answer"),
        field("state", pa.string(), "known (the right answer), stale (the old one), other or silent"),
        field("p_new_over_old", pa.float32(), "probability of the new answer against the old one; null without one"),
        field("changed_on_earliest", pa.date32(), "first day on which the fact may have changed"),
        field("changed_on_latest", pa.date32(), "last day on which it may have changed"),
    ]
)


def read_base_answers(run: Path) -> pa.Table:
    """The base answers of a run folder, or of one that `stale` wrote.

    Raises BadInput where there are none, CheckFailed for a damaged file.
    """
    path = run / FILE
    if not path.is_file():
        raise BadInput(f"{run} has no {FILE}; make it with `chronofacts stale MODEL --snapshot S --out {run.name}`")
    with parquet_errors(path):
        check_unpacked(path)
        table = conform(pq.read_table(path, partitioning=None), BASE_ANSWERS, str(path))
    if not table.num_rows:
        raise CheckFailed(f"{path} has no rows; make it again")
    return table
