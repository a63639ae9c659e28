"""Paints eyes, teeth, tongue and lashes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.eyes import IRIS_RINGS, PUPIL_RINGS, RINGS_DEG, EyeShape
from capture.synthetic.head.geometry import smoothstep
from capture.synthetic.head.palette import Color, Palette
from capture.synthetic.head.teeth import Teeth

Points = NDArray[np.float64]

GUM: Color = (0.70, 0.36, 0.36)
TONGUE: Color = (0.72, 0.36, 0.36)
LASH: Color = (0.06, 0.045, 0.04)


def eye_colors(eye: EyeShape, palette: Palette) -> Points:
    """[n, 3] sRGB: pupil, iris with fibres and a dark rim, white that darkens under the lids, a painted glint."""
    angle, azimuth = eye.angle_deg, eye.azimuth
    iris_edge, pupil_edge = RINGS_DEG[IRIS_RINGS - 1], RINGS_DEG[PUPIL_RINGS - 1]
    fibres = 0.5 * np.sin(17 * azimuth + 2 * np.sin(3 * azimuth)) + 0.5 * np.sin(9 * azimuth + angle)
    glow = smoothstep(1.0, -1.0, np.sin(azimuth)) * 0.35  # light from above collects in the lower half
    tone = (0.80 + 0.16 * fibres + glow) * (1 - 0.55 * smoothstep(0.80 * iris_edge, iris_edge, angle))
    iris = np.clip(np.array(palette.iris) * tone[:, None], 0, 1)
    white = np.array(palette.sclera) * _under_lids(eye)[:, None]
    color = np.where((angle <= iris_edge)[:, None], iris, white)
    color = np.where((angle <= pupil_edge)[:, None], np.array([0.02, 0.018, 0.016]), color)
    spot = (angle > 8) & (angle < 17) & (np.abs(azimuth - 2.1) < 0.33)
    return np.where(spot[:, None], color + palette.glint * (0.97 - color), color)


def _under_lids(eye: EyeShape) -> Points:
    """Shadow of the lids on the white, and its red corners."""
    y = np.degrees(np.arcsin(np.clip(eye.vertices[:, 1], -1, 1)))
    x = np.degrees(np.arctan2(np.abs(eye.vertices[:, 0]), np.maximum(eye.vertices[:, 2], 1e-3)))
    return np.asarray(
        (1 - 0.45 * smoothstep(4, 17, y)) * (1 - 0.12 * smoothstep(-8, -17, y)) * (1 - 0.3 * smoothstep(26, 50, x))
    )


def teeth_colors(teeth: Teeth, palette: Palette) -> Points:
    """[n, 3] sRGB: yellower at the gum, darker where teeth meet and towards the back."""
    warm = np.array([1.0, 0.96, 0.88]) + (np.array([0.99, 1.0, 1.0]) - [1.0, 0.96, 0.88]) * teeth.height[:, None]
    tooth = np.array(palette.teeth) * warm * (1 - 0.22 * teeth.rim[:, None] ** 4)
    color = np.where(teeth.gum[:, None] > 0.5, np.array(GUM), tooth)
    return np.asarray(color * (1 - 0.72 * smoothstep(0.12, 0.75, teeth.depth))[:, None])


def tongue_colors(position: Points) -> Points:
    """[n, 3] sRGB from template positions: a furrow in the middle, dark towards the throat."""
    furrow = 1 - 0.18 * np.exp(-((position[:, 0] / 0.0025) ** 2))
    depth = smoothstep(0.012, -0.045, position[:, 2])
    return np.asarray(np.array(TONGUE) * (furrow * (1 - 0.85 * depth))[:, None])
