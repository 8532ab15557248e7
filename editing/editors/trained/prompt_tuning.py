"""`p-tuning`: trained vectors before every prompt, while the model stays frozen (P-tuning, Liu et al. 2021, arXiv
2103.10385).

`depth=all` gives every layer that attends vectors of its own as keys and values (P-tuning v2, Liu et al. 2022, arXiv
2110.07602), as wide as the layer's own, trained as they are; with `encoder` a small network makes them (PEFT's
`PromptEncoder`), of which only the vectors are kept. Without one they begin as the facts' own text would stand there.
They stand before *every* prompt, and attention alone finds a fact in them: many facts need many vectors and many steps.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from peft import PromptEncoder, PromptEncoderConfig
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import DynamicCache

from chronofacts.editing.editors import EditBatch, EditedModel, ModelCache
from chronofacts.editing.editors.trained.examples import Wording, encode_examples
from chronofacts.editing.editors.trained.gradient import BASE_WIDTH, TrainedSettings, choose_texts, train_on_texts
from chronofacts.editing.models.gradients import only_trained
from chronofacts.editing.models.key_value_cache import after_cache, cache_of
from chronofacts.editing.models.load import call_keeping, context_length
from chronofacts.editing.models.weight_files import read_shapes
from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = ["VECTORS", "PromptTuning", "PromptTuningSettings", "Prompted", "load_vectors"]

VECTORS = "prompt.safetensors"
MAX_VECTORS = 128
"""Where the settings name no number and the context is long enough."""
TINY = 1e-6
"""A spread that is not zero, where all states of a layer are alike."""


@dataclass(frozen=True)
class PromptTuningSettings(TrainedSettings):
    base_rate: ClassVar[float] = 0.2
    """In units of the spread of the model's own states; less the wider the model, as the root of its width: 0.1 at 576,
    where 0.2 takes over twice as many steps, and at a width of 128 0.1 does."""
    steps: int | None = 1200
    batch: int | None = 64
    """All vectors answer every question: of few at a time they learn little (0.47 of 30 facts by eights)."""
    learnt_loss: ClassVar[float] = 0.05
    # What the vectors hold is little: fewer wordings of a fact leave room for more facts.
    wordings: tuple[Wording, ...] = ("prompt", "paraphrases")
    paraphrases: int = 1
    vectors: int | None = None
    """Virtual tokens before every prompt; none: 128, or half of a context that is shorter than 256."""
    depth: Literal["input", "all"] = "all"
    """`input`: before the embeddings alone (P-tuning); `all`: before every layer's keys and values (P-tuning v2)."""
    encoder: int = 0
    """Width of a network that makes the vectors while they are trained; 0: they are trained themselves."""

    def rate_for(self, width: int) -> float:
        return self.base_rate * math.sqrt(BASE_WIDTH / width) if self.learning_rate is None else self.learning_rate


class _Vectors(nn.Module):
    """Vectors that are trained as they are, in units of the spread of the model's own states there."""

    size: torch.Tensor

    def __init__(self, first: torch.Tensor, size: torch.Tensor) -> None:
        """first: with which they begin, (vectors, width). size: (width,)."""
        super().__init__()
        self.weight = nn.Parameter(first.float() / size)
        self.register_buffer("size", size)

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        return self.weight[indices] * self.size


class Prompted(nn.Module):
    """A model with vectors before every prompt; it is called and cached like the model itself."""

    def __init__(self, base: Any, vectors: int, depth: str, encoder: nn.Module | None) -> None:
        super().__init__()
        self.base, self.encoder, self.depth, self.count = base, encoder, depth, vectors
        self.config = copy.copy(base.config)
        longest = context_length(base)
        if longest is not None:
            self.config.max_position_embeddings = longest - vectors
        self._widths = _widths(base) if depth == "all" else []
        self.register_buffer("kept", None)

    def vectors(self) -> torch.Tensor:
        """(vectors, width): width is that of the embeddings, or all layers' keys and values side by side."""
        if self.encoder is None or self.kept is not None:
            return self.kept
        device = next(self.encoder.parameters()).device
        return self.encoder(torch.arange(self.count, device=device))  # type: ignore[no-any-return]

    def keep(self) -> None:
        """End of training: the vectors stay, the encoder goes."""
        with torch.no_grad():
            self.kept = self.vectors().detach().clone()
        self.encoder = None

    def forward(
        self,
        input_ids: torch.Tensor,
        cache: Any = None,
        use_cache: bool = False,
        logits_to_keep: int | torch.Tensor = 0,
        position_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> Any:
        """position_ids, attention_mask: of packed texts (`packing`), as if there were no vectors; `depth=all` alone."""
        if cache is not None:
            read = after_cache(self.base, cache)
            return call_keeping(self.base, logits_to_keep, input_ids=input_ids, use_cache=use_cache, **read)
        if self.depth == "all":
            return call_keeping(
                self.base,
                logits_to_keep,
                input_ids=input_ids,
                use_cache=True,
                **after_cache(self.base, self._cache(len(input_ids))),
                **self._behind(position_ids, attention_mask),
            )
        tokens = self.base.get_input_embeddings()(input_ids)
        before = self.vectors().to(tokens.dtype).expand(len(input_ids), -1, -1)
        kept = logits_to_keep + self.count if isinstance(logits_to_keep, torch.Tensor) else logits_to_keep
        output = call_keeping(self.base, kept, inputs_embeds=torch.cat([before, tokens], 1), use_cache=use_cache)
        if isinstance(logits_to_keep, int) and not logits_to_keep:
            output.logits = output.logits[:, self.count :]
        return output

    def get_input_embeddings(self) -> nn.Module:
        return self.base.get_input_embeddings()  # type: ignore[no-any-return]

    def get_output_embeddings(self) -> nn.Module | None:
        """None where the vectors stand among the tokens, so that a token's place is not where the texts have it."""
        return self.base.get_output_embeddings() if self.depth == "all" else None

    def _behind(self, positions: torch.Tensor | None, mask: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Positions and mask of packed texts, (rows, length) and (rows, 1, length, length), with the vectors before."""
        if positions is None or mask is None:
            return {}
        seen = mask.new_ones if mask.dtype == torch.bool else mask.new_zeros
        whole = torch.cat([seen((*mask.shape[:-1], self.count)), mask], -1)
        return {"position_ids": positions + self.count, "attention_mask": whole}

    def _cache(self, rows: int) -> DynamicCache:
        """The vectors as keys and values of every layer that attends."""
        made = self.vectors().to(self.base.dtype)
        cache = DynamicCache(config=self.base.config)
        parts = iter(made.split([width for layer in self._widths for width in (layer.keys, layer.values)], dim=-1))
        for layer in self._widths:
            keys, values = (
                part.view(self.count, layer.heads, -1).transpose(0, 1) for part in (next(parts), next(parts))
            )
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer.layer)
        return cache


@dataclass
class VectorEdit(EditedModel):
    """Trained vectors before the model."""

    def save(self, folder: Path) -> None:
        """`prompt.safetensors`: the vectors."""
        folder.mkdir(parents=True, exist_ok=True)
        vectors = self.model.vectors().detach().cpu().contiguous()
        save_file({"vectors": vectors}, folder / VECTORS, metadata={"depth": self.model.depth})


class PromptTuning:
    Settings = PromptTuningSettings

    def edit(
        self,
        model: Any,
        tokenizer: Any,
        batch: EditBatch,
        settings: PromptTuningSettings,
        cache: ModelCache | None = None,
    ) -> EditedModel:
        """Train the vectors on all edits at once; with no edits there are none, and no logit changes.

        Raises TrainingFailed when the loss is no longer a number, and BadInput when the vectors leave no room in the
        context. The base model's weights never change.
        """
        longest = context_length(model)
        count = min(MAX_VECTORS, (longest or 2 * MAX_VECTORS) // 2) if settings.vectors is None else settings.vectors
        if count < 1 or (longest is not None and count >= longest):
            raise BadInput(f"editor p-tuning: vectors = {count}; between 1 and the context of {longest} tokens")
        texts = choose_texts(model, tokenizer, batch, settings)
        if not texts.edits:
            return EditedModel(model, model)
        encoded = encode_examples(model, tokenizer, texts.edits)
        ids = list(itertools.islice(itertools.cycle(itertools.chain(*(text.ids for text in encoded))), count))
        prompted = Prompted(model, count, settings.depth, _make_encoder(model, settings, count, ids))
        _check_reads(prompted, encoded[0].ids)
        with only_trained(model):
            report = train_on_texts(prompted, tokenizer, texts, settings, batch)
        prompted.keep()
        report |= {"kept_parameters": prompted.kept.numel()}
        return VectorEdit(prompted, model, texts.prompts, report)


@torch.no_grad()
def _check_reads(prompted: Prompted, ids: Sequence[int]) -> None:
    """Raises BadInput for a family that cannot read a text behind vectors."""
    read = torch.tensor([list(ids)] * 2, device=prompted.base.get_input_embeddings().weight.device)
    try:
        prompted(input_ids=read)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # each family fails in its own way
        reason = (str(error) or type(error).__name__).splitlines()[0]
        other = "depth=input" if prompted.depth == "all" else "depth=all"
        raise BadInput(
            f"editor p-tuning: {type(prompted.base).__name__} reads no text behind vectors ({reason}); "
            f"take --set p-tuning.{other}, or lora"
        ) from error


def load_vectors(model: Any, folder: Path, trained_prompts: frozenset[str]) -> VectorEdit:
    """The model behind saved vectors. Raises CheckFailed for vectors that do not fit it."""
    file = folder / VECTORS
    found = read_shapes(file)
    with safe_open(file, framework="pt") as opened:
        depth = (opened.metadata() or {}).get("depth")
        vectors = opened.get_tensor("vectors") if "vectors" in found else torch.zeros(0)
    embedded, longest = model.get_input_embeddings().weight.shape[1], context_length(model)
    width = sum(one.keys + one.values for one in _widths(model)) if depth == "all" else embedded
    fits = depth in ("input", "all") and vectors.dim() == 2 and vectors.shape[1] == width and len(vectors)
    if not fits or len(vectors) >= (longest or math.inf) or not bool(torch.isfinite(vectors).all()):
        raise CheckFailed(
            f"{file}: vectors of the size {tuple(vectors.shape)} do not fit the model; make the edit again"
        )
    prompted = Prompted(model, len(vectors), str(depth), None)
    prompted.kept = vectors.to(next(model.parameters()).device)
    return VectorEdit(prompted.eval(), model, trained_prompts)


class _LayerWidths(NamedTuple):
    """Of one layer that keeps keys and values: families have layers of several widths, and layers that keep none."""

    layer: int
    heads: int
    keys: int
    """Of all heads together."""
    values: int


@torch.no_grad()
def _widths(model: Any, ids: Sequence[int] = (5,)) -> list[_LayerWidths]:
    """The layers that keep keys and values, as the model's own cache has them. Raises BadInput where none does."""
    found = []
    for index, layer in enumerate(_read_layers(model, ids)):
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        if keys is not None and values is not None and keys.numel():
            heads = int(keys.shape[1])
            found.append(_LayerWidths(index, heads, heads * int(keys.shape[3]), heads * int(values.shape[3])))
    if not found:
        raise BadInput(
            f"editor p-tuning: {type(model).__name__} keeps no keys and values that vectors could stand among; "
            "take --set p-tuning.depth=input, or lora"
        )
    return found


def _read_layers(model: Any, ids: Sequence[int]) -> Sequence[Any]:
    read = torch.tensor([list(ids)], device=next(model.parameters()).device)
    try:
        output = model(input_ids=read, use_cache=True)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a family whose cache does not work keeps nothing
        return ()
    try:
        return getattr(cache_of(output), "layers", ())
    except AttributeError:  # a family that gives no cache at all
        return ()


@torch.no_grad()
def _begin(model: Any, settings: PromptTuningSettings, ids: Sequence[int]) -> _Vectors:
    """Vectors as a text of so many tokens would stand there: its embeddings, or each layer's keys and values.

    A text of the facts themselves is nearer to what they shall become than noise, from which hundreds of steps lead
    back to a model that speaks (Li & Liang 2021, section 7.4).
    """
    if settings.depth == "input":
        embeddings = model.get_input_embeddings()
        first = embeddings(torch.tensor(ids, device=embeddings.weight.device))
        return _Vectors(first, embeddings.weight.float().std().expand(first.shape[1]).clone())
    layers, begun, sizes = _read_layers(model, ids), list[torch.Tensor](), list[torch.Tensor]()
    for layer in _widths(model):
        for part in (layers[layer.layer].keys, layers[layer.layer].values):
            seen = part[0].transpose(0, 1).flatten(1).float()  # (tokens, heads * head width)
            begun.append(seen[torch.arange(len(ids), device=seen.device) % len(seen)])  # a window keeps the last alone
            sizes.append(part.float().std().clamp_min(TINY).expand(begun[-1].shape[1]))
    return _Vectors(torch.cat(begun, 1), torch.cat(sizes))


def _make_encoder(model: Any, settings: PromptTuningSettings, count: int, text: Sequence[int]) -> nn.Module:
    """text: as many tokens as there shall be vectors."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if settings.encoder:
            chosen = PromptEncoderConfig(
                num_virtual_tokens=count,
                token_dim=model.get_input_embeddings().weight.shape[1],
                num_transformer_submodules=1,
                encoder_hidden_size=settings.encoder,
                encoder_reparameterization_type="MLP",
                task_type="CAUSAL_LM",
            )
            encoder: Any = PromptEncoder(chosen)
            if settings.depth == "all":
                encoder.mlp_head[-1] = nn.Linear(settings.encoder, sum(one.keys + one.values for one in _widths(model)))
        else:
            encoder = _begin(model, settings, text)
    moved: nn.Module = encoder.to(next(model.parameters()).device)
    return moved
