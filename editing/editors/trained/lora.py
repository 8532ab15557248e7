"""`lora`: low-rank adapters (Hu et al. 2021) by PEFT, trained on all edits at once in mini-batches.

The base model's weights are frozen and never written, so that undoing is taking the adapters out. Which wordings are
trained, and what replay adds, is told in `examples`. Leaves out single and sequential edits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig as PeftLora
from peft import PeftModel, get_peft_model

from chronofacts.editing.editors import Material
from chronofacts.editing.editors.trained.examples import Lesson, Wording, edit_lessons, replay_lessons
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.load import context_length, find_linears
from chronofacts.editing.training import TrainingFailed, TrainingReport, TrainingSettings, train
from chronofacts.schemas.errors import BadInput

__all__ = ["Lora", "LoraOptions", "load_lora"]


@dataclass(frozen=True)
class LoraOptions:
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    rank: int = 16
    alpha: float = 32.0
    targets: Literal["attention", "mlp", "all"] = "all"
    layers: str = "all"
    """`all`, one layer (`3`) or a range with both ends (`0-1`)."""
    dora: bool = False
    rslora: bool = False
    learning_rate: float | None = None
    """None: 1.5e-3 at a width of 128, and less the wider the model, as its reciprocal (muP, Yang et al. 2022)."""
    epochs: int | None = None
    """Passes over all that is trained; None: five, and more where few edits would make fewer than 200 batches."""
    steps: int | None = None
    """Instead of epochs: how many batches."""
    batch: int = 32
    rows_at_once: int | None = None
    """Examples that go through the model at once, their gradients added up to a batch's; none: the whole batch."""
    prefix_mb: int = 2048
    """How much of what the layers below the adapters give is kept instead of computed each time."""
    stop_loss: float = 0.01
    wordings: tuple[Wording, ...] = ("prompt", "paraphrases", "cloze")
    paraphrases: int = 3
    """How many paraphrases of an edit are trained; at least one never is."""
    replay: bool = False
    replay_history: float = 0.6
    """Sentences about the edited subjects' past per trained wording of an edit."""
    replay_neighbours: float = 0.8
    """Sentences that no edit touches per trained wording of an edit."""
    seed: int = 0


@dataclass
class _LoraModel:
    """A model with adapters in it."""

    model: Any
    base: Any
    trained_prompts: frozenset[str]
    report: Mapping[str, Any]
    frozen: dict[str, bool]
    """Which parameters of the base wanted a gradient before."""

    def save(self, folder: Path) -> None:
        """`adapter_model.safetensors` and `adapter_config.json`, as PEFT reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; ours is card.json

    def undo(self) -> Any:
        model = self.model.unload()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.frozen[name])
        return model.eval()


class Lora:
    Config = LoraOptions

    def edit(self, model: Any, tokenizer: Any, edits: Material, config: LoraOptions) -> _LoraModel:
        """Train adapters on the edits' wordings; no edits, no change to any logit.

        Raises TrainingFailed, with the base model restored, when the loss is no longer a number.
        """
        targets = find_linears(model, config.targets, _layers(config.layers))
        lessons = edit_lessons(edits.edits, config.wordings, config.paraphrases)
        replayed = _replayed(edits, config, len(lessons))
        wanted_gradient = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
        adapted = _attach(model, targets, config)
        edited = _LoraModel(adapted, model, frozenset(lesson.text for lesson in lessons), {}, wanted_gradient)
        texts = lessons + replayed
        try:
            examples = encode(
                tokenizer, [one.prompt for one in texts], [one.answer for one in texts], context_length(model)
            )
            width = model.get_input_embeddings().weight.shape[1]
            settings = _training(config, len(lessons), len(replayed), width)
            report = train(adapted, examples, settings, progress=edits.progress, cache=edits.prefix)
        except (TrainingFailed, BadInput):
            edited.undo()
            raise
        edited.report = _report(adapted, report, len(lessons), len(replayed))
        return edited


def load_lora(model: Any, folder: Path, trained_prompts: frozenset[str] = frozenset()) -> _LoraModel:
    """The model with a saved adapter in it, in eval mode; `saved_edit.load_edit` also checks that it belongs there."""
    wanted_gradient = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    adapted = PeftModel.from_pretrained(model, folder).eval()
    return _LoraModel(adapted, model, trained_prompts, {}, wanted_gradient)


def _attach(model: Any, targets: list[str], config: LoraOptions) -> Any:
    if config.rank < 1:
        raise BadInput(f"editor lora: rank = {config.rank}; it must be at least 1")
    adapters = PeftLora(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        target_modules=targets,
        lora_dropout=0.0,
        use_dora=config.dora,
        use_rslora=config.rslora,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(config.seed)
        return get_peft_model(model, adapters)


def _replayed(material: Material, config: LoraOptions, lessons: int) -> list[Lesson]:
    if not config.replay or not lessons:
        return []
    if not material.sentences.num_rows:
        raise BadInput("the snapshot has no sentences to replay; use the editor without +replay")
    history, neighbours = round(lessons * config.replay_history), round(lessons * config.replay_neighbours)
    return replay_lessons(material, history, neighbours, config.seed)


def _training(config: LoraOptions, lessons: int, replayed: int, width: int) -> TrainingSettings:
    one_pass = (lessons + replayed) / config.batch
    steps = math.ceil(max(1.0, one_pass) * config.epochs) if config.epochs else max(200, math.ceil(one_pass * 5))
    if config.steps is not None:
        steps = config.steps
    return TrainingSettings(
        steps=steps if lessons else 0,
        batch_size=config.batch,
        learning_rate=1.5e-3 * 128 / width if config.learning_rate is None else config.learning_rate,
        weight_decay=0.0,
        stop_loss=config.stop_loss,
        rows_at_once=config.rows_at_once,
        cache_bytes=config.prefix_mb << 20,
        seed=config.seed,
    )


def _report(model: Any, report: TrainingReport, lessons: int, replayed: int) -> dict[str, Any]:
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return asdict(report) | {"trained_parameters": trainable, "edit_wordings": lessons, "replayed": replayed}


def _layers(text: str) -> range | None:
    if text == "all":
        return None
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise BadInput(f"editor lora: layers = {text!r}; write all, 3 or 0-1") from error
