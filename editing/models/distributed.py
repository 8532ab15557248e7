"""Several processes that train one model together, as `accelerate launch` starts them.

Each holds the whole model and takes its share of every batch; gradients are summed, so that all hold the same weights
after every step. One process alone is a group of one and needs no accelerate. Leaves out sharded models.
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

__all__ = ["ProcessGroup", "join_processes", "own_device", "own_folder"]


@dataclass(frozen=True)
class ProcessGroup:
    rank: int = 0
    size: int = 1
    device: torch.device | None = None
    """This process's own; None: whatever a single process would take."""

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes results."""
        return self.rank == 0

    def share(self, indices: Sequence[int]) -> list[int]:
        """This process's part of a batch: every size-th, so that a batch sorted by length is shared evenly."""
        return list(indices[self.rank :: self.size])

    def all_reduce_sum(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in each of them."""
        if self.size == 1:
            return value
        shared = value.to(self.device)  # where the backend can exchange it
        distributed.all_reduce(shared)
        return shared.to(value.device)

    def all_reduce_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Give every parameter the sum of all processes' gradients, in one exchange per type of number."""
        if self.size == 1:
            return
        for kind in dict.fromkeys(parameter.dtype for parameter in parameters):  # in one order everywhere
            same = [parameter for parameter in parameters if parameter.dtype == kind]
            grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in same]
            summed = self.all_reduce_sum(torch.cat([grad.flatten() for grad in grads]))
            for one, part in zip(same, summed.split([grad.numel() for grad in grads]), strict=True):
                one.grad = part.view_as(one)


def join_processes() -> ProcessGroup:
    """The group of which the environment (WORLD_SIZE, RANK, …) says that this process is a part.

    Raises BadInput where several processes were started and accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return ProcessGroup()
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise BadInput("several processes need accelerate; install it with: pip install accelerate") from error
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu)
    return ProcessGroup(state.process_index, state.num_processes, state.device)


def own_device(wanted: str) -> str:
    """The device asked for; `auto` in a group is this process's own."""
    group = join_processes()
    return str(group.device) if wanted == "auto" and group.device is not None else wanted


@contextmanager
def own_folder(out: Path) -> Iterator[Path]:
    """Where this process writes: the main one in `out`, the others in a folder that is thrown away.

    All leave together, so that none looks for what the main process has not written yet.
    """
    group = join_processes()
    if group.is_main:
        yield out
    else:
        with tempfile.TemporaryDirectory(prefix="chronofacts-") as scratch:
            yield Path(scratch) / "run"
    group.all_reduce_sum(torch.zeros(1))
