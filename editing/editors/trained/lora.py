"""`lora`: low-rank adapters (Hu et al. 2021) by PEFT, trained on all edits at once in mini-batches.

The base model's weights are frozen and never written, so that undoing is taking the adapters out.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from peft import LoraConfig, get_peft_model
from peft.helpers import disable_input_dtype_casting

from chronofacts.editing.editors import EditBatch, EditedModel, ModelCache, undo_on_error
from chronofacts.editing.editors.trained.gradient import (
    BASE_WIDTH,
    TrainedSettings,
    choose_texts,
    parse_layers,
    train_on_texts,
)
from chronofacts.editing.models.adapters import put_adapter_on
from chronofacts.editing.models.blocks import find_linears
from chronofacts.editing.models.gradients import gradient_flags, restore_gradient_flags
from chronofacts.schemas.errors import BadInput

__all__ = ["Lora", "LoraSettings", "load_lora"]


@dataclass(frozen=True)
class LoraSettings(TrainedSettings):
    base_rate: ClassVar[float] = 1.5e-3
    largest_batch: ClassVar[int] = 32
    learnt_loss: ClassVar[float] = 0.01
    epochs: int | None = None  # type: ignore[assignment]  # wider than in the other editors
    """Passes over all texts, at most; None: five, and more where few edits would make fewer than 200 batches."""
    paraphrases: int = 3
    replay_history: float = 0.6
    replay_neighbours: float = 0.8
    rank: int = 16
    alpha: float = 32.0
    targets: Literal["attention", "mlp", "all"] = "all"
    layers: str = "all"
    """`all`, one layer (`3`) or a range with both ends (`0-1`)."""
    uses: bool = False
    """Also train what follows from the edits of the train half, as questions over two facts (`trained.uses`)."""
    uses_per_edit: int = 8
    dora: bool = False
    rslora: bool = False

    def steps_for(self, examples: int) -> int:
        if self.epochs:
            return super().steps_for(examples)
        return max(200, math.ceil(examples / self.batch_for(examples) * 5))

    def most_uses(self) -> int:
        return self.uses_per_edit if self.uses else 0

    def rate_for(self, width: int) -> float:
        """By the root of the width, since adapters begin at zero: 7e-4 at 576, 2.7e-4 at 4,096."""
        return self.base_rate * (BASE_WIDTH / width) ** 0.5 if self.learning_rate is None else self.learning_rate


@dataclass
class LoraEdit(EditedModel):
    """A model with adapters in it."""

    gradient_flags: dict[str, bool] = field(default_factory=dict)
    """Of the base before; while it carries adapters, it is frozen."""

    def save(self, folder: Path) -> None:
        """`adapter_model.safetensors` and `adapter_config.json`, as PEFT reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        for config in self.model.peft_config.values():
            if isinstance(config.target_modules, set):  # whose order differs from one process to the next
                config.target_modules = sorted(config.target_modules)
        self.model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; ours is card.json

    def undo(self) -> Any:
        model = self.model.unload()
        restore_gradient_flags(model, self.gradient_flags)
        return model.eval()


class Lora:
    Settings = LoraSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: LoraSettings, cache: ModelCache | None = None
    ) -> LoraEdit:
        """Train adapters on the edits' wordings; no edits, no change to any logit. Raises as `train_on_texts`."""
        targets = _adaptable(model, find_linears(model, settings.targets, parse_layers(settings.layers, "lora")))
        texts, flags = choose_texts(model, tokenizer, batch, settings), gradient_flags(model)
        edited = LoraEdit(_add_adapters(model, targets, settings), model, texts.prompts, gradient_flags=flags)
        with undo_on_error(edited):
            # autocast casts what enters an adapter; PEFT's own cast of it to float32 and back would be for nothing
            is_float32 = model.get_input_embeddings().weight.dtype == torch.float32
            with disable_input_dtype_casting(edited.model, active=is_float32):
                edited.report = train_on_texts(edited.model, tokenizer, texts, settings, batch, cache)
        return edited


def load_lora(model: Any, folder: Path, trained_prompts: frozenset[str] = frozenset()) -> LoraEdit:
    """The model with a saved adapter in it, in eval mode; `saved_edit.load_edit` also checks that it belongs there.

    Raises as `put_adapter_on`, with the model as it was.
    """
    flags = gradient_flags(model)
    return LoraEdit(put_adapter_on(model, folder), model, trained_prompts, gradient_flags=flags)


def _adaptable(model: Any, names: list[str]) -> list[str]:
    """Without the matrices that end a state-space layer: its fast kernels read them past any adapter, and PEFT refuses.

    Raises BadInput where nothing else is left.
    """
    parts = dict(model.named_modules())
    left = [name for name in names if not hasattr(parts[name.rpartition(".")[0]], "A_log")]
    inner = [name for name in names if name not in left and not name.endswith("out_proj")]
    if not left and not inner:
        raise BadInput(f"{type(model).__name__} has no matrix that takes an adapter; use freeze or finetune")
    return [name for name in names if name in {*left, *inner}]


def _add_adapters(model: Any, targets: list[str], settings: LoraSettings) -> Any:
    if settings.rank < 1:
        raise BadInput(f"editor lora: rank = {settings.rank}; it must be at least 1")
    adapters = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        target_modules=targets,
        lora_dropout=0.0,
        use_dora=settings.dora,
        use_rslora=settings.rslora,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(settings.seed)
        return get_peft_model(model, adapters)
