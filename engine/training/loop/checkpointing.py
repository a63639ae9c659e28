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

from core.errors import one_line
from core.whole_file import remove_left_behind, whole_file
from engine.flow.network.appearance import Appearance
from engine.flow.network.checkpoint import FORMAT_NAME, FORMAT_VERSION, check_layout, stored_weights
from engine.flow.network.checkpoint_file import CheckpointError, read_checkpoint
from engine.flow.network.network import FaceNetwork
from engine.training.loop.muon import Muon

_NAME = re.compile(r"(\d{6,12})\.pt$")
_MOST_STEPS = 10**12
_KEPT: dict[type, list[set[str]]] = {
    torch.optim.Adam: [{"step", "exp_avg", "exp_avg_sq"}],
    Muon: [{"momentum"}, {"step", "first", "second"}],
}
"""What optimisers keep of a parameter."""
_SQUARES = ("exp_avg_sq", "second")


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
    appearance: Appearance | None = None,
) -> None:
    """Write it beside, make sure it is on disk, then give it its name: a killed run leaves no half-written file.

    `appearance`: to which the run brings avatars back, for whoever uses the weights before it has ended.
    """
    raw = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    content: dict[str, Any] = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "config": network.config.to_dict()}
    content |= {"gen": raw, "g_optim": optimizer.state_dict(), "args": dict(settings), "step": step}
    if appearance is not None:
        content["appearance"] = appearance.to_content()
    if average is not None:
        content |= {"gen": {name: value.cpu() for name, value in average.values.items()}, "raw": raw}
    with whole_file(path) as partial, partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def load_training(
    path: Path, network: FaceNetwork, optimizer: torch.optim.Optimizer, average: MovingAverage | None
) -> int:
    """Put a checkpoint's state back; returns the number of steps done. The weights must be those of `network`'s sizes.

    Raises CheckpointError where it does not fit.
    """
    content = read_checkpoint(path)
    kept = stored_weights(content, path)
    weights = stored_weights(content, path, "raw") if "raw" in content else kept
    for tensors in (weights, kept):
        check_layout(tensors, network, path)
    step = _step(path, content)
    state = _optimizer_state(path, content["g_optim"], optimizer) if "g_optim" in content else None
    network.load_state_dict(weights)
    if state is not None:
        optimizer.load_state_dict(state)
    if average is not None:
        for name, value in kept.items():
            average.values[name].copy_(value)
    return step


def _optimizer_state(path: Path, given: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What was kept of every parameter, under the optimiser's own settings: those in the file are not looked at.

    Raises CheckpointError where it does not fit the parameters.
    """
    own = optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    try:
        if [len(group["params"]) for group in given["param_groups"]] != [len(group["params"]) for group in own]:
            raise ValueError("it trained other parameters")
        numbers = [number for group in given["param_groups"] for number in group["params"]]
        place = {number: at for at, number in enumerate(numbers)}
        state = {place[number]: kept for number, kept in given["state"].items()}
        for at, kept in state.items():
            _check_kept(kept, parameters[at], optimizer)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: was made with other sizes or another stage (its optimiser's state: {one_line(error)}); "
            "resume with the settings it was made with, or start from it with --init"
        ) from None
    return {"state": state, "param_groups": own}


def _check_kept(kept: dict[str, Any], parameter: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Raises ValueError where it is not what the optimiser keeps of such a parameter."""
    if kept and set(kept) not in _KEPT[type(optimizer)]:
        raise ValueError(f"it keeps {', '.join(map(str, kept))}"[:100])
    for name, value in kept.items():
        if name == "step":
            if not 0 <= float(value) < _MOST_STEPS:
                raise ValueError("a number of steps makes no sense")
        elif not isinstance(value, Tensor) or value.shape != parameter.shape or not torch.isfinite(value).all():
            raise ValueError(f"{name} is no finite tensor of the parameter's shape")
        elif name in _SQUARES and (value < 0).any():
            raise ValueError(f"{name} has negative squares")


def prune(folder: Path, keep: int) -> None:
    """Delete all but the `keep` newest checkpoints, and what interrupted writes left."""
    remove_left_behind(folder, idle_s=0)  # nobody else writes here
    numbered = sorted((int(match[1]), path) for path in folder.glob("*.pt") if (match := _NAME.search(path.name)))
    for _, path in numbered[:-keep] if keep else []:
        path.unlink(missing_ok=True)


def _step(path: Path, content: Mapping[str, Any]) -> int:
    stored = content.get("step")
    if type(stored) is int and 0 <= stored < _MOST_STEPS:
        return stored
    match = _NAME.search(path.name)
    if match is None:
        raise CheckpointError(f"{path}: holds no step and its name tells none; rename it to NNNNNN.pt")
    return int(match[1])
