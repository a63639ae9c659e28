"""Pictures as films keep them: brightness for every pixel, colour for every four."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def planes_shape(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the array that `planes_of` makes of a picture of this size, whose sides are even."""
    return height * 3 // 2, width


def even(width: int, height: int) -> tuple[int, int]:
    """The size of the film of such a picture: four pixels share a colour."""
    return width + width % 2, height + height % 2


def planes_of(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[h, w, 3] uint8 sRGB → its planes Y, U and V one after the other, 4:2:0, limited range of BT.601: FFmpeg's
    yuv420p in the shape of `planes_shape`. A side that is odd repeats its last line.

    FFmpeg's own conversion gives the same to a level in 255, and takes eight times as long.
    """
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
