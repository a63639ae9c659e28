"""The shipped head: base mesh, shape targets and masks, as arrays. Derived from CC0 data, see data/PROVENANCE.txt."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.untrusted import read_arrays

DATA_FOLDER = Path(__file__).parents[1] / "data"
_LARGEST_HEAD, _LARGEST_TARGETS = 128 << 20, 32 << 20
HEAD_FILE = DATA_FOLDER / "head.npz"
DELTA_STEP_M = 0.0001  # the artists' own resolution, so that nothing is lost

PART_NAMES = (
    "skin", "eye_left", "eye_right", "lash_upper_left", "lash_lower_left", "lash_upper_right", "lash_lower_right",
    "teeth_upper", "teeth_lower", "tongue",
)  # fmt: skip
MASK_NAMES = ("lips", "mouth_inside", "sockets", "ears", "eyelids", "ambient")

Target = tuple[NDArray[np.int32], NDArray[np.float32]]
"""A sparse shape: indices [N] of vertices and their displacements [N, 3] in metres."""


@dataclass(frozen=True, eq=False)
class HeadData:
    """A quad mesh with sparse shape targets. Metres, origin midway between the eyeballs, y up, +z out of the face.

    Left is the person's own left (+x).

    Attributes:
        vertices: [V, 3] float32, part by part.
        parts: name of PART_NAMES → quads [F, 4] int32, counter-clockwise from outside.
        uvs: [T, 2] float32 of the skin, and skin_uv [F, 4] int32 into them.
        masks: name of MASK_NAMES → [V] float32, 0..1; zero outside the skin. `ambient` is the share of the sky that a
            vertex sees on an average head with its mouth closed.
        lid_rings: "left" and "right" → [11, 28] int32 vertices around the eye; ring 0 is the margin's edge that touches
            the eyeball, columns 0..13 are the upper lid from the nose outwards, 27..14 the lower lid below them.
        lip_rings: [9, 38] vertices around the mouth; the lips touch at ring 1. Columns start at the right corner and
            run along the upper lip to the left corner and back along the lower lip.
        targets: name → (indices [N] int32, displacements [N, 3] float32 in metres).
    """

    vertices: NDArray[np.float32]
    parts: Mapping[str, NDArray[np.int32]]
    uvs: NDArray[np.float32]
    skin_uv: NDArray[np.int32]
    masks: Mapping[str, NDArray[np.float32]]
    lid_rings: Mapping[str, NDArray[np.int32]]
    lip_rings: NDArray[np.int32]
    targets: Mapping[str, Target]

    def part_vertices(self, name: str) -> NDArray[np.int32]:
        """Numbers [n] of the vertices that the part uses, ascending."""
        return np.unique(self.parts[name])

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the targets of one kind (`unit`, `ancestry`, `build`, `detail`) without that prefix."""
        return tuple(name.removeprefix(prefix + "/") for name in self.targets if name.startswith(prefix + "/"))

    def dense(self, name: str) -> NDArray[np.float32]:
        """Target as [V, 3]."""
        out = np.zeros_like(self.vertices)
        indices, displacement = self.targets[name]
        out[indices] = displacement
        return out


def save_head_data(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write the arrays that `load_head_data` reads, with fixed time stamps: the same input gives the same file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


@functools.cache
def load_head_data(path: Path = HEAD_FILE) -> HeadData:
    """Read the shipped head once. Raises InputError where the file is missing or damaged."""
    try:
        head = _unpack(read_arrays(path, _LARGEST_HEAD))
        count = len(head.vertices)
        _check_shape("vertices", head.vertices, (count, 3))
        _check_shape("uvs", head.uvs, (len(head.uvs), 2))
        for name, quads in head.parts.items():
            _check_shape(name, quads, (len(quads), 4), below=count)
        _check_shape("skin_uv", head.skin_uv, head.parts["skin"].shape, below=len(head.uvs))
        for name, mask in head.masks.items():
            _check_shape(name, mask, (count,))
        for side, rings in head.lid_rings.items():
            _check_shape(f"lid_rings_{side}", rings, (11, 28), below=count)
        _check_shape("lip_rings", head.lip_rings, (9, 38), below=count)
        _check_targets(head.targets, count)
        return head
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise InputError(f"{path}: the built-in head cannot be read ({error}); install the package again") from None


def load_targets(path: Path, vertices: int) -> Mapping[str, Target]:
    """Shape targets of the head, with its count of `vertices`, from a file of nothing else: as written by
    `save_head_data(path, pack_targets(…))`. Raises InputError where it is missing or damaged."""
    try:
        targets = _targets(read_arrays(path, _LARGEST_TARGETS))
        _check_targets(targets, vertices)
        return targets
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise InputError(f"{path}: these shapes cannot be read ({error}); install the package again") from None


def pack_targets(
    targets: Iterable[tuple[str, NDArray[np.integer], NDArray[np.integer]]],
) -> dict[str, NDArray[np.generic]]:
    """Arrays for `save_head_data` of (name, indices [N], displacements [N, 3] in whole DELTA_STEP_M)."""
    names, indices, steps = zip(*targets, strict=True)
    # Columns of differences and split coordinates deflate far better than rows of values.
    packed: dict[str, NDArray[np.generic]] = {
        "target_names": np.array(names),
        "target_starts": np.cumsum([0, *(len(each) for each in indices)]).astype(np.int32),
        "target_indices": np.concatenate([np.diff(each.astype(np.int64), prepend=0) for each in indices]).astype(
            np.uint16
        ),
    }
    columns = np.concatenate(steps).astype(np.int16)
    return packed | {f"target_steps_{axis}": columns[:, column] for column, axis in enumerate("xyz")}


def _targets(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Target]:
    starts = arrays["target_starts"].astype(np.int64)
    if starts[0] != 0 or starts[-1] != len(arrays["target_indices"]) or (np.diff(starts) < 0).any():
        raise ValueError("its targets do not follow each other")
    steps = np.stack([arrays[f"target_steps_{axis}"] for axis in "xyz"], axis=1).astype(np.float32)
    indices = arrays["target_indices"].astype(np.int32)
    targets = {}
    for name, start, end in zip(arrays["target_names"].tolist(), starts[:-1], starts[1:], strict=True):
        targets[str(name)] = (np.cumsum(indices[start:end], dtype=np.int32), steps[start:end] * DELTA_STEP_M)
    return targets


def _unpack(arrays: Mapping[str, NDArray[np.generic]]) -> HeadData:
    targets = _targets(arrays)
    vertices = arrays["vertices"].astype(np.float32)
    masks = {name: arrays[f"mask_{name}"].astype(np.float32) / np.float32(255) for name in MASK_NAMES}
    parts = {name: arrays[f"quads_{name}"].astype(np.int32) for name in PART_NAMES}
    uvs, skin_uv = arrays["uvs"].astype(np.float32), arrays["skin_uv"].astype(np.int32)
    lid_rings = {side: arrays[f"lid_rings_{side}"].astype(np.int32) for side in ("left", "right")}
    return HeadData(vertices, parts, uvs, skin_uv, masks, lid_rings, arrays["lip_rings"].astype(np.int32), targets)


def _check_targets(targets: Mapping[str, Target], count: int) -> None:
    for name, (indices, displacement) in targets.items():
        _check_shape(name, displacement, (len(indices), 3))
        if indices.size and not (indices.min() >= 0 and indices.max() < count):
            raise ValueError(f"{name} refers to a vertex that is not there")


def _check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...], below: int | None = None) -> None:
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected {name} of finite numbers in the shape {shape}, got {array.shape}")
    if below is not None and not ((array >= 0) & (array < below)).all():
        raise ValueError(f"{name} refers to what is not there")
