"""An invented world as a snapshot: towns with mayors and clubs with coaches, at two dates, of whom some changed.

Small enough to be pretrained and edited within seconds, and shaped like the real thing: every kind of question, every
role of sentence, held-out wordings, aliases, two hops through an edited fact; by choice also towns that are members of
several leagues, some of which they joined or left.
"""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.tables import EDITS, QUESTIONS, SENTENCES

SINCE, AS_OF, PAST = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1), datetime.date(2016, 7, 1)
NOW = {
    "mayor": [
        "Who is the mayor of {s}?",
        "Who runs the town of {s}?",
        "Which person is {s}'s mayor?",
        "{s} is led by which mayor?",
        "Who holds the post of mayor in {s}?",
    ],
    "coach": [
        "Who is the coach of {s}?",
        "Who trains the club {s}?",
        "Which person is {s}'s coach?",
        "{s} is trained by which coach?",
        "Who holds the post of coach at {s}?",
    ],
}
THEN = {
    "mayor": ["Who was the mayor of {s} in 2016?", "Who ran the town of {s} in 2016?", "In 2016, who was {s}'s mayor?"],
    "coach": [
        "Who was the coach of {s} in 2016?",
        "Who trained the club {s} in 2016?",
        "In 2016, who was {s}'s coach?",
    ],
}
CLOZE = {"mayor": "The mayor of {s} is", "coach": "The coach of {s} is"}
LEAGUES = {
    "member": [
        "Which leagues is {s} a member of?",
        "To which leagues does {s} belong?",
        "In which leagues does {s} play a part?",
        "What are the leagues of {s}?",
        "Name all leagues that {s} is in.",
    ]
}
BORN = ["Where was {s} born?", "What is the birthplace of {s}?", "In which town was {s} born?"]
HOPS = [
    "Where was the {r} of {s} born?",
    "What is the birthplace of the {r} of {s}?",
    "The {r} of {s} was born in which town?",
]


@dataclass
class Invented:
    """The rows of the three tables, and the people and places behind them."""

    people: list[str]
    birthplace: dict[str, str]
    edits: list[dict[str, Any]] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    sentences: list[dict[str, Any]] = field(default_factory=list)


def write_invented(
    folder: Path, facts: int = 120, edits: int = 30, people: int = 40, seed: int = 0, sets: int = 0
) -> Path:
    """Write the world as a snapshot folder, and return it. sets: towns whose leagues changed."""
    chance = random.Random(seed)
    world = _make_people(chance, people)
    for index in range(facts):
        _add_fact(world, chance, index, edited=index < edits)
    leagues = [f"{_word(chance, 2)} {_word(chance, 1)} League" for _ in range(12)] if sets else []
    for index in range(sets):
        _add_set(world, chance, index, leagues)
    for name, schema in (("edits", EDITS), ("questions", QUESTIONS), ("sentences", SENTENCES)):
        (folder / name).mkdir(parents=True)
        rows = getattr(world, name)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name / "part.parquet")
    manifest = SnapshotManifest(
        name="invented", since=SINCE, as_of=AS_OF, language="en", source="sample", source_day=AS_OF, source_detail="",
        retrieved_at=datetime.datetime(2025, 1, 2, tzinfo=datetime.UTC), code_version="", catalogue_hash="",
        relations=("mayor", "coach"), seed=seed,
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.as_json(), encoding="utf-8")
    return folder


def _make_people(chance: random.Random, count: int) -> Invented:
    towns = [_word(chance, 3) for _ in range(12)]
    people = sorted({f"{_word(chance, 2)} {_word(chance, 2)}" for _ in range(count)})
    world = Invented(people, {person: chance.choice(towns) for person in people})
    for person in people:
        for phrasing, wording in enumerate(BORN):
            _say(
                world,
                "stable",
                person,
                "birthplace",
                "question",
                phrasing,
                wording.format(s=person),
                world.birthplace[person],
            )
    return world


def _add_fact(world: Invented, chance: random.Random, index: int, edited: bool) -> None:
    relation = "mayor" if index % 3 else "coach"
    subject, alias = _word(chance, 3), f"{_word(chance, 2)} Point"
    past, old, new = _three_people(world, chance)
    edit_id = f"e{index:04d}"
    ids, held = [edit_id] if edited else [], index % 4 + 1
    for phrasing, wording in enumerate(NOW[relation]):
        _say(
            world,
            "current",
            subject,
            relation,
            "question",
            phrasing,
            wording.format(s=subject),
            old,
            ids,
            phrasing == held,
        )
    _say(world, "current", subject, relation, "cloze", 5, CLOZE[relation].format(s=subject), old, ids)
    _say(world, "stable", subject, "alias", "cloze", 6, f"{alias} is another name for", subject)
    for phrasing, wording in enumerate(THEN[relation]):
        text = wording.format(s=subject)
        _say(world, "history", subject, relation, "question", phrasing, text, past, ids, phrasing == index % 3, PAST)
    for phrasing, wording in enumerate(HOPS):
        text = wording.format(s=subject, r=relation)
        _say(world, "composed", subject, "birthplace", "question", phrasing, text, world.birthplace[old], ids)
    if edited:
        _add_edit(world, index, relation, subject, alias, past, old, new)
    else:
        near = [f"e{index % 30:04d}"]
        text = NOW[relation][0].format(s=subject)
        _ask(world, "locality", near, relation, subject, text, old, old, locality_kind="relation")


def _three_people(world: Invented, chance: random.Random) -> tuple[str, str, str]:
    while True:
        past, old, new = chance.sample(world.people, 3)
        if world.birthplace[old] != world.birthplace[new]:
            return past, old, new


def _add_edit(
    world: Invented, index: int, relation: str, subject: str, alias: str, past: str, old: str, new: str
) -> None:
    edit_id = f"e{index:04d}"
    prompt, *paraphrases = [wording.format(s=subject) for wording in NOW[relation]]
    cloze = CLOZE[relation].format(s=subject)
    world.edits.append(
        _row(EDITS)
        | {
            "edit_id": edit_id, "kind": "modification", "before": "known", "relation": relation,
            "property": "P6", "inverse": False, "stays": [],
            "subject": subject, "subject_label": subject, "subject_aliases": [alias], "old_object": old,
            "old_label": old, "old_aliases": [], "new_object": new, "new_label": new, "new_aliases": [],
            "object_kind": "item", "changed_on_earliest": SINCE, "changed_on_latest": AS_OF,
            "changed_on_precision": 11, "prompt": prompt, "target_new": new, "target_old": old,
            "paraphrases": paraphrases, "cloze": cloze, "sitelinks": 1, "confidence": 1, "statement_ids": [],
            "split": "test",
        }
    )  # fmt: skip
    _ask(world, "edit", [edit_id], relation, subject, prompt, new, old)
    for text in paraphrases:
        _ask(world, "paraphrase", [edit_id], relation, subject, text, new, old)
    _ask(world, "cloze", [edit_id], relation, subject, cloze, new, old)
    _ask(world, "alias", [edit_id], relation, subject, NOW[relation][0].format(s=alias), new, old)
    hops = [wording.format(s=subject, r=relation) for wording in HOPS]
    after, before = world.birthplace[new], world.birthplace[old]
    _ask(world, "multi_hop", [edit_id], "birthplace", subject, hops[0], after, before, phrasings=hops[1:], hops=2)
    then = THEN[relation][index % 3].format(s=subject)
    _ask(world, "history", [edit_id], relation, subject, then, past, past, asked_on=PAST)


def _add_set(world: Invented, chance: random.Random, index: int, leagues: list[str]) -> None:
    """One town's leagues: two joined, one left, or one of each; two stay. One edit per league, asked about as one."""
    subject, drawn = _word(chance, 3), chance.sample(leagues, 4)
    stays, joined, left = drawn[:2], *((drawn[2:], []), ([], drawn[2:3]), (drawn[2:3], drawn[3:]))[index % 3]
    new, old = as_list(sorted(stays + joined)), as_list(sorted(stays + left))
    prompt, *paraphrases = [wording.format(s=subject) for wording in LEAGUES["member"][:4]]
    cloze, ids = f"The leagues of {subject} are", list[str]()
    for league in joined + left:
        ids.append(f"s{index:03d}-{len(ids)}")
        kind, sides = ("addition", ("new", "old")) if league in joined else ("removal", ("old", "new"))
        world.edits.append(
            _row(EDITS)
            | {f"{sides[0]}_object": league, f"{sides[0]}_label": league, f"{sides[0]}_aliases": [league.split()[0]]}
            | {f"{sides[1]}_aliases": []}
            | {
                "edit_id": ids[-1], "kind": kind, "before": "known", "relation": "member", "property": "P463",
                "inverse": False, "subject": subject, "subject_label": subject, "subject_aliases": [],
                "stays": [_league(name) for name in stays], "object_kind": "item", "changed_on_earliest": SINCE,
                "changed_on_latest": AS_OF, "changed_on_precision": 11, "prompt": prompt, "target_new": new,
                "target_old": old, "paraphrases": paraphrases, "cloze": cloze, "sitelinks": 1, "confidence": 1,
                "statement_ids": [], "split": "test",
            }
        )  # fmt: skip
    kept = [_league(name, "stays") for name in stays]
    sets = {
        "answer_set": [_league(name, "joined") for name in joined] + kept,
        "answer_before_set": [_league(name, "left") for name in left] + kept,
        "answer_id": "|".join(sorted(joined or left)),
    }
    kinds = [("edit", prompt), *(("paraphrase", text) for text in paraphrases), ("cloze", cloze)]
    for kind, text in kinds:
        _ask(world, kind, sorted(ids), "member", subject, text, new, old, **sets)
    only = {"answer_set": kept, "answer_before_set": kept, "answer_id": "|".join(sorted(stays))}
    text = LEAGUES["member"][4].format(s=subject)
    _ask(world, "preservation", sorted(ids), "member", subject, text, as_list(stays), as_list(stays), **only)


def as_list(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _league(name: str, role: str | None = None) -> dict[str, Any]:
    value = {"id": name, "label": name, "aliases": [name.split()[0]]}
    return value | ({} if role is None else {"role": role})


def _ask(
    world: Invented,
    kind: str,
    ids: list[str],
    relation: str,
    subject: str,
    text: str,
    answer: str,
    before: str,
    **more: Any,
) -> None:
    world.questions.append(
        _row(QUESTIONS)
        | {
            "question_id": f"q{len(world.questions):05d}", "edit_ids": ids, "kind": kind, "hops": 1, "edited_hops": 1,
            "relation": relation, "subject": subject, "subject_label": subject, "question": text, "phrasings": [],
            "answer": answer, "answer_id": answer, "answer_aliases": [], "answer_before": before,
            "answer_before_id": before, "answer_before_aliases": [], "answer_set": [],
            "answer_before_set": [], "as_of": AS_OF, "chain": [], "split": "test",
        }
        | more
    )  # fmt: skip


def _say(
    world: Invented,
    role: str,
    subject: str,
    relation: str,
    form: str,
    phrasing: int,
    prompt: str,
    answer: str,
    edit_ids: list[str] | None = None,
    held_out: bool = False,
    asked_on: datetime.date | None = None,
) -> None:
    world.sentences.append(
        {
            "sentence_id": f"s{len(world.sentences):05d}", "role": role, "subject": subject, "relation": relation,
            "form": form, "phrasing": phrasing, "held_out": held_out, "prompt": prompt, "answer": answer,
            "asked_on": asked_on, "edit_ids": edit_ids or [],
        }
    )  # fmt: skip


def _row(schema: pa.Schema) -> dict[str, Any]:
    return dict.fromkeys(schema.names)


def _word(chance: random.Random, syllables: int) -> str:
    onsets, vowels, codas = [*"bdfgklmnprstvz", "br", "dr", "kr", "st"], "aeiou", ["", *"nrlskmt"]
    parts = [chance.choice(onsets) + chance.choice(vowels) + chance.choice(codas) for _ in range(syllables)]
    return "".join(parts).capitalize()
