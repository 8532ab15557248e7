"""RippleEdits records, read only: an edit as a sentence, and six kinds of what follows from it or must stay.

Source: Cohen et al. 2024 (TACL, arXiv 2307.12976), `recent.json`, `random.json`, `popular.json`; the sentences are
those of `src/relation.py`. An edit is a sentence, "The name of the head of government of Elm is Li."; the answer is
what follows its verb, the last one that it shares with the sentence of the fact before. Compositionality asks on from
the new answer (I) or to the subject (II): two hops. Relation specificity asks for what must stay, forgetfulness for the
older values, which must stay too.
Leaves out: `test_condition` and `condition_queries` (what a model must know first), `phrase` and `query_type`.
"""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, consequence_question, guard_question
from chronofacts.pipeline.exchange.records import Record, read_records, unread_fields

__all__ = ["read_rippleedits"]

# kind of test -> (our kind, hops); None: what must stay
KINDS: dict[str, tuple[str, int] | None] = {
    "Logical_Generalization": ("reverse", 1),
    "Compositionality_I": ("multi_hop", 2),
    "Compositionality_II": ("multi_hop", 2),
    "Subject_Aliasing": ("alias", 1),
    "Relation_Specificity": None,
    "Forgetfulness": None,
}
_ASKED = re.compile(r"(?P<about>.+) (?P<verb>is located in|is followed by|follows|is|are) ")
"""A sentence up to its answer; where a name has a verb, too, the last one counts."""
_OF_TWO_WORDS = (
    "country of citizenship|head of (?:government|state)|field of work|(?:place|date) of (?:birth|death|burial)"
)
_LONGEST = 1000
"""Characters that a subject is looked for in: the time of the patterns grows with the square of what they are given."""
_SUBJECTS = (
    r".* which (?P<name>.+) (?:is|plays)(?: \w+){1,3}",
    r"The number of children (?P<name>.+) has",
    r"The name of the award (?P<name>.+) won",
    r"The name of the position held by (?P<name>.+)",
    r"The name of the currency in (?P<name>.+)",
    rf"(?:The names? of the|The) (?:{_OF_TWO_WORDS}|RELATION|.+?) of (?P<name>.+)",
)
"""Where the name of the subject stands in what a sentence asks about; the first that fits."""


def read_rippleedits(file: Path) -> Benchmark:
    """All records of a file. Raises BadInput naming the record and the field."""
    benchmark, records = Benchmark(), read_records(file)
    for record in records:
        record.leave_out("example_type")
        edit = _edit(record.record("edit"))
        if not benchmark.edit(edit):
            continue
        benchmark.ask_directly(edit)
        for name in KINDS:
            for test in record.records(name) if record.has(name) else ():
                test.leave_out("test_condition", "condition_queries")
                for query in test.records("test_queries"):
                    _ask(benchmark, edit, name, query)
    benchmark.unread = unread_fields(records)
    return benchmark


def _edit(edit: Record) -> Edit:
    """The edit of a sentence that states it; the beginning that it shares with the sentence before is what is asked."""
    sentence, relation = edit.text("prompt").removesuffix("."), edit.text("relation")
    before = edit.record("original_fact") if edit.has("original_fact") else None
    if before is not None:
        before.leave_out("subject_id", "relation")
    old = before.text("prompt").removesuffix(".") if before is not None else ""
    pairs = zip(sentence, old, strict=False)
    shared = sentence[: sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))]
    cloze, named = _ask_for(shared, relation)
    if not cloze:  # nothing before, or in other words
        cloze, named = _ask_for(sentence, relation)
    old_cloze = cloze if old.startswith(cloze) else _ask_for(old, relation)[0]
    new_label, old_label = sentence[len(cloze) :].strip(), old[len(old_cloze) :].strip()
    subject = edit.text("subject_id")
    return Edit(
        subject=subject,
        subject_label=named or subject,
        relation=relation,
        prompt=cloze,
        cloze=cloze,
        new_object=edit.text("target_id"),
        new_label=new_label,
        old_object=before.text("target_id") if before is not None and old_label else None,
        old_label=old_label or None,
        old_aliases=() if old_label else None,
        object_kind="item",
    )


def _ask_for(sentence: str, relation: str) -> tuple[str, str]:
    """The beginning of a sentence that the answer completes, and the name of its subject; empty where none is there."""
    asked = _ASKED.match(sentence)
    if asked is None:
        return "", ""
    about, verb = asked["about"], asked["verb"]
    if verb in ("follows", "is followed by") or len(about) > _LONGEST:
        return f"{about} {verb}", about
    words = re.escape(relation.lower().replace("_", " "))
    found = (re.fullmatch(shape.replace("RELATION", words), about) for shape in _SUBJECTS)
    return f"{about} {verb}", next((match["name"] for match in found if match), about)


def _ask(benchmark: Benchmark, edit: Edit, name: str, query: Record) -> None:
    query.leave_out(
        "query_type", "phrase", "subject_id", "relation", "target_ids", "second_relation", "second_hop_prompt"
    )
    names = []
    for answer in query.records("answers") if query.has("answers") else ():
        names += [*answer.answers("value"), *(answer.answers("aliases") if answer.has("aliases") else ())]
    names = list(dict.fromkeys(names))
    if not names or not query.text("prompt"):
        benchmark.reject("no_probe", edit, f"{name} without a prompt or an answer")
        return
    kind = KINDS[name]
    if kind is None:
        benchmark.ask(guard_question(edit, query.text("prompt"), names, relation=edit.relation))
    else:
        benchmark.ask(consequence_question(edit, kind[0], query.text("prompt"), names, hops=kind[1]))
