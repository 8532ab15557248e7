"""Changes to questions: the whole question set of a snapshot, in words.

The order of work stands below, step by step: changes are judged, neighbours and chains chosen over the whole set, then
the edits put into words a part at a time; at the end come the sentences of the small world.
Everything is drawn from the seed and the content alone: the order of the input and the size of a part change nothing.
Leaves out: what is a change (`pipeline.changes`) and writing files (`pipeline.snapshots.write`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

import duckdb
import pyarrow as pa

from chronofacts.pipeline.memberships import MEMBERS
from chronofacts.pipeline.questions import (
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
from chronofacts.pipeline.questions.macros import create_macros
from chronofacts.pipeline.questions.steps import run
from chronofacts.pipeline.questions.templates import create_catalogue_tables, list_vocabulary
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas import tables
from chronofacts.schemas.catalogue import Catalogue

__all__ = ["QuestionInputs", "QuestionSettings", "QuestionTables", "build_questions", "choose", "prepare"]

# What everything is called, and which changes become edits.
JUDGE = (
    names.NAMED_VALUES, names.NAMES,
    facts.DATED_DEPARTURES, facts.DEPARTURES, facts.SHARED_NAMES, facts.JUDGED_CHANGES, facts.REJECTIONS,
    sets.JUDGED_VALUES, sets.CLASHES, sets.DATED_VALUES, sets.CROWDED_DAYS, sets.SET_VALUES, sets.SET_EDITS,
    sets.SET_REJECTIONS,
)  # fmt: skip
# The edits, what is certain besides, and which of it is asked; the chains come after (`multi_hop.choose_chains`).
CHOOSE = (
    facts.EDITS, facts.IN_DOUBT, facts.FACTS, sets.SET_GROUPS, sets.SET_EVENTS, sets.STABLE_SETS, sets.GUARDED,
    set_questions.SET_SPANS,
    single_questions.NAMED_EDITS, history.EDITED_SPANS, history.STATED_PREDECESSORS, single_questions.ALIAS_NAMES,
    single_questions.REVERSE_SUBJECTS,
    locality.ASKABLE_FACTS, locality.NEIGHBOURS, locality.CHOSEN_LOCALITY, set_questions.CHOSEN_SETS,
    single_questions.PROBES,
)  # fmt: skip
# One part of the edits in words.
PART = (
    single_questions.PART_EDITS, single_questions.LINKS, single_questions.DRAFTS, single_questions.EDIT_TEXTS,
    single_questions.DIRECT_DRAFTS, single_questions.ALIAS_DRAFTS, single_questions.REVERSE_DRAFTS,
    locality.LOCALITY_DRAFTS,
    chain_questions.PART_CHAINS, chain_questions.chain_texts("part"), chain_questions.MULTI_HOP_DRAFTS,
    *history.past_days("part", "getvariable('history_per_edit')"), history.HISTORY_DRAFTS, history.TIMELINE_DRAFTS,
    single_questions.DRAFT_WORDS, single_questions.CHECKED_DRAFTS, single_questions.REFUSED_REJECTIONS,
    single_questions.FOUND_PROBES,
    set_questions.PART_SETS, set_questions.past_sets("part", "getvariable('history_per_edit')"),
    set_questions.SET_TEXTS, set_questions.SET_DRAFTS, set_questions.DIRECT_SET_DRAFTS, set_questions.ALIAS_SET_DRAFTS,
    set_questions.PRESERVATION_SET_DRAFTS, set_questions.EVENT_PRESERVATION_SET_DRAFTS,
    set_questions.LOCALITY_SET_DRAFTS, set_questions.HISTORY_SET_DRAFTS,
    set_questions.SET_DRAFT_WORDS, set_questions.CHECKED_SET_DRAFTS, set_questions.SET_REFUSED_REJECTIONS,
    set_questions.SET_FOUND_PROBES,
)  # fmt: skip
# Edits without a probe, and the small world. It has one past day more than is asked: the order of choice is the same,
# so the asked days are among them.
LAST = (
    single_questions.PROBE_REJECTIONS,
    sentences.WORLD, sentences.WORLD_EDITS, sentences.WORLD_SETS, sentences.SAMPLED_CHAINS, sentences.WORLD_FACTS,
    sentences.SENTENCES, sentences.FACT_SENTENCES, sentences.SET_SENTENCES,
    *history.past_days("world", "getvariable('history_per_edit') + 1"),
    set_questions.past_sets("world", "getvariable('history_per_edit') + 1"), sentences.DAY_SENTENCES,
    sentences.ALIAS_SENTENCES, sentences.WORLD_CHAINS, chain_questions.chain_texts("world"), sentences.CHAIN_SENTENCES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuestionSettings:
    """What decides the question set besides the facts. Caps bound both its size and the cost of its joins."""

    since: datetime.date
    as_of: datetime.date
    language: str = "en"
    seed: int = 0
    hops_per_edit: int = 3
    """Multi-hop questions per edit and number of hops."""
    hops_per_subject: int = 12
    """Multi-hop questions that name one entity."""
    hops_per_path: int = 5_000
    """Multi-hop questions along one path of relations; in a large set more, up to `path_share`."""
    path_share: float = 0.1
    """Multi-hop questions along one path of relations, as a part of the number of edits."""
    locality_per_edit: int = 1
    """Probes per edit of each kind of locality."""
    history_per_edit: int = 3
    """Past dates per edit."""
    aliases_per_edit: int = 2
    train_share: float = 0.2
    """Part of the edited subjects whose questions are for training editors that need training."""
    sentences: int = 9_000
    """Upper bound on the sentences of the small world."""
    edits_per_part: int = 100_000
    """Edits whose questions are put into words at once: bounds memory, never the result."""
    threads: int = 2
    memory_gib: float = 3.0
    spill: Path | None = None
    """Folder for DuckDB to spill joins to; None: no spilling."""


@dataclass(frozen=True)
class QuestionInputs:
    """What the questions are made from; each an Arrow table or a folder of Parquet."""

    changes: Tabular
    """`pipeline.changes.CHANGES`."""
    timelines: Tabular
    values_since: Tabular
    """`pipeline.timelines.build.values_at` on since."""
    values_as_of: Tabular
    entities: Tabular
    statements: Tabular
    """`STATEMENTS`: who followed whom, and what else ended near a day."""
    members: Tabular = field(default_factory=MEMBERS.empty_table)
    """`pipeline.memberships.MEMBERS`: what joined and left sets of values, and what stays."""


@dataclass(frozen=True)
class QuestionTables:
    """Tables of `schemas.tables`."""

    edits: pa.Table
    questions: pa.Table
    sentences: pa.Table
    rejections: pa.Table


def build_questions(
    inputs: QuestionInputs, catalogue: Catalogue, settings: QuestionSettings
) -> Iterator[QuestionTables]:
    """The question set in parts of about `settings.edits_per_part` edits; the last one brings all sentences.

    The union of the parts does not depend on their size. One part is in memory at a time; its rows are in no order.
    Raises BadInput when a relation of the catalogue has no words in the settings' language.
    """
    with connect(settings.threads, settings.memory_gib, settings.spill) as connection:
        prepare(connection, inputs, catalogue, settings)
        parts = choose(connection, settings)
        for part in range(parts):
            connection.execute("SET VARIABLE part = $1::INTEGER", [part])
            run(connection, PART)
            yield _read_part(connection)
        run(connection, LAST)
        yield QuestionTables(
            tables.EDITS.empty_table(),
            tables.QUESTIONS.empty_table(),
            _read_rows(connection, "sentences", sentences.SENTENCE_ROWS),
            _read_rows(connection, "rejections", "FROM rejections ORDER BY ALL"),
        )


def prepare(
    connection: duckdb.DuckDBPyConnection, inputs: QuestionInputs, catalogue: Catalogue, settings: QuestionSettings
) -> None:
    """Make the inputs and the catalogue tables, the grammar macros and the settings variables of SQL."""
    register(connection, **{table.name: getattr(inputs, table.name) for table in fields(inputs)})
    create_catalogue_tables(connection, catalogue, settings.language)
    create_macros(connection, catalogue.language(settings.language))
    of_settings = (
        "since", "as_of", "language", "seed", "hops_per_edit", "hops_per_subject", "locality_per_edit",
        "history_per_edit", "aliases_per_edit", "sentences",
    )  # fmt: skip
    variables = {name: getattr(settings, name) for name in of_settings} | {
        "vocabulary": list_vocabulary(catalogue, settings.language),
        "linking_words": f" {catalogue.language(settings.language).linking} ",
        "train_per_mille": round(settings.train_share * 1000),
        "ways_in": max(multi_hop.LEAST_WAYS_IN, settings.hops_per_edit),
    }
    for name, value in variables.items():
        connection.execute(f"SET VARIABLE {name} = $1", [value])


def choose(connection: duckdb.DuckDBPyConnection, settings: QuestionSettings) -> int:
    """Decide everything over the whole set, before any words. Returns the number of parts."""
    run(connection, JUDGE)
    ((edits, of_sets),) = connection.execute(
        "SELECT count(*) FILTER (reason IS NULL), (SELECT count(*) FROM set_edits) FROM judged_changes"
    ).fetchall()
    parts: int = max(1, -(-(edits + of_sets) // settings.edits_per_part))
    per_path = max(settings.hops_per_path, round(edits * settings.path_share))
    connection.execute("SET VARIABLE parts = $1::UBIGINT", [parts])
    connection.execute("SET VARIABLE hops_per_path = $1", [per_path])
    run(connection, CHOOSE)
    multi_hop.choose_chains(connection, edits)
    return parts


def _read_part(connection: duckdb.DuckDBPyConnection) -> QuestionTables:
    edits = _read_rows(connection, "edits", single_questions.EDIT_ROWS, set_questions.SET_EDIT_ROWS)
    questions = _read_rows(connection, "questions", single_questions.QUESTION_ROWS, set_questions.SET_QUESTION_ROWS)
    # Texts are in memory once: the checked ones go before the next part begins.
    connection.execute("DROP TABLE checked_drafts")
    return QuestionTables(edits, questions, tables.SENTENCES.empty_table(), tables.REJECTIONS.empty_table())


def _read_rows(connection: duckdb.DuckDBPyConnection, name: str, *queries: str) -> pa.Table:
    """The results of several queries as one table of the snapshot."""
    schema = tables.SNAPSHOT_TABLES[name]
    return pa.concat_tables([tables.conform(connection.sql(sql).to_arrow_table(), schema, name) for sql in queries])
