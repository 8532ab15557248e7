"""The steps of the question stage: each says what it reads, and reads only what a step before it created."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from types import ModuleType

import duckdb
import pytest

from chronofacts.pipeline.questions import (
    build,
    chain_questions,
    facts,
    history,
    locality,
    multi_hop,
    names,
    sentences,
    set_questions,
    sets,
    single_questions,
)
from chronofacts.pipeline.questions.steps import Step, adds_to, creates, run
from chronofacts.pipeline.questions.templates import CATALOGUE_TABLES

MODULES = [
    chain_questions, facts, history, locality, multi_hop, names, sentences, set_questions, sets, single_questions,
]  # fmt: skip
# In the order in which each is first run; those of a part are run again for the next.
CHAINS = (*multi_hop.START, *multi_hop.SAMPLE, *multi_hop.CAP, *multi_hop.SHARE)
STEPS = (*build.JUDGE, *build.CHOOSE, *CHAINS, *build.PART, *build.LAST)
INPUTS = {field.name for field in fields(build.QuestionInputs)} | set(CATALOGUE_TABLES)
ROWS = {
    "edits": single_questions.EDIT_ROWS,
    "edits of sets": set_questions.SET_EDIT_ROWS,
    "questions": single_questions.QUESTION_ROWS,
    "questions about sets": set_questions.SET_QUESTION_ROWS,
    "sentences": sentences.SENTENCE_ROWS,
}


def tables_in(query: str) -> set[str]:
    """The tables that a query names, by DuckDB's own parser; not those that it makes for itself by WITH."""
    (parsed,) = duckdb.execute("SELECT json_serialize_sql($1)", [query]).fetchone() or ("",)
    tree = json.loads(parsed)
    assert not tree["error"], tree
    named, own, nodes = set(), set(), [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if node.get("type") == "BASE_TABLE":
                named.add(node["table_name"])
            own |= {entry["key"] for entry in node.get("cte_map", {}).get("map", ())}
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return named - own


def steps_of(module: ModuleType) -> dict[str, Step]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Step)}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.table)
def test_a_step_names_the_tables_that_its_query_reads(step: Step) -> None:
    assert tables_in(step.query) == step.reads


def test_nothing_is_read_or_added_to_before_it_is_created() -> None:
    known = set(INPUTS)
    for step in STEPS:
        assert step.reads <= known, step.table
        assert not step.adds or step.table in known, step.table
        known.add(step.table)
    for rows, query in ROWS.items():
        assert tables_in(query) <= known, rows


def test_every_table_is_created_by_one_step() -> None:
    created = Counter(step.table for step in STEPS if not step.adds)
    assert not INPUTS & set(created)
    assert {table for table, times in created.items() if times > 1} == set()


def test_every_table_is_read() -> None:
    read = set().union(*(step.reads for step in STEPS), *map(tables_in, ROWS.values()))
    assert {step.table for step in STEPS} - read == {"rejections"}  # which `build` returns as it is


def test_a_table_is_dropped_by_the_last_step_that_reads_it_and_by_no_other() -> None:
    last = {table: step for step in STEPS for table in step.reads}
    needed = INPUTS.union(*map(tables_in, ROWS.values()))
    for loop in (multi_hop.SAMPLE, build.PART):
        made = {step.table for step in loop if not step.adds}
        needed |= {table for table, step in last.items() if step in loop and table not in made}
    for step in STEPS:
        unread = {table for table in step.reads - needed if last[table] is step}
        # All go when the small world is written.
        assert step.drops <= unread if step in build.LAST else step.drops == unread, step.table


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_constant_is_called_as_the_table_of_its_step_and_no_step_is_left_out(module: ModuleType) -> None:
    for name, step in steps_of(module).items():
        table = step.table.upper()
        assert name.endswith(f"_{table}") if step.adds else name == table
        assert step in STEPS, name


def test_added_rows_go_by_the_names_of_their_columns_and_the_others_are_null() -> None:
    connection = duckdb.connect()
    run(connection, [creates("pairs")("SELECT 1 AS a, 'x' AS b"), adds_to("pairs", reads="")("SELECT 'y' AS b")])
    assert connection.execute("FROM pairs ORDER BY b").fetchall() == [(1, "x"), (None, "y")]
