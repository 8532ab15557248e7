"""How keys are distributed over ordinary text: the uncentred covariance C = E[k kᵀ] that ROME and MEMIT weigh by.

The text is a file, or the snapshot's own sentences; a result is kept by the hash of model and text. Leaves out
downloads: the papers' 100,000 samples of Wikipedia can be given as a file, and far fewer suffice (FastMEMIT,
arXiv 2506.04226).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from chronofacts.editing.models.encoding import render
from chronofacts.editing.models.load import context_length, model_hash
from chronofacts.schemas.errors import BadInput

__all__ = ["covariances", "regularised", "texts_from"]


def texts_from(sentences: pa.Table, file: str | None, most: int) -> list[str]:
    """Up to `most` texts: the lines of a file, or the snapshot's sentences that are not held out, evenly spread.

    Raises BadInput when there are none.
    """
    if file is not None:
        path = Path(file)
        if not path.is_file():
            raise BadInput(f"statistics_text = {file!r}: there is no such file")
        texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        rows = sentences.select(["form", "prompt", "answer", "held_out"]).to_pylist()
        texts = [f"{render(row['prompt'], row['form'])} {row['answer']}" for row in rows if not row["held_out"]]
    if not texts:
        raise BadInput("there is no text to count keys on; name a file with --set statistics_text=FILE")
    step = max(1, len(texts) // most)
    return texts[::step][:most]


def covariances(
    model: Any,
    tokenizer: Any,
    modules: Sequence[str],
    texts: Sequence[str],
    cache: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
    rows: int = 64,
) -> Mapping[str, torch.Tensor]:
    """Per module, the mean of k kᵀ over every token of the texts: (in, in), float64, on the model's device.

    cache: a folder; what was computed there for this very model, these modules and these texts is read back.
    """
    file = cache / f"{_identity(model, modules, texts)}.safetensors" if cache else None
    device = next(model.parameters()).device
    if file and file.is_file():
        with safe_open(file, framework="pt") as kept:
            return {name: kept.get_tensor(name).to(device) for name in modules}
    progress(f"counting keys of {len(modules)} layers on {len(texts)} texts")
    sums = _sum_outer_products(model, tokenizer, modules, texts, rows)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        save_file({name: value.cpu().contiguous() for name, value in sums.items()}, part)
        part.replace(file)
    return sums


def regularised(covariance: torch.Tensor, ridge: float) -> torch.Tensor:
    """C with a share of its mean variance on the diagonal, so that it can be solved."""
    return covariance + ridge * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)


@torch.inference_mode(False)
@torch.no_grad()
def _sum_outer_products(
    model: Any, tokenizer: Any, modules: Sequence[str], texts: Sequence[str], rows: int
) -> dict[str, torch.Tensor]:
    parts, device = dict(model.named_modules()), next(model.parameters()).device
    ids = tokenizer(list(texts), split_special_tokens=True)["input_ids"]
    longest = context_length(model) or max(map(len, ids))
    ordered = sorted((tuple(one[:longest]) for one in ids if one), key=len)
    sums: dict[str, torch.Tensor] = {}
    real = torch.ones((1, 1), dtype=torch.bool)

    def add(name: str) -> Callable[[Any, Any], None]:
        def hook(_module: Any, entering: Any) -> None:
            keys = entering[0][real].double()  # (tokens, in)
            sums[name] = sums.get(name, 0) + keys.T @ keys

        return hook

    watches = [parts[name].register_forward_pre_hook(add(name)) for name in modules]
    try:
        for begin in range(0, len(ordered), rows):
            chunk = ordered[begin : begin + rows]
            width = len(chunk[-1])
            padded = torch.tensor([[*one, *[0] * (width - len(one))] for one in chunk], device=device)
            real = torch.tensor([[place < len(one) for place in range(width)] for one in chunk], device=device)
            model(input_ids=padded, use_cache=False)
    finally:
        for watch in watches:
            watch.remove()
    count = sum(map(len, ordered))
    return {name: value / count for name, value in sums.items()}


def _identity(model: Any, modules: Sequence[str], texts: Sequence[str]) -> str:
    digest = hashlib.sha256(model_hash(model).encode())
    for text in [*modules, "", *texts]:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:24]
