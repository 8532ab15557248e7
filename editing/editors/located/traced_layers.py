"""`layer=auto` of ROME and `layers=auto` of MEMIT: the layers at which a causal trace says this model looks facts up.

Traced are a handful of the edits' old facts, which the model should know, and of what `tracing.trace` can restore only
the feed-forward parts, at the tokens that layers are chosen by. Leaves out the whole map (`trace_run`).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from chronofacts.editing.editors import Material
from chronofacts.editing.editors.located.key_value import Site, choose_site
from chronofacts.editing.tracing.trace import TraceSettings, average, suggest_layers, trace
from chronofacts.schemas.errors import BadInput

__all__ = ["AUTO", "traced_layers"]

AUTO = "auto"
HANDFUL = TraceSettings(facts=24, draws=5, kinds=("mlp",), everywhere=False)


def traced_layers(
    model: Any, tokenizer: Any, material: Material, site: Site, count: int, option: str
) -> tuple[list[int], dict[str, Any]]:
    """`count` neighbouring layers, ascending, and what the editor's report says about how they were found.

    By the effect at the subject's last token, or at the prompt's where the store is read there (`site`). Edits of one
    model share one trace. option: `rome: layer`, for the error. Raises BadInput when the model knows none of the facts.
    """
    known = material.edits if material.known is None else material.known
    if "averages" not in material.traced:
        try:
            effects = trace(model, tokenizer, known, HANDFUL, material.progress)
        except BadInput as error:
            raise BadInput(f"{option} = auto: {error}; or name the layers yourself") from error
        material.traced["averages"] = average(effects)
        material.traced["facts"] = len(set(effects["edit_id"].to_pylist()))
    averages: pa.Table = material.traced["averages"]
    role, layers = "last subject token", suggest_layers(averages, count=count)
    if choose_site(model, site, layers[-1]) == "prompt":
        role = "last token"
        layers = suggest_layers(averages, role, count)
    peak = max(row["indirect_effect"] for row in averages.to_pylist() if row["role"] == role)
    return layers, {"traced_facts": material.traced["facts"], "traced_at": role, "indirect_effect": round(peak, 4)}
