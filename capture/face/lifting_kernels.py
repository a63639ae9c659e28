"""What lifting landmarks into space costs most, compiled on the user's machine: `lifting_kernels.c`.

Where there is no compiler, NumPy does the same in `head_pose` and `depth_sampling`, in ten times as long.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import loaded_if_possible, pointer

SOURCE: Final = Path(__file__).with_suffix(".c")
MOST_POINTS: Final = 512

Array = NDArray[np.float64]


@functools.cache
def compiled_kernels(folder: Path | None = None) -> ctypes.CDLL | None:
    """The compiled kernels; None, and a line in the log, where they cannot be had."""
    return loaded_if_possible(SOURCE, folder, "correct_depth", "landmarks are lifted by NumPy, which takes longer")


class Task(ctypes.Structure):
    """As in the kernels, like the next one."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("count", "absolute", "iterations")),
        *((name, ctypes.c_double) for name in ("nearest", "huber", "settled")),
        *((name, ctypes.c_void_p) for name in ("points", "weights", "rays", "depth", "depth_weight")),
    )


class Face(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in ("landmarks", "moved", "stable", "radius", "least_tilt_readings", "tilt_rounds")
        ),
        *((name, ctypes.c_double) for name in ("coarse_gate", "fine_gate", "least_share", "tilt_prior", "face_spread")),
        *(
            (name, ctypes.c_void_p)
            for name in ("tilt_scales", "moved_place", "partner", "inward", "stable_place", "readable", "reach")
        ),
    )


class DepthCorrector:
    """The compiled `DepthSampler.correct` of one face. Owned by one thread.

    Args:
        gates_m: coarse and fine; `tilt`: its scales in metres, the least readings, its prior and the face's spread.
        moved: landmarks that are read to the side, their partners, and how far towards those [M].
        stable, readable, reach: as `DepthSampler` has them.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        gates_m: tuple[float, float],
        least_share: float,
        tilt: tuple[tuple[float, ...], int, float, float],
        moved: tuple[NDArray[np.int64], NDArray[np.int64], Array],
        stable: NDArray[np.int64],
        readable: NDArray[np.bool_],
        reach: NDArray[np.float32],
    ) -> None:
        self._run = library.correct_depth
        scales, least_readings, prior, spread = tilt
        self._held = [
            np.array(scales),
            *(np.ascontiguousarray(each, kind) for each, kind in zip(moved, (np.int64, np.int64, float), strict=True)),
            np.ascontiguousarray(stable, np.int64),
            np.ascontiguousarray(readable, np.uint8),
            np.ascontiguousarray(reach, np.float32),
        ]
        self._count = len(readable)
        assert self._count <= MOST_POINTS
        self._face = Face(
            *(self._count, len(moved[0]), len(stable), 0, least_readings, len(scales)),
            *(*gates_m, least_share, prior, spread),
            *(pointer(each) for each in self._held),
        )

    def __call__(
        self, depth_m: NDArray[np.float32], px: Array, predicted: Array, radius: int, metres: float
    ) -> tuple[Array, Array]:
        """The corrected depth [N] and the trust [N] in each landmark's own reading.

        Args:
            radius: half the side of the patch that is read, 4 pixels at most.
            metres: of a pixel at the face.

        Raises numpy.linalg.LinAlgError where the equations have no solution.
        """
        depth, places, guess = np.ascontiguousarray(depth_m), np.ascontiguousarray(px), np.ascontiguousarray(predicted)
        assert depth.dtype == np.float32
        assert places.shape == (self._count, 2)
        corrected, trust = np.empty(self._count), np.empty(self._count)
        self._face.radius = radius
        height, width = depth.shape
        solved = self._run(
            ctypes.byref(self._face),
            pointer(depth),
            ctypes.c_int(width),
            ctypes.c_int(height),
            pointer(places),
            pointer(guess),
            ctypes.c_double(metres),
            pointer(corrected),
            pointer(trust),
        )
        if not solved:
            raise np.linalg.LinAlgError("expected depth readings that determine a tilt")
        return corrected, trust
