"""Networks: checkpoints to run and to train on from, packed and compiled ones that are kept, the learned prior, the
face landmarker's."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from capture.face.face_model_file import find_face_model
from capture.face.networks import native
from capture.face.networks.tflite import read_graph
from core.errors import InputError
from core.native.compiled_library import loaded, missing
from core.networks.engine_cache import CacheEntry
from core.untrusted import opened_zip, zip_entry
from engine.expression.expression_features import FEATURE_COUNT, SECTIONS
from engine.expression.expression_prior import ExpressionPrior, PriorWeights, reduced_count, write_weights
from engine.flow.backends import native_store
from engine.flow.backends.backend import eager_sample
from engine.flow.backends.native_library import flow_kernels
from engine.flow.backends.native_packing import packed
from engine.flow.backends.native_store import StoredNetwork
from engine.flow.network.checkpoint import load_checkpoint, save_checkpoint
from engine.flow.network.config import NetworkConfig
from engine.flow.network.motion_network import MotionNetwork
from engine.flow.network.network import FaceNetwork
from engine.training.loop.checkpointing import MovingAverage, load_training, save_training
from tools.fuzz.target import Target

_TINY = NetworkConfig(
    image_size=8,
    widths={4: 2, 8: 2},
    style_dim=3,
    motion_dim=2,
    depth_motion_dim=1,
    inpaint_widths=(1, 1, 1),
    inpaint_blocks=1,
)
_WIDE = replace(_TINY, widths={4: 64, 8: 64}, depth_motion_dim=5)


def _network(config: NetworkConfig) -> FaceNetwork:
    torch.manual_seed(0)
    return FaceNetwork(config).eval()


def _checkpoint_seeds(folder: Path) -> list[Path]:
    new, old = folder / "new.pt", folder / "old.pt"
    save_checkpoint(new, _network(_TINY), step=3)
    torch.save(torch.load(new, weights_only=True), old, _use_new_zipfile_serialization=False)
    return [new, old]


def _load_checkpoint(path: Path) -> None:
    network = load_checkpoint(path).network
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise AssertionError("weights that are no numbers")


def _training_seeds(folder: Path) -> list[Path]:
    network = _network(_TINY)
    optimizer = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    save_training(folder / "000007.pt", network, optimizer, MovingAverage.of(network, 0.9), 7, {"rate": 1e-3})
    return [folder / "000007.pt"]


def _load_training(path: Path) -> None:
    network = _network(_TINY)
    optimizer = torch.optim.Adam(network.parameters())
    load_training(path, network, optimizer, MovingAverage.of(network, 0.9))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


@cache
def _packed() -> StoredNetwork:
    live = MotionNetwork(_network(_WIDE).requires_grad_(False), torch.zeros(1, 4, 8, 8))
    return StoredNetwork(
        packed(live, for_matrix_unit=flow_kernels().matrix_parts() > 0), eager_sample(live), released=True
    )


def _packed_seeds(folder: Path) -> list[Path]:
    entry = native_store.entry_of(folder / "cache", "checkpoint", "avatar")
    native_store.save(entry, _packed())
    content = entry.content()
    assert content is not None
    path = folder / "content"
    path.write_bytes(content.tobytes())
    return [path]


def _load_packed(path: Path) -> None:
    """The content, under a label that fits: what is damaged otherwise is not even looked at."""
    with tempfile.TemporaryDirectory() as folder:
        entry = native_store.entry_of(Path(folder), "checkpoint", "avatar")
        entry.write(lambda partial: partial.write_bytes(path.read_bytes()))
        stored = native_store.load(entry)
    if stored is None:
        raise InputError(f"{path}: is packed anew")
    if missing() is None:
        native_store.started(stored)


_FACTS = {"backend": "openvino", "weights": "w", "avatar": "a"}


def _engine_seeds(folder: Path) -> list[Path]:
    entry = CacheEntry.of(folder, _FACTS, ".blob")
    entry.write(lambda path: path.write_bytes(_ENGINE))
    return [entry.path]


_ENGINE = bytes(range(256)) * 4


def _load_engine(path: Path) -> None:
    content = CacheEntry(path, _FACTS).content()
    if content is None:
        raise InputError(f"{path}: is compiled anew")
    if content.tobytes() != _ENGINE:
        raise AssertionError("another engine than was kept")


def _prior_seeds(folder: Path) -> list[Path]:
    rng, inputs = np.random.default_rng(0), reduced_count(2, 2)

    def drawn(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return rng.normal(0, 0.05, shape).astype(np.float32)

    weights = PriorWeights(
        tuple(f"unit{number}" for number in range(52)),
        drawn(2, SECTIONS["displacement"]),
        drawn(2, SECTIONS["shape"]),
        drawn(inputs),
        1 + drawn(inputs),
        drawn(52, inputs),
        ((drawn(4, inputs), drawn(4)), (drawn(52, 4), drawn(52))),
    )
    write_weights(folder / "prior.npz", weights)
    return [folder / "prior.npz"]


def _load_prior(path: Path) -> None:
    prior = ExpressionPrior.load(path)
    for vector in (np.zeros(FEATURE_COUNT), np.full(FEATURE_COUNT, 3.0)):
        if not np.isfinite(prior.estimate_from(vector)).all():
            raise AssertionError("a face of numbers that are none")


_MEMBERS = ("face_detector", "face_landmarks_detector", "face_blendshapes")


def _landmarker_seeds(folder: Path) -> list[Path]:
    with opened_zip(find_face_model(url=None)) as bundle:
        for name in _MEMBERS:
            (folder / f"{name}.tflite").write_bytes(zip_entry(bundle, f"{name}.tflite", name, 16 << 20))
    return [folder / f"{name}.tflite" for name in _MEMBERS]


def _run_landmarker(path: Path) -> None:
    """As one of the three networks, whichever takes it."""
    graph, refused = read_graph(path.read_bytes(), path.name), list[InputError]()
    library = None if missing() else loaded(native.SOURCE, None, "run_mixer")
    for make in native.MAKERS.values():
        try:
            request = make(library, graph, path.name) if library is not None else None
        except InputError as error:
            refused.append(error)
            continue
        if request is not None:
            request.given[:] = 0.5
            request.run()
    if len(refused) == len(native.MAKERS):
        raise refused[0]


TARGETS = [
    Target("landmarker_network", _landmarker_seeds, _run_landmarker),
    Target("checkpoint", _checkpoint_seeds, _load_checkpoint),
    Target("training_checkpoint", _training_seeds, _load_training),
    Target("packed_network", _packed_seeds, _load_packed),
    Target("compiled_engine", _engine_seeds, _load_engine),
    Target("expression_prior", _prior_seeds, _load_prior),
]
