"""What one picture that is painted again and again needs beside the head: its pixels, depths, and lists of faces."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import pointer
from render.mesh.openings import Box

LANES = 8
RUN_BYTES = 128
BAND = 32  # these as in painter.c
MOST_WORKERS = 2


class Work(ctypes.Structure):
    """`Work` of painter.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("vertex", "normal", "front", "depth", "seen", "bands", "entries")),
        ("most_entries", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("picture", "backdrop", "blends")),
        ("most_blends", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("row", ctypes.c_void_p),
        ("runs", ctypes.c_void_p),
        ("box", ctypes.c_int32 * 4),
        ("changed", ctypes.c_int32 * 4),
        ("stride", ctypes.c_int32),
        ("workers", ctypes.c_int32),
    )


class PaintRoom:
    """Room for the pictures of one size of one head of `faces` faces. For one thread at a time.

    Args:
        workers: for how many threads there is room, two at most.

    Attributes:
        size: width and height.
        helped: whether another thread paints as well.
        picture: [H, W] uint32, 0xAARRGGBB with the alpha multiplied in, first row at the top: the last one painted.
    """

    def __init__(self, size: tuple[int, int], faces: int, workers: int = MOST_WORKERS) -> None:
        width, height = self.size = size
        stride = width + LANES  # rows are worked on eight pixels at a time
        self.workers, self.helped = workers, True
        self._depth = np.ones((height + 1, stride), dtype=np.float32)
        self._seen = np.full((workers, BAND + 1, stride), -1, dtype=np.int32)
        bands = height // BAND + 1
        self._bands = np.zeros((bands, 2), dtype=np.int32)
        self._entries = np.zeros((faces * bands, 2), dtype=np.int32)  # as if each face reached over all
        self._pixels = np.zeros(height * width + LANES, dtype=np.uint32)
        self.picture = self._pixels[:-LANES].reshape(height, width)
        self._blends = np.zeros((height * width // 4, 2), dtype=np.uint32)  # edges cross fewer, even of ragged hair
        self._row = np.zeros((workers, 3, stride), dtype=np.float32)
        self._runs = np.zeros((workers, width, RUN_BYTES), dtype=np.uint8)
        self._behind: NDArray[np.uint32] | None = None
        self.work = Work(
            depth=pointer(self._depth),
            seen=pointer(self._seen),
            bands=pointer(self._bands),
            entries=pointer(self._entries),
            most_entries=len(self._entries),
            picture=pointer(self.picture),
            blends=pointer(self._blends),
            most_blends=len(self._blends),
            row=pointer(self._row),
            runs=pointer(self._runs),
            stride=stride,
        )

    def put_behind(self, backdrop: NDArray[np.uint32]) -> None:
        """Have [H, W] behind the next picture; the same array as long as it is the same backdrop."""
        if self._behind is not backdrop:
            self._behind, self.work.box = backdrop, (ctypes.c_int32 * 4)(0, 0, *self.size)
            self.work.backdrop = pointer(backdrop)

    @property
    def changed(self) -> Box:
        """Outside of this box the last picture is the one before."""
        left, first, width, height = self.work.changed
        return left, first, width, height
