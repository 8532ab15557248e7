"""How keys are distributed over ordinary text: the uncentred covariance C = E[k kᵀ] that ROME and MEMIT weigh by.

The text is a file, or the snapshot's own sentences. The papers' 100,000 samples of Wikipedia can be given as a file;
far fewer suffice (FastMEMIT, arXiv 2506.04226). A folder keeps results by the hash of model and text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pad_sequence

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.located.key_value import LocatedSettings
from chronofacts.editing.models.encoding import batches_by_length, render
from chronofacts.editing.models.hooks import BeforeHook, hooked
from chronofacts.editing.models.load import context_length, model_hash
from chronofacts.editing.progress import Progress
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import replace_file

__all__ = ["compute_covariances", "find_covariances", "read_texts", "regularise"]


def find_covariances(
    model: Any,
    tokenizer: Any,
    names: Sequence[str],
    batch: EditBatch,
    settings: LocatedSettings,
    cache: ModelCache | None = None,
) -> Mapping[str, torch.Tensor]:
    """C of each named matrix over the text that the settings name, from the cache where it is there."""
    known = cache.covariances if cache and cache.covariances is not None else {}
    if not set(names) <= known.keys():
        texts = read_texts(batch.sentences, settings.statistics_text, settings.statistics_texts)
        folder = Path(settings.statistics_cache) if settings.statistics_cache else None
        known |= compute_covariances(model, tokenizer, names, texts, folder, batch.progress)
    return {name: known[name] for name in names}


def read_texts(sentences: pa.Table, file: str | None, most: int) -> list[str]:
    """Up to `most` texts: the lines of a file, or the snapshot's sentences that are not held out, evenly chosen.

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
    return texts[:: max(1, len(texts) // most)][:most]


def compute_covariances(
    model: Any,
    tokenizer: Any,
    modules: Sequence[str],
    texts: Sequence[str],
    folder: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
    rows: int = 64,
) -> dict[str, torch.Tensor]:
    """Per module, the mean of k kᵀ over every token of the texts: (in, in), float64, on the model's device.

    folder: keeps what was computed for this very model, these modules and these texts.
    """
    file = folder / f"{_identify(model, modules, texts)}.safetensors" if folder else None
    if file and file.is_file():
        device = next(model.parameters()).device
        return {name: tensor.to(device) for name, tensor in load_file(file).items()}
    progress(f"counting keys of {len(modules)} layers on {len(texts)} texts")
    found = _average_outer_products(model, tokenizer, modules, texts, rows, progress)
    if file:
        with replace_file(file) as part:
            save_file({name: value.cpu().contiguous() for name, value in found.items()}, part)
    return found


def regularise(covariance: torch.Tensor, ridge: float) -> torch.Tensor:
    """C with a share of its mean variance on the diagonal, so that it can be solved."""
    return covariance + ridge * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)


@torch.inference_mode(False)
@torch.no_grad()
def _average_outer_products(
    model: Any,
    tokenizer: Any,
    modules: Sequence[str],
    texts: Sequence[str],
    rows: int,
    progress: Callable[[str], None],
) -> dict[str, torch.Tensor]:
    parts, device = dict(model.named_modules()), next(model.parameters()).device
    encoded = tokenizer(list(texts), split_special_tokens=True)["input_ids"]
    tokens = [torch.tensor(ids[: context_length(model)]) for ids in encoded if ids]
    sums: dict[str, torch.Tensor] = {}
    real = torch.ones((1, 1), dtype=torch.bool)  # (rows, length): no padding

    caught: set[str] = set()

    def add_to(name: str) -> BeforeHook:
        def hook(_module: Any, entering: Any) -> None:
            keys = entering[0][real].double()  # (tokens, in)
            sums[name] = sums.get(name, 0) + keys.T @ keys
            caught.add(name)
            if len(caught) == len(modules):
                raise _AllCaught

        return hook

    counted, done = Progress(progress, "counting keys: text", len(tokens)), 0
    with hooked(before=[(parts[name], add_to(name)) for name in modules]):
        for indices in batches_by_length([len(ids) for ids in tokens], rows):
            several = [tokens[index] for index in indices]
            real = pad_sequence([torch.ones_like(ids, dtype=torch.bool) for ids in several], True).to(device)
            caught.clear()
            with suppress(_AllCaught):
                model(input_ids=pad_sequence(several, True).to(device), use_cache=False)
            done += len(indices)
            counted.update(done)
    count = sum(map(len, tokens))
    return {name: value / count for name, value in sums.items()}


class _AllCaught(Exception):
    """Ends a forward pass: the layers above, and the vocabulary head, have no part in the keys."""


def _identify(model: Any, modules: Sequence[str], texts: Sequence[str]) -> str:
    digest = hashlib.sha256(model_hash(model).encode())
    for text in [*modules, "", *texts]:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:24]
