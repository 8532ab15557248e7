"""Load a causal language model with its tokenizer; tell one model from another; ask it for logits.

Leaves out: downloads' credentials (huggingface_hub's own), `trust_remote_code`, pickled weights.
"""

from __future__ import annotations

import hashlib
import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from chronofacts.editing.models.chat import Chat, chatting
from chronofacts.editing.models.control_tokens import turn_ends
from chronofacts.editing.models.find import find_model, near_names
from chronofacts.editing.models.key_value_cache import reading
from chronofacts.schemas.errors import BadInput

__all__ = [
    "answer_logits",
    "context_length",
    "keeps_some_logits",
    "load_model",
    "model_hash",
    "save_model",
]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "auto": "auto"}


def load_model(
    name_or_dir: str,
    dtype: str = "float32",
    device: str = "auto",
    revision: str | None = None,
    device_map: str | None = None,
    chat: Chat = "auto",
) -> tuple[Any, Any]:
    """A causal LM in eval mode and its tokenizer, which is given a pad token when it has none.

    Weights come from safetensors only. revision: branch, tag or commit of a Hub model. device_map: `auto` spreads the
    layers over all GPUs (accelerate), instead of one device. chat: whether prompts go through the chat template
    (`editing.models.chat`). Raises BadInput when the model cannot be found, is no causal LM, or does not fit the
    devices.
    """
    if dtype not in DTYPES:
        raise BadInput(f"dtype {dtype!r} is not known; take one of {', '.join(DTYPES)}")
    chosen = None if device_map else _device(device)
    if device_map and device != "auto":
        raise BadInput(f"device = {device} and device_map = {device_map} exclude each other; leave one out")
    if device_map and find_spec("accelerate") is None:
        raise BadInput("device_map needs accelerate; install it with: pip install 'chronofacts[gpus]'")
    path, revision = find_model(name_or_dir, revision)
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    spread = {"device_map": device_map} if device_map else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=DTYPES[dtype], use_safetensors=True, **options, **spread
        )
    except (OSError, ValueError, KeyError) as error:
        of_revision = f" at revision {revision}" if revision else ""
        raise BadInput(
            f"the model {name_or_dir!r}{of_revision} cannot be loaded ({str(error).splitlines()[0]}); "
            f"name a Hub model, a folder with config.json and safetensors, a GGUF file or a short name; "
            f"{near_names(name_or_dir)}"
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if chosen is not None:
        model = model.to(chosen)  # type: ignore[arg-type]
    elif any(parameter.is_meta for parameter in model.parameters()):
        raise BadInput(f"the model {name_or_dir!r} does not fit the devices; take dtype=bfloat16 or a smaller model")
    return model.eval(), chatting(tokenizer, chat, name_or_dir, turn_ends(model))


def _device(wanted: str) -> torch.device:
    """Raises BadInput for a device that there is not."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(wanted)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(f"device = {wanted} is not there ({str(error).splitlines()[0]}); take auto or cpu") from error
    return chosen


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """An ordinary Hugging Face folder: config, safetensors, tokenizer."""
    disable_progress_bar()  # a bar for one small file
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def model_hash(model: nn.Module) -> str:
    """sha256 over the names, types, shapes and bytes of all parameters and buffers, 16 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def context_length(model: Any) -> int | None:
    """How many tokens the model can read; None where it does not say."""
    length = getattr(model.config, "max_position_embeddings", None)
    return int(length) if length else None


def answer_logits(model: Any, ids: torch.Tensor, first: int, cache: Any = None) -> torch.Tensor:
    """Logits that predict the tokens from position `first` on.

    ids: (rows, length). cache: what the model has read before each row. Returns (rows, length - first, vocabulary). The
    vocabulary head, which takes most of a small model's time, runs on these positions alone where the architecture
    allows it.
    """
    read = reading(model, cache)
    if keeps_some_logits(model):
        wanted = torch.arange(first - 1, ids.shape[1] - 1, device=ids.device)
        return model(input_ids=ids, logits_to_keep=wanted, **read).logits  # type: ignore[no-any-return]
    return model(input_ids=ids, **read).logits[:, first - 1 : -1]  # type: ignore[no-any-return]


def keeps_some_logits(model: Any) -> bool:
    """Can the vocabulary head be run on some positions alone?"""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(inner.forward).parameters
