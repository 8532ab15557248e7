"""lm-evaluation-harness as the judge of our likelihoods, and as a measure of what no edit is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chronofacts.editing.models.encoding import encode
from chronofacts.editing.runs.lm_eval_tasks import TaskFigure, check_tasks, run_tasks
from chronofacts.editing.scoring import ScoringSettings, teacher_force
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput

TASK = "chronofacts_new_vs_old"


@pytest.fixture
def tasks(snapshot: Snapshot, tmp_path: Path) -> Path:
    """The exported task, of the invented world."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed (the extra lm-eval)")
    from chronofacts.pipeline.exchange.lm_eval import write_lm_eval
    from chronofacts.pipeline.exchange.snapshot_rows import Contents

    questions = sorted(snapshot.questions.to_pylist(), key=lambda row: row["question_id"])
    folder = tmp_path / "tasks"
    folder.mkdir()
    contents = Contents(snapshot.edits.to_pylist(), questions, snapshot.edits, snapshot.edits, snapshot.manifest)
    write_lm_eval(contents, folder)
    return folder


def harness(model: Any, tokenizer: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8, add_bos_token=True, device="cpu")


def test_likelihoods_agree_with_the_harness_on_the_exported_task(model_and_tokenizer: Any, tasks: Path) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    model, tokenizer = model_and_tokenizer
    found = lm_eval.simple_evaluate(
        model=harness(model, tokenizer), tasks=[TASK], task_manager=TaskManager(include_path=str(tasks)),
        bootstrap_iters=0,
    )  # fmt: skip
    samples = found["samples"][TASK]
    assert len(samples) == 30
    for sample in samples:
        document = sample["doc"]
        prompts = [f"Q: {document['question']} A:"] * 2
        rows = encode(tokenizer, prompts, document["choices"])
        ours = [
            -forced.nll * (row.end - row.start) for row, forced in zip(rows, teacher_force(model, rows, 2), strict=True)
        ]
        theirs = [float(pair[0][0]) for pair in sample["resps"]]
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_task_gives_a_figure_with_its_error(model_and_tokenizer: Any, tasks: Path) -> None:
    settings = ScoringSettings(lm_eval=(TASK,), lm_eval_path=str(tasks), lm_eval_limit=10)
    check_tasks(settings)
    figures = run_tasks(*model_and_tokenizer, settings)
    figure = figures[f"lm_eval:{TASK}:acc"]
    assert isinstance(figure, TaskFigure) and 0 <= figure.value <= 1 and figure.n == 10
    assert figure.stderr is not None
    json.dumps({name: one.value for name, one in figures.items()})


def test_an_unknown_task_is_refused_before_anything_begins(tasks: Path) -> None:
    with pytest.raises(BadInput, match="no task 'nowhere_task'"):
        check_tasks(ScoringSettings(lm_eval=("nowhere_task",), lm_eval_path=str(tasks)))


def test_without_the_harness_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronofacts.editing.runs.lm_eval_tasks.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'chronofacts\[lm-eval\]'"):
        check_tasks(ScoringSettings(lm_eval=("hellaswag",)))


def test_no_task_is_run_unasked(model_and_tokenizer: Any) -> None:
    assert run_tasks(*model_and_tokenizer, ScoringSettings()) == {}
