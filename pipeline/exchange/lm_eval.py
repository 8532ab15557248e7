"""A task folder that lm-evaluation-harness runs as it is: `lm_eval --include_path DIR --tasks chronofacts`.

One task per kind of question: the model writes an answer (`generate_until`), which is right when it is one of the
answer's names; and one that weighs the new answer against the old by their likelihoods (`multiple_choice`).
Source: lm-evaluation-harness 0.4.13, docs/new_task_guide.md and `lm_eval/api/task.py`.
Leaves out: questions with an answer set, which one generated line cannot be compared with; few-shot examples (ask for
them with `--num_fewshot`), and the train split, which editors may learn from.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from chronofacts.pipeline.exchange.snapshot_rows import Contents
from chronofacts.schemas.errors import BadInput

__all__ = ["write_lm_eval"]

log = logging.getLogger("chronofacts.exchange")

GROUP = "chronofacts"
CODE = "chronofacts_task"
KINDS = ("edit", "paraphrase", "cloze", "alias", "reverse", "multi_hop", "locality", "history", "timeline")
LONGEST_ANSWER = 24
"""Tokens generated at most; names of people and places are shorter."""


def write_lm_eval(contents: Contents, folder: Path) -> list[Path]:
    """The group's YAML; per task its YAML and its documents as JSON Lines; the code that the YAML names.

    A kind without questions in the test split gets no task, since the harness fails on an empty one.
    Raises BadInput when the test split has no question.
    """
    written, tasks = [], []
    tested = [question for question in contents.questions if question["split"] == "test"]
    asked = [question for question in tested if not question["answer_set"]]
    if len(tested) < len(contents.questions):
        trained = len(contents.questions) - len(tested)
        log.info("left out the %d questions of the train split, which editors may learn from", trained)
    if len(asked) < len(tested):
        of_sets = len(tested) - len(asked)
        log.info("left out %d questions with several answers, which lm-eval has no measure for", of_sets)
    if not asked:
        raise BadInput("the snapshot has no question in its test split, which is what lm-eval is given")
    for kind in KINDS:
        documents = [doc for question in asked if question["kind"] == kind for doc in _documents(question)]
        if documents:
            tasks.append(f"{GROUP}_{kind}")
            written += _write_task(folder, tasks[-1], documents, _generate_task(kind))
    choices = [doc for question in asked if question["kind"] == "edit" for doc in _choices(question)]
    if choices:
        tasks.append(f"{GROUP}_new_vs_old")
        written += _write_task(folder, tasks[-1], choices, CHOICE_TASK)
    group, code = folder / f"{GROUP}.yaml", folder / f"{CODE}.py"
    group.write_text(_group(tasks, contents), encoding="utf-8")
    code.write_text(
        (files("chronofacts.pipeline.exchange") / "lm_eval_task.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return [group, *written, code]


def _write_task(folder: Path, task: str, documents: Iterable[dict[str, Any]], yaml: str) -> list[Path]:
    data, description = folder / f"{task}.jsonl", folder / f"{task}.yaml"
    with data.open("w", encoding="utf-8") as stream:
        for document in documents:
            stream.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
    description.write_text(f"task: {task}\n{yaml.replace('<data>', data.name)}", encoding="utf-8")
    return [description, data]


def _documents(question: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One document per wording of a multi-hop question, one for any other question."""
    wordings = [question["question"], *(question["phrasings"] if question["kind"] == "multi_hop" else ())]
    for text in wordings:
        yield {
            "question_id": question["question_id"],
            "question": text,
            "answer": question["answer"],
            "answers": _names(question["answer"], question["answer_aliases"]),
            "answers_before": _before(question),
            "relation": question["relation"],
            "hops": question["hops"],
            "asked_on": question["asked_on"],
            "edit_ids": question["edit_ids"],
        }


def _before(question: dict[str, Any]) -> list[str]:
    """The old names, where they are wrong by now; the first document's list is never empty, or its type is lost."""
    if question["answer_before"] is None or question["answer_before_id"] == question["answer_id"]:
        return [""]
    return _names(question["answer_before"], question["answer_before_aliases"])


def _names(name: str, aliases: Sequence[str] | None) -> list[str]:
    return list(dict.fromkeys([name, *(aliases or ())]))


def _choices(question: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if question["answer_before"] is not None:
        yield {
            "question_id": question["question_id"],
            "question": question["question"],
            "choices": [question["answer"], question["answer_before"]],
            "relation": question["relation"],
            "edit_ids": question["edit_ids"],
        }


def _group(tasks: Sequence[str], contents: Contents) -> str:
    manifest = contents.manifest
    return "\n".join(
        (
            f"# {manifest.name.replace(chr(10), ' ')}",
            f"# Run with: lm_eval --model hf --model_args pretrained=MODEL --include_path DIR --tasks {GROUP}",
            f"group: {GROUP}",
            "task:",
            *(f"  - {task}" for task in tasks),
            "metadata:",
            "  version: 1.0",
            f'  since: "{manifest.since}"',
            f'  as_of: "{manifest.as_of}"',
            "",
        )
    )


_DATA = f"""custom_dataset: !function {CODE}.documents
dataset_path: ""
dataset_kwargs:
  file: <data>
test_split: test
num_fewshot: 0
"""

_ANY_WORDING = f"""  - metric: any_wording
    aggregation: !function {CODE}.any_wording
    higher_is_better: true
"""


def _generate_task(kind: str) -> str:
    """A cloze is continued; a question is asked as `Q: … A:`, as ChronoFacts' own evaluation asks it."""
    prompt = "{{question}}" if kind == "cloze" else "Q: {{question}} A:"
    judge, wordings = ("judge_wording", _ANY_WORDING) if kind == "multi_hop" else ("judge", "")
    return f"""{_DATA}output_type: generate_until
doc_to_text: "{prompt}"
doc_to_target: "{{{{answer}}}}"
process_results: !function {CODE}.{judge}
generation_kwargs:
  until:
    - "\\n"
  do_sample: false
  max_gen_toks: {LONGEST_ANSWER}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
  - metric: stale
    aggregation: mean
    higher_is_better: false
{wordings}metadata:
  version: 1.0
"""


CHOICE_TASK = f"""{_DATA}output_type: multiple_choice
doc_to_text: "Q: {{{{question}}}} A:"
doc_to_choice: choices
doc_to_target: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
