"""The stack of transformer blocks, and the weight matrices in it, found by structure and not by name.

Blocks may be of several classes (attention here, a recurrence there). Where a model has several stacks, such as one
that sees and one that reads, the text's is the one that a text runs through. What decides between experts (routers,
gates) is no matrix of attention or of the feed-forward part.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from chronofacts.editing.models.hooks import hooked
from chronofacts.schemas.errors import BadInput

__all__ = ["find_blocks", "find_linears", "has_blocks", "has_experts", "is_matrix"]

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""What families call the number of experts that a router chooses among."""
_stacks: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def find_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Name and list of the transformer blocks that a text runs through. Raises BadInput where there are none."""
    name = _stacks.get(model)
    if name is None or not isinstance(_part(model, name), nn.ModuleList):
        _stacks[model] = name = _choose(model)
    return name, _part(model, name)  # type: ignore[return-value]


def has_blocks(model: nn.Module) -> bool:
    """Is there a stack of transformer blocks?"""
    try:
        find_blocks(model)
    except BadInput:
        return False
    return True


def find_linears(model: nn.Module, targets: str, layers: range | None = None, needed: bool = True) -> list[str]:
    """Full names of the weight matrices inside the transformer blocks.

    targets: `attention` (inside a module whose class is an attention), `mlp` (the others) or `all`.
    layers: which blocks; None for all. needed: whether finding nothing is an error. Raises BadInput then, and when the
    range lies outside the model.
    """
    blocks_name, blocks = find_blocks(model)
    chosen = range(len(blocks)) if layers is None else layers
    if not len(chosen) or chosen[0] < 0 or chosen[-1] >= len(blocks):
        raise BadInput(f"layers {chosen[0]}-{chosen[-1]} are not in this model; it has layers 0-{len(blocks) - 1}")
    counts, found = _expert_counts(model), []
    for index in chosen:
        attentions = [
            name for name, part in blocks[index].named_modules() if "attention" in type(part).__name__.lower()
        ]
        for name, part in blocks[index].named_modules():
            inside = any(name.startswith(f"{attention}.") for attention in attentions if attention)
            wanted = targets == "all" or inside == (targets == "attention")
            if wanted and is_matrix(part) and (inside or _width(part) not in counts):
                found.append(f"{blocks_name}.{index}.{name}")
    if not found and needed:
        other = "attention" if targets == "mlp" else "all"
        raise BadInput(
            f"{type(model).__name__} has no {targets} matrices that can be found by structure (experts that are kept "
            f"in one block of numbers are none); take targets={other}, or another editor"
        )
    return found


def has_experts(model: nn.Module, block: nn.Module) -> bool:
    """Whether parts of the block are experts, each in a module of its own or all in one block of numbers."""
    counts = _expert_counts(model) - {1}
    return any(
        (isinstance(part, nn.ModuleList) and len(part) in counts)
        or any(parameter.dim() == 3 and parameter.shape[0] in counts for parameter in part.parameters(recurse=False))
        for part in block.modules()
    )


def is_matrix(part: Any) -> bool:
    """A linear layer, or GPT-2's own kind of it."""
    return isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"


def _width(part: Any) -> int:
    """Of its output."""
    return int(part.weight.shape[1 if type(part).__name__ == "Conv1D" else 0])


def _expert_counts(model: nn.Module) -> set[int]:
    """Widths that only what weighs experts has: one, and their number."""
    config: Any = getattr(model, "config", None)
    texts = config.get_text_config() if hasattr(config, "get_text_config") else config
    counts = [getattr(texts, name, None) for name in EXPERTS]
    return {1, *(count for count in counts if isinstance(count, int))}


def _part(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def _choose(model: nn.Module) -> str:
    found: dict[str, nn.ModuleList] = {}
    for name, part in model.named_modules():  # parents come first, so that experts within a block are none
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(part, nn.ModuleList) and len(part) and not inside and all(map(_is_block, part)):
            found[name] = part
    if not found:
        raise BadInput(f"{type(model).__name__} has no stack of transformer blocks")
    run = _find_running(model, found) if len(found) > 1 else set(found)
    return max(run or found, key=lambda name: (len(found[name]), -len(name)))


def _is_block(part: nn.Module) -> bool:
    """It has parts, and among its weights a matrix."""
    return any(True for _ in part.children()) and any(parameter.dim() > 1 for parameter in part.parameters())


@torch.no_grad()
def _find_running(model: nn.Module, stacks: dict[str, nn.ModuleList]) -> set[str]:
    """The stacks of which a text runs through every block; none where the model cannot be asked."""
    ran: set[int] = set()

    def note(part: nn.Module, _given: Any) -> None:
        ran.add(id(part))

    ids = torch.tensor([[5, 6]], device=next(model.parameters()).device)
    try:
        with hooked(before=[(block, note) for blocks in stacks.values() for block in blocks]):
            model(input_ids=ids, use_cache=False)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a part of a model, or one that wants more than a text
        return set()
    return {name for name, blocks in stacks.items() if all(id(block) in ran for block in blocks)}
