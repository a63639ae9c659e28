"""What depth sensors make of the truth. Magnitudes follow published measurements of the two sensors, rounded up.

Azure Kinect, narrow field of view: about 1 mm of noise at half a metre, growing with distance and slant, several times
that and missing readings on dark hair; at a depth edge the two distances mix in a pixel (Tölgyessy et al., "Evaluation
of the Azure Kinect and Its Comparison to Kinect V1 and Kinect V2", Sensors 2021). TrueDepth: disparity, smoothed over a
few pixels by the phone, noise growing with the square of the distance, soft edges, and a shadow without readings on the
side away from the projector.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

EDGE_M = 0.02


def kinect_nfov(depth_m: NDArray[np.float32], rgb: NDArray[np.uint8], seed: int = 0) -> NDArray[np.float32]:
    """[H, W] as the sensor would give it: whole millimetres, flying pixels, dropouts."""
    rng = np.random.default_rng(seed)
    slant = _slant(depth_m)
    dark = (rgb.mean(axis=2) < 60) & (depth_m < 1.0)
    spread_m = (0.0005 + 0.001 * depth_m) * np.clip(slant, 1, 4) * np.where(dark, 2.5, 1.0)
    noise = rng.standard_normal(depth_m.shape) * 0.8 + cv2.GaussianBlur(rng.standard_normal(depth_m.shape), (3, 3), 0.8)
    measured = _mixed_at_edges(depth_m, 1, rng) + spread_m * noise
    missing = (rng.random(depth_m.shape) < np.where(dark, 0.25, 0.002)) | (slant > 5)
    return np.where(missing | (depth_m <= 0), 0, np.round(measured, 3)).astype(np.float32)


def truedepth(depth_m: NDArray[np.float32], rgb: NDArray[np.uint8], seed: int = 0) -> NDArray[np.float32]:
    """[H, W] as the app would give it: smooth, soft at edges, shadows as 0."""
    rng = np.random.default_rng(seed)
    disparity = 1 / _mixed_at_edges(depth_m, 2, rng)
    noise = cv2.GaussianBlur(rng.standard_normal(depth_m.shape), (0, 0), 1.5) * 5  # of about unit spread
    disparity = np.round((disparity + 0.0035 * noise) * 800) / 800
    shadow = np.zeros(depth_m.shape, bool)
    for shift in range(1, 7):
        shadow[:, shift:] |= depth_m[:, :-shift] < depth_m[:, shift:] - EDGE_M * shift
    return np.where(shadow, 0, 1 / disparity).astype(np.float32)


def _slant(depth_m: NDArray[np.float32]) -> NDArray[np.float64]:
    """1/cos of the angle between surface and view, roughly, from the depth's slope (about 1 mm a pixel at 0.5 m)."""
    dx, dy = np.gradient(depth_m.astype(np.float64))
    pixel_m = depth_m / 505
    return np.sqrt(1 + (dx**2 + dy**2) / pixel_m**2)


def _mixed_at_edges(depth_m: NDArray[np.float32], radius: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Near a depth edge, a random share of the nearest and the farthest distance around."""
    ring = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    near, far = cv2.erode(depth_m, ring), cv2.dilate(depth_m, ring)
    share = rng.random(depth_m.shape)
    edge = (far - near > EDGE_M) & (rng.random(depth_m.shape) < 0.7)
    return np.where(edge, near * share + far * (1 - share), depth_m).astype(np.float64)
