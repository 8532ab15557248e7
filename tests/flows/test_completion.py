"""What a shell offers after the completion is installed: the values of options, without loading what edits."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chronofacts.flows.commands import completion
from chronofacts.flows.setting_keys import editor_names, settings_of
from chronofacts.pipeline.exchange import EXPORTS, IMPORTS
from chronofacts.schemas.catalogue import load_catalogue


def offered(words: str) -> tuple[str, str]:
    """What the program prints for zsh, and the modules that it loaded for it."""
    code = (
        "import sys, atexit; "
        "atexit.register(lambda: print(' '.join(sys.modules), file=sys.stderr)); "
        "from chronofacts.flows.cli import app; app(prog_name='chronofacts')"
    )
    asked = {"_CHRONOFACTS_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"chronofacts {words}"}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("experiment S --editor none,lo", '"none,lora+replay"'),
        ("refresh --source w", '"wdqs"'),
        ("experiment S --set lora.ta", '"lora.targets="'),
    ],
)
def test_the_shell_is_offered_values_without_what_edits_or_a_database(words: str, wanted: str) -> None:
    shown, loaded = offered(words)
    assert wanted in shown
    assert not {"torch", "duckdb", "prefect", "transformers"} & set(loaded.split())


def test_a_list_goes_on_after_its_last_comma_and_names_nothing_twice() -> None:
    assert completion.complete_editors("") == [*editor_names(), "all"]
    assert completion.complete_editors("rome,me") == ["rome,memit", "rome,memory", "rome,mello"]
    assert "lora,lora" not in completion.complete_editors("lora,")
    relations = load_catalogue().relations
    assert completion.complete_relations(f"{relations[0].id},{relations[1].id[:-1]}")[0].endswith(relations[1].id)
    assert f"{relations[0].id},P6" in completion.complete_relations(f"{relations[0].id},P6")


def test_all_formats_are_offered() -> None:
    assert completion.complete_export("") == [*EXPORTS, "judge"]
    assert completion.complete_import("") == [*IMPORTS, "judge"]


def test_a_setting_is_offered_by_its_key_and_then_by_its_few_values() -> None:
    keys = completion.complete_setting("")
    assert {"limit=", "world.steps=", "scoring.prefix=", "lora.rank="} <= set(keys)
    assert len(keys) == len(set(keys)) >= len(settings_of("run"))
    assert completion.complete_setting("scoring.prefix=") == [
        "scoring.prefix=none", "scoring.prefix=dated", "scoring.prefix=few-shot",
    ]  # fmt: skip
    assert completion.complete_setting("lora.dora=t") == ["lora.dora=true"]
    assert completion.complete_setting("lora.rank=") == []
    assert completion.complete_trace_setting("fac") == ["facts="]


def test_models_cutoffs_and_languages_are_offered() -> None:
    assert completion.complete_model("sm") == ["small-world", "smollm2"]
    assert "model:llama-2" in completion.complete_since("model:llama")
    assert {"en", "nl"} <= set(completion.complete_language(""))
