"""KnowEdit records, field by field: written as EasyEdit reads them, and read in the shapes of its six sets."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.exchange.collector import plain
from chronofacts.pipeline.exchange.easyedit import read_knowedit, write_knowedit
from tests.pipeline.exchange.invented_set import AS_OF, CHAIR, PREMIER, contents, multi_hop, renamed
from tests.pipeline.exchange.records import NAME


def records(folder: Path, *edits: Any) -> list[dict[str, Any]]:
    (file,) = write_knowedit(contents(*edits), folder)
    return json.loads(file.read_text(encoding="utf-8"))


def read(folder: Path, document: object) -> dict[str, Any]:
    """The tables' rows that a published file gives."""
    file = folder / "benchmark.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return {name: table.to_pylist() for name, table in read_knowedit(file).tables(AS_OF).items()}


def asked(tables: dict[str, Any], kind: str) -> list[tuple[str, str, list[str]]]:
    return [(q["question"], q["answer"], q["answer_aliases"]) for q in tables["questions"] if q["kind"] == kind]


def test_a_record_has_the_fields_of_knowedit_in_their_shapes(tmp_path: Path) -> None:
    (record,) = records(tmp_path, PREMIER)
    assert record.pop("chronofacts")["edit"]["changed_on_earliest"] == "2022-05-01"
    assert record == {
        "subject": "Veldor",
        "prompt": "Who is the premier of Veldor?",
        "target_new": "Bo Crane",
        "ground_truth": "Ana Brill",
        "rephrase_prompt": "Who leads the government of Veldor?",
        "portability": {
            "Subject_Aliasing": [
                {"prompt": "Who is the premier of the Republic?", "ground_truth": [["Bo Crane", "Robert Crane"]]}
            ],
            "Reasoning": [
                {
                    "prompt": "Who is the spouse of the premier of Veldor?",
                    "ground_truth": [["Ida Dell", "I. Dell"]],
                }
            ],
            "Logical_Generalization": [
                {"prompt": prompt, "ground_truth": [[answer]]}
                for prompt, answer in sorted_by(
                    record,
                    ("Which country does Bo Crane lead?", "Veldor"),
                    ("Who was premier before Bo Crane?", "Ana Brill"),
                )
            ],
        },
        "locality": {
            "Relation_Specificity": [{"prompt": "What is the currency of Veldor?", "ground_truth": [["Sel"]]}],
            "Forgetfulness": [{"prompt": "Who was premier of Veldor in 2018?", "ground_truth": [["Sel"]]}],
        },
    }


def sorted_by(record: dict[str, Any], *expected: tuple[str, str]) -> list[tuple[str, str]]:
    """Expected probes in the order of the record, which is that of their ids."""
    order = [probe["prompt"] for probe in record["portability"]["Logical_Generalization"]]
    return sorted(expected, key=lambda pair: order.index(pair[0]))


def test_every_access_of_the_published_loader_and_script_succeeds(tmp_path: Path) -> None:
    """`KnowEditDataset` and `run_knowedit_llama2.py --datatype recent`, access by access."""
    for record in records(tmp_path, PREMIER, CHAIR):
        assert isinstance(record["subject"], str) and isinstance(record["target_new"], str)
        assert record["subject"] in record["prompt"]
        lists = [
            record["portability"].get("Reasoning"),
            record["portability"].get("Subject_Aliasing"),
            record["locality"].get("Relation_Specificity"),
            record["locality"].get("Forgetfulness"),
        ]
        for probes in lists:
            assert probes is None or probes, "an empty list breaks the script's probes[0]"
            for probe in probes or ():
                assert isinstance(probe["prompt"], str) and isinstance(probe["ground_truth"][0][0], str)


def test_an_injection_has_no_ground_truth(tmp_path: Path) -> None:
    (record,) = records(tmp_path, CHAIR)
    assert "ground_truth" not in record and record["target_new"] == "Fay Grim"


def test_a_question_that_needs_two_edits_is_left_out(tmp_path: Path) -> None:
    needs_both = multi_hop(PREMIER)
    both = contents(PREMIER, CHAIR, asked=[needs_both])
    (question,) = [q for q in both.questions if q["kind"] == "multi_hop"]
    question["edit_ids"] = sorted([PREMIER.edit_id, CHAIR.edit_id])
    write_knowedit(both, tmp_path)
    assert [r["portability"] for r in json.loads((tmp_path / "test.json").read_text())] == [{}, {}]


@settings(max_examples=25, deadline=None)
@given(subject=NAME, old=NAME, new=NAME, aliases=st.lists(NAME, max_size=3, unique=True))
def test_what_is_written_and_read_again_is_the_same(subject: str, old: str, new: str, aliases: list[str]) -> None:
    assume(plain(old) != plain(new) and new not in aliases)
    given_contents = contents(renamed(PREMIER, subject, old, new, aliases), CHAIR)
    with tempfile.TemporaryDirectory() as folder:
        (file,) = write_knowedit(given_contents, Path(folder))
        tables = read_knowedit(file).tables(AS_OF)
    assert tables["edits"].to_pylist() == given_contents.edits
    lost = {"phrasings", "chain"}
    assert [without(q, lost) for q in tables["questions"].to_pylist()] == [
        without(q, lost) for q in given_contents.questions
    ]


def without(question: dict[str, Any], columns: set[str]) -> dict[str, Any]:
    """A question without what the format does not carry; one that asks directly has it from its edit."""
    direct = question["kind"] in ("edit", "paraphrase", "cloze")
    return {name: value for name, value in question.items() if direct or name not in columns}


def test_wiki_recent_is_read(tmp_path: Path) -> None:
    tables = read(
        tmp_path,
        [
            {
                "subject": "Mira Quell",
                "prompt": "The residence of Mira Quell is",
                "target_new": "Port Ada",
                "portability": {
                    "Logical_Generalization": [
                        {"prompt": "Does Mira Quell live?", "ground_truth": [["yes"], ["true"]]}
                    ],
                    "Reasoning": [
                        {"prompt": "The river of Mira Quell's home is", "ground_truth": [["Low", "River Low"]]}
                    ],
                    "Subject_Aliasing": [{"prompt": "The residence of M. Quell is", "ground_truth": [["Port Ada"]]}],
                },
                "locality": {"Relation_Specificity": [{"prompt": "Mira Quell's job is", "ground_truth": [["baker"]]}]},
            }
        ],
    )
    (edit,) = tables["edits"]
    assert (edit["kind"], edit["before"], edit["target_old"]) == ("update", "unknown", None)
    assert edit["target_new"] == "Port Ada"
    assert (edit["relation"], edit["cloze"]) == ("The residence of {} is", "The residence of Mira Quell is")
    assert asked(tables, "edit") == [("The residence of Mira Quell is", "Port Ada", [])]
    assert asked(tables, "reverse") == [("Does Mira Quell live?", "yes", ["true"])]
    assert asked(tables, "multi_hop") == [("The river of Mira Quell's home is", "Low", ["River Low"])]
    assert asked(tables, "alias") == [("The residence of M. Quell is", "Port Ada", [])]
    (locality,) = [q for q in tables["questions"] if q["kind"] == "locality"]
    assert (locality["answer"], locality["answer_before"], locality["edit_ids"]) == (
        "baker",
        "baker",
        [edit["edit_id"]],
    )
    assert [(s["prompt"], s["answer"]) for s in tables["sentences"]] == [("Mira Quell's job is", "baker")]


def test_wiki_counterfact_is_read_with_plain_answers(tmp_path: Path) -> None:
    tables = read(
        tmp_path,
        [
            {
                "subject": "Mira Quell",
                "prompt": "The job of Mira Quell is",
                "target_new": "pilot",
                "ground_truth": "baker",
                "rephrase": ["Mira Quell works as a"],
                "portability": {},
                "locality": {
                    "Forgetfulness": [{"prompt": "The job of Mira Quell, not pilot, is", "ground_truth": "baker"}]
                },
            }
        ],
    )
    (edit,) = tables["edits"]
    assert (edit["kind"], edit["target_old"], edit["paraphrases"]) == (
        "modification",
        "baker",
        ["Mira Quell works as a"],
    )
    assert asked(tables, "locality") == [("The job of Mira Quell, not pilot, is", "baker", [])]
    learnt = {(s["form"], s["prompt"], s["answer"]) for s in tables["sentences"]}
    assert ("cloze", "The job of Mira Quell is", "baker") in learnt


def test_zsre_of_knowedit_is_read(tmp_path: Path) -> None:
    tables = read(
        tmp_path,
        [
            {
                "subject": "Tulle moth",
                "target_new": "Orlidae",
                "prompt": "Which family is Tulle moth in?",
                "ground_truth": ["Verlidae", "Verlids"],
                "rephrase_prompt": "What family has Tulle moth?",
                "cond": "x >> y || z",
                "locality": {"Relation_Specificity": [{"prompt": "Tulle moth rank", "ground_truth": ["species"]}]},
                "portability": {"Reasoning": [{"prompt": "What is its family called?", "ground_truth": "orlids"}]},
            }
        ],
    )
    (edit,) = tables["edits"]
    assert (edit["target_old"], edit["old_aliases"], edit["cloze"]) == ("Verlidae", ["Verlids"], None)
    assert asked(tables, "paraphrase") == [("What family has Tulle moth?", "Orlidae", [])]
    assert asked(tables, "multi_hop") == [("What is its family called?", "orlids", [])]


def test_wikibio_is_read(tmp_path: Path) -> None:
    tables = read(
        tmp_path,
        [
            {
                "text": "This is a passage about mira quell. She was born in Port Ada.",
                "labels": "She baked from 1990 on.",
                "concept": "mira quell",
                "locality": {"Relation_Specificity": [{"prompt": "mira quell work", "ground_truth": ["baking"]}]},
            }
        ],
    )
    (edit,) = tables["edits"]
    assert (edit["subject_label"], edit["target_new"]) == ("mira quell", "She baked from 1990 on.")
    assert asked(tables, "locality") == [("mira quell work", "baking", [])]


def test_a_probe_without_an_answer_is_a_rejection(tmp_path: Path) -> None:
    tables = read(
        tmp_path,
        [
            {
                "subject": "Veldor",
                "prompt": "The premier of Veldor is",
                "target_new": "Bo Crane",
                "portability": {"Reasoning": [{"prompt": "The premier's spouse is", "ground_truth": []}]},
                "locality": {},
            }
        ],
    )
    assert asked(tables, "multi_hop") == []
    assert [r["reason"] for r in tables["rejections"]] == ["no_probe"]


def test_ragged_records_are_read_and_what_they_lack_is_counted(tmp_path: Path) -> None:
    record = {"subject": "Elm", "prompt": "The population of Elm is", "target_new": 1200, "ground_truth": [["1100"]]}
    reasoning = [{"prompt": "The town of Li has", "ground_truth": [["1200"]]}, {"prompt": "Elm has"}, {}]
    tables = read(
        tmp_path,
        [
            record | {"portability": {"Reasoning": reasoning, "Subject_Aliasing": []}, "locality": []},
            record | {"portability": None, "locality": {}},
            {"subject": "Zug", "prompt": "The mayor of the lake town is", "target_new": "Li", "ground_truth": ""},
            {
                "subject": "Köln",
                "prompt": "The mayor of Köln is",
                "target_new": "Wu",
                "locality": {"Forgetfulness": []},
            },
        ],
    )
    assert {edit["subject"] for edit in tables["edits"]} == {"Elm", "Zug", "Köln"}
    assert asked(tables, "multi_hop") == [("The town of Li has", "1200", [])]
    assert sorted((r["reason"], r["detail"]) for r in tables["rejections"]) == [
        ("no_probe", "Reasoning without a prompt or an answer"),
        ("no_probe", "Reasoning without a prompt or an answer"),
        ("no_probe", "an empty list Forgetfulness 1 times"),
        ("no_probe", "an empty list Subject_Aliasing 1 times"),
        ("repeated_record", "an edit that an earlier record makes, 1 times"),
        ("subject_not_in_prompt", "a prompt that does not name its subject 1 times"),
    ]
