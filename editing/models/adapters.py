"""A LoRA adapter in PEFT's files, put onto a model: what it says is checked against what the model and the file have.

Which matrices it adapts and at which rank is taken from the tensors themselves. Of its configuration only numbers and
switches are read: PEFT would import modules, open pickles and match patterns that such a file names.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file

from chronofacts.editing.models.blocks import is_matrix
from chronofacts.editing.models.folder_checks import ADAPTER_CONFIG
from chronofacts.editing.models.library_errors import library_errors
from chronofacts.editing.models.weight_files import read_json, read_shapes
from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = ["ADAPTER", "base_name", "is_adapter", "put_adapter_on"]

ADAPTER = "adapter_model.safetensors"
TENSOR = re.compile(
    r"base_model\.model\.(?P<module>[\w.]{1,300})\.(?P<part>lora_A|lora_B|lora_magnitude_vector)(\.weight)?"
)
SIMPLE = re.compile(r"[\w.]{1,300}", re.ASCII)
"""A name, where PEFT takes a pattern."""
REFUSED = {
    "modules_to_save": "trains whole modules",
    "target_parameters": "adapts parameters that are in no module of their own",
    "layer_replication": "repeats layers",
    "trainable_token_indices": "trains tokens",
    "use_bdlora": "splits its matrices",
    "use_qalora": "is made for a quantized model",
    "alora_invocation_tokens": "begins at certain tokens",
    "lora_bias": "has biases",
    "arrow_config": "chooses among adapters",
    "velora_config": "is of a kind that is not read",
    "kasa_config": "is of a kind that is not read",
    "monteclora_config": "is of a kind that is not read",
}
"""What would make the model another one than is loaded here."""


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file()


def base_name(folder: Path) -> str:
    """The model that the adapter belongs to. Raises BadInput where it does not say."""
    name = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(name, str) or not name.strip() or len(name) > 4096 or "\0" in name:
        raise BadInput(
            f"{folder} is an adapter and does not name its base model; merge it into that and name the result"
        )
    return name


def put_adapter_on(model: Any, folder: Path) -> PeftModel:
    """The model with the adapter in it, in eval mode.

    Raises BadInput for an adapter of another kind than LoRA or without safetensors, CheckFailed for one that is damaged
    or made for another model.
    """
    config = read_json(folder / ADAPTER_CONFIG)
    if str(config.get("peft_type")).upper() != "LORA":
        raise BadInput(f"{folder} is an adapter of the kind {config.get('peft_type')!r:.40}; only LORA can be read")
    if not (folder / ADAPTER).is_file():
        raise BadInput(f"{folder} has no {ADAPTER}; save the adapter as safetensors (pickled ones are not opened)")
    asked = [f"{name} ({what})" for name, what in REFUSED.items() if config.get(name)]
    asked += [f"bias = {config['bias']!r:.20}"] if config.get("bias", "none") != "none" else []
    if asked:
        raise BadInput(f"{folder} cannot be read: it has {', '.join(asked)}; merge it into its base model instead")
    ranks = _check_tensors(model, folder, bool(config.get("use_dora")))
    chosen = LoraConfig(
        r=max(ranks.values()),
        lora_alpha=_number(config, "lora_alpha", folder),  # type: ignore[arg-type]
        target_modules=sorted(ranks),
        rank_pattern={name: rank for name, rank in ranks.items() if rank != max(ranks.values())},
        alpha_pattern=_alphas(config, folder),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        inference_mode=True,
        use_rslora=bool(config.get("use_rslora")),
        use_dora=bool(config.get("use_dora")),
        fan_in_fan_out=bool(config.get("fan_in_fan_out")),
    )
    with library_errors(lambda reason: CheckFailed(f"{folder} does not fit the model ({reason}); make it again")):
        tensors = load_file(folder / ADAPTER)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise CheckFailed(f"{folder / ADAPTER} holds what is no number; make the adapter again")
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapted = get_peft_model(model, chosen)
            try:
                _fill(adapted, tensors, folder)
            except BaseException:
                adapted.unload()
                raise
    return adapted.eval()  # type: ignore[no-any-return]


def _fill(adapted: PeftModel, tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    report: Any = set_peft_model_state_dict(adapted, dict(tensors))
    missing = [name for name in report.missing_keys if "lora_" in name]
    if missing or report.unexpected_keys:
        odd = (missing or report.unexpected_keys)[0]
        raise CheckFailed(f"{folder / ADAPTER} lacks or has too much ({odd}); copy the whole adapter again")


def _check_tensors(model: Any, folder: Path, dora: bool) -> dict[str, int]:
    """Module -> rank. Raises CheckFailed where tensors do not fit each other or the model's matrices."""
    file, parts = folder / ADAPTER, dict(model.named_modules())
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, (_, shape) in read_shapes(file).items():
        found = TENSOR.fullmatch(name)
        if found is None:
            raise CheckFailed(f"{file} holds {name!r:.100}, which is no part of a LoRA adapter; make it again")
        shapes.setdefault(found["module"], {})[found["part"]] = shape
    if not shapes:
        raise CheckFailed(f"{file} holds no adapter; make it again")
    for name, own in shapes.items():
        part = parts.get(name)
        if part is None or not is_matrix(part):
            raise CheckFailed(f"{file} adapts {name:.100}, which the model does not have; load its own base model")
        out, width = part.weight.shape if isinstance(part, torch.nn.Linear) else tuple(part.weight.shape)[::-1]
        a, b = own.get("lora_A", ()), own.get("lora_B", ())
        fits = len(a) == len(b) == 2 and a[0] == b[1] >= 1 and (b[0], a[1]) == (out, width)
        if not fits or (dora and own.get("lora_magnitude_vector") != (out,)):
            raise CheckFailed(f"{file}: the sizes {a} and {b} do not fit {name:.100} ({out}, {width}); make it again")
    return {name: own["lora_A"][0] for name, own in shapes.items()}


def _number(config: Mapping[str, Any], name: str, folder: Path) -> float:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CheckFailed(f"{folder / ADAPTER_CONFIG} says {name} = {value!r:.40}; it must be a number")
    return value


def _alphas(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    found = config.get("alpha_pattern") or {}
    if not isinstance(found, dict) or not all(SIMPLE.fullmatch(name) for name in found):
        raise BadInput(f"{folder} names the modules of alpha_pattern by patterns; merge it into its base model instead")
    return {name: _number(found, name, folder) for name in found}
