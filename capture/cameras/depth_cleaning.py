"""Cleaning a depth picture of a face: flying pixels, noise, small holes.

Works on the sensor's own picture, before it is brought to the colour's: there, neighbours in the picture are neighbours
in the measurement. Whole-picture array operations only; inside, depth is uint16 in eighths of a millimetre.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

TICKS_PER_M = 8000  # up to 8.19 m
_NEIGHBOURS = (  # the two ends of the four lines through a pixel
    (np.s_[:, 1:], np.s_[:, :-1]),
    (np.s_[1:, :], np.s_[:-1, :]),
    (np.s_[1:, 1:], np.s_[:-1, :-1]),
    (np.s_[1:, :-1], np.s_[:-1, 1:]),
)


@dataclass(frozen=True)
class DepthCleaner:
    """How one kind of sensor errs, and what to do about it.

    Attributes:
        step_m, step_halvings: neighbouring readings further apart than step_m + distance / 2^step_halvings do not lie
            on one surface. A reading that lies on one surface with fewer than `least_support` of its eight neighbours
            is taken out: a flying pixel, between two surfaces.
        blur_px: spread (pixels) of the average that takes noise down; only where one surface fills the window, so
            that edges stay where they are.
        hole_px: holes up to about this width are closed, where what surrounds them is one surface.
    """

    step_m: float
    step_halvings: int
    least_support: int
    blur_px: float
    hole_px: int

    @staticmethod
    def for_kinect() -> DepthCleaner:
        """Azure Kinect, narrow field of view, a face at 0.4 to 1 m."""
        return DepthCleaner(step_m=0.004, step_halvings=7, least_support=4, blur_px=1.0, hole_px=6)

    @staticmethod
    def for_truedepth() -> DepthCleaner:
        """TrueDepth of an iPhone: less noise, which the phone has already smeared over some pixels; soft outlines."""
        return DepthCleaner(step_m=0.002, step_halvings=8, least_support=5, blur_px=1.5, hole_px=6)

    def __call__(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """[H, W] float32 metres, 0 where there is no reading → the same, cleaned."""
        ticks = np.multiply(depth_m, np.float32(TICKS_PER_M), dtype=np.float32).astype(np.uint16)
        return np.multiply(self.clean_ticks(ticks), np.float32(1 / TICKS_PER_M), dtype=np.float32)

    def clean_ticks(self, ticks: NDArray[np.uint16]) -> NDArray[np.float32]:
        """[H, W] uint16 eighths of a millimetre → cleaned, float32 of the same unit."""
        step = self._step(ticks)
        supported = cv2.compare(_support(ticks, step), np.full(1, self.least_support, np.uint8), cv2.CMP_GE)
        ticks = _as_u16(cv2.copyTo(ticks, supported))
        valid = np.not_equal(ticks, 0).view(np.uint8)
        depth, share = ticks.astype(np.float32), valid.astype(np.float32)
        holes = self._small_holes(ticks, valid)
        filled = _half_size_average(depth, share, self.hole_px)
        smooth, in_one_surface = self._smoothed(depth, share, ticks, step)
        cv2.copyTo(smooth, cv2.bitwise_and(in_one_surface, valid), depth)
        cv2.copyTo(filled, holes, depth)
        return depth

    def _step(self, ticks: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The largest step between neighbours of one surface, at each reading's distance."""
        return (ticks >> np.uint16(self.step_halvings)) + np.uint16(self.step_m * TICKS_PER_M)

    def _smoothed(
        self,
        depth: NDArray[np.float32],
        share: NDArray[np.float32],
        ticks: NDArray[np.uint16],
        step: NDArray[np.uint16],
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Average of the readings around each pixel, and where (255) one surface fills the window."""
        window = 2 * round(2 * self.blur_px) + 1
        size = (window, window)
        average = cv2.divide(cv2.GaussianBlur(depth, size, self.blur_px), cv2.GaussianBlur(share, size, self.blur_px))
        farthest = cv2.dilate(ticks, np.ones(size, np.uint8))
        spread = cv2.subtract(farthest, _nearest(ticks, window))
        one_surface = cv2.compare(spread, step * np.uint16(window), cv2.CMP_LE)
        return np.asarray(average, np.float32), np.asarray(one_surface, np.uint8)

    def _small_holes(self, ticks: NDArray[np.uint16], valid: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """255 in holes that a square of hole_px + 1 does not fit into, where what surrounds them is one surface."""
        square = np.ones((self.hole_px + 1, self.hole_px + 1), np.uint8)
        closed = cv2.morphologyEx(valid, cv2.MORPH_CLOSE, square)
        holes = cv2.subtract(closed, valid)
        window = 2 * self.hole_px + 1
        nearest = _nearest(ticks, window)
        step = self._step(nearest) * np.uint16(5)
        farthest = _as_u16(cv2.dilate(ticks, np.ones((window, window), np.uint8)))
        one_surface = cv2.compare(cv2.subtract(farthest, nearest), step, cv2.CMP_LE)
        return np.asarray(cv2.bitwise_and(one_surface, holes * np.uint8(255)), np.uint8)


def _support(ticks: NDArray[np.uint16], step: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """How many of the eight neighbours lie within `step` of each reading."""
    support = np.zeros(ticks.shape, np.uint8)
    for one, other in _NEIGHBOURS:
        near = np.less_equal(cv2.absdiff(ticks[one], ticks[other]), step[one]).view(np.uint8)
        support[one] += near
        support[other] += near
    return support


def _nearest(ticks: NDArray[np.uint16], window: int) -> NDArray[np.uint16]:
    """The nearest reading in a square around each pixel; 0 where there is none."""
    # one less wraps "no reading" round to the largest number, so that it never wins
    return _as_u16(cv2.erode(ticks - np.uint16(1), np.ones((window, window), np.uint8))) + np.uint16(1)


def _half_size_average(depth: NDArray[np.float32], share: NDArray[np.float32], radius_px: int) -> NDArray[np.float32]:
    """Mean reading in a square around each pixel, worked out at half size; without meaning where there is none."""
    height, width = depth.shape
    half = (max(width // 2, 1), max(height // 2, 1))
    window = (radius_px - 1, radius_px - 1)  # with the resizing, reaches no further than radius_px
    total, weight = (
        cv2.resize(cv2.blur(cv2.resize(image, half, interpolation=cv2.INTER_AREA), window), (width, height))
        for image in (depth, share)
    )
    return np.asarray(cv2.divide(total, weight), np.float32)


def _as_u16(image: object) -> NDArray[np.uint16]:
    return np.asarray(image, dtype=np.uint16)
