"""Model folders and saved edits of strangers: each is loaded or told in one line, and no pickle is opened.

`benchmarks.hostile_models` makes them; what takes long there (templates, a thousand layers) has tests of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hostile_models import BOMB, Bases, hostile_edits, hostile_models, make_bases, outcome
from chronofacts.editing.editors.saved_edit import read_saved_editors
from chronofacts.schemas.errors import CheckFailed

SLOW = ("template:", "= 900", "'vit'", "1000000")
NOWHERE = Bases(Path(), dict.fromkeys(("lora", "freeze", "memory", "p-tuning"), Path()))
NAMES = [
    one.name
    for tries in (hostile_models, hostile_edits)
    for one in tries(NOWHERE)
    if not any(word in one.name for word in SLOW)
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return make_bases(tmp_path_factory.mktemp("bases"))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_a_stranger_is_loaded_or_told_in_a_line_and_opens_no_pickle(
    name: str, bases: Bases, tmp_path: Path
) -> None:
    (one,) = (one for one in [*hostile_models(bases), *hostile_edits(bases)] if one.name == name)
    found = outcome(one, bases, tmp_path / "try")
    assert found.startswith(one.expected) and "\n" not in found
    assert not list(tmp_path.rglob(BOMB))


def test_a_saved_edit_is_written_nowhere_but_under_the_name_of_an_editor(bases: Bases) -> None:
    assert [chosen.name for chosen in read_saved_editors([bases.edits["lora"]])] == ["saved-lora"]
    with pytest.raises(CheckFailed, match="no plain name"):
        (bases.edits["memory"] / "card.json").write_text('{"editor": "/../../../../PWNED"}')
        read_saved_editors([bases.edits["memory"]])
