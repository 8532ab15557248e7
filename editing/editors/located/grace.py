"""`grace`: a codebook beside one feed-forward matrix (Hartvigsen et al. 2023, arXiv 2211.11031); no weight is changed.

An entry is a key, a value, a radius and the answer that it stands for. The key is what enters the matrix at the last
token of the fact's prompt. Wherever a token's own input lies within an entry's radius of its key, the value replaces
what the matrix gives; everywhere else the model is the base model, so that locality is nearly perfect and a paraphrase
is answered only where its key comes near. The rules of a new key (the paper's algorithm 1), with d its distance to the
nearest entry of radius ε and ε₀ the first radius:

    d > ε₀ + ε           a new entry of radius ε₀
    else, same answer    that entry's radius grows to d
    else                 a new entry, and both radii become d / 2

The value is what the matrix gave, moved until the model speaks the answer. Unlike in the paper's code, which replaces
at one position that is remembered from the prompt, a token's input alone decides: cached, packed and freely written
texts are answered alike, whatever the batch. ε₀ is a share of the key's norm, which differs between models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from chronofacts.editing.editors import EditBatch, EditedModel, ModelCache, undo_on_error
from chronofacts.editing.editors.located.key_value import Fact, LocatedSettings, capture, find_facts, optimise_deltas
from chronofacts.editing.editors.trained.examples import trained_prompts
from chronofacts.editing.models.architecture import matrix_of, output_matrices, share_of_depth
from chronofacts.editing.models.blocks import find_blocks
from chronofacts.editing.models.out_of_memory import in_parts
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.documents import parse_json
from chronofacts.schemas.errors import BadInput

__all__ = ["CODEBOOK", "Codebook", "Grace", "GraceEdit", "GraceSettings", "load_grace"]

CODEBOOK = "codebook.safetensors"
LAYER = 0.5
"""Share of the depth. The paper's toolkits edit at 27 of Llama 2's 32; of eight names of many tokens two are said so,
and all at half of the depth: each later token has to find the value by attention in the layers above."""


@dataclass(frozen=True)
class GraceSettings(LocatedSettings):
    layer: int | None = None
    """None: at half of the depth, and below the last, whose values no later token of an answer could see."""
    radius: float = 0.1
    """ε₀, as a share of the key's own norm."""
    value_steps: int = 50
    facts_at_once: int = 64
    kl_factor: float = 0.0
    """An entry touches no other text, so that nothing else must be held."""


@dataclass(frozen=True)
class Codebook:
    """The entries, in the order in which they were made."""

    keys: torch.Tensor  # (entries, in) float32
    values: torch.Tensor  # (entries, out) float32
    radii: torch.Tensor  # (entries,) float32
    answers: tuple[str, ...]

    @classmethod
    def empty(cls, entering: int, leaving: int, device: torch.device) -> Codebook:
        return cls(
            torch.zeros((0, entering), device=device), torch.zeros((0, leaving), device=device),
            torch.zeros(0, device=device), (),
        )  # fmt: skip

    def nearest(self, key: torch.Tensor) -> tuple[int, float]:
        """Number of the entry whose key is nearest to `key` (in,), and its distance. There must be an entry."""
        distances = torch.linalg.vector_norm(self.keys - key, dim=1)
        number = int(distances.argmin())
        return number, float(distances[number])

    def add(self, key: torch.Tensor, radius: float, answer: str) -> tuple[Codebook, bool]:
        """The codebook after the rules of a new key, and whether it got an entry (whose value is still zero)."""
        if self.answers:
            number, distance = self.nearest(key)
            if distance <= radius + float(self.radii[number]):
                if self.answers[number] == answer:
                    return self._with_radius(number, max(distance, float(self.radii[number]))), False
                halved = self._with_radius(number, min(distance / 2, float(self.radii[number])))
                return halved._append(key, distance / 2, answer), True
        return self._append(key, radius, answer), True

    def replace_in(self, entering: torch.Tensor, leaving: torch.Tensor) -> torch.Tensor:
        """`leaving` (…, out), but the value of the nearest entry wherever `entering` (…, in) lies within its radius."""
        if not self.answers:
            return leaving
        distances = torch.cdist(entering.float(), self.keys, compute_mode="donot_use_mm_for_euclid_dist")
        near, number = distances.min(-1)
        return torch.where((near <= self.radii[number])[..., None], self.values[number].to(leaving.dtype), leaving)

    def without(self, number: int) -> Codebook:
        """The codebook less one entry."""
        kept = [index for index in range(len(self.answers)) if index != number]
        answers = tuple(self.answers[index] for index in kept)
        return Codebook(self.keys[kept], self.values[kept], self.radii[kept], answers)

    def _append(self, key: torch.Tensor, radius: float, answer: str) -> Codebook:
        return Codebook(
            torch.cat([self.keys, key[None]]),
            torch.cat([self.values, self.values.new_zeros(1, self.values.shape[1])]),
            torch.cat([self.radii, self.radii.new_tensor([radius])]),
            (*self.answers, answer),
        )

    def _with_radius(self, number: int, radius: float) -> Codebook:
        radii = self.radii.clone()
        radii[number] = radius
        return replace(self, radii=radii)


class _Lookup:
    """The hook on the matrix: what it gives, or an entry's value."""

    def __init__(self, module: Any, codebook: Codebook) -> None:
        self.codebook, self.active = codebook, True
        self._handle = module.register_forward_hook(self)

    def __call__(self, _module: Any, entering: Any, leaving: torch.Tensor) -> torch.Tensor | None:
        return self.codebook.replace_in(entering[0], leaving) if self.active else None

    def remove(self) -> None:
        self._handle.remove()


@dataclass
class GraceEdit(EditedModel):
    """A model with a codebook beside one of its matrices."""

    in_weights: ClassVar[bool] = False
    name: str = ""
    """Of the module."""
    lookup: _Lookup | None = None
    before: Codebook | None = None
    """What the codebook was; None: there was none."""

    def entries(self) -> list[dict[str, Any]]:
        """Number, answer and radius of every entry."""
        codebook = self._codebook()
        return [
            {"entry": number, "answer": answer, "radius": float(codebook.radii[number])}
            for number, answer in enumerate(codebook.answers)
        ]

    def delete(self, entry: int) -> None:
        """Forget one entry. Raises BadInput for a number that there is not."""
        codebook = self._codebook()
        if not 0 <= entry < len(codebook.answers):
            raise BadInput(f"the codebook has no entry {entry}; it has {len(codebook.answers)}")
        if self.lookup:
            self.lookup.codebook = codebook.without(entry)

    def save(self, folder: Path) -> None:
        """`codebook.safetensors`: keys, values and radii, with the answers and the module's name."""
        codebook = self._codebook()
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"keys": codebook.keys, "values": codebook.values, "radii": codebook.radii}
        about = {"module": self.name, "answers": json.dumps(codebook.answers)}
        save_file({name: part.cpu().contiguous() for name, part in tensors.items()}, folder / CODEBOOK, metadata=about)

    def undo(self) -> Any:
        if self.lookup and self.before is not None:
            self.lookup.codebook = self.before
        elif self.lookup:
            self.lookup.remove()
        return self.base.eval()

    def forget_before(self) -> None:
        self.before = None

    def _codebook(self) -> Codebook:
        return self.lookup.codebook if self.lookup else Codebook.empty(0, 0, torch.device("cpu"))


class Grace:
    Settings = GraceSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: GraceSettings, cache: ModelCache | None = None
    ) -> GraceEdit:
        """Store the facts; no edits, no change. In chunks, the codebook of the chunks before grows.

        Raises TrainingFailed when a value is no longer a number, and BadInput for a layer or an architecture that has
        no such matrix.
        """
        layer = _default_layer(model) if settings.layer is None else settings.layer
        name = output_matrices(model, [layer])[layer]
        module, edited = dict(model.named_modules())[name], GraceEdit(model.eval(), model, name=name)
        facts = find_facts(model, tokenizer, batch.edits, settings, apart=True, position="prompt")
        if not facts:
            return edited
        edited.trained_prompts = trained_prompts(batch.edits, settings)
        memory: dict[str, Any] = {} if cache is None or cache.earlier_chunks is None else cache.earlier_chunks
        earlier: _Lookup | None = memory.get("grace")
        edited.before = earlier.codebook if earlier else None
        keys = capture(
            model, module, facts, inputs=True
        ).float()  # before the hook is there, which changes outputs only
        edited.lookup = memory["grace"] = earlier or _Lookup(module, _empty(model, keys))
        with undo_on_error(edited):
            codebook, made = edited.lookup.codebook, list[Fact]()
            for fact, key in zip(facts, keys, strict=True):
                radius = settings.radius * float(key.norm())
                codebook, new = codebook.add(key, radius, _answer(tokenizer, fact))
                made += [fact] if new else []
            values = _find_values(model, module, edited.lookup, made, settings, batch)
            old = len(codebook.answers) - len(made)
            edited.lookup.codebook = replace(codebook, values=torch.cat([codebook.values[:old], values]))
        edited.report = {"layer": layer, "matrix": name, "facts": len(facts), "entries": len(codebook.answers)}
        return edited


def _default_layer(model: Any) -> int:
    return max(0, min(share_of_depth(model, LAYER), len(find_blocks(model)[1]) - 2))


def load_grace(model: Any, folder: Path, trained: frozenset[str]) -> GraceEdit:
    """The model with a saved codebook. Raises BadInput where the model has no such module, or one of other widths."""
    with safe_open(folder / CODEBOOK, framework="pt") as opened:
        about = opened.metadata() or {}
        keys, values, radii = (opened.get_tensor(name) for name in ("keys", "values", "radii"))
    name, module = about.get("module", ""), dict(model.named_modules()).get(about.get("module", ""))
    answers = tuple(map(str, parse_json(about.get("answers", "[]"))))
    fits = module is not None and name in output_matrices(model).values() and radii.dim() == 1
    if not fits or not len(keys) == len(values) == len(radii) == len(answers) or (
        (values.shape[1:], keys.shape[1:]) != tuple((width,) for width in matrix_of(module).shape)
    ):  # fmt: skip
        raise BadInput(f"{folder / CODEBOOK} does not fit this model; make the edit again")
    device = next(model.parameters()).device
    codebook = Codebook(keys.to(device), values.to(device), radii.to(device), answers)
    return GraceEdit(model.eval(), model, trained, name=name, lookup=_Lookup(module, codebook))


def _find_values(
    model: Any, module: Any, lookup: _Lookup, facts: Sequence[Fact], settings: GraceSettings, batch: EditBatch
) -> torch.Tensor:
    """(facts, out): what the matrix gives at each key, moved until the model speaks the answer."""
    lookup.active = False
    try:
        found = list[torch.Tensor]()
        for part in in_parts(
            lambda few: optimise_deltas(model, module, few, settings), facts, settings.facts_at_once, "fact",
            batch.progress,
        ):  # fmt: skip
            found.append(part)
            batch.progress(f"grace: {sum(map(len, found))} of {len(facts)} values found")
        if not found:
            return lookup.codebook.values[:0]
        values = capture(model, module, facts, inputs=False).float() + torch.cat(found)
    finally:
        lookup.active = True
    if not bool(torch.isfinite(values).all()):
        raise TrainingFailed("grace: a value is no longer a number; lower value_rate")
    return values


def _answer(tokenizer: Any, fact: Fact) -> str:
    one = fact.contexts[0]
    return str(tokenizer.decode(one.ids[one.start : one.end])).strip()


def _empty(model: Any, keys: torch.Tensor) -> Codebook:
    return Codebook.empty(keys.shape[1], model.get_input_embeddings().weight.shape[1], keys.device)
