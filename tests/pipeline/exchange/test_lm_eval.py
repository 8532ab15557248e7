"""The exported task folder: its structure, its verdicts and, where lm-evaluation-harness is installed, a run of it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chronofacts.editing.scoring.answer_match import matches
from chronofacts.pipeline.exchange import lm_eval_task
from chronofacts.pipeline.exchange.lm_eval import write_lm_eval
from chronofacts.schemas.errors import BadInput
from tests.pipeline.exchange.invented_set import CHAIR, PREMIER, contents

KINDS = {"edit", "paraphrase", "cloze", "alias", "reverse", "multi_hop", "locality", "history", "timeline"}


class TaskYaml(yaml.SafeLoader):
    """YAML with the harness's `!function`, left as the name of the function."""


TaskYaml.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    write_lm_eval(contents(PREMIER, CHAIR), folder)
    return folder


def task(folder: Path, name: str) -> dict[str, Any]:
    return yaml.load((folder / f"{name}.yaml").read_text(encoding="utf-8"), TaskYaml)


def documents(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_group_names_a_task_per_kind_and_one_that_weighs_new_against_old(folder: Path) -> None:
    group = task(folder, "chronofacts")
    assert group["group"] == "chronofacts"
    assert set(group["task"]) == {f"chronofacts_{kind}" for kind in (*KINDS, "new_vs_old")}
    assert {path.stem for path in folder.glob("*.yaml")} == {*group["task"], "chronofacts"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_task_generates_and_names_its_data_and_functions(folder: Path, kind: str) -> None:
    config = task(folder, f"chronofacts_{kind}")
    assert config["task"] == f"chronofacts_{kind}"
    assert (config["output_type"], config["test_split"], config["num_fewshot"]) == ("generate_until", "test", 0)
    assert config["generation_kwargs"]["until"] == ["\n"] and config["generation_kwargs"]["do_sample"] is False
    assert config["doc_to_text"] == ("{{question}}" if kind == "cloze" else "Q: {{question}} A:")
    metrics = [metric["metric"] for metric in config["metric_list"]]
    assert metrics == ["exact_match", "stale", *(["any_wording"] if kind == "multi_hop" else [])]
    for named in (config["custom_dataset"], config["process_results"]):
        module, _, function = named.rpartition(".")
        assert (folder / f"{module}.py").is_file() and hasattr(lm_eval_task, function)
    assert documents(folder, config["dataset_kwargs"]["file"].removesuffix(".jsonl"))


def test_the_choice_is_between_the_new_and_the_old_answer(folder: Path) -> None:
    config = task(folder, "chronofacts_new_vs_old")
    assert (config["output_type"], config["doc_to_choice"], config["doc_to_target"]) == (
        "multiple_choice",
        "choices",
        0,
    )
    (document,) = documents(folder, "chronofacts_new_vs_old")
    assert document["choices"] == ["Bo Crane", "Ana Brill"]


def test_each_wording_of_a_multi_hop_question_is_a_document(folder: Path) -> None:
    found = documents(folder, "chronofacts_multi_hop")
    assert len(found) == 3 and len({document["question_id"] for document in found}) == 1
    assert all(document["answers"] == ["Ida Dell", "I. Dell"] for document in found)


def test_documents_are_found_wherever_the_folder_lies(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("moved_task", moved / "chronofacts_task.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dataset = module.documents("chronofacts_edit.jsonl", pretrained="given by the harness")["test"]
    assert sorted(dataset["answer"]) == ["Bo Crane", "Fay Grim"]


def test_a_kind_without_questions_gets_no_task(tmp_path: Path) -> None:
    write_lm_eval(contents(PREMIER, asked=[]), tmp_path)
    assert not (tmp_path / "chronofacts_history.yaml").exists()
    assert "chronofacts_history" not in task(tmp_path, "chronofacts")["task"]


def test_what_is_left_out_is_told_each_question_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("chronofacts"), "propagate", True)
    caplog.set_level(logging.INFO, logger="chronofacts")
    given = contents(PREMIER, CHAIR)
    given.questions[0]["split"] = given.questions[1]["split"] = "train"
    for question in given.questions[1:4]:
        question["answer_set"] = [{"id": "Q3", "label": "Bo Crane", "aliases": [], "role": "stays"}]
    write_lm_eval(given, tmp_path)
    assert "the 2 questions of the train split" in caplog.text
    assert "left out 2 questions with several answers" in caplog.text


def test_a_set_without_a_test_split_is_refused(tmp_path: Path) -> None:
    trained = contents(PREMIER)
    for question in trained.questions:
        question["split"] = "train"
    with pytest.raises(BadInput, match="test split"):
        write_lm_eval(trained, tmp_path)


@pytest.mark.parametrize(
    ("written", "right", "stale"),
    [
        (" Bo Crane", 1.0, 0.0),
        ("the bo-crane.\nQ: next", 1.0, 0.0),
        ("Robert Crane", 1.0, 0.0),
        ("Ana Brill", 0.0, 1.0),
        ("Bo Crane or Ana Brill", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_a_written_answer_is_right_stale_or_neither(written: str, right: float, stale: float) -> None:
    document = {"answers": ["Bo Crane", "Robert Crane"], "answers_before": ["Ana Brill"]}
    assert lm_eval_task.judge(document, [written]) == {"exact_match": right, "stale": stale}


@pytest.mark.parametrize(
    "name", ["Vitamin A", "Jean-Luc Ré", "The Hague", "É. Ñu", "北京", "कमल", "!!!", "O'Neil, jr."]
)
@pytest.mark.parametrize("change", [str, str.upper, str.strip, lambda text: f"the {text}.", lambda text: text[:-1]])
def test_the_verdict_is_that_of_our_own_evaluation(name: str, change: Callable[[str], str]) -> None:
    assert lm_eval_task.is_named(change(name), [name]) == matches(change(name), [name])


def test_any_wording_counts_a_question_once() -> None:
    assert lm_eval_task.any_wording([("a", 0.0), ("a", 1.0), ("b", 0.0), ("b", 0.0)]) == 0.5


def test_the_harness_runs_the_tasks_and_gives_full_marks_to_right_answers(folder: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    right = {
        rendered: document["answer"]
        for kind in KINDS
        for document in documents(folder, f"chronofacts_{kind}")
        for rendered in (document["question"], f"Q: {document['question']} A:")
    }

    class Oracle(LM):
        """Writes the right answer; finds the first choice, the new answer, the likelier."""

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            return [f" {right[request.args[0]]}" for request in requests]

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            return [(-1.0 if request.args[1] == " Bo Crane" else -2.0, False) for request in requests]

        def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
            raise NotImplementedError

    done = lm_eval.simple_evaluate(
        Oracle(), tasks=["chronofacts"], task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
    )["results"]  # fmt: skip
    for kind in KINDS:
        assert (done[f"chronofacts_{kind}"]["exact_match,none"], done[f"chronofacts_{kind}"]["stale,none"]) == (
            1.0,
            0.0,
        )
    assert done["chronofacts_multi_hop"]["any_wording,none"] == 1.0
    assert done["chronofacts_new_vs_old"]["acc,none"] == 1.0
