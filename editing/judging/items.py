"""The answers of a run that a judge can judge: question, right answers, the model's answer, and the prompt's hash.

The judging prompt is the one template below, and its hash is over the whole prompt: a verdict belongs to exactly these
words, and counts for nothing else. Leaves out free texts, single hops and texts that are only read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import check_out, create_folder
from chronofacts.schemas.parquet import read_checked

__all__ = ["ITEMS", "PROMPT", "Item", "export_items", "hash_prompt", "list_items", "write_prompt"]

PROMPT = (
    "Is the answer right? It is right if it says the same as one of the right answers, in whatever words, and nothing "
    "that contradicts it. Question: {question} Right answers: {gold}. Answer given: {answer}. Reply with yes or no."
)
UNJUDGED = ("general", "fluency", "hop")
"""Kinds of probe without an answer, or that are no question of their own."""
ITEMS = "items.jsonl"
_NEEDED = ("question_id", "phrasing", "kind", "prompt", "answer", "generated", "exact_match", "editor")


class Item(NamedTuple):
    """One answer of one model state."""

    editor: str
    question_id: str
    phrasing: int
    kind: str
    question: str
    gold: tuple[str, ...]
    """The right answer under all its names; of an answer of several, the whole of it as one text."""
    answer: str
    exact_match: bool
    prompt_hash: str


def write_prompt(question: str, gold: Sequence[str], answer: str) -> str:
    """What a judge reads, with the names in one line and nothing of them taken for another line."""
    one_line = [" ".join(text.split()) for text in (question, " / ".join(gold), answer)]
    return PROMPT.format(question=one_line[0], gold=one_line[1], answer=one_line[2] or "(nothing)")


def hash_prompt(question: str, gold: Sequence[str], answer: str) -> str:
    """sha256 of question, right answers and answer under this template, 16 hex digits."""
    content = json.dumps([PROMPT, question, list(gold), answer], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def list_items(scores: pa.Table) -> list[Item]:
    """The judgeable answers of a table of scores of a run, in its order."""
    names = scores["names"].to_pylist() if "names" in scores.column_names else [None] * scores.num_rows
    rows = scores.select(list(_NEEDED)).to_pylist()
    return [
        _make_item(row, tuple(gold or (row["answer"],)))
        for row, gold in zip(rows, names, strict=True)
        if row["kind"] not in UNJUDGED and row["exact_match"] is not None and row["answer"]
    ]


def export_items(
    source: Path, out: Path, judge: Callable[[Path], object] = lambda folder: None
) -> tuple[list[Path], int]:
    """Write the answers of a run, or of a folder of scores, as JSON lines into a new folder; the files, and how many.

    judge: writes its verdicts into the unfinished folder, too.
    Raises BadInput where source is neither or out is not empty, CheckFailed for damaged scores.
    """
    check_out(out)
    items = [item for table in read_scores(source) for item in list_items(table)]
    if not items:
        raise BadInput(f"{source} has no answer to a question that could be judged")
    with create_folder(out) as folder:
        with (folder / ITEMS).open("w", encoding="utf-8") as file:
            for item in items:
                row = item._asdict() | {"prompt": write_prompt(item.question, item.gold, item.answer)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        judge(folder)
        files = sorted(path.name for path in folder.iterdir())
    return [out / name for name in files], len(items)


def read_scores(source: Path) -> Iterator[pa.Table]:
    """The tables of scores of a run, or those in a folder. Raises as `export_items`."""
    folder = source / "scores" if (source / "scores").is_dir() else source
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    if not files:
        raise BadInput(f"{source} is neither a run nor a folder of its scores; make one with `chronofacts experiment`")
    for file in files:
        table = read_checked(file, "run the experiment again")
        if missing := [name for name in _NEEDED if name not in table.column_names]:
            raise CheckFailed(f"{file} lacks the column {missing[0]}, so that it holds no scores of a run")
        yield table


def _make_item(row: dict[str, Any], gold: tuple[str, ...]) -> Item:
    return Item(
        editor=row["editor"], question_id=row["question_id"], phrasing=row["phrasing"], kind=row["kind"],
        question=row["prompt"], gold=gold, answer=row["generated"] or "", exact_match=row["exact_match"],
        prompt_hash=hash_prompt(row["prompt"], gold, row["generated"] or ""),
    )  # fmt: skip
