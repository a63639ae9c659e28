"""The parts of a depth camera's frame that cost most, compiled on the user's machine: `depth_kernels.c`.

Where there is no compiler, OpenCV and NumPy do the same in `kinect_picture` and `registration`, in two to three times
as long.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import loaded_if_possible, pointer

SOURCE = Path(__file__).with_suffix(".c")
_PIXEL_BYTES = 3
_LOADED_BYTES = 8  # of both pixels of a row at once


@functools.cache
def compiled_kernels(folder: Path | None = None) -> ctypes.CDLL | None:
    """The compiled kernels; None, and a line in the log, where they cannot be had."""
    return loaded_if_possible(SOURCE, folder, "scatter", "depth is registered by NumPy, which takes longer")


class Straightener:
    """Takes the lens out of pictures of one camera.

    Args:
        coarse, fine: [H, W, 2] int16 and [H, W] uint16, as `cv2.initUndistortRectifyMap` gives them.
    """

    def __init__(self, library: ctypes.CDLL, coarse: NDArray[np.int16], fine: NDArray[np.uint16]) -> None:
        self._library = library
        self._height, self._width = height, width = fine.shape
        self._at = np.ascontiguousarray(coarse)
        self._part = np.stack([fine & 31, fine >> 5], axis=-1).astype(np.uint8)
        x, y = coarse[..., 0].astype(np.int32), coarse[..., 1].astype(np.int32)
        start = (y * width + x) * _PIXEL_BYTES
        inside = (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
        inside &= start + width * _PIXEL_BYTES + _LOADED_BYTES <= height * width * _PIXEL_BYTES
        self._start = np.where(inside, start, np.int32(-1)).astype(np.int32)

    def __call__(self, bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """[H, W, 3] BGR → [H, W, 3] RGB, bilinear in 32nds of a pixel; the border goes on where nothing was seen."""
        rgb = np.empty((self._height, self._width, 3), np.uint8)
        pixels = np.ascontiguousarray(bgr)
        self._library.straighten(
            pointer(pixels),
            ctypes.c_int(self._width),
            ctypes.c_int(self._height),
            pointer(self._at),
            pointer(self._part),
            pointer(self._start),
            pointer(rgb),
        )
        return rgb


class Scattering:
    """Writes a depth camera's readings where another camera sees them.

    Args:
        rays: [3, n] float32, what readings are multiplied with, and
        origin: [3] what is added then, for ticks·column, ticks·row and ticks of the other camera, whose pictures have
        size: width and height; columns and rows count from 1.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        rays: NDArray[np.float32],
        origin: NDArray[np.float32],
        size: tuple[int, int],
    ) -> None:
        self._library = library
        self._rays = np.ascontiguousarray(rays)
        self._origin = np.ascontiguousarray(origin)
        self._width, self._height = size
        self._seen = np.empty((self._height + 2) * (self._width + 2), np.uint16)

    def __call__(self, depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
        """[n] or [h, w] float32 metres → [H, W] uint16 ticks of the nearest reading in each pixel, 0 where none is."""
        ticks = np.empty((self._height, self._width), np.uint16)
        readings = np.ascontiguousarray(depth_m)
        self._library.scatter(
            pointer(readings),
            *(pointer(ray) for ray in self._rays),
            ctypes.c_int(readings.size),
            pointer(self._origin),
            ctypes.c_int(self._width),
            ctypes.c_int(self._height),
            pointer(self._seen),
            pointer(ticks),
        )
        return ticks
