"""What is worked out of a mesh before it can be drawn, kept between starts: soft shadow, and which faces can go.

Both take longer than all else between a prepared avatar and its first picture. An entry is named by the content of what
it was worked out from, and read back as `core.cache_folder` says: one that does not fit is made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.cache_folder import cache_folder, keep, reading
from core.untrusted import read_arrays
from render.mesh.mesh_simplify import simplify

_VERSION = 1  # of the ways in which they are made
_LARGEST_BYTES = 256 << 20
_WHAT = "what was worked out for drawing"

Arrays = dict[str, NDArray[np.generic]]


def kept_arrays(
    kind: str,
    given: Iterable[NDArray[np.generic] | float | None],
    make: Callable[[], Arrays],
    fits: Callable[[Arrays], bool],
) -> Arrays:
    """What `make` makes of `given`, from an earlier start where that is kept.

    Args:
        kind: names the entry, and with it the way of making it.
        given: everything the result depends on.
        fits: whether arrays that were read back can be used.
    """
    digest = hashlib.blake2b(f"{kind} {_VERSION}".encode(), digest_size=16)
    for part in given:
        array = np.ascontiguousarray([] if part is None else part)
        digest.update(f"{part is None} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    path = cache_folder("drawing") / f"{kind}-{digest.hexdigest()}.npz"
    with reading(path, _WHAT):
        if path.is_file():
            arrays = read_arrays(path, _LARGEST_BYTES)
            if not fits(arrays):
                raise ValueError("its arrays are not those of this mesh")
            return arrays
    made = make()
    keep(path, lambda partial: _save(partial, made), _WHAT)
    return made


def simplify_once(
    points: NDArray[np.float64],
    place_of: NDArray[np.int64],
    corners: NDArray[np.int32],
    kind: NDArray[np.int64],
    target: int,
    detail: float,
    colors: NDArray[np.float64] | None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """As `render.mesh.mesh_simplify.simplify`, kept."""

    def make() -> Arrays:
        fewer, face = simplify(points, place_of, corners, kind, target, detail, colors)
        return {"corners": fewer, "face": face}

    def fits(arrays: Arrays) -> bool:
        fewer, face = arrays["corners"], arrays["face"]
        return (
            fewer.dtype == np.int32
            and face.dtype == np.int64
            and fewer.shape == (len(face), 3)
            and _numbers_of(fewer, len(place_of))
            and _numbers_of(face, len(corners))
        )

    kept = kept_arrays("fewer-faces", (points, place_of, corners, kind, target, detail, colors), make, fits)
    return kept["corners"].astype(np.int32, copy=False), kept["face"].astype(np.int64, copy=False)


def _numbers_of(numbers: NDArray[np.generic], count: int) -> bool:
    """Whether all are numbers of one of so many things."""
    return bool(((numbers >= 0) & (numbers < count)).all())  # type: ignore[operator]


def _save(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:  # by its name, NumPy would add to that
        np.savez(file, allow_pickle=False, **arrays)
