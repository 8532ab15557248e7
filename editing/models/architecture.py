"""Where a causal LM stores facts, found by structure and not by name: the matrix that ends each feed-forward part.

Holds for GPT-2 (whose Conv1D keeps its matrix transposed), GPT-NeoX, GPT-J, Llama, Mistral, Qwen, Gemma, Falcon and
others of their build; in a state-space layer without a feed-forward part it is the matrix that ends the layer. Leaves
out mixtures of experts, which have many such matrices in a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from chronofacts.editing.models.blocks import find_blocks, find_linears, has_experts
from chronofacts.editing.models.hooks import hidden_of, hooked
from chronofacts.schemas.errors import BadInput

__all__ = [
    "attention_modules",
    "block_names",
    "matrix_of",
    "output_matrices",
    "share_of_depth",
    "writes_to_stream",
]


def block_names(model: Any) -> list[str]:
    """Full names of the transformer blocks, in order."""
    name, blocks = find_blocks(model)
    return [f"{name}.{index}" for index in range(len(blocks))]


def output_matrices(model: Any, layers: Sequence[int] | None = None) -> dict[int, str]:
    """Layer -> full name of the module whose matrix takes the feed-forward part back to the hidden size.

    It is the one matrix outside attention whose output is as wide as the embeddings and whose input is not; of several
    the one that comes from a wider layer. Raises BadInput where a block has none or several, where it has experts, and
    for a layer that the model does not have.
    """
    _, blocks = find_blocks(model)
    wanted = range(len(blocks)) if layers is None else layers
    hidden, parts = model.get_input_embeddings().weight.shape[1], dict(model.named_modules())
    found = {}
    for layer in wanted:
        if layer in range(len(blocks)) and has_experts(model, blocks[layer]):
            raise BadInput(_refusal(model, layer, "its feed-forward part is a mixture of experts"))
        names = find_linears(model, "mlp", range(layer, layer + 1), needed=False)
        back = [name for name in names if matrix_of(parts[name]).shape[0] == hidden]
        narrowing = [name for name in back if matrix_of(parts[name]).shape[1] != hidden]
        back = _without_side_paths(narrowing, parts, hidden) if len(narrowing) > 1 else narrowing or back[-1:]
        if len(back) != 1:
            raise BadInput(_refusal(model, layer, f"{len(back)} matrices could end its feed-forward part"))
        found[layer] = back[0]
    return found


def _without_side_paths(names: list[str], parts: dict[str, Any], hidden: int) -> list[str]:
    """Of several matrices those that come from a wider layer and end no recurrence: some families add to the
    feed-forward part a path through a few numbers (Gemma 3n) or a state-space part (hybrids)."""
    wide = [name for name in names if matrix_of(parts[name]).shape[1] > hidden] or names
    return [name for name in wide if not hasattr(parts[name.rpartition(".")[0]], "A_log")] or wide


def _refusal(model: Any, layer: int, reason: str) -> str:
    return (
        f"{type(model).__name__}, layer {layer}: {reason}; "
        "this editor needs exactly one matrix there, so use lora, freeze or finetune"
    )


def attention_modules(model: Any) -> dict[int, str]:
    """Layer -> full name of the block's attention, the outermost module whose class is one.

    Raises BadInput where a block has none (a state-space layer).
    """
    found = {}
    for layer, block in enumerate(block_names(model)):
        inside = [
            name
            for name, part in model.named_modules()
            if name.startswith(f"{block}.") and "attention" in type(part).__name__.lower()
        ]
        if not inside:
            raise BadInput(f"{type(model).__name__}, layer {layer}: no attention was found in it by structure")
        found[layer] = min(inside, key=len)
    return found


def matrix_of(module: Any) -> torch.Tensor:
    """The module's weights as (out, in), a view: what is written to it is written to the module."""
    weight = module.weight.data
    return weight.T if type(module).__name__ == "Conv1D" else weight  # type: ignore[no-any-return]


def share_of_depth(model: Any, share: float) -> int:
    """The layer at this share of the depth: 0.17 is layer 5 of 32."""
    blocks = len(find_blocks(model)[1])
    return min(blocks - 1, int(blocks * share))


@torch.no_grad()
def writes_to_stream(model: Any, layer: int) -> bool:
    """Does what the layer's last feed-forward matrix writes reach the block's output unchanged, as MEMIT assumes?

    Found out by adding a vector there and looking. It does not where a norm follows the feed-forward part (Gemma 2).
    """
    parts = dict(model.named_modules())
    matrix, block = parts[output_matrices(model, [layer])[layer]], parts[block_names(model)[layer]]
    generator = torch.Generator().manual_seed(0)
    width, reference = model.get_input_embeddings().weight.shape[1], model.get_input_embeddings().weight
    added = 3 * torch.randn(width, generator=generator).to(reference)
    seen: list[torch.Tensor] = []
    watch = (block, lambda _module, _inputs, output: seen.append(hidden_of(output).float()))
    push = (matrix, lambda _module, _inputs, output: output + added)
    ids = torch.zeros((1, 2), dtype=torch.int64, device=reference.device)
    for hooks in ([watch], [watch, push]):
        with hooked(hooks):
            model(input_ids=ids, use_cache=False)
    moved = seen[1] - seen[0]
    return bool(torch.allclose(moved, added.float().expand_as(moved), atol=0.02, rtol=0.02))
