"""Telling a camera that has frozen from one that looks at something still: a real sensor always has noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.frame import RgbdFrame

FROZEN_S, FROZEN_PICTURES = 2.0, 5  # the same for so long, and so many times in a row
_SAMPLES = 32  # points compared along each side
_CONTRAST = 16  # levels between the dark and the bright parts; without, nothing is there that could have noise


class FreezeDetector:
    """Whether the pictures of a live camera have been the same, bit for bit, for two seconds.

    Every picture is compared with the first of its kind at some thousand points (about 0.02 ms), and whole only where
    those have been the same for long. Pictures without contrast, such as those of a covered lens, where noise is cut
    off, are no evidence.
    """

    def __init__(self) -> None:
        self._first: RgbdFrame | None = None  # of the same pictures
        self._first_s = 0.0
        self._repeats = 0
        self._has_contrast: bool | None = None  # of the first; worked out when it matters

    def sees_frozen(self, frame: RgbdFrame, arrival_s: float) -> bool:
        """Take the next frame, which arrived at `arrival_s` (monotonic), into account."""
        first = self._first
        if first is None or not _same(frame, first, _SAMPLES):
            self._begin(frame, arrival_s)
            return False
        self._repeats += 1
        if self._repeats < FROZEN_PICTURES or arrival_s - self._first_s < FROZEN_S:
            return False
        if self._has_contrast is None:
            self._has_contrast = _has_contrast(first)
        if not self._has_contrast:
            return False
        if not _same(frame, first, None):
            self._begin(frame, arrival_s)
            return False
        return True

    def _begin(self, frame: RgbdFrame, arrival_s: float) -> None:
        self._first, self._first_s, self._repeats, self._has_contrast = frame, arrival_s, 0, None


def _same(a: RgbdFrame, b: RgbdFrame, samples: int | None) -> bool:
    """Whether colour and depth agree at samples x samples points, or everywhere."""
    if not np.array_equal(_sampled(a.rgb, samples), _sampled(b.rgb, samples)):
        return False
    if a.depth_m is None or b.depth_m is None:
        return a.depth_m is b.depth_m
    return np.array_equal(_sampled(a.depth_m, samples), _sampled(b.depth_m, samples))


def _sampled(image: NDArray[np.generic], samples: int | None) -> NDArray[np.generic]:
    if samples is None:
        return image
    rows, columns = (max(1, side // samples) for side in image.shape[:2])
    return image[rows // 2 :: rows, columns // 2 :: columns]


def _has_contrast(frame: RgbdFrame) -> bool:
    dark, bright = np.percentile(np.asarray(_sampled(frame.rgb, _SAMPLES), dtype=np.float32), [5, 95])
    if bright - dark >= _CONTRAST:
        return True
    depth_m = frame.depth_m
    return depth_m is not None and bool(depth_m.max() > depth_m.min())
