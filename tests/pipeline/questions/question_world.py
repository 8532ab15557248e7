"""A small world of facts for the question stage, told as a person would, and the whole question set of it:

world().named("Q1", "France").held("capital", "Q1", "Q3").changed("head_of_government", "Q1", "Q5", "Q6", "2022-05-16")

Dates are ISO days. What is told once holds on both dates; what changed held from 2015 until its day.
"""

from __future__ import annotations

import datetime
import functools
import random
from dataclasses import replace

import pyarrow as pa

from chronofacts.pipeline.changes import CHANGES
from chronofacts.pipeline.questions.build import (
    QuestionInputs,
    QuestionSettings,
    QuestionTables,
    build_questions,
    choose,
    prepare,
)
from chronofacts.pipeline.storage.session import connect
from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import Catalogue, load_catalogue
from chronofacts.schemas.tables import ENTITIES, STATEMENTS, TIMELINES

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
CATALOGUE = load_catalogue()
LONG_AGO = "2015-03-10"


REJECTION_ORDER = [(name, "ascending") for name in ("stage", "reason", "relation", "subject", "detail")]


def question_set(inputs: QuestionInputs, catalogue: Catalogue = CATALOGUE, **settings: object) -> QuestionTables:
    """All parts of the question set as one, each table sorted."""
    parts = list(build_questions(inputs, catalogue, replace(QuestionSettings(SINCE, AS_OF), **settings)))
    return QuestionTables(
        edits=pa.concat_tables([part.edits for part in parts]).sort_by("edit_id"),
        questions=pa.concat_tables([part.questions for part in parts]).sort_by("question_id"),
        sentences=pa.concat_tables([part.sentences for part in parts]).sort_by("sentence_id"),
        rejections=pa.concat_tables([part.rejections for part in parts]).sort_by(REJECTION_ORDER),
    )


def day(text: str | None) -> datetime.date | None:
    return datetime.date.fromisoformat(text) if text else None


class World:
    def __init__(self) -> None:
        self.entities: dict[str, dict] = {}
        self.spans: list[dict] = []
        self.changes: list[dict] = []
        self.statements: list[dict] = []

    def named(self, qid: str, label: str | None, *aliases: str, human: bool = False, died: str | None = None) -> World:
        self.entities[qid] = {
            "qid": qid,
            "label": label,
            "label_language": "en",
            "aliases": sorted(aliases),
            "types": ["Q5"] if human else [],
            "sitelinks": 10,
            "ended_earliest": day(died),
            "ended_latest": day(died),
            "ended_kind": "known" if died else "absent",
        }
        return self

    def person(self, qid: str, label: str | None, *aliases: str, died: str | None = None) -> World:
        return self.named(qid, label, *aliases, human=True, died=died)

    def held(
        self, relation: str, subject: str, object_: str | None, start: str = LONG_AGO, end: str | None = None
    ) -> World:
        kind = CATALOGUE.by_id[relation].object_kind
        self.spans.append(
            {
                "subject": subject,
                "relation": relation,
                "object": object_,
                "object_kind": kind if object_ else "blocked",
                "valid_from_earliest": day(start),
                "valid_from_latest": day(start),
                "valid_from_precision": 11,
                "valid_to_earliest": day(end),
                "valid_to_latest": day(end),
                "valid_to_precision": 11 if end else None,
                "valid_to_kind": "known" if end else "open",
                "end_inferred": False,
                "end_reason": "stated",
                "rank": "normal",
                "confidence": 1,
                "statement_ids": [f"{subject}-{relation}-{object_}-{start}"],
            }
        )
        return self

    def changed(self, relation: str, subject: str, old: str | None, new: str, on: str = "2022-05-16") -> World:
        if old:
            self.held(relation, subject, old, LONG_AGO, on)
        self.held(relation, subject, new, on)
        self.changes.append(
            {
                "kind": "modification" if old else "injection",
                "before": "known" if old else "nobody",
                "relation": relation,
                "subject": subject,
                "old_object": old,
                "new_object": new,
                "object_kind": CATALOGUE.by_id[relation].object_kind,
                "changed_on_earliest": day(on),
                "changed_on_latest": day(on),
                "changed_on_precision": 11,
                "confidence": 1,
                "statement_ids": sorted(s["statement_ids"][0] for s in self.spans if s["subject"] == subject),
            }
        )
        return self

    def said(
        self,
        subject: str,
        property_: str,
        object_: str,
        end: str | None = None,
        end_kind: str = "known",
        **more: object,
    ) -> World:
        """A statement, of which the timelines need not tell; more: columns of `STATEMENTS`."""
        self.statements.append(
            {
                "statement_id": f"{subject}${len(self.statements)}",
                "subject": subject,
                "property": property_,
                "object": object_,
                "object_kind": "item",
                "rank": "normal",
                "end_earliest": day(end),
                "end_latest": day(end),
                "end_kind": end_kind,
                "faults": [],
                **more,
            }
        )
        return self

    def timelines(self) -> pa.Table:
        spans = sorted(self.spans, key=lambda s: (s["relation"], s["subject"], s["valid_from_earliest"]))
        numbers: dict[tuple[str, str], int] = {}
        for span in spans:
            key = (span["relation"], span["subject"])
            span["ordinal"] = numbers[key] = numbers.get(key, -1) + 1
        return pa.Table.from_pylist(spans, schema=TIMELINES)

    def inputs(self, shuffled: int | None = None) -> QuestionInputs:
        """shuffled: seed of an order of all rows."""
        timelines = self.timelines()
        inputs = [
            pa.Table.from_pylist(self.changes, schema=CHANGES),
            timelines,
            values_at(timelines, SINCE),
            values_at(timelines, AS_OF),
            pa.Table.from_pylist(list(self.entities.values()), schema=ENTITIES),
            pa.Table.from_pylist(self.statements, schema=STATEMENTS),
        ]
        if shuffled is not None:
            chance = random.Random(shuffled)
            inputs = [
                table.take(pa.array(chance.sample(range(table.num_rows), table.num_rows), pa.int64()))
                for table in inputs
            ]
        return QuestionInputs(*inputs)

    def questions(self, shuffled: int | None = None, **settings: object) -> QuestionTables:
        return question_set(self.inputs(shuffled), **settings)

    def chosen(self, table: str, **settings: object) -> list[dict]:
        """The rows of a table of the question stage, as it stands before any words."""
        wanted = replace(QuestionSettings(SINCE, AS_OF), **settings)
        with connect() as connection:
            prepare(connection, self.inputs(), CATALOGUE, wanted)
            choose(connection, wanted)
            return connection.sql(f"FROM {table}").to_arrow_table().to_pylist()


def world() -> World:
    return World()


def small_country() -> World:
    """France with a change of its head of government, and enough around it for every kind of question."""
    told = world().named("Q142", "France", "French Republic").named("Q183", "Germany").named("Q55", "Netherlands")
    told.named("Q90", "Paris").named("Q64", "Berlin").named("Q727", "Amsterdam").named("Q46", "Europe")
    told.named("Q4916", "euro").named("Q10", "Prades").named("Q11", "Vernon").named("Q20", "Renaissance")
    told.named("Q21", "The Republicans").named("Q30", "Prime Minister of France").named("Q31", "Ministry of Sport")
    told.person("Q5001", "Jean Castex").person("Q5002", "Gabriel Attal", "Attal").person("Q5003", "Olaf Scholz")
    told.person("Q5004", "Mark Rutte").person("Q5005", "Ada Example").person("Q5006", "Édouard Philippe")
    told.held("head_of_government", "Q142", "Q5006", "2010-01-01", LONG_AGO)
    told.changed("head_of_government", "Q142", "Q5001", "Q5002")
    told.held("head_of_government", "Q183", "Q5003").held("head_of_government", "Q55", "Q5004")
    for country, capital in (("Q142", "Q90"), ("Q183", "Q64"), ("Q55", "Q727")):
        told.held("capital", country, capital).held("currency", country, "Q4916").held("continent", country, "Q46")
    told.held("birthplace", "Q5001", "Q11").held("birthplace", "Q5002", "Q10").held("party", "Q5001", "Q21")
    told.held("party", "Q5002", "Q20").held("citizenship", "Q5005", "Q142").held("chairperson", "Q31", "Q5005")
    told.held("headquarters", "Q20", "Q90").held("headquarters", "Q21", "Q11").held("country", "Q90", "Q142")
    return told


@functools.cache
def small_questions() -> QuestionTables:
    """The questions of `small_country`, made once."""
    return small_country().questions()
