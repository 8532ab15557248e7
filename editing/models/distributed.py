"""Several processes that train one model together, as `accelerate launch` starts them.

Each holds the whole model and takes its share of every batch; gradients are added up, so that all hold the same
weights after every step. One process alone is a team of one and needs no accelerate. Leaves out sharded models.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from chronofacts.schemas.errors import BadInput

__all__ = ["Team", "join_team", "own_device", "own_folder"]


@dataclass(frozen=True)
class Team:
    rank: int = 0
    size: int = 1
    device: torch.device | None = None
    """This process's own; None: whatever a single process would take."""

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes results."""
        return self.rank == 0

    def share(self, indices: Sequence[int]) -> list[int]:
        """This process's part of a batch: every size-th, so that a batch sorted by length is shared evenly."""
        return list(indices[self.rank :: self.size])

    def add_up(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over the team, for all of them."""
        if self.size == 1:
            return value
        shared = value.to(self.device)  # where the team's backend can exchange it
        distributed.all_reduce(shared)
        return shared.to(value.device)

    def add_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Give every parameter the sum of the team's gradients, in one exchange per type of number."""
        if self.size == 1:
            return
        for kind in {parameter.dtype for parameter in parameters}:
            same = [parameter for parameter in parameters if parameter.dtype == kind]
            grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in same]
            summed = self.add_up(torch.cat([grad.flatten() for grad in grads]))
            for one, part in zip(same, summed.split([grad.numel() for grad in grads]), strict=True):
                one.grad = part.view_as(one)

    def agree(self, here: bool) -> bool:
        """What the leader decided: clocks differ between processes."""
        if self.size == 1:
            return here
        decided = torch.tensor([float(here and self.leads)])
        return bool(self.add_up(decided).item())


def join_team() -> Team:
    """The team of which the environment (WORLD_SIZE, RANK, …) says that this process is a part.

    Raises BadInput where several processes were started and accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Team()
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise BadInput("several processes need accelerate; install it with: pip install accelerate") from error
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu)
    return Team(state.process_index, state.num_processes, state.device)


def own_device(wanted: str) -> str:
    """The device asked for; `auto` in a team is this process's own."""
    team = join_team()
    return str(team.device) if wanted == "auto" and team.device is not None else wanted


@contextmanager
def own_folder(out: Path) -> Iterator[Path]:
    """Where this process writes: the leader in `out`, the others in a folder that is thrown away.

    All leave together, so that none looks for what the leader has not written yet.
    """
    team = join_team()
    if team.leads:
        yield out
    else:
        with tempfile.TemporaryDirectory(prefix="chronofacts-") as scratch:
            yield Path(scratch) / "run"
    team.add_up(torch.zeros(1))
