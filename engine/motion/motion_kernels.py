"""What moving a head costs most, compiled on the user's machine: `motion_kernels.c`.

Where there is no compiler, NumPy does the same in `engine.expression.unit_skin`, `controllers_followed`, `lids` and
`retarget`, in two to five times as long.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.native.compiled_library import loaded_if_possible, pointer

SOURCE: Final = Path(__file__).with_suffix(".c")
MOST_FEATURES: Final = 256
"""That move one patch."""
_STEPS, _BLOCK = np.float32(32767), 64

Array = NDArray[np.float32]


@functools.cache
def compiled_kernels(folder: Path | None = None) -> ctypes.CDLL | None:
    """The compiled kernels; None, and a line in the log, where they cannot be had."""
    return loaded_if_possible(SOURCE, folder, "turn_eyeball", "heads are moved by NumPy, which takes longer")


class _Patch(ctypes.Structure):
    """As in the kernels, like the others."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("numbers", "features")),
        *((name, ctypes.c_void_p) for name in ("feature", "rest", "scale", "field", "sum")),
    )


class _Sparse(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in ("start", "column", "share"))


class _Eyeball(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("ball_count", "cover_count", "profile_count")),
        ("centre", ctypes.c_float * 3),
        ("farthest", ctypes.c_float),
        *(
            (name, ctypes.c_void_p)
            for name in ("ball", "cover", "rest_ball", "rest_cover", "rest_distance", "cosines", "profile")
        ),
    )


class FieldSum:
    """Adds up fields of patches, each times the features that move it. Owned by one thread.

    Fields are kept in 16 bits, as shares of the greatest number of each: what moves a head by a tenth of its size is
    right to a millionth of that.

    Args:
        patches: for each which numbers of `sums` it makes, the features [F] that it takes, and their fields
            [F, numbers], of which the first is at rest: it is added as it is.
        sums: [N] float32, contiguous; written by every call.
    """

    def __init__(
        self, library: ctypes.CDLL, patches: Iterable[tuple[slice, NDArray[np.intp], Array]], sums: Array
    ) -> None:
        self._run, self._sums = library.sum_fields, sums
        self._held: list[tuple[slice, NDArray[np.int32], Array, Array, NDArray[np.int16]]] = []
        made = []
        for where, features, field in patches:
            assert len(features) - 1 <= MOST_FEATURES
            assert field.shape == (len(features), where.stop - where.start)
            rest, moved = field[0].copy(), field[1:]
            scale = np.maximum(np.abs(moved).max(axis=1, initial=0.0), np.float32(1e-30)) / _STEPS
            steps = np.zeros((len(scale), -(-len(rest) // _BLOCK) * _BLOCK), np.int16)
            steps[:, : len(rest)] = np.rint(moved / scale[:, None])
            blocks = np.ascontiguousarray(steps.reshape(len(scale), -1, _BLOCK).transpose(1, 0, 2))
            held = features[1:].astype(np.int32), rest, scale, blocks
            self._held.append((where, *held))
            made.append(_Patch(len(rest), len(scale), *map(pointer, held), pointer(sums[where])))
        self._patches, self._count = (_Patch * len(made))(*made), ctypes.c_int(len(made))

    def __call__(self, features: Array) -> None:
        """Of all features [..] float32."""
        self._run(self._patches, self._count, pointer(np.ascontiguousarray(features, np.float32)))

    def fields(self) -> Iterator[tuple[slice, NDArray[np.int32], Array]]:
        """The patches as they are kept, without what is at rest: where, features [F - 1], fields [F - 1, numbers]."""
        for where, features, rest, scale, blocks in self._held:
            steps = blocks.transpose(1, 0, 2).reshape(len(scale), blocks.shape[0] * _BLOCK)
            yield where, features, steps[:, : len(rest)] * scale[:, None]


class FollowedProduct:
    """Vertices that follow controllers. Owned by one thread.

    Args:
        shares: [R, K] how far vertices go along with controllers.
    """

    def __init__(self, library: ctypes.CDLL, shares: sparse.csr_matrix) -> None:
        assert shares.shape[1] <= 1 << 16
        self._run = library.follow_controllers
        which = np.flatnonzero(np.diff(shares.indptr))
        given = which, shares.indptr[np.append(which, shares.shape[0])], shares.indices, shares.data
        kinds = np.int32, np.int32, np.uint16, np.float32
        self._held = [np.ascontiguousarray(each, kind) for each, kind in zip(given, kinds, strict=True)]
        vertex, *others = map(pointer, self._held)
        self._arguments = vertex, ctypes.c_int(len(which)), *others
        self._moved = np.zeros((shares.shape[1], 4), np.float32)

    def __call__(self, vertices: Array, moved: NDArray[np.floating]) -> None:
        """Change `vertices` [R, 3] by what controllers displaced by `moved` [K, 3] do to them."""
        assert vertices.dtype == np.float32
        self._moved[:, :3] = moved
        self._run(pointer(vertices), *self._arguments, pointer(self._moved))


class LidTurn:
    """Turns the skin of one eye about the axis along it. Owned by one thread.

    Args:
        which: [N] vertices.
        frame, centre: [3, 3] along the eye, up and out, and [3].
        turning, growing: [N, turns] and [N, growth] how vertices go along.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        which: NDArray[np.int64],
        frame: Array,
        centre: Array,
        turning: sparse.csr_matrix,
        growing: sparse.csr_matrix,
    ) -> None:
        self._run = library.turn_lids
        self._which, self._count = np.ascontiguousarray(which, np.int64), ctypes.c_int(len(which))
        self._frame, self._centre = (np.ascontiguousarray(each, np.float32) for each in (frame, centre))
        self._held: list[NDArray[Any]] = []
        self._turning, self._growing = self._sparse(turning), self._sparse(growing)

    def _sparse(self, matrix: sparse.csr_matrix) -> _Sparse:
        own = matrix.indptr, matrix.indices, matrix.data
        held = [
            np.ascontiguousarray(each, kind) for each, kind in zip(own, (np.int32, np.int32, np.float32), strict=True)
        ]
        self._held += held
        return _Sparse(*map(pointer, held))

    def __call__(self, vertices: Array, turns: Array, growth: NDArray[np.floating] | None) -> None:
        """Change `vertices` [R, 3], by radians and shares of the distance from the axis."""
        assert vertices.dtype == np.float32
        grown = None if growth is None else np.ascontiguousarray(growth, np.float32)
        self._run(
            pointer(vertices),
            pointer(self._which),
            self._count,
            pointer(self._frame),
            pointer(self._centre),
            ctypes.byref(self._turning),
            pointer(np.ascontiguousarray(turns, np.float32)),
            ctypes.byref(self._growing),
            pointer(grown),
        )


class EyeballTurn:
    """Turns one eyeball, and keeps the skin over it in front of it. Owned by one thread.

    Args:
        centre: [3]; ball, cover: vertices of the ball, and of the skin that may sink into it.
        rest_ball: [B, 3] from the centre; rest_cover, rest_distance: [C, 3] and [C].
        cosines, profile: [P] ascending, of the angle to the way ahead, and how far the ball reaches there.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        centre: Array,
        ball: NDArray[np.int64],
        cover: NDArray[np.int64],
        rest_ball: Array,
        rest_cover: Array,
        rest_distance: NDArray[np.floating],
        cosines: NDArray[np.float64],
        profile: NDArray[np.float64],
    ) -> None:
        self._run = library.turn_eyeball
        given = (ball, cover, rest_ball, rest_cover, rest_distance, cosines, profile)
        kinds = (np.int64, np.int64, np.float32, np.float32, np.float32, np.float64, np.float64)
        self._held = [np.ascontiguousarray(each, kind) for each, kind in zip(given, kinds, strict=True)]
        counts = len(ball), len(cover) if len(profile) else 0, len(profile)
        farthest = float(profile.max(initial=0.0)) ** 2
        ends = (ctypes.c_float * 3)(*centre.tolist())
        self._eyeball = _Eyeball(*counts, ends, farthest, *map(pointer, self._held))

    def __call__(self, vertices: Array, rotation: Array) -> None:
        """Change `vertices` [R, 3]; `rotation` [3, 3] of the ball."""
        assert vertices.dtype == np.float32
        turn = np.ascontiguousarray(rotation, np.float32)
        self._run(ctypes.byref(self._eyeball), pointer(vertices), pointer(turn))
