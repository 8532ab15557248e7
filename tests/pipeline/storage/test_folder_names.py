"""A folder may be called what its owner likes: marks that patterns know are letters of its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.pipeline.storage.session import connect, register
from tests.pipeline.publishing.small_snapshot import make_snapshot

NAMES = ["with a space", "S [x]", "what?", "a*b", "it's [2024-01] *?"]


@pytest.mark.parametrize("name", NAMES)
def test_a_snapshot_in_a_folder_of_any_name_is_read_and_verified(tmp_path: Path, name: str) -> None:
    (tmp_path / "S x").mkdir()  # what the brackets would match if they were a pattern
    snapshot = make_snapshot(tmp_path / name)
    with connect() as connection:
        register(connection, edits=snapshot / "edits")
        assert connection.execute("SELECT count(*) FROM edits").fetchall() != [(0,)]
    assert verify(snapshot) == []
