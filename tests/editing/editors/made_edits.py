"""A handful of edits as a table, without a world around them, and each editor's settings for them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch

from chronofacts.editing.editors import EditBatch
from chronofacts.schemas.tables import EDITS, SENTENCES
from tests.editing.models.families import tiny_tokenizer

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


TOKENIZER = tiny_tokenizer()

QUICK = {
    "lora": {"steps": "3"},
    "lora-merge": {"steps": "3"},
    "p-tuning": {"steps": "3", "vectors": "4"},
    "freeze": {"steps": "3"},
    "finetune": {"steps": "3"},
    "rome": {"value_steps": "3", "passes": "1"},
    "memit": {"value_steps": "3"},
    "alphaedit": {"value_steps": "3"},
    "ultraedit": {},
    "grace": {"value_steps": "3"},
    "wise": {"epochs": "60", "unit": "one", "mask": "1", "shard": "20"},
    "in-context": {},
    "memory": {},
    "mello": {"room": "4", "hops": "0", "check": "false", "embedder": "letters"},
    "rag": {"room": "4", "facts": "1", "embedder": "letters"},
    "ike": {"demonstrations": "1", "room": "4"},
}

PROMPT = "Q: Who is the mayor of Linz? A:"


def says(model: Any) -> torch.Tensor:
    """Logits after a prompt, asked as scoring asks."""
    prompt = model.rewrite([PROMPT])[0] if hasattr(model, "rewrite") else PROMPT
    ids = torch.tensor([TOKENIZER(prompt, return_token_type_ids=False)["input_ids"]])
    with torch.no_grad():
        return model(input_ids=ids).logits[0, -1]
