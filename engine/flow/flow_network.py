"""The network of one checkpoint and one avatar, ready to run: read back from an earlier start where it was kept, and
compiled otherwise. Reading back needs no torch, which alone takes seconds to import."""

import ctypes
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calib.close_up import Pictured, network_picture
from core.errors import InputError
from core.expression_units import UNIT_COUNT
from core.networks.engine_cache import CacheEntry
from engine.flow.backends import native_store
from engine.flow.backends.compiled import BackendError, SelectedBackend
from engine.flow.backends.names import BackendName
from engine.flow.backends.native_motion import NativeMotion

if TYPE_CHECKING:
    from engine.flow.network.checkpoint import Checkpoint
    from engine.flow.network.config import NetworkConfig
    from engine.flow.network.motion_network import MotionNetwork

log = logging.getLogger(__name__)

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FlowNetwork:
    """A compiled live graph and what drives it relative to a neutral.

    Attributes:
        backend: runs it, and has proven itself.
        source_alpha: [1, M] motion code of the avatar's picture.
        released: whether the checkpoint is a published one, whose pipeline quirks then apply by default.
        head_motion: see `NetworkConfig`.
        coded: the graph looks at no driver: its `alpha_offset` is the weights of the 52 expression units.
    """

    backend: SelectedBackend
    source_alpha: Array
    released: bool
    head_motion: bool = True
    coded: bool = False


def open_network(
    avatar: Pictured,
    checkpoint: "Path | Checkpoint",
    backend: BackendName,
    cache_dir: Path | None,
    *,
    coded: bool = False,
) -> FlowNetwork:
    """The network, compiled or kept from an earlier start. `coded`: without its encoder, where the motion code has one
    number for each expression unit; other networks keep theirs.

    Raises InputError for a checkpoint, avatar or backend that cannot be used.
    """
    entry = None
    if isinstance(checkpoint, Path) and cache_dir and checkpoint.is_file() and _may_be_native(backend):
        source = network_picture(avatar, head_motion=True)
        entry = native_store.entry_of(cache_dir, _file_digest(checkpoint), digest_of(source))
        if kept := _kept(entry):
            return kept
    return _compiled(avatar, checkpoint, backend, cache_dir, entry, coded=coded)


def _kept(entry: CacheEntry) -> FlowNetwork | None:
    stored = native_store.load(entry)
    if stored is None:
        return None
    try:
        backend = native_store.started(stored)
    except BackendError as error:
        log.warning("%s", error)
        return None
    return FlowNetwork(backend, stored.weights.arrays["source_alpha"], stored.released)


def _compiled(
    avatar: Pictured,
    checkpoint: "Path | Checkpoint",
    backend: BackendName,
    cache_dir: Path | None,
    entry: CacheEntry | None,
    *,
    coded: bool,
) -> FlowNetwork:
    from engine.flow.backends.backend import CompileRequest, eager_sample
    from engine.flow.backends.select import select_backend
    from engine.flow.network.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    source = network_picture(avatar, head_motion=loaded.network.config.head_motion)
    coded = coded and names_units(loaded.network.config)
    network = live_network(source, loaded, coded=coded)
    key = f"{loaded.key}-coded" if coded else loaded.key
    selected = select_backend(backend, CompileRequest(network, key, digest_of(source), cache_dir))
    if entry is not None and isinstance(selected.run, NativeMotion):
        stored = native_store.StoredNetwork(selected.run.weights, eager_sample(network), loaded.released)
        native_store.save(entry, stored)
    own = loaded.network.config
    return FlowNetwork(selected, network.source_alpha.numpy(), loaded.released, own.head_motion, coded)


def names_units(config: "NetworkConfig") -> bool:
    """Whether the motion code has one number for each expression unit."""
    return not config.head_motion and config.motion_dim == UNIT_COUNT


def live_network(source: Array, loaded: "Checkpoint", *, coded: bool = False) -> "MotionNetwork":
    """The live graph for an avatar's picture [4, N, N]; `coded` as in `MotionNetwork`. Raises InputError where it and
    the checkpoint do not fit."""
    import torch

    from engine.flow.network.motion_network import MotionNetwork

    size = loaded.network.config.picture_size
    if source.shape != (4, size, size):
        raise InputError(f"avatar: its picture is {source.shape[1:]}, the checkpoint works on {size}x{size}")
    return MotionNetwork(loaded.network, torch.from_numpy(source)[None], loaded.appearance, coded=coded)


def digest_of(source: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); check --checkpoint") from error


def _may_be_native(backend: BackendName) -> bool:
    """Whether the native backend would be taken: asked for, or no driver for a CUDA device is installed."""
    if backend != "auto":
        return backend == "native"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return True
    return False
