"""A handful of edits as a table, without a world around them."""

from __future__ import annotations

import pyarrow as pa

from chronofacts.editing.editors import EditBatch
from chronofacts.schemas.tables import EDITS, SENTENCES

FACTS = [("Linz", "Ada Moor"), ("Graz", "Bob Tann"), ("Wels", "Cyd Rook"), ("Enns", "Dan Ware")]


def made_edits(facts: list[tuple[str, str]] | None = None) -> pa.Table:
    """One edit of the relation `mayor` per (town, new mayor)."""
    rows = [
        dict.fromkeys(EDITS.names)
        | {
            "edit_id": f"e{number}",
            "kind": "modification",
            "relation": "mayor",
            "subject": town,
            "subject_label": town,
            "subject_aliases": [f"Old {town}"],
            "prompt": f"Who is the mayor of {town}?",
            "target_new": mayor,
            "target_old": "Eve Zorn",
            "paraphrases": [f"Who runs {town}?", f"Which person is {town}'s mayor?", f"Name the mayor of {town}."],
            "cloze": f"The mayor of {town} is",
        }
        for number, (town, mayor) in enumerate(FACTS if facts is None else facts)
    ]
    return pa.Table.from_pylist(rows, schema=EDITS)


def made_batch(facts: list[tuple[str, str]] | None = None) -> EditBatch:
    """The edits, and sentences enough to count keys on."""
    said = [f"Who is the {word} of {town}?" for word in ("mayor", "judge", "baker") for town, _ in FACTS]
    rows = [
        dict.fromkeys(SENTENCES.names)
        | {"sentence_id": f"s{n}", "role": "current", "form": "question", "held_out": False, "prompt": text}
        | {"subject": "x", "answer": "Eve Zorn", "edit_ids": []}
        for n, text in enumerate(said)
    ]
    return EditBatch(made_edits(facts), pa.Table.from_pylist(rows, schema=SENTENCES))
