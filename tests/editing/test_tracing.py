"""Causal tracing on the small world: what a restored state gives back, and what a trace leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from editing.models import save_model
from editing.snapshot import Snapshot
from editing.trace_run import run_trace
from editing.tracing import EFFECTS, MAP, ROLES, TraceSettings, average, suggest_layers, trace
from schemas.errors import BadInput

FEW = TraceSettings(facts=4, draws=3)


@pytest.fixture(scope="module")
def effects(experiment: Any, snapshot: Snapshot) -> pa.Table:
    from editing.models import load_model

    model, tokenizer = load_model(str(experiment.run / "model"))
    return trace(model, tokenizer, snapshot.edits, FEW)


def test_noise_on_the_subject_takes_the_answer_away(effects: pa.Table) -> None:
    assert effects.schema.equals(EFFECTS)
    assert pc.mean(effects["clean"]).as_py() > pc.mean(effects["corrupted"]).as_py() + 0.1


def test_the_last_layers_state_at_the_last_token_gives_the_clean_answer_back(effects: pa.Table) -> None:
    last = max(effects["layer"].to_pylist())
    rows = [
        row for row in effects.to_pylist() if (row["kind"], row["role"], row["layer"]) == ("state", "last token", last)
    ]
    assert rows
    for row in rows:  # the first token of the answer reads this state alone; later ones still see some noise
        assert row["corrupted"] + row["indirect_effect"] == pytest.approx(row["clean"], abs=0.02)


def test_averages_are_over_facts_and_within_their_intervals(effects: pa.Table) -> None:
    averages = average(effects)
    assert averages.schema.equals(MAP)
    assert set(averages["role"].to_pylist()) <= set(ROLES)
    low, mean, high = (averages[name].to_numpy() for name in ("low", "indirect_effect", "high"))
    assert np.all(low <= mean + 1e-6) and np.all(mean <= high + 1e-6)


def test_the_suggested_layers_end_at_the_peak_of_the_feed_forward_effect() -> None:
    rows = [
        {
            "kind": "mlp",
            "role": "last subject token",
            "layer": layer,
            "indirect_effect": effect,
            "low": 0,
            "high": 1,
            "facts": 9,
        }
        for layer, effect in enumerate([0.1, 0.2, 0.6, 0.3])
    ]
    averages = pa.Table.from_pylist(rows, schema=MAP)
    assert suggest_layers(averages) == [2]
    assert suggest_layers(averages, count=2) == [1, 2]
    assert suggest_layers(averages, count=9) == [0, 1, 2]


def test_the_same_seed_traces_the_same_and_leaves_the_model_as_it_was(
    model_and_tokenizer: tuple[Any, Any], snapshot: Snapshot
) -> None:
    model, tokenizer = model_and_tokenizer
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    few = TraceSettings(facts=2, draws=2)
    assert trace(model, tokenizer, snapshot.edits, few).equals(trace(model, tokenizer, snapshot.edits, few))
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_a_trace_is_a_folder_with_its_heat_map_and_the_layers_that_it_suggests(
    model_and_tokenizer: tuple[Any, Any], invented: Path, tmp_path: Path
) -> None:
    save_model(*model_and_tokenizer, tmp_path / "model")
    found = run_trace(invented, str(tmp_path / "model"), {"facts": "2", "draws": "2"}, tmp_path / "out")
    assert (tmp_path / "out" / "heat_map.png").read_bytes().startswith(b"\x89PNG")
    assert pq.read_table(tmp_path / "out" / "averages.parquet").schema.equals(MAP)
    assert found.facts == 2 and found.rome[0] == found.memit[-1]


def test_an_unknown_option_of_a_trace_names_the_nearest(invented: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="draws"):
        run_trace(invented, "model", {"drawss": "2"}, tmp_path / "out")
    assert not (tmp_path / "out").exists()
