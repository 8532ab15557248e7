"""How much of what an editor was given is answered."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.scoring import score
from chronofacts.editing.snapshot import Snapshot

KINDS = ("edit", "history", "multi_hop")


def shares(editor: str, values: dict[str, str], model: Any, tokenizer: Any, snapshot: Snapshot) -> dict[str, float]:
    """Share of right answers by kind after the edit, which is then undone."""
    before, chosen = model_hash(model), read_editor_settings(editor, values, 0)
    material = EditBatch(snapshot.edits, snapshot.sentences, frozenset(snapshot.questions["question"].to_pylist()))
    edited = chosen.method.edit(model, tokenizer, material, chosen.settings)
    asked = snapshot.questions.filter(pc.is_in(snapshot.questions["kind"], pa.array(KINDS)))
    scores = score(edited.model, tokenizer, asked)
    edited.undo()
    assert model_hash(model) == before
    return {kind: pc.mean(scores.filter(pc.equal(scores["kind"], kind))["exact_match"]).as_py() for kind in KINDS}
