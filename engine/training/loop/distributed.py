"""One process or many (torchrun): who this one is, and the few things all of them agree on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch import distributed as dist

from core.errors import InputError


@dataclass(frozen=True)
class Team:
    """This process among all that train one network.

    Attributes:
        rank, size: its number from 0, and how many there are.
        device: what it computes on.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the team."""
        if self.size == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
            return nn.parallel.DistributedDataParallel(module, device_ids=[self.device.index])
        return nn.parallel.DistributedDataParallel(module)

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        if self.size == 1:
            return flag
        votes = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes.item())

    def mean(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Scalars averaged over the team; every process must ask for the same names."""
        if not values:
            return {}
        stacked = torch.stack([value.detach().float() for value in values.values()]).to(self.device)
        if self.size > 1:
            dist.all_reduce(stacked)
        return dict(zip(values, cast(list[float], (stacked / self.size).tolist()), strict=True))


@contextmanager
def team(device: str = "auto") -> Iterator[Team]:
    """Join the processes that torchrun started (gloo on processors, NCCL on GPUs), or work alone.

    Raises InputError for a device that is not there.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1:
        yield Team(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Team(rank, size, chosen)
        dist.barrier()  # the leader still writes files when the others are done: nobody hangs up on it
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {name}: PyTorch finds no CUDA device here; leave it out to train on the processor")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: expected auto, cpu, cuda or cuda:N") from None
    return torch.device("cuda", local_rank) if device.type == "cuda" and device.index is None else device
