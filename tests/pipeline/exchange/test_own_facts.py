"""Facts of one's own: from Python, CSV and JSON lines to edits and questions, with errors that name the row."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.pipeline.exchange import import_snapshot
from chronofacts.pipeline.exchange.own_facts import Edit, collect_facts, read_facts
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.schemas.errors import BadInput

DAY = datetime.date(2025, 1, 1)
FACT = Edit("Who leads Acme?", "Jane Roe", subject="Acme", old="John Doe", paraphrases=["Who runs Acme?"])


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_csv_and_json_lines_give_the_same_facts(tmp_path: Path) -> None:
    text = "prompt,target,subject,old,paraphrases\nWho leads Acme?,Jane Roe,Acme,John Doe,Who runs Acme?\n"
    rows = write(tmp_path, "my [1].csv", text)
    line = {"prompt": "Who leads Acme?", "target": "Jane Roe", "subject": "Acme", "old": "John Doe"}
    lines = write(tmp_path, "é.jsonl", json.dumps(line | {"paraphrases": ["Who runs Acme?"]}) + "\n")
    assert read_facts(rows) == read_facts(lines) == [FACT]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0c"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_ends_at_a_newline_alone(tmp_path: Path, sign: str, end: str) -> None:
    answers = [f"Jane{sign}Roe", "Ann Poe"]
    rows = [f"Who leads {place}?,{answer}" for place, answer in zip(("Acme", "Elm"), answers, strict=True)]
    (tmp_path / "f.csv").write_bytes(end.join(["prompt,target", *rows, ""]).encode())
    assert [fact.target for fact in read_facts(tmp_path / "f.csv")] == answers
    if sign == "\x0c":
        return  # no sign of a JSON text
    named = [dict(zip(("prompt", "target"), row.split(","), strict=True)) for row in rows]
    lines = [json.dumps(row, ensure_ascii=False) for row in named]
    (tmp_path / "f.jsonl").write_bytes(end.join([*lines, ""]).encode())
    assert read_facts(tmp_path / "f.jsonl") == read_facts(tmp_path / "f.csv")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "prompt,target\nWho leads Acme?,\n", "line 2"),
        ("a.csv", "question,answer\nWho?,Jane\n", "there is no field 'answer'"),
        ("a.csv", "prompt,target\nWho, me?,Jane\n", "more fields"),
        ("a.csv", "prompt,target,prompt\nWho?,Jane,Which?\n", "the column 'prompt' twice"),
        ("a.csv", "", "no facts"),
        ("a.csv", 'prompt,target\n"Who', "no CSV"),
        ("a.jsonl", '{"prompt": "Who?", "target": 3}\n', "record 1"),
        ("a.jsonl", '{"prompt": "", "target": "Jane"}\n', "the prompt is empty"),
        ("a.jsonl", '{"prompt": "Who?", "target": "Jane", "paraphrases": "Who now?"}\n', "record 1"),
        ("a.json", '{"prompt": "Who?"}', "no list"),
        ("a.json", '[["Who?", "Jane"]]', "record 1"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.txt", "Who?", ".csv"),
        ("a.jsonl", '{"prompt": "Who leads Acme?", "target": "Acme", "old": "acme"}\n', "read the same"),
    ],
)
def test_a_file_that_holds_no_facts_is_told_with_its_row(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=r"\A[^\n]*\Z") as refused:
        read_facts(write(tmp_path, name, text))
    assert said in str(refused.value) and str(tmp_path / name) in str(refused.value)


def test_a_file_that_is_missing_or_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("prompt,target\nWer führt?,Jörg\n".encode("latin-1"))
    for file, said in ((tmp_path / "none.csv", "no file"), (tmp_path / "latin.csv", "not UTF-8")):
        with pytest.raises(BadInput, match=said):
            read_facts(file)


def test_one_prompt_with_two_targets_is_refused_and_the_same_fact_twice_is_one() -> None:
    with pytest.raises(BadInput, match="two targets"):
        collect_facts([FACT, Edit("Who leads Acme?", "Max Moe", subject="Acme")])
    assert collect_facts([FACT, FACT]).tables(DAY)["edits"].num_rows == 1


def test_an_edit_needs_a_prompt_and_a_target() -> None:
    for prompt, target in (("", "Jane"), ("Who?", " ")):
        with pytest.raises(BadInput, match="empty"):
            Edit(prompt, target)
    with pytest.raises(BadInput, match="write a list"):
        Edit("Who?", "Jane", aliases="J. Roe")


names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)


rows = st.lists(st.tuples(names, names, st.lists(names, max_size=3)), min_size=1, max_size=6, unique_by=lambda r: r[0])


@given(rows)
def test_every_fact_is_taught_once_and_asked_in_every_wording(rows: list[tuple[str, str, list[str]]]) -> None:
    facts = [
        Edit(f"Who leads {who}?", target, paraphrases=[f"Who runs {one}, {who}?" for one in others])
        for who, target, others in rows
    ]
    tables = collect_facts(facts).tables(DAY)
    assert sorted(tables["edits"]["target_new"].to_pylist()) == sorted(fact.target for fact in facts)
    asked = set(tables["questions"]["question"].to_pylist())
    assert asked == {text for fact in facts for text in (fact.prompt, *fact.paraphrases)}


def test_ones_own_facts_become_a_snapshot_that_verifies(tmp_path: Path) -> None:
    file = tmp_path / "facts.csv"
    with file.open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["prompt", "target", "subject", "old", "cloze"])
        rows.writerow(["Who leads Acme, the firm?", "Jane Roe", "Acme", "John Doe", "The head of Acme is"])
    import_snapshot(file, "facts", tmp_path / "S", datetime.date(2024, 1, 1), DAY)
    assert not list(verify(tmp_path / "S"))
    with pytest.raises(BadInput, match="give --since and --as-of"):
        import_snapshot(file, "facts", tmp_path / "S2")
