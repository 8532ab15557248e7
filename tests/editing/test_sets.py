"""Many-valued facts through a whole experiment: taught once, asked once, and the kinds of change kept apart."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.editors.prompted.memory import MemorySettings, _Store
from chronofacts.editing.facts import changes_of, choose_facts, drop_duplicates, facts_of
from chronofacts.editing.models.encoding import encode, render
from chronofacts.editing.models.load import load_model
from chronofacts.editing.report import as_json, terminal_table, write_report
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.runs.single_edits import choose_single_edits
from chronofacts.editing.scoring import ScoringSettings, score
from chronofacts.editing.scoring.probe_scorer import ProbeScorer
from chronofacts.editing.scoring.probes import direct_probes
from chronofacts.editing.scoring.prompt_prefixes import FEW_SHOT, PromptBuilder
from chronofacts.editing.small_world.context_examples import invented_contexts
from chronofacts.editing.small_world.pretrain import WorldSettings, pretrain
from chronofacts.editing.snapshot import Snapshot, load_snapshot, subset
from chronofacts.schemas.errors import SchemaMismatch
from chronofacts.schemas.tables import EDITS, QUESTIONS, SENTENCES
from tests.editing.conftest import Experiment
from tests.editing.editors.made_edits import made_batch
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

KINDS = {"modification", "addition", "removal", "addition+removal"}
CHEAP = {"cache": "none", "scoring.fluency": "0", "scoring.perplexity": "0", "scoring.hops": "no"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_invented(tmp_path_factory.mktemp("sets") / "S", facts=18, edits=6, people=12, seed=3, sets=6)


@pytest.fixture(scope="module")
def sets(world: Path) -> Snapshot:
    return load_snapshot(world)


@pytest.fixture(scope="module")
def run(world: Path, experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small world of the other tests, edited with this world's changes."""
    out = tmp_path_factory.mktemp("runs") / "run"
    run_experiment(world, str(experiment.run / "model"), read_settings(["lora", "memory"], CHEAP), out)
    return out


def test_what_several_edits_say_is_one_fact_in_whatever_order_they_come(sets: Snapshot) -> None:
    turned = sets.edits.take(pa.array(range(sets.edits.num_rows - 1, -1, -1)))
    assert sets.edits.num_rows == 6 + 2 * (2 + 1 + 2)
    for edits in (sets.edits, turned):
        assert drop_duplicates(edits).num_rows == 6 + 6
        assert facts_of(edits) == facts_of(sets.edits)
        kept, expected = drop_duplicates(edits), drop_duplicates(sets.edits)
        assert set(kept["edit_id"].to_pylist()) == set(expected["edit_id"].to_pylist())
    batch = EditBatch(turned, SENTENCES.empty_table())
    assert batch.edits.num_rows == 12 and len(batch.facts) == sets.edits.num_rows
    assert batch.part(3, 2).edits.num_rows == 2


def test_edits_of_one_subject_with_other_answers_stay_apart(sets: Snapshot) -> None:
    rows = sets.edits.slice(6, 2).to_pylist()
    assert rows[0]["prompt"] == rows[1]["prompt"]
    rows[1]["target_new"] = "another"
    assert drop_duplicates(pa.Table.from_pylist(rows, schema=EDITS)).num_rows == 2


def test_of_a_fact_of_several_changes_all_are_told(sets: Snapshot) -> None:
    found = changes_of(sets.edits)
    assert {one.kind for one in found.values()} == KINDS
    assert found.keys() == set(sets.edits["edit_id"].to_pylist())
    rows = sets.edits.slice(6, 2).to_pylist()
    rows[0]["changed_on_latest"] = rows[0]["changed_on_earliest"]
    rows[1]["changed_on_earliest"] = rows[1]["changed_on_latest"]
    change = changes_of(pa.Table.from_pylist(rows, schema=EDITS))[rows[0]["edit_id"]]
    assert (change.first, change.last) == (rows[0]["changed_on_earliest"], rows[1]["changed_on_latest"])


def test_a_part_of_a_snapshot_holds_whole_facts_and_their_questions(sets: Snapshot) -> None:
    for seed in range(5):
        part = subset(sets, 5, 10, seed)
        assert drop_duplicates(part.edits).num_rows == 5
        asked = part.questions.filter(pc.equal(part.questions["kind"], "edit"))
        assert asked.num_rows == 5
    everything = choose_facts(sets.edits, None, 0)
    assert everything.equals(sets.edits)


def test_every_fact_is_asked_once_and_its_kind_is_told(run: Path, sets: Snapshot) -> None:
    scores = pq.read_table(run / "scores" / "lora.parquet").to_pylist()
    edits = [row for row in scores if row["kind"] == "edit"]
    assert len(edits) == 12 and {row["edit_kind"] for row in edits} == KINDS
    assert {row["before"] for row in edits} == {"known"}
    shares = [row["named_share"] for row in scores if row["kind"] == "preservation"]
    assert len(shares) == 6 and None not in shares
    assert all((row["named_share"] is None) == (row["relation"] != "member") for row in scores)


def test_editors_learn_what_joined_and_what_left_and_the_untouched_model_knows_neither(run: Path) -> None:
    figures = as_json([run])
    for kind in KINDS:
        assert figures["none"][f"edit_success/{kind}"] == 0.0
        for editor in ("lora", "memory"):
            assert figures[editor][f"edit_success/{kind}"] >= 0.5
    assert figures["lora"]["edit_success"] >= 0.9 and figures["memory"]["edit_success"] >= 0.9
    for editor, values in figures.items():
        assert 0 <= values["preservation"] <= values["preservation_share"] <= 1, editor
    assert figures["lora"]["preservation_share"] > figures["none"]["preservation_share"]


def test_a_report_has_a_table_by_kind_and_what_was_preserved(run: Path, tmp_path: Path) -> None:
    page = write_report([run], tmp_path / "out").read_text()
    told = (tmp_path / "out" / "report.md").read_text()
    assert "By kind of change" in page and "## By kind of change" in told
    assert "<th scope=row>lora</th><td>addition+removal</td><td>2</td>" in page
    assert "| lora | addition | 2 |" in told and "preservation" in terminal_table([run]).splitlines()[0]
    assert "data-kind='preservation'" in page


def test_where_nothing_is_preserved_there_is_no_such_column(experiment: Experiment, tmp_path: Path) -> None:
    page = write_report([experiment.run], tmp_path / "out").read_text()
    assert "preservation ↑" not in page and "By kind of change" not in page
    assert "preservation" not in terminal_table([experiment.run])


def test_a_right_answer_of_several_always_has_room(sets: Snapshot, experiment: Experiment) -> None:
    model, tokenizer = load_model(str(experiment.run / "model"))
    plural = sets.questions.filter(pc.equal(sets.questions["relation"], "member"))
    rows = direct_probes(plural, ScoringSettings()).to_pylist()
    limits = ProbeScorer(model, tokenizer, ScoringSettings(margin=0)).max_tokens(rows)
    for row, limit in zip(rows, limits, strict=True):
        for other in ("left", "joined"):
            names = [max(value["names"], key=len) for value in row["values"] if value["role"] != other]
            answer = ", and the ".join(names)
            (one,) = encode(tokenizer, [render(row["text"], row["form"])], [answer])
            assert one.end - one.start <= limit + 3 * len(names)
            (list_only,) = encode(tokenizer, [render(row["text"], row["form"])], [", ".join(names)])
            assert list_only.end - list_only.start <= limit


def test_the_given_answer_of_a_plural_question_is_right(sets: Snapshot, experiment: Experiment) -> None:
    """Behind a store that speaks the new answer every question of the facts is answered rightly."""
    model, tokenizer = load_model(str(experiment.run / "model"))
    chosen = read_editor_settings("memory", {"weight": "0.999", "paraphrases": "4"}, seed=0)
    edited = chosen.method.edit(model, tokenizer, EditBatch(sets.edits, sets.sentences), chosen.settings)
    asked = sets.questions.filter(
        pc.and_(pc.equal(sets.questions["relation"], "member"), pc.equal(sets.questions["kind"], "edit"))
    )
    for row in score(edited.model, tokenizer, asked).to_pylist():
        assert row["generated"] == row["answer"] and row["exact_match"] and not row["exact_match_before"]
        assert row["token_accuracy"] == 1.0 and row["p_new_over_old"] > 0.5


def test_one_at_a_time_a_set_is_edited_once_and_asked_about(
    world: Path, sets: Snapshot, experiment: Experiment, tmp_path: Path
) -> None:
    part, left_out = choose_single_edits(sets, None, seed=0)
    assert part.edits.num_rows == sets.edits.num_rows and left_out["questions about several edits"] == 0
    settings = CHEAP | {"mode": "one-at-a-time", "lora.steps": "40", "lora.wordings": "prompt"}
    run_experiment(world, str(experiment.run / "model"), read_settings(["lora"], settings), tmp_path / "run")
    scores = pq.read_table(tmp_path / "run" / "scores" / "lora.parquet")
    edits = scores.filter(pc.equal(scores["kind"], "edit"))
    assert edits.num_rows == 12 and len(set(edits["fact"].to_pylist())) == 12
    assert sum(edits["exact_match"].to_pylist()) >= 10


def test_in_chunks_a_set_is_asked_about_right_after_its_chunk(
    world: Path, experiment: Experiment, tmp_path: Path
) -> None:
    run_experiment(
        world, str(experiment.run / "model"), read_settings(["memory"], CHEAP | {"chunk": "4"}), tmp_path / "run"
    )
    curve = pq.read_table(tmp_path / "run" / "curve" / "memory.parquet")
    assert curve.num_rows == 12 and set(curve["chunk"].to_pylist()) == {0, 1, 2}


def test_what_joins_is_not_told_about_its_subject_inside_a_list(sets: Snapshot) -> None:
    joined = {row["subject"]: row["new_label"] for row in sets.edits.to_pylist() if row["kind"] == "addition"}
    lists = sets.edits["target_new"].to_pylist()[6:]
    rows = [
        dict.fromkeys(SENTENCES.names)
        | {"sentence_id": f"m{n}", "role": "current", "subject": subject, "relation": "member", "form": "question"}
        | {"phrasing": 0, "held_out": False, "prompt": f"Which leagues is {subject} a member of?"}
        | {"answer": answer, "edit_ids": []}
        for n, (subject, answer) in enumerate(zip([*joined, *range(len(lists))], lists * 2, strict=False))
        for subject in [str(subject)]
    ]
    sentences = pa.Table.from_pylist(rows, schema=SENTENCES)
    told = 0
    for prompt, _ in invented_contexts(sentences, sets.edits, 800, 0):
        for fact in prompt.split("\n")[:-1]:
            for subject, label in joined.items():
                if f" {subject} " in fact:
                    told += 1
                    assert label not in fact
    assert told > 50


def test_a_snapshot_without_the_new_columns_is_refused_by_name(world: Path, tmp_path: Path) -> None:
    for table, column in (("edits", "before"), ("questions", "answer_set")):
        old = tmp_path / column
        shutil.copytree(world, old)
        file = old / table / "part.parquet"
        pq.write_table(pq.read_table(file).drop_columns([column]), file)
        with pytest.raises(SchemaMismatch, match=f"{table}/part.parquet lacks the column {column}"):
            load_snapshot(old)


def long_answers(words: int) -> list[tuple[str, str]]:
    names = [" ".join(f"{letter}{number}" for number in range(words)) for letter in "abcd"]
    return list(zip(["Linz", "Graz", "Wels", "Enns"], names, strict=True))


def test_told_facts_leave_room_for_the_longest_answer() -> None:
    tokenizer, model = tiny_tokenizer(), tiny("llama")
    model.config.max_position_embeddings = 160
    material = made_batch(long_answers(16))
    longest = max(len(tokenizer(answer)["input_ids"]) for answer in material.edits["target_new"].to_pylist())
    chosen = read_editor_settings("in-context", {"facts": "4", "choice": "similar"}, seed=0)
    asked = chosen.method.edit(model, tokenizer, material, chosen.settings).model
    (prompt,) = asked.rewrite(["Q: Who is the mayor of Linz? A:"])
    assert longest > 48 and len(tokenizer(prompt)["input_ids"]) + longest < 160
    assert prompt.count("Q:") == 2


def test_examples_before_a_question_leave_room_for_its_answer(experiment: Experiment) -> None:
    model, tokenizer = load_model(str(experiment.run / "model"))
    prompts, probe = PromptBuilder(model, tokenizer), {"text": "Who leads?", "form": "question", "prefix": FEW_SHOT}
    lengths = []
    for room in (48, 150):
        (prompt,) = prompts.build([probe], [room])
        lengths.append(len(tokenizer(prompt)["input_ids"]))
    assert lengths[0] > lengths[1] and lengths[1] + 150 <= model.config.max_position_embeddings


def test_a_small_world_has_room_for_the_longest_question_and_answer(sets: Snapshot) -> None:
    rows = sets.questions.slice(0, 1).to_pylist()
    rows[0]["answer"] = " ".join(f"Zq{number}x" for number in range(120))
    questions = pa.Table.from_pylist(rows, schema=QUESTIONS)
    settings = WorldSettings(vocabulary=300, hidden=16, feed_forward=16, heads=1, steps=1, check_every=10, sample=5)
    model, tokenizer, _ = pretrain(sets.sentences, sets.edits, questions, settings)
    assert model.config.max_position_embeddings > len(tokenizer(rows[0]["answer"])["input_ids"]) > 256


def test_a_list_of_values_stands_for_nothing_inside_a_question(sets: Snapshot) -> None:
    rows = [row | {"cloze": f"The league of {row['subject']} is"} for row in sets.edits.to_pylist()]
    store = _Store(EditBatch(pa.Table.from_pylist(rows, schema=EDITS), sets.sentences), MemorySettings())
    for row in rows:
        found = store.replace(f"Where was the league of {row['subject']} founded?")
        assert (found is None) == (row["kind"] != "modification")


def test_a_probe_of_another_set_is_another_probe(sets: Snapshot) -> None:
    """What is stored of the untouched model is never served for other values."""
    plural = sets.questions.filter(pc.equal(sets.questions["relation"], "member")).slice(0, 1).to_pylist()
    other: list[dict[str, Any]] = [{**plural[0], "answer_set": plural[0]["answer_set"][:1]}]
    ids = [
        direct_probes(pa.Table.from_pylist(rows, schema=QUESTIONS), ScoringSettings())["probe_id"][0].as_py()
        for rows in (plural, other)
    ]
    assert ids[0] != ids[1]
