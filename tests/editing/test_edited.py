"""Editing from Python: any editor as a context that undoes itself, saved, loaded, merged, asked and measured."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import chronofacts as cf
from chronofacts.editing.busy_cores import can_tell
from chronofacts.editing.editors import EDITORS
from chronofacts.editing.models.load import model_hash, save_model
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

QUESTION = "Who is the mayor of Acme?"
FACTS = [
    cf.Edit(
        QUESTION,
        "the town",
        subject="Acme",
        old="the mayor",
        paraphrases=["Who is now the mayor of Acme?", "Acme's mayor is who?"],
        cloze="The mayor of Acme is",
        locality={"Who is the mayor of the town?": "Who"},
    )
]
QUICK = {
    "lora": cf.Lora(rank=8, steps=80, learning_rate=1e-2),
    "freeze": cf.Freeze(steps=60, learning_rate=5e-3),
    "finetune": cf.Finetune(steps=60, learning_rate=5e-3),
    "lora-merge": cf.LoraMerge(steps=3),
    "p-tuning": cf.PromptTuning(steps=3),
    "alphaedit": cf.AlphaEdit(value_steps=3),
}
FEW = cf.Scoring(fluency=0, perplexity=0)


@pytest.fixture
def model() -> Any:
    return tiny("llama")


@pytest.mark.parametrize("name", [name for name in EDITORS if name not in ("rome", "memit")])
def test_every_editor_answers_within_its_context_and_leaves_the_model_as_it_was(model: Any, name: str) -> None:
    before, tokenizer = model_hash(model), tiny_tokenizer()
    with cf.edit(model, tokenizer, FACTS, QUICK.get(name, name)) as edited:
        answers = edited.generate([QUESTION, "Who?"], max_tokens=6)
        assert [type(answer) for answer in answers] == [str, str] and edited.generate(
            QUESTION, max_tokens=6
        ) == answers[0]
        if name in ("lora", "freeze", "finetune", "memory"):
            assert answers[0] == "the town"
    assert model_hash(model) == before
    with pytest.raises(cf.ChronoFactsError, match="was undone"):
        edited.generate(QUESTION)


def test_an_error_within_the_context_undoes_the_edit_too(model: Any) -> None:
    before = model_hash(model)
    with pytest.raises(ZeroDivisionError), cf.edit(model, tiny_tokenizer(), FACTS, QUICK["freeze"]) as edited:
        assert model_hash(edited.model) != before
        raise ZeroDivisionError
    assert model_hash(model) == before


def test_a_saved_edit_answers_as_it_did_and_a_merged_one_is_an_ordinary_model(model: Any, tmp_path: Path) -> None:
    tokenizer, before = tiny_tokenizer(), model_hash(model)
    with cf.edit(model, tokenizer, FACTS, QUICK["lora"]) as edited:
        wanted = edited.generate(QUESTION)
        saved = edited.save(str(tmp_path / "acme [1]"))
        edited.merge(tmp_path / "merged")
        assert edited.generate(QUESTION) == wanted
    assert model_hash(model) == before
    with cf.load(model, tokenizer, saved) as again:
        assert again.generate(QUESTION) == wanted
    merged, its_tokenizer = cf.load_model(str(tmp_path / "merged"))
    ids = its_tokenizer(
        cf.prompt_text(its_tokenizer, QUESTION), return_tensors="pt", add_special_tokens=False
    ).input_ids
    with torch.inference_mode():
        written = merged.generate(ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :]
    assert its_tokenizer.decode(written, skip_special_tokens=True).strip() == wanted
    with pytest.raises(cf.ChronoFactsError, match="nothing to save"), cf.edit(model, tokenizer, FACTS, "none") as same:
        same.save(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_settings_choose_their_editor_and_a_preset_fills_what_they_leave_at_its_default() -> None:
    from chronofacts.editing.edited import resolve_editor

    assert [resolve_editor(settings).name for settings in (cf.Lora(replay=True), cf.Rome(), cf.Memory())] == [
        "lora+replay",
        "rome",
        "memory",
    ]
    filled = resolve_editor(cf.Lora(preset="chronoedit-lora-attn", rank=2)).settings
    assert (filled.targets, filled.rank, filled.epochs) == ("attention", 2, 20)
    for wrong in (cf.Scoring(), 3, "lorra"):
        with pytest.raises(cf.ChronoFactsError):
            resolve_editor(wrong)


@pytest.mark.skipif(not can_tell(), reason="the system does not say how busy its cores are")
def test_settings_that_no_method_takes_and_arguments_in_another_order_are_told(model: Any, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    for wrong, mend in (
        (cf.Lora(learning_rate=-1.0), "learning_rate = -1; it must be at least 0"),
        (cf.Lora(rank="8"), "rank = '8' is a text; write a number"),  # type: ignore[arg-type]
        (cf.Lora(seed=-1), "seed = -1"),
    ):
        with pytest.raises(cf.ChronoFactsError, match=mend):
            cf.edit(model, tokenizer, FACTS, wrong)
    with pytest.raises(cf.ChronoFactsError, match="in this order"):
        cf.load(tmp_path, model, tokenizer)  # type: ignore[arg-type]


def test_threads_are_looked_after_while_a_model_is_edited_asked_and_measured_and_not_between(model: Any) -> None:
    tokenizer, looked = tiny_tokenizer(), dict[str, bool]()
    doing = "edited"

    def note(*_: object) -> None:
        looked[doing] = any(thread.name == "busy-cores" for thread in threading.enumerate())

    model.get_input_embeddings().register_forward_hook(note)
    with cf.edit(model, tokenizer, FACTS, cf.Lora(steps=1)) as edited:
        doing = "asked"
        edited.generate(QUESTION, max_tokens=2)
        doing = "measured"
        cf.evaluate(edited, FACTS, scoring=FEW)
        doing = "between"
        model(input_ids=torch.tensor([[1, 2]]))
    assert looked == {"edited": True, "asked": True, "measured": True, "between": False}


def test_an_evaluation_counts_its_questions_and_compares_with_the_model_before(model: Any) -> None:
    tokenizer = tiny_tokenizer()
    before = cf.evaluate(model, FACTS, tokenizer, scoring=FEW)
    assert "locality" not in set(before.summary()["metric"])
    with cf.edit(model, tokenizer, FACTS, QUICK["lora"]) as edited:
        after = cf.evaluate(edited, FACTS, base=before, scoring=FEW).summary().set_index("metric")
    assert isinstance(after, pd.DataFrame) and list(after.columns) == ["value", "low", "high", "n"]
    assert after.loc["edit_success", "value"] == 1.0 and after.loc["edit_success", "n"] == 1
    assert {"locality", "paraphrase", "stale_rate"} <= set(after.index)
    with pytest.raises(cf.ChronoFactsError, match="tokenizer"):
        cf.evaluate(model, FACTS)


def test_facts_may_be_a_file_a_snapshot_or_its_folder_and_nothing_else(model: Any, tmp_path: Path) -> None:
    folder = write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    snapshot, tokenizer = cf.Snapshot.load(folder), tiny_tokenizer()
    counts = {len(cf.edit(model, tokenizer, facts, "none").card["edits"]) for facts in (snapshot, folder, str(folder))}
    assert counts == {snapshot.edits.num_rows}
    (tmp_path / "f.csv").write_text("prompt,target\nWho?,Jane\n")
    assert len(cf.edit(model, tokenizer, tmp_path / "f.csv", "none").card["edits"]) == 1
    for wrong in ([], ["Who?"], {"Who?": "Jane"}, tmp_path):
        with pytest.raises(cf.ChronoFactsError):
            cf.edit(model, tokenizer, wrong, "none")


def test_a_snapshot_opens_as_tables_pandas_and_datasets(sample_snapshot: Path, tmp_path: Path) -> None:
    snapshot = cf.Snapshot.load(str(sample_snapshot))
    assert snapshot.to_pandas()["edit_id"].tolist() == snapshot.edits["edit_id"].to_pylist()
    assert len(snapshot.to_pandas("questions")) == snapshot.questions.num_rows
    assert sum(len(split) for split in snapshot.to_datasets("edits").values()) == snapshot.edits.num_rows
    with pytest.raises(cf.ChronoFactsError, match="no table 'edit'"):
        snapshot.table("edit")
    with pytest.raises(cf.ChronoFactsError):
        cf.Snapshot.load(tmp_path / "nowhere")


def test_an_experiment_from_python_gives_frames_with_intervals_and_a_report(tmp_path: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    save_model(tiny("llama"), tiny_tokenizer(), tmp_path / "model")
    run = cf.experiment(
        snapshot, str(tmp_path / "model"), [cf.Lora(rank=2, steps=2), cf.Lora(rank=4, steps=2)], tmp_path / "R",
        scoring=cf.Scoring(fluency=0, perplexity=0, hops=False), cache=None, seed=3,
    )  # fmt: skip
    summary = run.summary()
    assert set(summary["editor"]) == {"none", "lora", "lora-2"}
    assert list(summary.columns) == ["editor", "metric", "value", "low", "high", "n"]
    assert set(run.scores["editor"].to_pylist()) == {"none", "lora", "lora-2"}
    assert run.report(tmp_path / "page").is_file()
    assert cf.open_run(str(tmp_path / "R")).summary().equals(summary)
    with pytest.raises(cf.ChronoFactsError, match="no finished run"):
        cf.open_run(tmp_path)
