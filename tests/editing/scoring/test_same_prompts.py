"""What an editor does not rewrite has the unedited model's scores, and is not read again."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.scoring import ScoringSettings, all_probes, evaluate
from chronofacts.editing.scoring.same_prompts import score_what_differs
from chronofacts.editing.scoring.score_tables import RESULTS
from chronofacts.editing.snapshot import Snapshot
from tests.editing.models.families import tiny, tiny_tokenizer

FEW = ScoringSettings(fluency=2, fluency_tokens=4, perplexity=2, margin=1)


@pytest.mark.parametrize("editor", ["in-context", "memory", "ike"])
def test_scores_are_those_of_reading_every_prompt_again(editor: str, snapshot: Snapshot) -> None:
    model, tokenizer = tiny("llama"), tiny_tokenizer()
    model.config.max_position_embeddings = 2048  # room for facts
    chosen = read_editor_settings(editor, {}, 0)
    edited = chosen.method.edit(
        model, tokenizer, EditBatch(snapshot.edits.slice(0, 5), snapshot.sentences), chosen.settings
    )
    every = all_probes(snapshot.questions, snapshot.sentences, FEW)
    probes = every.take(list(range(0, every.num_rows, max(1, every.num_rows // 60))))
    before = evaluate(model, tokenizer, probes, FEW)
    read: list[int] = []

    def score(part: Any) -> Any:
        read.append(part.num_rows)
        return evaluate(edited.model, tokenizer, part, FEW).select(RESULTS.names)

    again = evaluate(edited.model, tokenizer, probes, FEW, before=before)
    whole = evaluate(edited.model, tokenizer, probes, FEW)
    for name in ("generated", "exact_match", "walk", "tokens"):
        assert again[name].to_pylist() == whole[name].to_pylist()
    assert again["nll_answer"].to_numpy() == pytest.approx(whole["nll_answer"].to_numpy(), abs=1e-4, nan_ok=True)
    score_what_differs(edited.model, probes, before, score)
    assert sum(read) < probes.num_rows / 2
    asked = every.filter(pc.equal(every["kind"], "edit"))
    told = [not alone for alone in edited.model.leaves_alone([f"Q: {text} A:" for text in asked["text"].to_pylist()])]
    for rewritten in (True, False):  # all of them, and none
        some = asked.filter(pa.array([one is rewritten for one in told])).slice(0, 3)
        known, read[:] = evaluate(model, tokenizer, some, FEW), []
        assert score_what_differs(edited.model, some, known, score).num_rows == some.num_rows > 0
        assert read == ([some.num_rows] if rewritten else [])
