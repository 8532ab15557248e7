"""The date probes of a snapshot folder: its changes, and what it knows of when its subjects existed and were held."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from chronofacts.editing.facts import drop_duplicates
from chronofacts.editing.scoring.dates import LANGUAGES, date_probes, refusal_probes, vacant_years
from chronofacts.editing.scoring.probes import probes_of_dates
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.parquet import read_snapshot_table

__all__ = ["make_date_probes"]

ENTITY = ["qid", "began_earliest", "ended_latest"]
SPAN = ["subject", "relation", "object_kind", "valid_from_latest", "valid_to_earliest", "valid_to_kind"]


def make_date_probes(folder: Path, snapshot: Snapshot, most: int, seed: int) -> pa.Table | None:
    """`PROBES` about at most so many changes and refusals of each kind; None where none are wanted.

    snapshot: of the folder, or a part of it. Raises BadInput for a language without words for dates, CheckFailed for a
    folder whose entities or timelines are missing or damaged.
    """
    if not most:
        return None
    language = snapshot.manifest.language
    if language not in LANGUAGES:
        raise BadInput(f"scoring.dates has no words for dates in {language!r}; it knows {', '.join(LANGUAGES)}")
    edits, questions = drop_duplicates(snapshot.edits).to_pylist(), snapshot.questions.to_pylist()
    entities = {row["qid"]: row for row in read_snapshot_table(folder, "entities", ENTITY).to_pylist()}
    vacancies = vacant_years(read_snapshot_table(folder, "timelines", SPAN).to_pylist())
    as_of = snapshot.manifest.as_of
    return probes_of_dates(
        [
            *date_probes(edits, language, most, seed),
            *refusal_probes(questions, entities, vacancies, as_of, most, seed),
        ]
    )
