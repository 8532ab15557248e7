"""The attacks of `benchmarks/attacks.py`, some of each topic here: what strangers send is met, and in one line.

`python -m benchmarks.attacks` tries them all, in processes with bounds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.attack_families import Broken, expect_line, expect_refused, find_attacks, topics
from chronofacts.schemas.errors import BadInput

EVERY = {
    "answers": 12, "documents": 3, "dumps": 31, "endpoints": 6, "imports": 60, "names": 5, "paths": 6, "secrets": 5,
    "snapshots": 19,
}  # fmt: skip
"""Of how many attacks of a topic one is tried here; of others all."""


@pytest.mark.parametrize("topic", [topic for topic in topics() if topic != "models"])  # test_hostile_models has them
def test_what_strangers_send_is_met(topic: str, tmp_path: Path) -> None:
    tried, failed = 0, []
    for number, attack in enumerate(find_attacks(topic, tmp_path)):
        if number % EVERY.get(topic, 1) == 0:
            tried += 1
            try:
                assert attack.run() is not None
            except Exception as error:
                failed.append(f"{attack.name}: {type(error).__name__}: {error}"[:500])
    assert tried > 3 and failed == []


def test_an_attack_that_gets_through_is_told() -> None:
    def refuse() -> None:
        raise BadInput("no")

    assert expect_refused(refuse) == "no" and expect_line(refuse) == "no"
    with pytest.raises(Broken, match="it was taken"):
        expect_refused(lambda: 5)
    with pytest.raises(ZeroDivisionError):
        expect_line(lambda: 1 / 0)
