"""A small snapshot with every kind of edit and question: a part of the sample's."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronofacts.pipeline.snapshots.verify import open_tables
from chronofacts.pipeline.snapshots.write import write_valid
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES
from tests.conftest import made_once

# Edits of each kind, all that the first question of each kind names, and whatever else changed of their subjects.
EDITS = """
CREATE TABLE named AS
SELECT question_id, list_concat(edit_ids, list_transform(chain, lambda hop: hop.edit_id)) AS edit_ids FROM questions;
CREATE TABLE part AS
WITH asked AS (
    FROM questions QUALIFY row_number() OVER (PARTITION BY kind, split, chain[1].day IS NULL ORDER BY question_id) = 1),
wanted AS (
    SELECT unnest(edit_ids) AS edit_id FROM named SEMI JOIN asked USING (question_id)
    UNION ALL SELECT edit_id FROM edits QUALIFY row_number() OVER (PARTITION BY kind, split ORDER BY edit_id) = 1)
FROM edits SEMI JOIN (SELECT subject FROM edits SEMI JOIN wanted USING (edit_id)) USING (subject);
"""

# What speaks of these edits alone, and what that rests on.
PART = {
    "edits": "FROM part",
    "questions": """FROM questions ANTI JOIN (
        SELECT question_id FROM named, unnest(edit_ids) AS i(edit_id) ANTI JOIN part USING (edit_id)
        WHERE edit_id IS NOT NULL) USING (question_id)""",
    "sentences": """FROM sentences
        WHERE len(edit_ids) > 0 AND list_has_all((SELECT list(edit_id) FROM part), edit_ids)""",
    "timelines": """FROM timelines SEMI JOIN (
        SELECT subject, relation FROM part
        UNION ALL SELECT subject, relation FROM kept_questions
        UNION ALL SELECT hop.subject, hop.relation FROM kept_questions, unnest(chain) AS h(hop)
        ) USING (subject, relation)""",
    "statements": """FROM statements
        WHERE statement_id IN (SELECT unnest(statement_ids) FROM kept_timelines) OR (subject, property) IN (
        SELECT (hop.subject, hop.property) FROM kept_questions, unnest(chain) AS h(hop) WHERE hop.day IS NOT NULL)""",
    "entities": """FROM entities
        WHERE qid IN (SELECT subject FROM kept_timelines UNION ALL SELECT object FROM kept_timelines
            UNION ALL SELECT unnest([subject, answer_id, answer_before_id]) FROM kept_questions
            UNION ALL SELECT unnest([hop.subject, hop.object, hop.object_before])
            FROM kept_questions, unnest(chain) AS h(hop))""",
    "rejections": "FROM rejections SEMI JOIN part USING (subject)",
}


@pytest.fixture(scope="session")
def part_of_the_sample(sample_snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot with the edits of some subjects of the sample, and what asks about them alone."""
    return made_once(tmp_path_factory, "part-of-the-sample", lambda out: _write_part(sample_snapshot, out))


def _write_part(snapshot: Path, out: Path) -> None:
    manifest = read_manifest(snapshot)
    with open_tables(snapshot, manifest) as connection:
        connection.execute(EDITS)
        for name, sql in PART.items():
            connection.execute(f"CREATE TABLE kept_{name} AS {sql}")
        kept = {name: connection.table(f"kept_{name}").to_arrow_table() for name in SNAPSHOT_TABLES}
    tables = {name: table.cast(SNAPSHOT_TABLES[name]) for name, table in kept.items()}
    assert write_valid(tables, manifest, out).set_aside == {}
