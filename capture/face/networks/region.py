"""The part of a picture a network sees: a rotated rectangle, cut out of the picture and put back into it.

The steps are those of MediaPipe's public graphs (`ImageToTensorCalculator`, `DetectionsToRectsCalculator`,
`RectTransformationCalculator`, `LandmarkProjectionCalculator`), in pixels instead of shares of the picture.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_MARGIN = 1.5  # sides of what is looked at for landmarks, in those of the face
_STRIP = 64  # rows sampled at once, so that what is computed for them stays in the processor's cache
_PLACES = 32  # between two pixels, of OpenCV's fixed-point sampling
_BLOCK = 64  # columns that it computes from one start
_EYE_CORNERS = 33, 263  # landmarks on the outer corners, from the picture's left to its right


class Region(NamedTuple):
    """A rectangle in pixels: its middle, its size, and its rotation in radians (from x to y)."""

    x: float
    y: float
    width: float
    height: float
    rotation: float = 0.0


def whole_letterboxed(height: int, width: int) -> Region:
    """The square around a whole picture."""
    side = max(height, width)
    return Region(width / 2, height / 2, side, side)


def around_detection(box: NDArray[np.float64], eyes: NDArray[np.float64]) -> Region:
    """Where to look for the landmarks of a detected face.

    Args:
        box: [4] left, top, right, bottom in pixels.
        eyes: [2, 2] the middles of the eyes in pixels, from the picture's left to its right.
    """
    width, height = (box[2:] - box[:2]) * _MARGIN
    return Region((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, width, height, _rotation(*eyes))


def around_landmarks(points: NDArray[np.float64]) -> Region:
    """Where to look in the next picture, from the landmarks [3, 478] in pixels of this one."""
    low_x, low_y, high_x, high_y = points[0].min(), points[1].min(), points[0].max(), points[1].max()
    side = float(max(high_x - low_x, high_y - low_y)) * _MARGIN
    left, right = _EYE_CORNERS
    rotation = _rotation(points[:2, left], points[:2, right])
    return Region(float(low_x + high_x) / 2, float(low_y + high_y) / 2, side, side, rotation)


def _rotation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return math.atan2(right[1] - left[1], right[0] - left[0])


def placed(points: NDArray[np.float64], region: Region) -> NDArray[np.float64]:
    """Points [3, N] in shares of a region, z in its widths, as pixels of the picture."""
    cos, sin = math.cos(region.rotation), math.sin(region.rotation)
    x, y = (points[0] - 0.5) * region.width, (points[1] - 0.5) * region.height
    out = np.empty_like(points)
    out[0] = cos * x - sin * y + region.x
    out[1] = sin * x + cos * y + region.y
    out[2] = points[2] * region.width
    return out


class RegionSampler:
    """Cuts regions out of pictures, as square pictures of one size.

    MediaPipe samples with OpenCV's fixed-point `warpPerspective`: places are rounded to 1/32 of a pixel. The warps of
    this OpenCV are finer, so their pixels are others, but `remap` still takes places in 1/32.

    Beyond the picture's edge its last pixels go on.

    Args:
        size: of the cuts, in pixels a side.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        strip = min(size, _STRIP)
        self._x, self._y = np.empty((strip, size), np.float32), np.empty((strip, size), np.float32)
        self._pixels, self._fractions = np.empty((strip, size, 2), np.int16), np.empty((strip, size), np.uint16)
        self._out = np.empty((strip, size, 3), np.uint8)

    def cut(self, rgb: NDArray[np.uint8], region: Region, out: NDArray[np.float32]) -> None:
        """Fill `out` [size, size, 3] with the region of `rgb` [H, W, 3], as 0..255."""
        size, height = self._size, len(self._out)
        columns_x, columns_y, rows_x, rows_y = steps_of(region, size)
        for top in range(0, size, height):
            rows = slice(top, top + height)
            np.add(columns_x, rows_x[rows, None], out=self._x)
            np.add(columns_y, rows_y[rows, None], out=self._y)
            cv2.convertMaps(self._x, self._y, cv2.CV_16SC2, self._pixels, self._fractions)
            cv2.remap(
                rgb, self._pixels, self._fractions, cv2.INTER_LINEAR, dst=self._out, borderMode=cv2.BORDER_REPLICATE
            )
            out[rows] = self._out


def steps_of(region: Region, size: int) -> tuple[NDArray[np.float32], ...]:
    """Where the pixels of a cut lie, `size` a side: x and y for each column, which those for each row [size] are added
    to. The region's corner comes to lie on the first pixel's middle, and pixels are counted from their middles, as in
    the graph."""
    cos, sin = math.cos(region.rotation), math.sin(region.rotation)
    right_x, right_y = cos * region.width / size, sin * region.width / size
    down_x, down_y = -sin * region.height / size, cos * region.height / size
    steps = np.arange(size, dtype=np.float64)
    rows_x = steps * down_x + (region.x - (right_x + down_x) * size / 2)
    rows_y = steps * down_y + (region.y - (right_y + down_y) * size / 2)
    return _float32(steps * right_x), _float32(steps * right_y), _float32(rows_x), _float32(rows_y)


def cut_letterboxed(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """All of `rgb` [H, W, 3] as [size, size, 3], black above and below or left and right."""
    pixels, fractions = _letterbox_maps(*rgb.shape[:2], size)
    return np.asarray(cv2.remap(rgb, pixels, fractions, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8)


@lru_cache(maxsize=16)
def _letterbox_maps(height: int, width: int, size: int) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Where `cut_letterboxed` looks, for `cv2.remap`.

    Unlike with a face's region, many places lie in the middle between two 32nds, and which of the two is taken is left
    to the last bit: so all is computed as OpenCV's fixed-point `warpPerspective` does, in blocks of columns.
    """
    region = whole_letterboxed(height, width)
    corners = cv2.boxPoints(((region.x, region.y), (region.width, region.height), 0.0)).astype(np.float32)
    square = np.array([[0, size], [0, 0], [size, 0], [size, size]], np.float32)
    (a, b, c), (d, e, f), (g, h, i) = cv2.invert(cv2.getPerspectiveTransform(corners, square))[1]
    columns, y = np.arange(size), np.arange(size, dtype=np.float64)[:, None]
    block = (columns // _BLOCK * _BLOCK).astype(np.float64)
    x = columns - block
    scale = _PLACES / ((g * block + h * y + i) + g * x)
    places_x = np.rint(((a * block + b * y + c) + a * x) * scale).astype(np.int64)
    places_y = np.rint(((d * block + e * y + f) + d * x) * scale).astype(np.int64)
    pixels = np.stack([places_x // _PLACES, places_y // _PLACES], axis=-1).astype(np.int16)
    return pixels, (places_y % _PLACES * _PLACES + places_x % _PLACES).astype(np.uint16)


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
