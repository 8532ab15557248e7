"""How keys are distributed over ordinary text: the uncentred covariance C = E[k kᵀ] that ROME and MEMIT weigh by.

The text is a file, or the snapshot's own sentences. The papers' 100,000 samples of Wikipedia can be given as a file;
far fewer suffice (FastMEMIT, arXiv 2506.04226). Of a model with a chat template half of C is counted as the text
stands, half with each text as a user's turn: an edit counted on bare sentences alone changes what the model makes of
its system prompt and of the marks around every question. A run computes each C once, and a folder keeps it for other
runs, by the hash of model and text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pad_sequence

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.located.key_value import LocatedSettings
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.encoding import batches_by_length, encode, render
from chronofacts.editing.models.hooks import BeforeHook, hooked, in_rows
from chronofacts.editing.models.load import context_length, model_hash
from chronofacts.editing.progress import Progress
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import replace_file
from chronofacts.schemas.texts import read_lines

__all__ = [
    "compute_covariances",
    "covariance_key",
    "find_covariances",
    "read_texts",
    "regularise",
    "without_names",
]

WORD = re.compile(r"\w+")


def find_covariances(
    model: Any,
    tokenizer: Any,
    names: Sequence[str],
    batch: EditBatch,
    settings: LocatedSettings,
    cache: ModelCache | None = None,
    unnamed: bool = False,
) -> dict[str, torch.Tensor]:
    """C of each named matrix over the text that the settings name, from the cache where it is there.

    unnamed: only over texts that name no edited subject, as far as there are any. In chunks C is that of the base
    model, as in the papers. The cache knows a model by its hash: another one of equal shape has its own C.
    """
    cache = ModelCache() if cache is None else cache
    known = {} if cache.covariances is None else cache.covariances
    keys = {name: covariance_key(model, name, batch, settings, cache, unnamed) for name in names}
    missing = [name for name in names if keys[name] not in known]
    if missing:
        texts = read_texts(batch.sentences, settings.statistics_text, settings.statistics_texts, _names(batch, unnamed))
        folder = Path(settings.statistics_cache) if settings.statistics_cache else None
        found = compute_covariances(model, tokenizer, missing, texts, folder, batch.progress)
        known.update({keys[name]: value.cpu() for name, value in found.items()})
    device = next(model.parameters()).device
    return {name: known[keys[name]].to(device) for name in names}


def covariance_key(
    model: Any, name: str, batch: EditBatch, settings: LocatedSettings, cache: ModelCache, unnamed: bool
) -> str:
    """What C depends on: the model, the matrix and the choice of texts."""
    whole = batch.edits if batch.whole is None else batch.whole
    edits = whole["edit_id"].to_pylist() if unnamed else None
    chosen = (settings.statistics_text, settings.statistics_texts, batch.sentences.num_rows, edits)
    digest = hashlib.sha256(repr(chosen).encode()).hexdigest()[:16]
    return f"{cache.base_hash(model)} {name} {digest}"


def _names(batch: EditBatch, unnamed: bool) -> list[str]:
    """Labels and aliases of all subjects that are edited, in this chunk or another; none where any text will do."""
    whole = batch.edits if batch.whole is None else batch.whole
    rows = whole.select(["subject_label", "subject_aliases"]).to_pylist() if unnamed else ()
    return [name for row in rows for name in (row["subject_label"], *(row["subject_aliases"] or ())) if name]


def read_texts(sentences: pa.Table, file: str | None, most: int, avoided: Sequence[str] = ()) -> list[str]:
    """Up to `most` texts: the lines of a file, or the snapshot's sentences that are not held out, evenly chosen.

    avoided: names that no text may have, as long as any text is left. Raises BadInput when there are no texts.
    """
    if file is not None:
        path = Path(file)
        if not path.is_file():
            raise BadInput(f"statistics_text = {file!r}: there is no such file")
        texts = read_lines(path)
    else:
        rows = sentences.select(["form", "prompt", "answer", "held_out"]).to_pylist()
        texts = [f"{render(row['prompt'], row['form'])} {row['answer']}" for row in rows if not row["held_out"]]
    if not texts:
        raise BadInput(
            "there is no text to count keys on: a snapshot has sentences, facts of one's own bring none; give "
            "statistics_text=FILE, with a sentence a line"
        )
    texts = without_names(texts, avoided) or texts
    return texts[:: max(1, len(texts) // most)][:most]


def without_names(texts: Sequence[str], names: Sequence[str]) -> list[str]:
    """The texts that have none of the names, word by word and in their case."""
    wanted = {tuple(WORD.findall(name)) for name in names} - {()}
    lengths = {len(words) for words in wanted}

    def has_name(text: str) -> bool:
        words = WORD.findall(text)
        return any(tuple(words[begin : begin + length]) in wanted for length in lengths for begin in range(len(words)))

    return [text for text in texts if not has_name(text)]


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

    Behind a chat template it is the mean of two such means (see above). folder: keeps what was computed for this very
    model, these modules and these texts.
    """
    forms = _token_forms(model, tokenizer, texts)
    file = folder / f"{_identify(model, modules, forms)}.safetensors" if folder else None
    if file and file.is_file():
        device = next(model.parameters()).device
        return {name: tensor.to(device) for name, tensor in load_file(file).items()}
    progress(f"counting keys of {len(modules)} layers on {len(texts)} texts")
    counted = [_average_outer_products(model, modules, tokens, rows, progress) for tokens in forms]
    found = {name: torch.stack([one[name] for one in counted]).mean(0) for name in modules}
    if file:
        with replace_file(file) as part:
            save_file({name: value.cpu().contiguous() for name, value in found.items()}, part)
    return found


def regularise(covariance: torch.Tensor, ridge: float) -> torch.Tensor:
    """C with a share of its mean variance on the diagonal, so that it can be solved."""
    return covariance + ridge * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)


def _token_forms(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[list[torch.Tensor]]:
    """The texts' tokens as they stand, and behind a chat template also each as a user's turn up to the answer."""
    forms = [tokenizer(list(texts), split_special_tokens=True)["input_ids"]]
    if isinstance(tokenizer, ChatTokenizer):
        forms.append([one.ids[: one.start] for one in encode(tokenizer, texts, ["x"] * len(texts))])
    longest = context_length(model)
    return [[torch.tensor(ids[:longest]) for ids in form if len(ids)] for form in forms]


@torch.inference_mode(False)
@torch.no_grad()
def _average_outer_products(
    model: Any,
    modules: Sequence[str],
    tokens: Sequence[torch.Tensor],
    rows: int,
    progress: Callable[[str], None],
) -> dict[str, torch.Tensor]:
    parts, device = dict(model.named_modules()), next(model.parameters()).device
    sums: dict[str, torch.Tensor] = {}
    real = torch.ones((1, 1), dtype=torch.bool)  # (rows, length): no padding

    caught: set[str] = set()

    def add_to(name: str) -> BeforeHook:
        def hook(_module: Any, entering: Any) -> None:
            keys = in_rows(entering[0], len(real))[real].double()  # (tokens, in)
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


def _identify(model: Any, modules: Sequence[str], forms: Sequence[Sequence[torch.Tensor]]) -> str:
    digest = hashlib.sha256(model_hash(model).encode())
    for name in modules:
        digest.update(name.encode() + b"\0")
    for form in forms:
        for ids in form:
            digest.update(repr(ids.tolist()).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:24]
