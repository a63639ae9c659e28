"""Packed weights on disk, with the sample of eager's results they are proven on: the next start needs no torch.

An entry belongs to a checkpoint file, an avatar's picture and this version of graph, packing and kernels; anything
else is packed anew. The file: length of a JSON header, the header, then the arrays, each from a cache line on.
"""

import hashlib
import json
import logging
import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.array_checks import expect
from core.errors import InputError
from core.native.compiled_library import NativeError
from core.networks.engine_cache import CacheEntry
from core.untrusted import parse_json
from engine.flow.backends import native_library
from engine.flow.backends.compiled import EXACT, GRAPH_VERSION, BackendError, Sample, SelectedBackend, measured
from engine.flow.backends.native_layout import check_layout
from engine.flow.backends.native_motion import NativeMotion, PackedWeights

log = logging.getLogger(__name__)

_LINE = 64
_HEADER_LENGTH = 8
_SUFFIX = ".packed"
_KEPT = 4  # packed networks, each some hundreds of megabytes
_SOURCES = ("native_layout.py", "native_packing.py", "native_motion.py", "native_split.py", "native_kernels.c")


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """What one checkpoint and one avatar come to.

    Attributes:
        weights: for the native kernels.
        sample: what the result is proven on.
        released: see `Checkpoint.released`.
    """

    weights: PackedWeights
    sample: Sample
    released: bool


def entry_of(cache_dir: Path, checkpoint_digest: str, avatar_digest: str) -> CacheEntry:
    """The place of a checkpoint file (sha256 of its bytes) with an avatar's picture."""
    facts = {
        "backend": "native",
        "checkpoint": checkpoint_digest,
        "avatar": avatar_digest,
        "graph": GRAPH_VERSION,
        "packing": _packing_digest(),
        "matrix_unit": str(_matrix_parts()),
        "torch": version("torch"),
    }
    return CacheEntry.of(cache_dir, facts, _SUFFIX)


def save(entry: CacheEntry, network: StoredNetwork) -> None:
    """Write it, whole or not at all. Where it cannot be kept, that is logged."""
    arrays = network.weights.arrays | {f"sample.{name}": value for name, value in vars(network.sample).items()}
    layout, offset = {}, 0
    for name, array in arrays.items():
        layout[name] = {"shape": array.shape, "offset": offset}
        offset += -(-array.nbytes // _LINE) * _LINE
    facts = {"image_size": network.weights.image_size, "style_widths": network.weights.style_widths}
    header = json.dumps({**facts, "released": network.released, "arrays": layout}).encode()
    header += b" " * (-(len(header) + _HEADER_LENGTH) % _LINE)

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(len(header).to_bytes(_HEADER_LENGTH, "little") + header)
            for array in arrays.values():
                file.write(np.ascontiguousarray(array, np.float32).data)
                file.write(bytes(-array.nbytes % _LINE))

    entry.write(write)
    with suppress(OSError):  # another process may be tidying, too
        oldest_first = sorted(entry.path.parent.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
        for old in oldest_first[:-_KEPT]:
            old.unlink(missing_ok=True)


def load(entry: CacheEntry) -> StoredNetwork | None:
    """What was saved under exactly these facts, or None."""
    content = entry.content()
    if content is None:
        return None
    with suppress(OSError):
        entry.path.touch()  # in use: not the next one to be forgotten
    try:
        return _unpacked(content)
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        log.warning("%s: no packed network (%s); packing again", entry.path, error)
        return None


def _unpacked(content: NDArray[np.uint8]) -> StoredNetwork:
    """Raises InputError, KeyError, TypeError, AttributeError or ValueError where the content is no packed network."""
    length = int.from_bytes(content[:_HEADER_LENGTH].tobytes(), "little") + _HEADER_LENGTH
    header = parse_json(content[_HEADER_LENGTH:length].tobytes(), "header")
    values = content[length : length + (len(content) - length) // 4 * 4].view(np.float32)
    arrays = {name: _placed(values, name, place) for name, place in header["arrays"].items()}
    sample = Sample(**{name: arrays.pop(f"sample.{name}") for name in Sample.__dataclass_fields__})
    weights = PackedWeights(header["image_size"], tuple(header["style_widths"]), arrays)
    check_layout(weights.image_size, weights.style_widths, arrays)
    side, codes = weights.image_size, len(arrays["to_alpha.bias"])
    wanted = {"driving": (1, 4, side, side), "alpha_offset": (1, codes), "flow": (side, side, 2), "depth": (side, side)}
    for name, shape in wanted.items():
        expect(vars(sample), name, np.float32, *shape)
    if not isinstance(header["released"], bool):
        raise ValueError("it does not say whether the checkpoint is a published one")
    return StoredNetwork(weights, sample, header["released"])


def _placed(values: NDArray[np.float32], name: str, place: dict[str, Any]) -> NDArray[np.float32]:
    """One array where the header says. Raises ValueError where it does not lie inside."""
    start, shape = place["offset"], place["shape"]
    whole = isinstance(shape, list) and all(type(number) is int and number >= 0 for number in (start, *shape))
    if not whole or start % _LINE or start // 4 + math.prod(shape) > len(values):
        raise ValueError(f"{name} lies outside the file")
    return values[start // 4 : start // 4 + math.prod(shape)].reshape(shape)


def started(network: StoredNetwork) -> SelectedBackend:
    """The stored network at work, proven on its sample. Raises BackendError where the result is not eager's."""
    try:
        run = NativeMotion(network.weights, native_library.flow_kernels())
    except NativeError as error:
        raise BackendError(f"--backend native: {error}") from error
    proof = measured(run, [network.sample])
    if not proof.within(EXACT):
        raise BackendError(f"packed weights: differ from eager, {asdict(proof)}; packing again")
    return SelectedBackend(run, "native", "fp32", proof, f"native fp32: packed on an earlier start; {proof}")


def _matrix_parts() -> int:
    """What the weights are packed for: the folder may be shared between machines."""
    try:
        return int(native_library.flow_kernels().matrix_parts())
    except NativeError:
        return 0


@cache
def _packing_digest() -> str:
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()
