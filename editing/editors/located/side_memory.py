"""What WISE (Wang et al. 2024, arXiv 2405.14768) puts beside a feed-forward matrix W: side memories and their router.

What the tensors look like, x being what enters W at a token: W (out, in); a side memory is what W' adds to W (out, in);
a(x) = |(W' - W) x| is one number per token. `wise` decides what is taught, and teaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft.utils.merge_utils import ties
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional

from chronofacts.editing.editors import EditedModel
from chronofacts.editing.models.architecture import matrix_of, output_matrices
from chronofacts.editing.models.encoding import Encoded
from chronofacts.schemas.errors import BadInput

__all__ = [
    "SIDE_MEMORY",
    "Lessons",
    "Router",
    "Shard",
    "SideMemory",
    "WiseEdit",
    "load_wise",
    "margin_loss",
    "merge_shards",
]

SIDE_MEMORY = "side_memory.safetensors"


@dataclass(frozen=True)
class SideMemory:
    """What the side memory adds to W, and from which activation on."""

    changes: torch.Tensor  # (memories, out, in) float32, W' - W
    thresholds: torch.Tensor  # (memories,) float32, ε

    def route(self, entering: torch.Tensor, leaving: torch.Tensor) -> torch.Tensor:
        """`leaving` (…, out), and where `entering` (…, in) is about an edit what the strongest memory adds to it."""
        x = entering.float()
        strongest, added = x.new_zeros(x.shape[:-1]), torch.zeros_like(leaving, dtype=torch.float32)
        chosen = torch.zeros_like(strongest, dtype=torch.bool)
        for change, threshold in zip(self.changes, self.thresholds, strict=True):
            moved = x @ change.T
            active = torch.linalg.vector_norm(moved, dim=-1)
            wins = active > strongest
            strongest = torch.where(wins, active, strongest)
            chosen = torch.where(wins, active > threshold, chosen)
            added = torch.where(wins[..., None], moved, added)
        return torch.where(chosen[..., None], leaving + added.to(leaving.dtype), leaving)


@dataclass(frozen=True)
class Shard:
    """Facts that share a mask."""

    change: torch.Tensor  # (out, in) float32, zero outside of the mask
    texts: tuple[Encoded, ...]
    facts: int


@dataclass(frozen=True)
class Lessons:
    """All that was taught so far: the shards, and what they answer with."""

    shards: tuple[Shard, ...]
    memory: SideMemory | None


class Router:
    """The hook on the matrix."""

    def __init__(self, module: Any, memory: SideMemory | None) -> None:
        self.memory, self.lessons = memory, Lessons((), memory)
        self._handle = module.register_forward_hook(self)

    def __call__(self, _module: Any, entering: Any, leaving: torch.Tensor) -> torch.Tensor | None:
        return self.memory.route(entering[0], leaving) if self.memory else None

    def remove(self) -> None:
        self._handle.remove()


@dataclass
class WiseEdit(EditedModel):
    """A model with a side memory."""

    in_weights: ClassVar[bool] = False
    name: str = ""
    """Of the module."""
    router: Router | None = None
    before: Lessons | None = None
    """What was taught by earlier chunks; None: there was no router."""

    def save(self, folder: Path) -> None:
        """`side_memory.safetensors`: what the memories add, their thresholds, and the module's name."""
        folder.mkdir(parents=True, exist_ok=True)
        memory = self.router.memory if self.router else None
        empty = {"changes": torch.zeros((0, 0, 0)), "thresholds": torch.zeros(0)}
        tensors = {"changes": memory.changes, "thresholds": memory.thresholds} if memory else empty
        on_cpu = {name: part.cpu().contiguous() for name, part in tensors.items()}
        save_file(on_cpu, folder / SIDE_MEMORY, metadata={"module": self.name})

    def undo(self) -> Any:
        if self.router and self.before is not None:
            self.router.lessons, self.router.memory = self.before, self.before.memory
        elif self.router:
            self.router.remove()
        return self.base.eval()

    def forget_before(self) -> None:
        self.before = None


def margin_loss(inside: torch.Tensor, outside: torch.Tensor, alpha: float, beta: float, gamma: float) -> torch.Tensor:
    """L_a (eq. 4), each term its mean over what violates it. inside, outside: a(x) of edits and of other texts."""
    apart = gamma - (inside[:, None] - outside[None, :])
    terms = (outside - alpha, beta - inside, apart.flatten())
    means = [functional.relu(one).sum() / (one > 0).sum().clamp_min(1) for one in terms]
    return torch.stack(means).sum()


def merge_shards(changes: Sequence[torch.Tensor], density: float) -> torch.Tensor:
    """TIES (eq. 8): each trimmed to its largest entries, signs elected, the mean of those that agree. One stays."""
    if len(changes) == 1:
        return changes[0]
    return ties(list(changes), torch.ones(len(changes)).to(changes[0]), density)  # type: ignore[no-any-return]


def load_wise(model: Any, folder: Path, trained: frozenset[str]) -> WiseEdit:
    """The model with a saved side memory. Raises BadInput where it has no such module, or one of other widths."""
    with safe_open(folder / SIDE_MEMORY, framework="pt") as opened:
        name = (opened.metadata() or {}).get("module", "")
        changes, thresholds = opened.get_tensor("changes"), opened.get_tensor("thresholds")
    module = dict(model.named_modules()).get(name)
    fits = module is not None and name in output_matrices(model).values()
    if fits and not len(changes) and not len(thresholds):
        return WiseEdit(model.eval(), model, trained, name=name)
    numbers = bool(torch.isfinite(changes).all()) and bool(torch.isfinite(thresholds).all())
    if not (fits and numbers) or changes.shape != (len(thresholds), *matrix_of(module).shape):
        raise BadInput(f"{folder / SIDE_MEMORY} does not fit this model; make the edit again")
    device = next(model.parameters()).device
    memory = SideMemory(changes.to(device), thresholds.to(device))
    return WiseEdit(model.eval(), model, trained, name=name, router=Router(module, memory))
