"""What an experiment says before it begins: model, parameters, facts, editors, probes, and about how long."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.key_value_cache import CacheUse
from chronofacts.editing.runs.estimate import TRAINED, Costs, describe_plan, measure_costs, plan_of_small_world
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import all_probes
from chronofacts.editing.small_world.pretrain import blank_model
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.schemas.errors import ChronoFactsError
from tests.editing.models.conversations import TEMPLATE, tuned
from tests.editing.models.families import CONFIGS, tiny

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def seconds_of(line: str) -> float:
    found = re.search(r"about ([\d.]+) (s|min|h) in all", line)
    assert found is not None, line
    return float(found[1]) * UNITS[found[2]]


def test_the_plan_says_model_parameters_facts_editors_and_probes(invented: Path) -> None:
    snapshot, settings = load_snapshot(invented), read_settings(("none", "lora", "memory"), {})
    line = plan_of_small_world(snapshot, settings)
    millions = blank_model(settings.world).num_parameters() / 1e6
    probes = all_probes(snapshot.questions, snapshot.sentences, settings.scoring).num_rows
    assert f"small-world, made first by at most 1,000 steps of pretraining, {millions:.3g} million parameters" in line
    assert f"{snapshot.edits.num_rows} facts; {probes:,} probes of the untouched model, lora, memory;" in line


@pytest.mark.parametrize(
    ("editors", "words"),
    [
        (("none", "lora"), {"world.steps": "9000"}),
        (("none", "lora", "freeze", "rome"), {}),
        (("none", "lora"), {"lora.steps": "5000", "lora.batch": "64"}),
        (("none", "lora"), {"sweep": "rank=1,2,4,8,16,32 layers=all,0,1"}),
    ],
)
def test_more_work_is_told_to_take_longer(
    invented: Path, monkeypatch: pytest.MonkeyPatch, editors: tuple[str, ...], words: dict[str, str]
) -> None:
    monkeypatch.setattr("chronofacts.editing.runs.estimate.measure_costs", lambda *_: Costs(1e-5, 5e-5, 4e-5))
    snapshot = load_snapshot(invented)
    usual = seconds_of(plan_of_small_world(snapshot, read_settings(("none", "lora"), {})))
    assert seconds_of(plan_of_small_world(snapshot, read_settings(editors, words))) > usual


def test_a_template_that_every_prompt_begins_with_is_counted_once(
    invented: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chronofacts.editing.runs.estimate.measure_costs", lambda *_: Costs(1e-2, 5e-2, 4e-2))
    snapshot, settings, model = load_snapshot(invented), read_settings(("none", "lora", "rome"), {}), tiny("llama")
    plans = {}
    for system in ("", "You answer every question as briefly as you can. " * 8):
        tokenizer = ChatTokenizer(tuned(TEMPLATE.replace("{% for", f"{system}{{% for", 1)))
        for texts in (True, False):
            monkeypatch.setattr(
                "chronofacts.editing.runs.estimate.cache_use", lambda _, texts=texts: CacheUse(1, texts)
            )
            plans[bool(system), texts] = seconds_of(describe_plan(snapshot, settings, "tuned", model, tokenizer))
    assert plans[True, True] == pytest.approx(plans[False, True], rel=0.1)
    assert plans[True, False] > 2 * plans[True, True]


def test_a_short_context_bounds_what_is_tried() -> None:
    model = tiny("gpt2")  # whose positions are a table
    assert measure_costs(model, 10 * model.config.n_positions, 4).read > 0


@pytest.mark.parametrize("family", CONFIGS)
def test_what_a_token_costs_is_tried_with_every_family(family: str) -> None:
    model = tiny(family)
    costs = measure_costs(model, 12, 4)
    assert min(costs.read, costs.written, costs.trained) > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_with_which_training_cannot_be_tried_is_taken_to_train_three_times_as_slowly_as_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny("llama")
    forward = model.base_model.forward

    def of_ids(input_ids: torch.Tensor, **named: Any) -> Any:
        return forward(input_ids=input_ids, **named)

    monkeypatch.setattr(model.base_model, "forward", of_ids)
    costs = measure_costs(model, 12, 4)
    assert costs.trained == TRAINED * costs.read


def test_the_plan_comes_before_the_model_is_made(invented: Path, tmp_path: Path) -> None:
    lines: list[str] = []

    class Begun(ChronoFactsError):
        pass

    def stop(line: str) -> None:
        lines.append(line)
        if line.startswith("the plan:"):
            raise Begun

    begun = time.monotonic()
    with pytest.raises(Begun):
        run_experiment(invented, "small-world", read_settings(("none",), {}), tmp_path / "R", stop)
    assert not any(line.startswith("pretraining") for line in lines)
    assert time.monotonic() - begun < 20.0
