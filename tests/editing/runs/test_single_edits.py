"""One edit at a time: what each says is what it would have said alone, and only about itself is it asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.located.key_covariance import compute_covariances
from chronofacts.editing.editors.sequential import edit_singly
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.runs.single_edits import score_single_edits
from chronofacts.editing.scoring import score
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import QUESTIONS
from tests.editing.conftest import Experiment
from tests.editing.editors.made_edits import FACTS, made_batch
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
ALONE = {"mode": "one-at-a-time", "cache": "none", "scoring.fluency": "0", "scoring.perplexity": "0"}
STEPS = {"lora": {"lora.steps": "6", "lora.rank": "4"}, "freeze": {"freeze.steps": "4"}, "memory": {}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small invented snapshot, and a model of random weights."""
    place = tmp_path_factory.mktemp("single")
    tiny("llama").save_pretrained(place / "model")
    TOKENIZER.save_pretrained(place / "model")
    return write_invented(place / "S", facts=9, edits=3, people=8), str(place / "model")


def with_one_edit(snapshot: Path, edit_id: str, out: Path) -> Path:
    """The snapshot as if nothing else had changed."""
    shutil.copytree(snapshot, out)
    edits = pq.read_table(out / "edits" / "part.parquet")
    pq.write_table(edits.filter(pc.equal(edits["edit_id"], edit_id)), out / "edits" / "part.parquet")
    return out


def answers(run: Path, editor: str, edit_id: str | None = None) -> dict[Any, dict[str, Any]]:
    rows = pq.read_table(run / "scores" / f"{editor}.parquet").to_pylist()
    return {(r["question_id"], r["kind"], r["phrasing"]): r for r in rows if edit_id in (None, r["fact"])}


@pytest.mark.parametrize(
    ("editor", "near", "mode"), [("lora", 1e-4, "one-at-a-time"), ("freeze", 1e-5, "all"), ("memory", 1e-5, "all")]
)
def test_edits_one_at_a_time_say_what_separate_runs_do(
    world: tuple[Path, str], tmp_path: Path, editor: str, near: float, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # bfloat16, where a CPU has it, rounds a fact trained beside others another way than alone
    monkeypatch.setattr("chronofacts.editing.editors.trained.lora_batched.gains_by_bfloat16", lambda model: False)
    snapshot, model = world
    run_experiment(snapshot, model, read_settings([editor], ALONE | STEPS[editor]), tmp_path / "all")
    ids = load_snapshot(snapshot).edits["edit_id"].to_pylist()
    changed = 0
    for edit_id in ids:
        part = with_one_edit(snapshot, edit_id, tmp_path / f"S-{edit_id}")
        run_experiment(part, model, read_settings([editor], ALONE | STEPS[editor] | {"mode": mode}), tmp_path / edit_id)
        together, alone = answers(tmp_path / "all", editor, edit_id), answers(tmp_path / edit_id, editor)
        untouched = answers(tmp_path / "all", "none", edit_id)
        assert len(together) >= 10 and together.keys() <= alone.keys()
        for key, row in together.items():
            for figure in ("nll_answer", "nll_answer_before", "token_accuracy"):
                assert row[figure] == pytest.approx(alone[key][figure], abs=near)  # what is asked beside it differs
            assert editor == "lora" or row["generated"] == alone[key]["generated"]
        changed += sum(row["nll_answer"] != untouched[key]["nll_answer"] for key, row in together.items())
    assert changed


def test_a_seeded_choice_of_single_lora_edits_is_learnt_and_the_run_says_what_it_left_out(
    experiment: Experiment, tmp_path: Path
) -> None:
    model, said = str(experiment.run / "model"), []
    settings = ALONE | {"alone_edits": "8"}
    summary = run_experiment(
        experiment.snapshot, model, read_settings(["lora"], settings), tmp_path / "run", said.append
    )
    assert summary.metrics["none"]["edit_success"] <= 0.1 and summary.metrics["lora"]["edit_success"] >= 0.9
    assert any(line.startswith("lora: 8 of 8 single edits asked about") and line.endswith("left") for line in said)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["snapshot"]["edits"] == 8
    assert about["settings"]["left_out"]["edits"] == 22
    assert about["editors"]["lora"]["report"]["in_one_pass"]
    asked = pq.read_table(tmp_path / "run" / "scores" / "lora.parquet")
    assert len(set(asked["fact"].to_pylist())) == 8


def test_an_interrupted_run_goes_on_with_the_edits_that_are_left(world: tuple[Path, str], tmp_path: Path) -> None:
    snapshot, model = world
    settings = ALONE | STEPS["freeze"]

    def interrupt(line: str) -> None:
        if line.startswith("freeze: 1 of 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(snapshot, model, read_settings(["freeze"], settings), tmp_path / "run", interrupt)
    said: list[str] = []
    run_experiment(snapshot, model, read_settings(["freeze"], settings), tmp_path / "run", said.append)
    assert any(line.startswith("freeze: 2 of 2") for line in said)
    run_experiment(snapshot, model, read_settings(["freeze"], settings), tmp_path / "whole")
    assert answers(tmp_path / "run", "freeze") == answers(tmp_path / "whole", "freeze")


def test_questions_are_scored_under_their_own_edit_and_those_about_several_are_left_out() -> None:
    for editor, options in (("memory", {}), ("lora", {"steps": "80", "rank": "8", "learning_rate": "0.01"})):
        model, chosen = tiny("llama"), read_editor_settings(editor, options, 0)
        before = model_hash(model)
        alone = score_single_edits(chosen, model, TOKENIZER, made_batch(), asked())
        scores = alone.scores.filter(pc.equal(alone.scores["kind"], "edit"))
        assert scores["question_id"].to_pylist() == ["q0", "q1", "q2", "q3"]
        assert all(scores["exact_match"].to_pylist())
        assert model_hash(model) == before


@pytest.mark.parametrize("editor", ["lora+replay", "rome"])
def test_what_cannot_be_done_in_one_pass_is_done_one_by_one(editor: str) -> None:
    options = {"steps": "2"} if editor.startswith("lora") else {"value_steps": "2", "passes": "1"}
    alone = score_single_edits(
        read_editor_settings(editor, options, 0), tiny("llama"), TOKENIZER, made_batch(), asked()
    )
    assert not alone.report["in_one_pass"]
    assert alone.scores.num_rows >= len(FACTS) and alone.seconds > 0


@pytest.mark.parametrize(("editor", "options"), [("rome", {"passes": "1"}), ("memit", {})])
def test_keys_are_counted_once_for_all_single_edits(
    monkeypatch: pytest.MonkeyPatch, editor: str, options: dict[str, str]
) -> None:
    counted: list[int] = []

    def counting(*given: Any) -> Any:
        counted.append(len(given))
        return compute_covariances(*given)

    monkeypatch.setattr("chronofacts.editing.editors.located.key_covariance.compute_covariances", counting)
    chosen, model = read_editor_settings(editor, options | {"value_steps": "3"}, 0), tiny("llama")
    alone = score_single_edits(chosen, model, TOKENIZER, made_batch(), asked()).scores
    assert len(counted) == 1
    for number in range(len(FACTS)):
        with edit_singly(chosen, model, TOKENIZER, made_batch(), number) as edited:
            mine = asked().slice(number, 1)
            expected = score(edited.model, TOKENIZER, mine)["nll_answer"][0].as_py()
        found = alone.filter(pc.and_(pc.equal(alone["question_id"], f"q{number}"), pc.equal(alone["kind"], "edit")))
        assert found["nll_answer"].to_pylist() == [pytest.approx(expected, rel=1e-5, abs=1e-5)]
    assert len(counted) == 1 + len(FACTS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "one-at-a-tim"}, "did you mean 'one-at-a-time'"),
        ({"mode": "chunks"}, "chunk=10"),
        ({"mode": "one-at-a-time", "chunk": "3"}, "leave out chunk"),
        ({"chunk": "0"}, "at least 1"),
        ({"alone_edits": "5"}, "mode=one-at-a-time"),
        ({"mode": "one-at-a-time", "alone_edits": "0"}, "at least 1"),
        ({"mode": "one-at-a-time", "sweep": "rank=1,2"}, "leave out sweep"),
        ({"mode": "one-at-a-time", "scoring.processes": "2"}, r"leave out scoring\.processes"),
    ],
)
def test_options_that_contradict_the_mode_are_told_with_the_mend(values: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_settings(["lora"], values)


def test_a_size_of_chunks_alone_means_chunks() -> None:
    assert read_settings(["lora"], {"chunk": "10"}).run.mode == "chunks"
    assert read_settings(["lora"], {}).run.mode == "all"


def asked() -> pa.Table:
    """One question per edit, and one about two edits at once."""

    def row(number: int, ids: list[str], text: str, answer: str) -> dict[str, Any]:
        return dict.fromkeys(QUESTIONS.names) | {
            "question_id": f"q{number}", "edit_ids": ids, "kind": "edit", "hops": 1, "relation": "mayor",
            "question": text, "answer": answer, "answer_before": "Eve Zorn",
        }  # fmt: skip

    rows = [row(n, [f"e{n}"], f"Who is the mayor of {town}?", new) for n, (town, new) in enumerate(FACTS)]
    rows.append(row(9, ["e0", "e1"], "Who are the mayors of Linz and Graz?", "both"))
    return pa.Table.from_pylist(rows, schema=QUESTIONS)
