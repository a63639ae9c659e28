"""Training checkpoints: the published layout and name, with what resuming needs beside it, whole or not at all.

    {"gen": weights to use, "g_optim": optimiser, "args": settings, "step": …, "raw": weights being trained, …}

"gen" holds the moving average where one is kept, so that every reader of a checkpoint gets the better weights; "raw"
then holds those that training goes on from. Published files, which have neither "raw" nor "step", resume too: the step
is read from the name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.network.checkpoint import FORMAT_NAME, FORMAT_VERSION, CheckpointError
from engine.network.network import FaceNetwork

_NAME = re.compile(r"(\d{6,})\.pt$")


@dataclass
class MovingAverage:
    """Exponential moving average of a network's weights and buffers (Polyak and Juditsky 1992).

    Attributes:
        decay: share of the old average kept in each step; early on less, so that the start is forgotten.
        values: by the names of the network's state dict.
    """

    decay: float
    values: dict[str, Tensor]

    @staticmethod
    def of(network: nn.Module, decay: float) -> "MovingAverage":
        return MovingAverage(decay, {name: value.detach().clone() for name, value in network.state_dict().items()})

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            own = self.values[name]
            if own.is_floating_point():
                own.lerp_(value.detach(), 1 - decay)
            else:
                own.copy_(value)


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"{step:06d}.pt"


def latest_checkpoint(folder: Path) -> Path | None:
    """The one with the highest step, or None."""
    found = [(int(match[1]), path) for path in folder.glob("*.pt") if (match := _NAME.search(path.name))]
    return max(found)[1] if found else None


def save_training(
    path: Path,
    network: FaceNetwork,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
    step: int,
    settings: Mapping[str, Any],
) -> None:
    """Write it beside, make sure it is on disk, then give it its name: a killed run leaves no half-written file."""
    raw = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    content: dict[str, Any] = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "config": network.config.to_dict()}
    content |= {"gen": raw, "g_optim": optimizer.state_dict(), "args": dict(settings), "step": step}
    if average is not None:
        content |= {"gen": {name: value.cpu() for name, value in average.values.items()}, "raw": raw}
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_training(
    path: Path, network: FaceNetwork, optimizer: torch.optim.Optimizer, average: MovingAverage | None
) -> int:
    """Put a checkpoint's state back; returns the number of steps done. The weights must be those of `network`'s sizes.

    Raises CheckpointError where it does not fit.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    weights = content.get("raw", content["gen"])
    try:
        network.load_state_dict(weights)
        if "g_optim" in content:
            optimizer.load_state_dict(content["g_optim"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{path}: was made with other sizes or another stage ({reason}); resume with the settings it was made "
            "with, or start from it with --init"
        ) from None
    if average is not None:
        for name, value in content["gen"].items():
            average.values[name].copy_(value)
    return _step(path, content)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the `keep` newest checkpoints, and what interrupted writes left."""
    for leftover in folder.glob("*.pt.partial"):
        leftover.unlink(missing_ok=True)
    numbered = sorted((int(match[1]), path) for path in folder.glob("*.pt") if (match := _NAME.search(path.name)))
    for _, path in numbered[:-keep] if keep else []:
        path.unlink(missing_ok=True)


def _step(path: Path, content: Mapping[str, Any]) -> int:
    stored = content.get("step")
    if isinstance(stored, int):
        return stored
    match = _NAME.search(path.name)
    if match is None:
        raise CheckpointError(f"{path}: holds no step and its name tells none; rename it to NNNNNN.pt")
    return int(match[1])
