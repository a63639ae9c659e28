"""Checkpoints: the published layout, this project's own, and LIA weights as a starting point for training.

A checkpoint is untrusted input: see `engine.flow.network.checkpoint_file`. Every size, key and shape is checked before
anything is made or copied.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import InputError
from core.whole_file import whole_file
from engine.flow.network.appearance import Appearance
from engine.flow.network.checkpoint_file import CheckpointError, read_checkpoint
from engine.flow.network.config import PUBLISHED, NetworkConfig
from engine.flow.network.layers import Blur, Downsample, Upsample, fir_kernel
from engine.flow.network.network import FaceNetwork

FORMAT_NAME = "vfa-live network"
FORMAT_VERSION = 1
_SHOWN = 6
_LONGEST_NAME = 200


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded network in evaluation mode.

    Attributes:
        network: on the CPU, parameters frozen.
        released: True for the published layout, whose pipeline quirks then apply by default (PIPELINE.md).
        key: sha256 of the weights and sizes; part of every cache key made from them.
        step: training step stored with it, or None.
        appearance: of the avatars it was trained on, or None where that is not known.
    """

    network: FaceNetwork
    released: bool
    key: str
    step: int | None = None
    appearance: Appearance | None = None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a published `{"gen": …}` checkpoint or one of this project's own.

    Raises CheckpointError, in one line, for a file that is absent, cut short, not a checkpoint, wants to run code
    when unpickled, or whose keys or shapes differ from the layout (all differences at once).
    """
    content = read_checkpoint(path)
    own = isinstance(content.get("format"), str) and content["format"] == FORMAT_NAME
    config = _stored_config(content, path) if own else PUBLISHED
    state = stored_weights(content, path)
    with torch.device("meta"):  # sizes only: the values are the file's own, not copied
        network = FaceNetwork(config)
    check_layout(state, network, path)
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)
    step, appearance = content.get("step"), None
    if own and isinstance(kept := content.get("appearance"), dict):
        try:
            appearance = Appearance.of_content(kept, config.style_dim)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}; save it again with this version") from None
    key = weights_key(network, appearance)
    return Checkpoint(network, not own, key, step if type(step) is int else None, appearance)


def save_checkpoint(
    path: Path, network: FaceNetwork, *, step: int | None = None, appearance: Appearance | None = None
) -> None:
    """Write this project's own format: weights with their sizes and a format version, whole or not at all."""
    content = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "config": network.config.to_dict(), "step": step}
    content["gen"] = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    if appearance is not None:
        content["appearance"] = appearance.to_content()
    with whole_file(path) as partial:
        torch.save(content, partial)


def load_lia_weights(network: FaceNetwork, path: Path) -> list[str]:
    """Start training from LIA (RGB-only) weights as the published trainer does; returns the names left untouched.

    Tensors of equal shape are copied; 3-channel ones go into the first channels of their 4-channel namesakes.
    Raises CheckpointError when a tensor has any other shape or nothing fits.
    """
    given = stored_weights(read_checkpoint(path), path)
    own = network.state_dict()
    shared = [name for name in given if name in own]
    wrong = [
        f"{n} {_shape(given[n])} for {_shape(own[n])}" for n in shared if not _fits_first_channels(given[n], own[n])
    ]
    if wrong or not shared:
        reason = f"these do not fit: {_listed(wrong)}" if wrong else "no tensor name is known"
        raise CheckpointError(f"{path}: expected LIA weights, but {reason}; pass a LIA generator checkpoint")
    with torch.no_grad():
        for name in shared:
            region = tuple(slice(0, n) for n in given[name].shape)
            own[name][region].copy_(given[name])
    return sorted(set(own) - set(shared))


def weights_key(network: FaceNetwork, appearance: Appearance | None = None) -> str:
    """sha256 over sizes, names and values: equal exactly when the networks compute the same thing."""
    digest = hashlib.sha256(repr(sorted(network.config.to_dict().items())).encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    if appearance is not None:
        digest.update(appearance.usual.numpy().tobytes() + repr(appearance.reach).encode())
    return digest.hexdigest()


def _stored_config(content: Mapping[str, Any], path: Path) -> NetworkConfig:
    version, config = content.get("version"), content.get("config")
    if type(version) is not int or version != FORMAT_VERSION:
        found = f"version {version}" if type(version) is int else "no version"
        raise CheckpointError(f"{path}: format {found}, this program reads {FORMAT_VERSION}; update vfa-live")
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: its network sizes are missing; save it again with this version")
    try:
        return NetworkConfig.from_dict(config)
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from None


def stored_weights(content: Mapping[Any, Any], path: Path, name: str = "gen") -> dict[str, Tensor]:
    """The tensors that a checkpoint holds under `name`. Raises CheckpointError where there is something else."""
    state = content.get(name)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        keys = [str(key)[:40] for key in content][:_SHOWN]
        raise CheckpointError(f'{path}: expected tensors under "{name}", got keys {sorted(keys)}')
    prefix = "module."  # saved from a DataParallel wrapper
    return {str(key)[:_LONGEST_NAME].removeprefix(prefix): value for key, value in state.items()}


def check_layout(state: Mapping[str, Tensor], network: FaceNetwork, path: Path) -> None:
    """Every name, shape, number type and fixed FIR kernel at once. Raises CheckpointError where one differs."""
    layout, faults = network.state_dict(), []
    if missing := sorted(set(layout) - set(state)):
        faults.append(f"{len(missing)} missing ({_listed(missing)})")
    if unknown := sorted(set(state) - set(layout)):
        faults.append(f"{len(unknown)} unknown ({_listed(unknown)})")
    shared = sorted(set(state) & set(layout))
    if wrong := [
        f"{n} {_shape(state[n])} for {_shape(layout[n])}" for n in shared if state[n].shape != layout[n].shape
    ]:
        faults.append(f"{len(wrong)} of another shape ({_listed(wrong)})")
    same = [n for n in shared if state[n].shape == layout[n].shape]
    if kinds := [n for n in same if state[n].dtype != layout[n].dtype]:
        faults.append(f"{len(kinds)} of another number type ({_listed(kinds)})")
    if broken := [n for n in same if not torch.isfinite(state[n].float()).all()]:
        faults.append(f"{len(broken)} with values that are not finite ({_listed(broken)})")
    filters = {f"{n}.kernel": m.gain for n, m in network.named_modules() if isinstance(m, Blur | Upsample | Downsample)}
    if kernels := [
        n for n in same if n in filters and not torch.allclose(state[n].float(), fir_kernel(filters[n]), atol=1e-6)
    ]:
        faults.append(f"{len(kernels)} with another low-pass filter than (1, 3, 3, 1) ({_listed(kernels)})")
    if faults:
        raise CheckpointError(
            f"{path}: expected {len(layout)} entries of the network layout, got {len(state)}: {'; '.join(faults)}. "
            "Pass a VFA checkpoint of the published sizes or one saved by this program"
        )


def _fits_first_channels(given: Tensor, own: Tensor) -> bool:
    if given.shape == own.shape:
        return True
    differs = [(g, o) for g, o in zip(given.shape, own.shape, strict=False) if g != o]
    return given.dim() == own.dim() and all(pair == (3, 4) for pair in differs)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return " ".join(", ".join(names[:_SHOWN]).split()) + more


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"
