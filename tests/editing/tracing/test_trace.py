"""Causal tracing on the small world: what a restored state gives back, and what a trace leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.models.encoding import encode, render
from chronofacts.editing.models.load import save_model
from chronofacts.editing.runs.trace_run import run_trace
from chronofacts.editing.scoring import teacher_force
from chronofacts.editing.snapshot import Snapshot
from chronofacts.editing.tracing.layers import MAP, MEMIT_LAYERS, average, suggest_layers
from chronofacts.editing.tracing.trace import EFFECTS, ROLES, TraceSettings, trace
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import tiny, tiny_tokenizer

FEW = TraceSettings(facts=4, draws=3)


@pytest.fixture(scope="module")
def effects(experiment: Any, snapshot: Snapshot) -> pa.Table:
    from chronofacts.editing.models.load import load_model

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
    model_and_tokenizer: tuple[Any, Any], invented: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    model, tokenizer = model_and_tokenizer
    save_model(model, tokenizer, tmp_path / "model")
    found = run_trace(invented, str(tmp_path / "model"), {"facts": "3", "draws": "2"}, tmp_path / "out")
    assert (tmp_path / "out" / "heat_map.png").read_bytes().startswith(b"\x89PNG")
    assert pq.read_table(tmp_path / "out" / "averages.parquet").schema.equals(MAP)
    assert found.rome[0] == found.memit[-1]
    asked = snapshot.edits.to_pylist()[:: snapshot.edits.num_rows // 3]
    prompts, answers = [render(row["prompt"], "question") for row in asked], [row["target_old"] for row in asked]
    right = teacher_force(model, encode(tokenizer, prompts, answers), 3)
    # Which of them the world knows, the processor that trained it decides too.
    known = [row["edit_id"] for row, forced in zip(asked, right, strict=True) if forced.argmax]
    assert pq.read_table(tmp_path / "out" / "effects.parquet")["edit_id"].unique().to_pylist() == known
    assert found.facts == len(known)


def test_an_unknown_option_of_a_trace_names_the_nearest(invented: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="draws"):
        run_trace(invented, "model", {"drawss": "2"}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "word", ["facts=0", "facts=-1", "draws=0", "window=0", "window=-3", "rows=0", "noise=-1", "noise=0", "noise=inf",
             "kinds="],
)  # fmt: skip
def test_numbers_that_trace_nothing_are_told_before_the_model_is_loaded(
    invented: Path, tmp_path: Path, word: str
) -> None:
    name, _, value = word.partition("=")
    with pytest.raises(BadInput, match=f"the trace: {name}"):
        run_trace(invented, "no model", {name: value}, tmp_path / "out")


def test_a_trace_of_the_decisive_tokens_alone_finds_there_what_the_whole_trace_does(
    model_and_tokenizer: tuple[Any, Any], snapshot: Snapshot, effects: pa.Table
) -> None:
    model, tokenizer = model_and_tokenizer
    few = trace(model, tokenizer, snapshot.edits, replace(FEW, kinds=("mlp",), everywhere=False))
    roles = ("last subject token", "last token")
    whole = [row for row in effects.to_pylist() if row["kind"] == "mlp" and row["role"] in roles]
    assert len(few) == len(whole) > 0
    for one, other in zip(few.to_pylist(), whole, strict=True):
        assert (one["layer"], one["position"]) == (other["layer"], other["position"])
        assert one["indirect_effect"] == pytest.approx(other["indirect_effect"], abs=1e-4)


@pytest.mark.parametrize(("editor", "option"), [("rome", "layer"), ("memit", "layers")])
def test_layer_auto_edits_where_the_trace_points_and_the_report_says_so(
    model_and_tokenizer: tuple[Any, Any], snapshot: Snapshot, editor: str, option: str
) -> None:
    model, tokenizer = model_and_tokenizer
    quick = {"value_steps": "3", "statistics_texts": "50"} | ({"passes": "1"} if editor == "rome" else {})
    material = EditBatch(snapshot.edits.slice(0, 5), snapshot.sentences)
    chosen = read_editor_settings(editor, quick | {option: "auto"}, 0)
    edited = chosen.method.edit(model, tokenizer, material, chosen.settings)
    report, after = dict(edited.report), {name: value.clone() for name, value in model.state_dict().items()}
    edited.undo()
    averages = average(
        trace(model, tokenizer, material.edits, TraceSettings(facts=24, draws=5))
    )  # the whole map, as the command draws it
    suggested = suggest_layers(averages, "last token", 1 if editor == "rome" else MEMIT_LAYERS)
    assert report[option] == (suggested[0] if editor == "rome" else suggested)
    assert report["traced_facts"] >= 3 and report["traced_at"] == report["site"].replace("prompt", "last token")
    there = str(suggested[0]) if len(suggested) == 1 else f"{suggested[0]}-{suggested[-1]}"
    named = read_editor_settings(editor, quick | {option: there}, 0)
    named.method.edit(model, tokenizer, material, named.settings)
    assert all(torch.equal(after[name], value) for name, value in model.state_dict().items())


def test_chunks_are_edited_in_the_layer_that_was_traced_before_any(
    model_and_tokenizer: tuple[Any, Any], snapshot: Snapshot
) -> None:
    said: list[str] = []
    material = EditBatch(snapshot.edits.slice(0, 3), snapshot.sentences, progress=said.append)
    chosen = read_editor_settings(
        "rome", {"layer": "auto", "value_steps": "2", "passes": "1", "statistics_texts": "50"}, 0
    )
    chunked = edit_in_chunks(chosen, *model_and_tokenizer, material, 1)
    assert len([line for line in said if line.startswith("tracing")]) == 1
    assert len({part.report["layer"] for part in chunked.parts}) == 1


@pytest.mark.parametrize(("editor", "option"), [("rome", "layer"), ("memit", "layers")])
def test_layer_auto_on_a_model_that_knows_nothing_is_told_with_the_mend(editor: str, option: str) -> None:
    chosen = read_editor_settings(editor, {option: "auto"}, 0)
    with pytest.raises(BadInput, match=rf"{editor}: {option} = auto: .*name the layers yourself"):
        chosen.method.edit(tiny("llama"), tiny_tokenizer(), made_batch(), chosen.settings)


def test_a_layer_that_is_neither_a_number_nor_auto_is_told() -> None:
    assert read_editor_settings("rome", {"layer": "5"}, 0).settings.layer == 5
    with pytest.raises(BadInput, match="no whole number, nor auto"):
        read_editor_settings("rome", {"layer": "autoo"}, 0)
