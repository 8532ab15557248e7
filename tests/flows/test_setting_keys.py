"""The keys of `--set`, read from the source: the same as the classes have, and wrong ones told without torch."""

from __future__ import annotations

import importlib
import subprocess
import sys
import typing
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chronofacts.editing.editors import EDITORS as REAL_EDITORS
from chronofacts.editing.options import parse_options
from chronofacts.editing.runs.settings import read_settings
from chronofacts.flows.cli import app
from chronofacts.flows.setting_keys import EDITORS, OWNERS, check_words, editor_names, settings_of
from chronofacts.schemas.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("owner", [*OWNERS, *EDITORS])
def test_the_keys_are_the_fields_of_the_class_with_its_types_and_defaults(owner: str) -> None:
    module, _, name = (OWNERS | dict(EDITORS))[owner].partition(":")
    real = getattr(importlib.import_module(module), name)
    real = real.Settings if owner in EDITORS else real
    kinds = typing.get_type_hints(real)
    read = {one.name: one for one in settings_of(owner)}
    assert list(read) == [one.name for one in fields(real)]
    for one in fields(real):
        assert read[one.name].parsed_kind == kinds[one.name], one.name
        if one.default is not MISSING:
            assert written(one.default) == read[one.name].default
            if one.default not in (None, ()):
                assert getattr(parse_options(real, {one.name: read[one.name].default}, "x"), one.name) == one.default


def written(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_the_editors_are_those_that_there_are() -> None:
    assert dict(EDITORS) == REAL_EDITORS
    for name in editor_names():
        read_settings([name], {})


@pytest.mark.parametrize(
    ("editors", "words"),
    [
        (["lorra"], {}),
        (["none+replay"], {}),
        (["lora"], {"lora.rnak": "8"}),
        (["lora"], {"rank": "eight"}),
        (["lora"], {"memit.layers": "1"}),
        (["lora"], {"qiuck": "true"}),
        (["lora"], {"scoring.prefix": "dated?"}),
        (["none", "rome"], {"scoring.hops": "perhaps"}),
    ],
)
def test_what_is_wrong_is_told_as_the_experiment_would_tell_it(editors: list[str], words: dict[str, str]) -> None:
    with pytest.raises(BadInput) as early:
        check_words(editors, words)
    with pytest.raises(BadInput) as late:
        read_settings(editors, words)
    assert str(early.value).partition(";")[0] == str(late.value).partition(";")[0]


@pytest.mark.parametrize(
    ("editors", "words"),
    [
        (
            ["none", "lora", "lora+replay"],
            {"limit": "5", "rank": "4", "lora+replay.epochs": "2", "world.steps": "9"},
        ),
        (["rome", "memit"], {"rome.layer": "auto", "memit.layers": "auto", "scoring.lm_eval": "a,b"}),
    ],
)
def test_what_is_right_passes(editors: list[str], words: dict[str, str]) -> None:
    check_words(editors, words)
    read_settings(editors, words)


def test_reading_the_keys_loads_no_torch() -> None:
    code = (
        "import sys; from chronofacts.flows.setting_keys import check_words; check_words(['lora'], {'rank': '8'}); "
        "print({'torch', 'transformers', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_name_without_settings_is_wrong_use_and_a_name_with_them_is_listed() -> None:
    shown = CliRunner().invoke(app, ["settings", "lora", "--json"])
    assert shown.exit_code == 0 and '"rank"' in shown.stdout
    refused = CliRunner().invoke(app, ["settings", "lorra"])
    assert refused.exit_code == 2 and "did you mean 'lora'" in refused.stderr


@pytest.mark.parametrize(
    ("editors", "words", "told"),
    [
        (["lora"], {"memit.layers": "1"}, "put memit into --editor, or write lora.layers"),
        (["lora", "freeze"], {"rome.value_steps": "3"}, "put rome into --editor"),
        (["lora"], {"value_steps": "3"}, "it is a setting of rome, memit, alphaedit and others"),
        (["rome"], {"stepss": "3"}, "did you mean"),
        (["lora"], {"radius": "1"}, "it is a setting of grace"),
        (["memory"], {"rank": "4"}, "it is a setting of lora, lora-merge"),
    ],
)
def test_a_setting_of_an_editor_that_does_not_run_names_that_editor_and_the_nearest(
    editors: list[str], words: dict[str, str], told: str
) -> None:
    with pytest.raises(BadInput) as error:
        check_words(editors, words)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_preset_of_another_editor_names_whose_it_is_and_the_own_ones() -> None:
    with pytest.raises(BadInput) as error:
        read_settings(["lora"], {"preset": "locft"})
    assert "is for freeze" in str(error.value) and "chronoedit-lora" in str(error.value)
    with pytest.raises(BadInput, match="no such option"):
        read_settings(["memory"], {"preset": "locft"})
