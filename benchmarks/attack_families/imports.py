"""Files that say they are a benchmark: each is read, or refused in one line that names it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.attack_families import Attack, expect_line
from chronofacts.pipeline.exchange import IMPORTS, import_benchmark
from chronofacts.schemas.dates import parse_day

__all__ = ["attacks"]

GOOD: Mapping[str, dict[str, Any]] = {
    "easyedit": {
        "subject": "Elm", "prompt": "Who is the mayor of Elm?", "target_new": "Ada", "ground_truth": "Bob",
        "rephrase_prompt": "Elm's mayor?", "portability": {"Reasoning": [{"prompt": "x?", "ground_truth": [["y"]]}]},
        "locality": {"Relation_Specificity": [{"prompt": "z?", "ground_truth": [["w"]]}]},
        "chronofacts": {"edit": {}, "split": "test", "probes": {}},
    },
    "counterfact": {
        "requested_rewrite": {
            "prompt": "The mayor of {} is", "subject": "Elm", "relation_id": "P6",
            "target_new": {"str": "Ada", "id": "Q1"}, "target_true": {"str": "Bob", "id": "Q2"},
        },
        "paraphrase_prompts": ["Elm's mayor is"], "neighborhood_prompts": ["Oak's mayor is"],
    },
    "zsre": {
        "subject": "Elm", "src": "Who is the mayor of Elm?", "alt": "Ada", "answers": ["Bob"],
        "rephrase": "Elm's mayor?",
        "loc": "nq question: who", "loc_ans": "Eve",
    },
    "mquake": {
        "requested_rewrite": [{
            "prompt": "The mayor of {} is", "subject": "Elm", "relation_id": "P6",
            "question": "Who is the mayor of Elm?",
            "target_new": {"str": "Ada", "id": "Q1"}, "target_true": {"str": "Bob", "id": "Q2"},
        }],
        "questions": ["Who is married to the mayor of Elm?"], "answer": "Eve", "answer_alias": [], "new_answer": "Mia",
        "new_answer_alias": [], "single_hops": [], "new_single_hops": [
            {"question": "Who is the mayor of Elm?", "cloze": "The mayor is", "answer": "Ada", "answer_alias": []},
            {"question": "Who is married to Ada?", "cloze": "Ada is married to", "answer": "Mia", "answer_alias": []},
        ],
        "orig": {
            "edit_triples": [["Q9", "P6", "Q1"]], "triples": [["Q9", "P6", "Q2"]],
            "triples_labeled": [["Elm", "m", "Bob"]],
            "new_triples": [["Q9", "P6", "Q1"], ["Q1", "P26", "Q3"]],
            "new_triples_labeled": [["Elm", "mayor", "Ada"], ["Ada", "spouse", "Mia"]],
        },
        "chronofacts": {"edits": {}, "split": "test", "question_id": "x", "sitelinks": 1, "day": "2020-01-01"},
    },
    "facts": {"prompt": "Who is the mayor of Elm?", "target": "Ada", "old": "Bob", "paraphrases": ["Elm's mayor?"]},
}  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, "", "  ", 5, -1.5, True, [], {}, [[]], [None], [5], {"a": 1}, [{"a": 1}], "x" * 100_000, ["x"] * 10_000,
    "\ud800", 10**400, "no day", "\x00", [[["deep"]]],
)  # fmt: skip


def attacks(folder: Path) -> Iterator[Attack]:
    file = folder / "benchmark.json"
    for format, record in GOOD.items():
        for path in _paths(record):
            for value in VALUES:
                name = f"{format}: {'.'.join(map(str, path))} is {str(value)[:20].encode('ascii', 'replace').decode()}"
                yield Attack(name, partial(_read, file, format, _changed(record, path, value)))
    for format in IMPORTS:
        for name, text in (
            ("lists in lists", "[" * 100_000),
            ("a number of 5,000 digits", '[{"prompt": ' + "9" * 5000 + "}]"),
            ("an empty list", "[]"),
            ("nothing", ""),
            ("a NUL", "\x00"),
            ("ten thousand empty records", "[" + ",".join(["{}"] * 10_000) + "]"),
        ):
            yield Attack(f"{format}: {name}", partial(_read_text, file, format, text))


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a record."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*before, key)
        yield from _paths(inner, (*before, key))


def _changed(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(record))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy


def _read(file: Path, format: str, record: Any) -> str:
    return _read_text(file, format, json.dumps([record]))


def _read_text(file: Path, format: str, text: str) -> str:
    file.write_text(text)
    return expect_line(lambda: import_benchmark(file, format, parse_day("2025-01-01", "a test")))
