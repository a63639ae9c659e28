"""Samples by number → batches for one process of a team, from any step on.

The global batch of step s holds the samples s·B … s·B + B − 1 of an endless series; each process takes its share. So a
run repeats, resumes in the middle, and computes the same with one process as with many.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from core.errors import InputError
from engine.training.loop.distributed import Team

Samples = Callable[[int], dict[str, NDArray[Any]]]


class _Numbered(Dataset[dict[str, Tensor]]):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        sample = self._samples(number)
        return {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in sample.items()}


class _Share(Sampler[list[int]]):
    """This process's numbers of each step."""

    def __init__(self, first_step: int, steps: int, batch: int, team: Team) -> None:
        self._range, self._batch, self._team = range(first_step, steps), batch, team

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._range:
            first = step * self._batch
            yield list(range(first + self._team.rank, first + self._batch, self._team.size))

    def __len__(self) -> int:
        return len(self._range)


def batches(
    samples: Samples, team: Team, *, batch: int, first_step: int, steps: int, workers: int = 0
) -> Iterator[dict[str, Tensor]]:
    """One batch for each step from `first_step` up to `steps`, on the team's device.

    Raises InputError where the global batch cannot be shared evenly.
    """
    if batch % team.size:
        raise InputError(f"--batch {batch}: expected a multiple of the {team.size} processes; take {team.size * 4}")
    loader = DataLoader(
        _Numbered(samples),
        batch_sampler=_Share(first_step, steps, batch, team),
        num_workers=workers,
        pin_memory=team.device.type == "cuda",
        persistent_workers=False,
        worker_init_fn=_one_thread,
    )
    for content in loader:
        yield {name: _placed(value, team.device) for name, value in content.items()}


def _placed(value: Tensor, device: torch.device) -> Tensor:
    if device.type == "cpu" and value.dim() == 4:  # pictures: a third faster so
        return value.contiguous(memory_format=torch.channels_last)
    return value.to(device, non_blocking=True)


def _one_thread(_worker: int) -> None:
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
