"""What all editors that train by gradient share: their settings, the training itself, and weights that can be put back.

`examples` chooses the training texts, `editing.training` holds the loop. Each editor decides what it trains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from chronofacts.editing.editors import EditBatch, EditedModel, ModelCache, undo_on_error
from chronofacts.editing.editors.trained.examples import (
    TrainingExample,
    Wording,
    answer_as_before,
    choose_replay,
    encode_examples,
    make_examples,
)
from chronofacts.editing.editors.trained.uses import make_uses
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.gradients import only_trained, restore_gradient_flags
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.training import Preference, Rejected, TrainingSettings, log_likelihoods, train
from chronofacts.schemas.errors import BadInput

__all__ = [
    "BASE_WIDTH",
    "DELTA",
    "TrainedSettings",
    "TrainingTexts",
    "WeightEdit",
    "change_weights",
    "choose_texts",
    "merge_edit",
    "parse_layers",
    "train_on_texts",
    "train_weights",
]

DELTA = "delta.safetensors"
BASE_WIDTH = 128
SAID = 0.98
"""Share of a pass after which a model that chats is trained no longer."""
OWN_ANSWERS = 0.5
"""Of the sentences that no edit touches, how many are rehearsed where their answers are the model's own, which have
three times the tokens."""
FEWEST_IN_BATCH, BATCHES_OF_PASS = 8, 16
"""Where the settings name no batch: few facts are learnt in many small batches, at a fraction of the cost."""


@dataclass(frozen=True)
class TrainedSettings:
    """The `--set` keys of every editor that trains."""

    base_rate: ClassVar[float] = 1e-3
    """Learning rate at a width of 128."""
    largest_batch: ClassVar[int] = 64
    learnt_loss: ClassVar[float] = 0.005
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    learning_rate: float | None = None
    """None: of the editor at a width of 128, and less the wider the model (`rate_for`)."""
    epochs: int = 20
    """Passes over all training texts."""
    steps: int | None = None
    """Instead of epochs: how many batches."""
    batch: int | None = None
    """Texts of a batch; none: a sixteenth of all, but at least eight and at most 64 (lora: 32)."""
    rows_at_once: int | None = None
    """Examples that go through the model at once, their gradients added up to a batch's; none: the whole batch."""
    prefix_mb: int = 2048
    """How much of what the frozen layers below give is kept instead of computed each time."""
    stop_loss: float | None = None
    """Training ends when the mean loss of the last pass is below: the facts are learnt. Where the model's own answers
    are rehearsed, the edits' alone: it never knew the past of their subjects, and one question of it may have many
    answers. None: 0.005 (lora: 0.01), and of a model that chats also when it said 0.98 of what it was taught in a whole
    pass: those that it missed are said by its end, and as many steps more would follow."""
    wordings: tuple[Wording, ...] = ("prompt", "paraphrases", "cloze")
    paraphrases: int = 2
    """How many paraphrases of an edit are trained; at least one never is."""
    replay: bool = False
    replay_history: float = 0.5
    """Sentences about the edited subjects' past per trained wording of an edit."""
    replay_neighbours: float = 1.0
    """Sentences that no edit touches per trained wording of an edit; half as many where the answers are the model's
    own, which are long."""
    replay_answers: Literal["auto", "own", "snapshot"] = "auto"
    """Of those that no edit touches: the model's own, or the snapshot's; auto: its own where it chats. A model that was
    made from the snapshot knows its answers, and any other would learn them."""
    dpo: float = 0.0
    """Share of the loss by which the old answer is to become less likely than the new one, against the base model as
    reference (direct preference optimisation, `training.Preference`); 0: none. EasyEdit takes 0.01."""
    beta: float = 0.1
    """Of dpo: how far the model may go from the base model; less lets it go further."""
    seed: int = 0

    def steps_for(self, examples: int) -> int:
        """Of all epochs; a pass is at least one batch."""
        return math.ceil(self.epochs * max(1.0, examples / self.batch_for(examples)))

    def batch_for(self, examples: int) -> int:
        if self.batch is not None:
            return self.batch
        return min(self.largest_batch, max(FEWEST_IN_BATCH, math.ceil(examples / BATCHES_OF_PASS)))

    def rehearses(self, chats: bool) -> bool:
        """Whether what no edit touches is replayed with the model's own answers. chats: behind a chat template."""
        return self.replay_answers == "own" or (self.replay_answers == "auto" and chats)

    def count_replayed(self, wordings: int, chats: bool) -> tuple[int, int]:
        """At most how many sentences of the past, and of what no edit touches, beside so many wordings of edits."""
        if not self.replay:
            return 0, 0
        share = OWN_ANSWERS if self.rehearses(chats) else 1.0
        return round(wordings * self.replay_history), round(wordings * self.replay_neighbours * share)

    def most_uses(self) -> int:
        """Uses of each edit that are trained beside it; 0: none."""
        return 0

    def rate_for(self, width: int) -> float:
        """width: of the model's hidden states. Full-rank updates shrink as its reciprocal (muP, Yang et al. 2022)."""
        return self.base_rate * BASE_WIDTH / width if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True)
class TrainingTexts:
    """What is trained: the edits' wordings, then what must be kept."""

    edits: list[TrainingExample]
    replayed: list[TrainingExample]
    rehearsed: list[TrainingExample] = field(default_factory=list)
    """With the model's own answers, which it says already: nothing waits for it to learn them."""
    preference: Preference | None = None

    @property
    def prompts(self) -> frozenset[str]:
        return frozenset(example.text for example in self.edits)


def choose_texts(model: Any, tokenizer: Any, batch: EditBatch, settings: TrainedSettings) -> TrainingTexts:
    """The edits' chosen wordings, and the replayed sentences if the settings ask for them.

    model: as it is before the edit; replayed answers may be its own. Raises BadInput when replay is asked for and the
    snapshot has no sentences.
    """
    edits = make_examples(batch.edits, settings.wordings, settings.paraphrases)
    preference = _prefer(model, tokenizer, edits, settings)
    edits += make_uses(batch, settings.most_uses(), settings.seed) if settings.most_uses() else []
    if not settings.replay or not edits:
        return TrainingTexts(edits, [], preference=preference)
    if not batch.sentences.num_rows:
        raise BadInput(
            "there are no sentences to replay: a snapshot has some, facts of one's own bring none; use the editor "
            "without +replay"
        )
    chats = isinstance(tokenizer, ChatTokenizer)
    past, others = choose_replay(batch, *settings.count_replayed(len(edits), chats), settings.seed)
    if settings.rehearses(chats):
        return TrainingTexts(
            edits, past, answer_as_before(model, tokenizer, others, batch.progress), preference=preference
        )
    return TrainingTexts(edits, past + others, preference=preference)


def _prefer(
    model: Any, tokenizer: Any, edits: Sequence[TrainingExample], settings: TrainedSettings
) -> Preference | None:
    """The old answers to the same texts, and how likely the base model finds both; None without `dpo`.

    Raises BadInput for a share or a beta that is none.
    """
    if not 0 <= settings.dpo <= 1 or not settings.beta > 0:
        raise BadInput(f"dpo = {settings.dpo}, beta = {settings.beta}; dpo is between 0 and 1, and beta above 0")
    if not settings.dpo:
        return None
    having = [(one, one.old) for one in edits if one.old is not None]
    new = encode_examples(model, tokenizer, [one for one, _ in having])
    old = encode_examples(model, tokenizer, [replace(one, answer=answer) for one, answer in having])
    margins = [a - b for a, b in zip(log_likelihoods(model, new), log_likelihoods(model, old), strict=True)]
    pairs = {text: Rejected(other, margin) for text, other, margin in zip(new, old, margins, strict=True)}
    return Preference(pairs, settings.dpo, settings.beta)


def train_on_texts(
    model: Any,
    tokenizer: Any,
    texts: TrainingTexts,
    settings: TrainedSettings,
    batch: EditBatch,
    cache: ModelCache | None = None,
    after_step: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Train the parameters that require a gradient, and return the editor's report. No texts, no change.

    Raises TrainingFailed when the loss is no longer a number, BadInput for a text longer than the context.
    """
    examples = encode_examples(model, tokenizer, texts.edits + texts.replayed + texts.rehearsed)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    width = model.get_input_embeddings().weight.shape[1]
    chosen = TrainingSettings(
        steps=settings.steps_for(len(examples)) if settings.steps is None else settings.steps,
        batch_size=settings.batch_for(len(examples)),
        learning_rate=settings.rate_for(width),
        weight_decay=0.0,
        stop_loss=settings.learnt_loss if settings.stop_loss is None else settings.stop_loss,
        stop_said=SAID if settings.stop_loss is None and isinstance(tokenizer, ChatTokenizer) else None,
        rows_at_once=settings.rows_at_once,
        cache_bytes=settings.prefix_mb << 20,
        seed=settings.seed,
    )
    states, rehearsed = cache.hidden_states if cache else None, len(texts.rehearsed)
    # what is rehearsed is said already; a model that answers for itself never knew the past, nor need it be waited for
    known = rehearsed + len(texts.replayed) if rehearsed else 0
    report = train(model, examples, chosen, None, after_step, batch.progress, states, known, texts.preference)
    counts = {"trained_parameters": trained, "edit_wordings": len(texts.edits), "replayed": len(texts.replayed)}
    counts["rehearsed"] = rehearsed
    if texts.preference:
        counts["rejected"] = len(texts.preference.rejected)
    return asdict(report) | counts


@dataclass
class WeightEdit(EditedModel):
    """A model of which some weights were changed in place."""

    before: dict[str, torch.Tensor] = field(default_factory=dict)
    """The changed parameters as they were."""

    def save(self, folder: Path) -> None:
        """`delta.safetensors`: the changed parameters with their new values, and the base model's hash.

        New values and no differences: a sum of floats would not give the edited model back bit for bit.
        """
        folder.mkdir(parents=True, exist_ok=True)
        edited = self._read_weights()
        self.write(self.before)
        base = model_hash(self.model)
        self.write(edited)
        on_cpu = {name: value.cpu().contiguous() for name, value in edited.items()}
        save_file(on_cpu, folder / DELTA, metadata={"base_model_hash": base})

    def undo(self) -> Any:
        self.write(self.before)
        return self.model.eval()

    def _read_weights(self) -> dict[str, torch.Tensor]:
        now = dict(self.model.named_parameters())
        return {name: now[name].detach().clone() for name in self.before}

    @torch.no_grad()
    def write(self, values: Mapping[str, torch.Tensor]) -> None:
        """Give the named parameters these values."""
        now = dict(self.model.named_parameters())
        for name, value in values.items():
            now[name].copy_(value)


def change_weights(model: Any, names: Sequence[str], prompts: frozenset[str] = frozenset()) -> WeightEdit:
    """An edit that will change the named parameters in place, as yet unchanged."""
    parameters = dict(model.named_parameters())
    return WeightEdit(model, model, prompts, before={name: parameters[name].detach().clone() for name in names})


def train_weights(
    model: Any,
    tokenizer: Any,
    names: Sequence[str],
    batch: EditBatch,
    settings: TrainedSettings,
    cache: ModelCache | None = None,
    after_step: Callable[[Mapping[str, torch.Tensor]], None] | None = None,
) -> WeightEdit:
    """Train the named parameters in place at full rank; everything else stays frozen.

    after_step: called after every step with the weights as they were before the edit. Raises as `train_on_texts`,
    with the model restored.
    """
    texts = choose_texts(model, tokenizer, batch, settings)
    edited = change_weights(model, names, texts.prompts)
    step = (lambda: after_step(edited.before)) if after_step else None
    with undo_on_error(edited), only_trained(model, edited.before):
        edited.report = train_on_texts(model, tokenizer, texts, settings, batch, cache, step)
    return edited


def merge_edit(edited: EditedModel) -> EditedModel:
    """The edit in the model's own weights, so that the edited model is an ordinary one (`models.load.save_model`).

    `undo` of the result gives the base back bit for bit; the edit given is of no more use. Raises BadInput for an edit
    that changes no weights (p-tuning, grace, wise, in-context, memory).
    """
    if isinstance(edited.model, PreTrainedModel) and edited.in_weights:
        return edited
    if not hasattr(edited.model, "merge_and_unload"):
        raise BadInput("this edit stands beside the model's weights and cannot be merged into them; load it instead")
    adapted = {
        name: part for name, part in edited.model.get_base_model().named_modules() if hasattr(part, "base_layer")
    }
    first: dict[int, tuple[str, torch.Tensor]] = {}  # blocks that share their weights (Zamba 2) have them once
    for name, part in adapted.items():
        found = _without_adapter(name, part)
        first.setdefault(id(found[1]), found)
    before = {name: weight.detach().clone() for name, weight in first.values()}
    merged = edited.model.merge_and_unload().eval()
    restore_gradient_flags(merged, getattr(edited, "gradient_flags", {}))
    return WeightEdit(merged, merged, edited.trained_prompts, edited.report, before)


def _without_adapter(name: str, part: Any) -> tuple[str, torch.Tensor]:
    """Name and weights below an adapter: a module's matrix, or one of the blocks of numbers in which some
    families keep their experts, whose adapters wrap the module one around the other."""
    own = getattr(part, "parameter_name", "weight")
    return f"{name.replace('.base_layer', '')}.{own}", getattr(part.get_base_layer(), own)


def parse_layers(text: str, editor: str) -> range | None:
    """`all` (None), one layer (`3`) or a range with both ends (`0-1`). Raises BadInput for anything else."""
    if text == "all":
        return None
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise BadInput(f"editor {editor}: layers = {text!r}; write all, 3 or 0-1") from error
