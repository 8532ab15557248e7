"""Options in words, and what is said when they are wrong."""

import pytest

from chronofacts.editing.editors.trained.lora import LoraSettings
from chronofacts.editing.runs.settings import read_settings
from chronofacts.schemas.errors import BadInput


def test_an_option_alone_goes_to_every_editor_that_has_it() -> None:
    editors = read_settings(["none", "lora", "lora+replay"], {"rank": "4", "lora+replay.epochs": "3"}).editors
    assert [chosen.settings.rank for chosen in editors[1:]] == [4, 4]
    assert [chosen.settings.epochs for chosen in editors[1:]] == [LoraSettings().epochs, 3]


def test_the_suffix_turns_replay_on() -> None:
    naive, replay = read_settings(["lora", "lora+replay"], {}).editors
    assert not naive.settings.replay and replay.settings.replay


def test_the_run_seed_reaches_the_world_and_the_editors_unless_they_have_their_own() -> None:
    settings = read_settings(["lora"], {"seed": "7"})
    assert (settings.world.seed, settings.editors[0].settings.seed) == (7, 7)
    assert read_settings(["lora"], {"seed": "7", "lora.seed": "1"}).editors[0].settings.seed == 1


@pytest.mark.parametrize(
    ("editors", "values", "message"),
    [
        (["lorra"], {}, "did you mean 'lora'"),
        (["lora+reply"], {}, r"did you mean 'lora\+replay'"),
        (["none+replay"], {}, "trains nothing"),
        (["lora"], {"rnak": "8"}, "did you mean 'rank'"),
        (["lora"], {"world.step": "8"}, "did you mean 'steps'"),
        (["lora"], {"world.deadline_s": "600"}, "any more.*never by the clock.*world.steps=2000"),
        (["lora"], {"wrld.steps": "8"}, "did you mean 'world'"),
        (["lora"], {"rank": "many"}, "no whole number"),
        (["lora"], {"dora": "perhaps"}, "write true or false"),
        (["lora"], {"targets": "attentoin"}, "did you mean 'attention'"),
        (["lora"], {"wordings": "prompt,clozes"}, "did you mean 'cloze'"),
        (["lora"], {"seed": "-1"}, "must lie between 0 and"),
        (["lora"], {"lora.seed": "99999999999999999999"}, "must lie between 0 and"),
        (["lora"], {"lora.learning_rate": "-1"}, "must be at least 0"),
        (["memory"], {"memory.alike": "nan"}, "is no number"),
        (["lora"], {"threads": "0"}, "at least 1"),
        ([], {}, "no editor"),
    ],
)
def test_a_wrong_name_or_value_is_told_with_the_mend(editors: list[str], values: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_settings(editors, values)
