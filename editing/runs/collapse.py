"""Does a model collapse while it is edited? The perplexity of held-out text after each chunk, and at the end.

A model has collapsed when its perplexity of texts that no edit touches is `TIMES` that of the unedited model (Yang et
al. 2024, arXiv 2402.09656, find perplexity to tell a collapse that edit success does not show). A handful of texts is
read after each chunk, all of `scoring.perplexity` at the end. A run goes on: it warns, and says at which edit.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.scoring import ScoringSettings, evaluate
from chronofacts.schemas.errors import BadInput, ChronoFactsError

__all__ = ["CollapseWatch", "collapse_warnings", "perplexity_of"]

log = logging.getLogger("chronofacts.experiment")

TIMES = 10.0
TEXTS = 64
"""That are read after a chunk."""


@dataclass
class CollapseWatch:
    """Watches one editor's run."""

    editor: str
    tokenizer: Any
    probes: pa.Table
    """All of a run; those that read a text are read."""
    before: pa.Table
    """Scores (`SCORES`) of the unedited model on them."""
    scoring: ScoringSettings
    report: dict[str, Any] = field(default_factory=dict)
    """`collapse`, once there was one."""

    def after_chunk(self, model: Any, edits: Sequence[str]) -> None:
        """edits: ids of all that the model was taught, in their order."""
        texts = self.probes.filter(pc.equal(self.probes["way"], "read"))
        if self.report or not texts.num_rows:
            return
        count = min(TEXTS, texts.num_rows)
        chosen = texts.take(pa.array([index * texts.num_rows // count for index in range(count)], pa.int64()))
        self._compare(chosen, edits, lambda: evaluate(model, self.tokenizer, chosen, self.scoring))

    def at_end(self, scores: pa.Table, edits: Sequence[str]) -> None:
        """scores: of the edited model on all probes."""
        if not self.report:
            self._compare(self.probes.filter(pc.equal(self.probes["way"], "read")), edits, lambda: scores)

    def _compare(self, texts: pa.Table, edits: Sequence[str], read: Callable[[], pa.Table]) -> None:
        known = self.before.filter(pc.is_in(self.before["probe_id"], texts["probe_id"].combine_chunks()))
        try:
            now = perplexity_of(read())
        except BadInput:
            raise
        except ChronoFactsError:  # logits that are no numbers
            now = math.inf
        base = perplexity_of(known)
        if base is None or now is None or now < TIMES * base:
            return
        self.report["collapse"] = {
            "after_edits": len(edits), "edit_id": edits[-1] if edits else None,
            "perplexity": round(now, 2), "base_perplexity": round(base, 2),
        }  # fmt: skip
        for warning in collapse_warnings(self.editor, self.report):
            log.warning("%s", warning)


def perplexity_of(scores: pa.Table) -> float | None:
    """exp(sum of nll / number of tokens) over the texts that were read; None where there were none."""
    rows = scores.filter(pc.equal(scores["kind"], "general")).select(["nll_answer", "tokens"]).to_pylist()
    tokens = sum(row["tokens"] for row in rows)
    if not tokens:
        return None
    mean = sum(row["nll_answer"] * row["tokens"] for row in rows) / tokens
    return math.exp(mean) if mean < 700 else math.inf


def collapse_warnings(editor: str, report: Mapping[str, Any]) -> list[str]:
    """The sentence about an editor's collapse, if its report tells of one."""
    found = report.get("collapse")
    if not found:
        return []
    return [
        f"{editor}: the model collapsed within the first {found['after_edits']} edits (the last: {found['edit_id']}): "
        f"its perplexity of other text is {found['perplexity']:.4g}, and was {found['base_perplexity']:.4g} before; "
        "figures of a collapsed model say little: take fewer edits, larger chunks or gentler settings"
    ]
