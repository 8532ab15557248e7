"""`layer=auto` of ROME and `layers=auto` of MEMIT: the layers at which a causal trace says this model looks facts up.

The trace takes a handful of the edits' old facts, which the model should know, and restores only the feed-forward
parts at the two tokens that decide. `runs.trace_run` draws the whole map.
"""

from __future__ import annotations

from typing import Any

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.located.key_value import LookupPosition, choose_position
from chronofacts.editing.tracing.layers import average, suggest_layers
from chronofacts.editing.tracing.trace import TraceSettings, trace
from chronofacts.schemas.errors import BadInput

__all__ = ["AUTO", "trace_layers"]

AUTO = "auto"
HANDFUL = TraceSettings(facts=24, draws=5, kinds=("mlp",), everywhere=False)


def trace_layers(
    model: Any,
    tokenizer: Any,
    batch: EditBatch,
    position: LookupPosition,
    count: int,
    option: str,
    cache: ModelCache | None = None,
) -> tuple[list[int], dict[str, Any]]:
    """`count` neighbouring layers, ascending, and what the editor's report says about how they were found.

    By the effect at the subject's last token, or at the prompt's where that is the lookup position. Edits of one model
    share one trace (`cache`). option: `rome: layer`, for the error. Raises BadInput when the model knows no fact.
    """
    cache = cache or ModelCache()
    if cache.trace is None:
        try:
            whole = batch.edits if batch.whole is None else batch.whole
            effects = trace(model, tokenizer, whole, HANDFUL, batch.progress)
        except BadInput as error:
            raise BadInput(f"{option} = auto: {error}; or name the layers yourself") from error
        cache.trace = average(effects), len(set(effects["edit_id"].to_pylist()))
    averages, facts = cache.trace
    role, layers = "last subject token", suggest_layers(averages, count=count)
    if choose_position(model, position, layers[-1]) == "prompt":
        role = "last token"
        layers = suggest_layers(averages, role, count)
    peak = max(row["indirect_effect"] for row in averages.to_pylist() if row["role"] == role)
    return layers, {"traced_facts": facts, "traced_at": role, "indirect_effect": round(peak, 4)}
