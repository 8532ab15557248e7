"""Load a causal language model with its tokenizer; tell one model from another; ask it for logits.

Leaves out: downloads' credentials (huggingface_hub's own), `trust_remote_code`, pickled weights.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from chronofacts.editing.models.adapters import base_name, is_adapter, put_adapter_on
from chronofacts.editing.models.chat import Chat, with_chat
from chronofacts.editing.models.control_tokens import control_tokens, turn_ends
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.find import fetch, find_model, near_names
from chronofacts.editing.models.folder_checks import check_folder
from chronofacts.editing.models.key_value_cache import reading
from chronofacts.editing.models.library_errors import library_errors
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.ids import is_hub_model

__all__ = [
    "answer_logits",
    "call_keeping",
    "context_length",
    "keeps_some_logits",
    "load_model",
    "model_hash",
    "save_model",
]

log = logging.getLogger("chronofacts.models")

SPARE = 1_000_000
"""Numbers by which a configuration may describe more than its files hold: buffers, tied weights of a small model."""
PACKED = 20
"""Numbers that one of a quantized file may stand for: sixteen of two bits in a word of 32, and some more."""
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

    Weights come from safetensors only; of an adapter (PEFT) they are merged into its base. revision: branch, tag or
    commit of a Hub model. device_map: `auto` spreads the
    layers over all GPUs (accelerate), instead of one device. chat: whether prompts go through the chat template
    (`editing.models.chat`). Raises BadInput when the model cannot be found, is damaged, hostile or no causal LM, lacks
    weights, has another vocabulary than its tokenizer, or does not fit the devices.
    """
    if dtype not in DTYPES:
        raise BadInput(f"dtype {dtype!r} is not known; take one of {', '.join(DTYPES)}")
    chosen = None if device_map else _device(device)
    if device_map and device != "auto":
        raise BadInput(f"device = {device} and device_map = {device_map} exclude each other; leave one out")
    if device_map and find_spec("accelerate") is None:
        raise BadInput("device_map needs accelerate; install it with: pip install 'chronofacts[gpus]'")
    folder, path = _find_folder(name_or_dir, revision)
    load = _load_merged if is_adapter(folder) else _load_folder
    model, tokenizer = load(folder, name_or_dir, dtype, device_map)
    model.config._name_or_path = tokenizer.name_or_path = path  # and not where the Hub's cache has it
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if chosen is not None:
        model = model.to(chosen)
    elif any(parameter.is_meta for parameter in model.parameters()):
        raise BadInput(f"the model {name_or_dir!r} does not fit the devices; take dtype=bfloat16 or a smaller model")
    speaking = with_chat(tokenizer, chat, name_or_dir, turn_ends(model))
    _check_vocabulary(model, tokenizer, speaking, name_or_dir)
    return model.eval(), speaking


def _find_folder(name: str, revision: str | None) -> tuple[Path, str]:
    """The folder of the model, fetched from the Hub where it lies there, and the folder's or the repository's name.

    Raises BadInput for a name of nothing.
    """
    path, revision = find_model(name, revision)
    if Path(path).is_dir():
        return Path(path), path
    of_revision = f" at revision {revision}" if revision else ""

    def refusal(reason: str) -> BadInput:
        return BadInput(
            f"the model {name!r}{of_revision} cannot be loaded ({reason}); name a Hub model, a folder with config.json "
            f"and safetensors, a GGUF file or a short name; {near_names(name)}"
        )

    if not is_hub_model(path):
        raise refusal("there is no such folder")
    with library_errors(refusal):
        return fetch(path, revision), path


def _load_folder(folder: Path, name: str, dtype: str, device_map: str | None) -> tuple[Any, Any]:
    """The model in a folder that was looked at first, whole or not at all."""
    held = sum(tensor.numbers for tensor in check_folder(folder).values())
    spread = {"device_map": device_map} if device_map else {}
    with library_errors(partial(_unreadable, name)):
        try:
            _check_size(AutoConfig.from_pretrained(folder, trust_remote_code=False), held, name)
            with library_errors(partial(_no_tokenizer, name)):
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=DTYPES[dtype], use_safetensors=True, trust_remote_code=False, output_loading_info=True,
                ignore_mismatched_sizes=True,
                **spread,
            )  # fmt: skip
        except torch.OutOfMemoryError as error:
            raise BadInput(f"the model {name!r} does not fit the memory; take dtype=bfloat16 or cpu") from error
    model, report = loaded
    if other := sorted(report["mismatched_keys"]):
        raise BadInput(
            f"the model {name!r} has weights of other sizes than its configuration says "
            f"({other[0][0]}: {other[0][1:]}); download both again"
        )
    if missing := sorted(report["missing_keys"]):
        raise BadInput(
            f"the model {name!r} lacks {len(missing)} of its weights ({missing[0]}), which would be made up at random; "
            "download it again, or take one that was saved for writing text"
        )
    return model, tokenizer


def _load_merged(folder: Path, name: str, dtype: str, device_map: str | None) -> tuple[Any, Any]:
    """An adapter's base model with the adapter in its weights, so that editors find an ordinary model."""
    base = base_name(folder)
    under, _ = _find_folder(base, None)
    if is_adapter(under):
        raise BadInput(f"{name!r} is an adapter of an adapter, {base!r}; merge that one first and name the result")
    model, tokenizer = _load_folder(under, base, dtype, device_map)
    log.warning("%s is an adapter of %s, and is merged into it", name, base)
    merged = put_adapter_on(model, folder).merge_and_unload()
    if (folder / "tokenizer_config.json").is_file():
        with library_errors(partial(_unreadable, name)):
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return merged.requires_grad_(True), tokenizer


def _no_tokenizer(name: str, reason: str) -> BadInput:
    return BadInput(
        f"the model {name!r} has no tokenizer that can be read ({reason}); put tokenizer.json and "
        "tokenizer_config.json beside its weights"
    )


def _unreadable(name: str, reason: str) -> BadInput:
    return BadInput(
        f"the model {name!r} cannot be loaded ({reason}); it is damaged, quantized for a package that is not "
        "installed, or of a kind that writes no text: take another, or download it again"
    )


def _check_size(config: Any, held: int, name: str) -> None:
    """Raises BadInput where the configuration describes far more numbers than the files hold."""
    most = (PACKED if getattr(config, "quantization_config", None) is not None else 1.5) * held + SPARE
    try:
        with torch.device("meta"):
            described = AutoModelForCausalLM.from_config(config, trust_remote_code=False).num_parameters()
    except Exception:  # the loading itself then says what is wrong
        return
    if described > most:
        raise BadInput(
            f"the model {name!r} is described as {described:,} numbers, and its files hold {held:,}; download it again"
        )


def _check_vocabulary(model: Any, tokenizer: Any, speaking: Any, name: str) -> None:
    """Raises BadInput where prompts can have tokens that the model has no embedding for."""
    rows = model.get_input_embeddings().weight.shape[0]
    unreachable = set(control_tokens(tokenizer).ids.values())  # but by a template, since no text spells them
    beyond = {number for number in tokenizer.get_vocab().values() if number >= rows} - unreachable
    beyond |= {number for number in encode(speaking, ["x"], ["x"])[0].ids if number >= rows}
    if beyond:
        raise BadInput(
            f"the model {name!r} has embeddings for {rows:,} tokens, and its tokenizer has more ({len(beyond)} beyond, "
            f"such as {tokenizer.convert_ids_to_tokens(min(beyond))!r}); take the tokenizer that belongs to it"
        )


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


CONTEXT_NAMES = ("max_position_embeddings", "max_seq_len")
"""What families call the number of positions; the second is MPT's."""


def context_length(model: Any) -> int | None:
    """How many tokens the model can read; None where it does not say."""
    configs = [model.config, *([model.config.get_text_config()] if hasattr(model.config, "get_text_config") else [])]
    lengths = (getattr(config, name, None) for config in configs for name in CONTEXT_NAMES)
    return next((int(length) for length in lengths if length), None)


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


def call_keeping(model: Any, logits_to_keep: int | torch.Tensor, **given: Any) -> Any:
    """The model's output with the logits of these positions alone (a number: of so many last ones; 0: of all).

    Also of a family whose vocabulary head runs everywhere.
    """
    everything = isinstance(logits_to_keep, int) and not logits_to_keep
    if everything or keeps_some_logits(model):
        return model(**given, **({} if everything else {"logits_to_keep": logits_to_keep}))
    output = model(**given)
    last = isinstance(logits_to_keep, int)
    output.logits = output.logits[:, -logits_to_keep:] if last else output.logits[:, logits_to_keep]
    return output


def keeps_some_logits(model: Any) -> bool:
    """Can the vocabulary head be run on some positions alone?"""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(inner.forward).parameters
