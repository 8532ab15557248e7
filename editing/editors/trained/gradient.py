"""What the editors that train by gradient share: their settings, their lessons, and weights that can be put back.

The lessons are told in `examples`, the loop in `training`. Leaves out what each editor trains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from chronofacts.editing.editors import EditedModel, Material
from chronofacts.editing.editors.trained.examples import Lesson, Wording, edit_lessons, replay_lessons
from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.models.load import context_length, model_hash
from chronofacts.editing.training import TrainingReport, TrainingSettings, train
from chronofacts.schemas.errors import BadInput

__all__ = [
    "DELTA",
    "Lessons",
    "TrainedOptions",
    "WeightEdit",
    "gather_lessons",
    "merge_edit",
    "parse_layers",
    "train_weights",
    "weight_names",
]

DELTA = "delta.safetensors"


@dataclass(frozen=True)
class TrainedOptions:
    """The `--set` keys of every editor that trains."""

    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    learning_rate: float = 1e-3
    epochs: int = 20
    """Passes over the edits' wordings; replayed sentences come on top."""
    steps: int | None = None
    """Instead of epochs: how many batches."""
    batch: int = 64
    rows_at_once: int | None = None
    """Examples that go through the model at once, their gradients added up to a batch's; none: the whole batch."""
    prefix_mb: int = 2048
    """How much of what the frozen layers below give is kept instead of computed each time."""
    stop_loss: float = 0.005
    wordings: tuple[Wording, ...] = ("prompt", "paraphrases", "cloze")
    paraphrases: int = 2
    """How many paraphrases of an edit are trained; at least one never is."""
    replay: bool = False
    replay_history: float = 0.5
    """Sentences about the edited subjects' past per trained wording of an edit."""
    replay_neighbours: float = 1.0
    """Sentences that no edit touches per trained wording of an edit."""
    seed: int = 0


@dataclass(frozen=True)
class Lessons:
    """What is trained: the edits' wordings, then what must be kept."""

    edits: list[Lesson]
    replayed: list[Lesson]

    @property
    def texts(self) -> frozenset[str]:
        return frozenset(lesson.text for lesson in self.edits)

    def encode(self, model: Any, tokenizer: Any) -> list[Encoded]:
        """All lessons as tokens. Raises BadInput for one that is longer than the model's context."""
        both = self.edits + self.replayed
        return encode(tokenizer, [one.prompt for one in both], [one.answer for one in both], context_length(model))


def gather_lessons(material: Material, config: TrainedOptions) -> Lessons:
    """The edits' chosen wordings, and the replayed sentences if the settings ask for them.

    Raises BadInput when replay is asked for and the snapshot has no sentences.
    """
    edits = edit_lessons(material.edits, config.wordings, config.paraphrases)
    if not config.replay or not edits:
        return Lessons(edits, [])
    if not material.sentences.num_rows:
        raise BadInput("the snapshot has no sentences to replay; use the editor without +replay")
    history, neighbours = round(len(edits) * config.replay_history), round(len(edits) * config.replay_neighbours)
    return Lessons(edits, replay_lessons(material, history, neighbours, config.seed))


@dataclass
class WeightEdit:
    """A model of which some weights were changed in place."""

    model: Any
    before: dict[str, torch.Tensor]
    """The changed parameters as they were."""
    trained_prompts: frozenset[str] = frozenset()
    report: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """`delta.safetensors`: the changed parameters with their new values, and the base model's hash.

        New values and no differences: a sum of floats would not give the edited model back bit for bit.
        """
        folder.mkdir(parents=True, exist_ok=True)
        now = dict(self.model.named_parameters())
        changed = {name: now[name].detach().cpu().contiguous().clone() for name in self.before}
        with self._restored():
            base = model_hash(self.model)
        save_file(changed, folder / DELTA, metadata={"base_model_hash": base})

    def undo(self) -> Any:
        self._write(self.before)
        return self.model.eval()

    @contextmanager
    def _restored(self) -> Any:
        now = dict(self.model.named_parameters())
        edited = {name: now[name].detach().clone() for name in self.before}
        self._write(self.before)
        try:
            yield
        finally:
            self._write(edited)

    @torch.no_grad()
    def _write(self, values: Mapping[str, torch.Tensor]) -> None:
        now = dict(self.model.named_parameters())
        for name, value in values.items():
            now[name].copy_(value)


def merge_edit(edited: EditedModel) -> EditedModel:
    """The edit in the model's own weights, so that what is edited is an ordinary model (`models.load.save_model`).

    `undo` of what is returned gives the base back bit for bit; what was given is of no more use. Raises BadInput for
    an edit that is no change of weights (p-tuning, in-context, memory).
    """
    if isinstance(edited.model, PreTrainedModel):
        return edited
    if not hasattr(edited.model, "merge_and_unload"):
        raise BadInput("this edit stands beside the model's weights and cannot be merged into them; load it instead")
    adapted = {
        name: part for name, part in edited.model.get_base_model().named_modules() if hasattr(part, "base_layer")
    }
    before = {f"{name}.weight": part.base_layer.weight.detach().clone() for name, part in adapted.items()}
    merged = edited.model.merge_and_unload().eval()
    for name, parameter in merged.named_parameters():
        parameter.requires_grad_(getattr(edited, "frozen", {}).get(name, True))
    return WeightEdit(merged, before, edited.trained_prompts, edited.report)


def train_weights(
    model: Any,
    tokenizer: Any,
    names: Sequence[str],
    lessons: Lessons,
    config: TrainedOptions,
    material: Material,
    after_step: Callable[[Mapping[str, torch.Tensor]], None] | None = None,
) -> WeightEdit:
    """Train the named parameters in place at full rank; everything else stays frozen.

    after_step: called after every step with the weights as they were before the edit. No lessons, no change.
    Raises TrainingFailed or BadInput with the model restored.
    """
    parameters = dict(model.named_parameters())
    before = {name: parameters[name].detach().clone() for name in names}
    edited = WeightEdit(model, before, lessons.texts)
    wanted_gradient = {name: parameter.requires_grad for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in before)
    try:
        examples = lessons.encode(model, tokenizer) if lessons.edits else []
        settings = _settings(config, len(lessons.edits), len(lessons.replayed))
        step = (lambda: after_step(before)) if after_step else None
        report = train(model, examples, settings, None, step, material.progress, material.prefix)
    except BaseException:
        edited.undo()
        raise
    finally:
        for name, parameter in parameters.items():
            parameter.requires_grad_(wanted_gradient[name])
            parameter.grad = None
    edited.report = _report(report, before, lessons)
    return edited


def parse_layers(text: str, editor: str) -> range | None:
    """`all` (None), one layer (`3`) or a range with both ends (`0-1`). Raises BadInput for anything else."""
    if text == "all":
        return None
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise BadInput(f"editor {editor}: layers = {text!r}; write all, 3 or 0-1") from error


def weight_names(model: nn.Module, modules: Sequence[str]) -> list[str]:
    """Parameters (weight and bias) of the named modules."""
    parts = dict(model.named_modules())
    return [f"{module}.{name}" for module in modules for name, _ in parts[module].named_parameters(recurse=False)]


def _settings(config: TrainedOptions, lessons: int, replayed: int) -> TrainingSettings:
    one_pass = max(1.0, (lessons + replayed) / config.batch)  # in batches, and never less than one
    passes = math.ceil(config.epochs * one_pass)
    return TrainingSettings(
        steps=passes if config.steps is None else (config.steps if lessons else 0),
        batch_size=config.batch,
        learning_rate=config.learning_rate,
        weight_decay=0.0,
        stop_loss=config.stop_loss,
        rows_at_once=config.rows_at_once,
        cache_bytes=config.prefix_mb << 20,
        seed=config.seed,
    )


def _report(report: TrainingReport, before: Mapping[str, torch.Tensor], lessons: Lessons) -> dict[str, Any]:
    trained = sum(tensor.numel() for tensor in before.values())
    return asdict(report) | {
        "trained_parameters": trained,
        "edit_wordings": len(lessons.edits),
        "replayed": len(lessons.replayed),
    }
