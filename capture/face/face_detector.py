"""Which faces there are in a picture, and where: coarsely, without landmarks, cheaply enough to look now and then."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.answers import DetectionNetwork
from core.closeable import Closeable

_SMALLEST_TILED = 480  # shorter side of a picture, below which parts of it show no more than the whole
_TILES_A_LOOK = 3
_SAME_FACE = 0.3  # overlap (intersection over union) of two boxes of one face


class Window(NamedTuple):
    """A part of a picture, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class SeenFace:
    """A face's box in pixels of the whole picture, about from brows to chin: its middle and its side."""

    x: float
    y: float
    side: float

    def distance(self, other: SeenFace) -> float:
        """Between the middles, in pixels."""
        return max(abs(self.x - other.x), abs(self.y - other.y))

    def matches(self, other: SeenFace, reach: float = 0.5, ratio: float = 1.6) -> bool:
        """Whether the two may be one face: middles within `reach` sides, sides within a factor of `ratio`."""
        near = self.distance(other) <= reach * max(self.side, other.side)
        return near and max(self.side, other.side) <= ratio * min(self.side, other.side)


class FaceDetector(Closeable):
    """Looks for faces with a network that sees 128×128 pixels of whatever it is given: so in parts, too.

    Owned by one thread, and owns the network.
    """

    def __init__(self, network: DetectionNetwork) -> None:
        self._network = network
        self._turn = 0

    def close(self) -> None:
        """Let go of the model. May be called twice."""
        self._network.close()

    def look(self, rgb: NDArray[np.uint8]) -> list[SeenFace]:
        """The faces that show in a picture [H, W, 3], or, every other call, in one of its parts: one run of the
        detector.
        """
        self._turn += 1
        kinds = [parts for parts in _parts(*rgb.shape[:2]) if parts]
        if self._turn % 2 == 0 or not kinds:
            return self._found(rgb, [_whole(rgb)])
        parts = kinds[self._turn // 2 % len(kinds)]
        return self._found(rgb, [parts[self._turn // (2 * len(kinds)) % len(parts)]])

    def search(self, rgb: NDArray[np.uint8], *, everywhere: bool) -> list[SeenFace]:
        """Faces of any size.

        Args:
            everywhere: look in every part, in the smallest ones where nothing else was found, so that a recording's
                first frame counts; otherwise in some of the parts, in turn from call to call.
        """
        whole = _whole(rgb)
        squares, tiles = _parts(*rgb.shape[:2])
        if everywhere:
            return self._found(rgb, [whole, *squares]) or self._found(rgb, tiles)
        parts = [*squares, *tiles]
        if not parts:
            return self._found(rgb, [whole])
        in_turn = [parts[(self._turn + number) % len(parts)] for number in range(min(_TILES_A_LOOK, len(parts)))]
        self._turn += len(in_turn)
        return self._found(rgb, [whole, *in_turn])

    def _found(self, rgb: NDArray[np.uint8], windows: list[Window]) -> list[SeenFace]:
        """Every face once, the surest sighting of each."""
        sightings = []
        for window in windows:
            part = rgb[window.y : window.y + window.height, window.x : window.x + window.width]
            for (x, y, width, height), score in self._network.run(part):
                sightings.append((score, (x + window.x, y + window.y, width, height)))
        kept: list[tuple[float, float, float, float]] = []
        for _, box in sorted(sightings, reverse=True):
            if all(_overlap(box, other) < _SAME_FACE for other in kept):
                kept.append(box)
        return [SeenFace(x + width / 2, y + height / 2, max(width, height)) for x, y, width, height in kept]


def _whole(rgb: NDArray[np.uint8]) -> Window:
    return Window(0, 0, rgb.shape[1], rgb.shape[0])


@lru_cache(maxsize=4)
def _parts(height: int, width: int) -> tuple[list[Window], list[Window]]:
    """Squares as high as the picture, and tiles half as high that overlap by half."""
    short, long = min(height, width), max(height, width)
    if short < _SMALLEST_TILED and long < 1.2 * short:
        return [], []
    squares = _grid(height, width, short) if long >= 1.2 * short else []
    return squares, _grid(height, width, short // 2) if short >= _SMALLEST_TILED else []


def _grid(height: int, width: int, side: int) -> list[Window]:
    rows, columns = (np.linspace(0, length - side, 1 + -(-2 * (length - side) // side)) for length in (height, width))
    return [Window(round(x), round(y), side, side) for y in rows for x in columns]


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / max(one[2] * one[3] + other[2] * other[3] - shared, 1e-9)
