"""The probes of a snapshot: one row each, with all that decides its score and all that a score is grouped by.

There are six kinds (`way`): `ask` (one wording of a question), `compare` (two answers by their likelihood alone),
`think` (a question after worked examples of a chain of thought), `walk` (a chain hop by hop, with the model's own
answers), `write` (free generation, for fluency) and `read` (a text, for perplexity).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from chronofacts.editing.models.context_facts import render_fact
from chronofacts.editing.models.encoding import form_of
from chronofacts.editing.scoring.dates import DATE_KINDS, DateProbe
from chronofacts.editing.scoring.pressure import name_aliases, pair_questions, press, put_past
from chronofacts.editing.scoring.prompt_prefixes import CHAIN_OF_THOUGHT, FEW_SHOT, write_day
from chronofacts.editing.scoring.score_tables import PROBES
from chronofacts.editing.scoring.settings import ScoringSettings
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.texts import read_lines

__all__ = ["all_probes", "direct_probes", "probes_of_dates"]

DECISIVE = ("way", "text", "form", "prefix", "answer", "names", "answer_before", "names_before", "values", "steps")
"""Columns that a probe's score depends on."""
ANY_WORDING = ("multi_hop",)
"""Kinds of question that are right if any wording is: only of these the other wordings are probes, too."""
OF_CHAINS = ("multi_hop", "hop_by_hop", "chain_of_thought", "alias_multi_hop")
"""Kinds of probe that walk a chain of facts."""
NOBODY = "nobody"
"""The answer whose likelihood is measured where nobody can be named; what counts is `dates.refuses`."""
KEPT_ROLES = ("stable", "history")
"""Roles of sentences that are as true after the edits as before."""


def direct_probes(questions: pa.Table, settings: ScoringSettings) -> pa.Table:
    """Every wording (`ANY_WORDING`) of every question, in the order of the questions.

    questions: `tables.QUESTIONS`. Raises BadInput when there are none.
    """
    if not questions.num_rows:
        raise BadInput("there are no questions to score; use a snapshot that has some")
    return _make_table(probe for row in questions.to_pylist() for probe in _ask(row, settings))


def all_probes(questions: pa.Table, sentences: pa.Table, settings: ScoringSettings) -> pa.Table:
    """`direct_probes`, then what the settings add: hops, chains hop by hop, chains of thought, fluency, perplexity.

    sentences: `tables.SENTENCES`. Raises BadInput when there are no questions or the file of texts is missing.
    """
    direct, rows = direct_probes(questions, settings), questions.to_pylist()
    extra: list[dict[str, Any]] = []
    chained = [row for row in rows if row["kind"] == "multi_hop" and len(row["chain"] or ()) > 1]
    if settings.hops:
        names = _collect_names(rows)
        extra += [probe for row in chained for probe in _ask_hops(row, names, settings)]
        extra += [_walk(row, settings) for row in chained if _names_every_hop(row)]
    if settings.cot:
        extra += [_think(row, settings) for row in rows if row["kind"] == "multi_hop"]
    extra += _press(rows, sentences, settings)
    extra += _reason(rows, settings)
    extra += _write(rows, settings)
    extra += _list_sentence_probes(sentences, settings)
    return pa.concat_tables([direct, _make_table(extra)])


def probes_of_dates(found: Iterable[DateProbe]) -> pa.Table:
    """Date probes as `PROBES`: a right date against a wrong one, or a question; of a refusal nobody is the answer."""
    rows = []
    for one in found:
        answer, names = (one.answer, list(one.names)) if one.kind in DATE_KINDS else (NOBODY, [NOBODY])
        rows.append(
            dict.fromkeys(PROBES.names)
            | {"way": "ask" if one.wrong is None else "compare", "question_id": one.question_id, "kind": one.kind}
            | {"phrasing": one.phrasing, "relation": one.relation, "hops": 1, "edited_hops": 1, "fact": one.fact}
            | {"asked_on": one.asked_on, "text": one.text, "form": form_of(one.text), "prefix": "", "answer": answer}
            | {"names": names, "answer_before": one.wrong, "names_before": [one.wrong] if one.wrong else []}
            | {"values": [], "steps": []}
        )
    return _make_table(rows)


def _old_answer(row: Mapping[str, Any]) -> str | None:
    """The answer before, where it is another one than now."""
    before = row["answer_before"]
    return str(before) if before and before != row["answer"] else None


def _hash_probe(probe: Mapping[str, Any]) -> str:
    """sha256 over the columns that decide the score, 16 hex digits."""
    content = json.dumps([probe[name] for name in DECISIVE], ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _ask(row: Mapping[str, Any], settings: ScoringSettings) -> list[dict[str, Any]]:
    others = row["phrasings"] or () if row["kind"] in ANY_WORDING else ()
    return [
        _probe("ask", row, text, form_of(text, row["kind"]), _prefix(row, settings), phrasing=number)
        for number, text in enumerate([row["question"], *others])
    ]


def _prefix(row: Mapping[str, Any], settings: ScoringSettings) -> str:
    """MQuAKE's edit-wise accuracy gives a cloze no examples."""
    if settings.prefix == "dated" and row["as_of"]:
        return write_day(row["as_of"])
    return FEW_SHOT if settings.prefix == "few-shot" and row["kind"] != "cloze" else ""


def _think(row: Mapping[str, Any], settings: ScoringSettings) -> dict[str, Any]:
    day = write_day(row["as_of"]) if settings.prefix == "dated" and row["as_of"] else ""
    return _probe("think", row, row["question"], "question", day + CHAIN_OF_THOUGHT, kind="chain_of_thought")


def _ask_hops(
    row: Mapping[str, Any], names: Mapping[str, list[str]], settings: ScoringSettings
) -> Iterable[dict[str, Any]]:
    """Each fact of the chain by itself, under its right subject."""
    for number, link in enumerate(row["chain"]):
        before = link["object_before_label"]
        one = {
            **row,
            "answer": link["object_label"],
            "answer_aliases": names.get(link["object"], []),
            "answer_before": before,
            "answer_before_aliases": names.get(link["object_before"], []),
            "answer_set": [],
            "answer_before_set": [],
            "hops": 1,
            "edited_hops": int(link["edit_id"] is not None),
            "relation": link["relation"],
        }
        text = link["question"]
        if text and one["answer"]:
            yield _probe("ask", one, text, form_of(text), _prefix(row, settings), phrasing=number, kind="hop")


def _press(rows: list[dict[str, Any]], sentences: pa.Table, settings: ScoringSettings) -> list[dict[str, Any]]:
    """Edit questions with the outdated name in their ear; evenly spread over the ids, which are hashes."""
    clozes = {row["edit_ids"][0]: row["question"] for row in rows if row["kind"] == "cloze" and row["edit_ids"]}
    asked = [row for row in rows if row["kind"] == "edit" and _old_answer(row) and not row["answer_set"]]
    if not settings.pressure or not asked:
        return []
    columns = ["role", "form", "subject", "relation", "asked_on", "prompt", "answer"]
    past = put_past(rows, sentences.select(columns).to_pylist())
    found = []
    for row in _choose_evenly(asked, settings.pressure):
        cloze = clozes.get(row["edit_ids"][0]) if row["edit_ids"] else None
        for one in press(row, cloze, past.get((row["subject"], row["relation"]))):
            before = _prefix(row, settings)
            found.append(_probe("ask", row, one.text, form_of(one.text), before + one.prefix, kind=one.kind))
    return found


def _reason(rows: list[dict[str, Any]], settings: ScoringSettings) -> list[dict[str, Any]]:
    """Chains from another name of their subject, and pairs of edits."""
    if not settings.reasoning:
        return []
    aliases = name_aliases(rows)
    renamed = [
        (row, row["question"].replace(row["subject_label"], aliases[row["subject"]], 1))
        for row in rows
        if row["kind"] == "multi_hop" and row["subject"] in aliases and row["subject_label"] in row["question"]
    ]
    found = [
        _probe("ask", row, text, form_of(text), _prefix(row, settings), kind="alias_multi_hop")
        for row, text in _choose_evenly([one for one in renamed if one[1] != one[0]["question"]], settings.reasoning)
    ]
    pairs = _choose_evenly(pair_questions(rows), settings.reasoning)
    found += [
        _probe("ask", row, row["question"], "question", _prefix(row, settings), kind="same_entity") for row in pairs
    ]
    return found


def _names_every_hop(row: Mapping[str, Any]) -> bool:
    chain = row["chain"]
    return all(link["question"] for link in chain) and all(
        link["subject_label"] and link["subject_label"] in link["question"] for link in chain[1:]
    )


def _walk(row: Mapping[str, Any], settings: ScoringSettings) -> dict[str, Any]:
    steps = [{"question": link["question"], "subject": link["subject_label"]} for link in row["chain"]]
    text = row["chain"][0]["question"]
    return _probe("walk", row, text, form_of(text), _prefix(row, settings), kind="hop_by_hop", steps=steps)


def _write(rows: list[dict[str, Any]], settings: ScoringSettings) -> list[dict[str, Any]]:
    """The clozes of as many facts, evenly spread; where there are none, the edit questions."""
    texts = [row for row in rows if row["kind"] == "cloze"] or [row for row in rows if row["kind"] == "edit"]
    return [
        _probe("write", row, row["question"], form_of(row["question"], row["kind"]), "", kind="fluency")
        for row in _choose_evenly(texts, settings.fluency)
    ]


def _list_sentence_probes(sentences: pa.Table, settings: ScoringSettings) -> list[dict[str, Any]]:
    """Held-out sentences that no edit touches, or the lines of a file."""
    if settings.text is not None:
        path = Path(settings.text)
        if not path.is_file():
            raise BadInput(f"scoring.text = {settings.text!r}: there is no such file")
        texts = read_lines(path)
        found = [(f"line {number}", f"line {number}", text) for number, text in enumerate(texts, 1)]
    else:
        columns = ["sentence_id", "role", "subject", "held_out", "form", "prompt", "answer", "edit_ids"]
        rows = sentences.select(columns).to_pylist()
        found = [
            (
                row["sentence_id"],
                row["subject"] or row["sentence_id"],
                render_fact(row["prompt"], row["form"], row["answer"]),
            )
            for row in rows
            if row["held_out"] and (row["role"] in KEPT_ROLES or not row["edit_ids"])
        ]
    return [
        dict.fromkeys(PROBES.names)
        | {"way": "read", "question_id": name, "kind": "general", "fact": fact, "phrasing": 0, "text": text}
        | {"form": "cloze", "prefix": ""}
        for name, fact, text in _choose_evenly(found, settings.perplexity)
    ]


def _choose_evenly(items: list[Any], most: int) -> list[Any]:
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _collect_names(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Other names of every entity that is the answer of a question, by its id."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["answer_id"], list(row["answer_aliases"] or ()))
        if row["answer_before_id"]:
            names.setdefault(row["answer_before_id"], list(row["answer_before_aliases"] or ()))
        for value in [*(row["answer_set"] or ()), *(row["answer_before_set"] or ())]:
            names.setdefault(value["id"], list(value["aliases"] or ()))
    return names


def _probe(
    way: str,
    row: Mapping[str, Any],
    text: str,
    form: str,
    prefix: str,
    phrasing: int = 0,
    kind: str | None = None,
    steps: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    before = _old_answer(row)
    return {
        "way": way,
        "question_id": row["question_id"],
        "phrasing": phrasing,
        "kind": kind or row["kind"],
        "locality_kind": row["locality_kind"],
        "relation": row["relation"],
        "hops": row["hops"],
        "edited_hops": row["edited_hops"],
        "asked_on": row["asked_on"],
        "fact": row["edit_ids"][0] if row["edit_ids"] else row["question_id"],
        "text": text,
        "form": form,
        "prefix": prefix,
        "answer": row["answer"],
        "names": [row["answer"], *(row["answer_aliases"] or ())],
        "answer_before": before,
        "names_before": [before, *(row["answer_before_aliases"] or ())] if before else [],
        "values": _values(row),
        "steps": steps or [],
        "edited_at": _edited_at(row["chain"] or ()) if (kind or row["kind"]) in OF_CHAINS else None,
    }


def _edited_at(chain: Sequence[Mapping[str, Any]]) -> str | None:
    """Where the edited facts of a chain stand: RippleEdits' compositionality I edits the first, II a later one."""
    places = ["first" if number == 0 else "later" for number, link in enumerate(chain) if link["edit_id"] is not None]
    return "+".join(dict.fromkeys(places)) or None


def _values(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The values that decide about an answer of several; where only what stays is asked for, those alone.

    Where the question asks what left, that is to be named: it came into the answer, as what joined does elsewhere.
    """
    found: dict[str, dict[str, Any]] = {}
    for values, left in ((row["answer_set"], "joined"), (row["answer_before_set"], "left")):
        for value in values or ():
            if value["role"] == "stays" or row["kind"] != "preservation":
                role = left if value["role"] == "left" else value["role"]
                found.setdefault(value["id"], {"names": _names(value), "role": role})
    return list(found.values())


def _names(value: Mapping[str, Any]) -> list[str]:
    return [value["label"], *(value["aliases"] or ())]


def _make_table(probes: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([probe | {"probe_id": _hash_probe(probe)} for probe in probes], schema=PROBES)
