"""Where hair grows on the skin, how thick it lies and how its strands look, by position on the template head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.geometry import fractal_noise, smoothstep, value_noise

Points = NDArray[np.float64]

BUN_CENTRE_M = np.array([0.0, 0.128, -0.118])
BUN_RADIUS_M = 0.036
HEAD_CENTRE_M = np.array([0.0, 0.02, -0.07])
# Height of the hairline over the azimuth from the front (0°) to the back (180°), metres above the eyes.
HAIRLINE_DEG = (0.0, 12.0, 26.0, 40.0, 52.0, 62.0, 70.0, 76.0, 84.0, 95.0, 112.0, 130.0, 180.0)
HAIRLINE_M = (0.066, 0.067, 0.072, 0.064, 0.048, 0.034, 0.028, 0.026, 0.024, 0.024, -0.012, -0.045, -0.058)
SIDEBURN_M = 0.034


@dataclass(frozen=True)
class HairStyle:
    """Hair as a thicker, painted scalp.

    Attributes:
        top_m, side_m: thickness on top and at the sides and back.
        hairline_m: added to the height of the hairline; positive recedes.
        parting: −1 … 1 where the hair parts, in head half-widths; strands run away from it. None combs it back.
        strand_m: width of a clump of strands.
        relief: 0 … 1 how deep the clumps are.
        edge_m: width over which the hairline thins out.
        sideburn: how far the hair grows down before the ears, 0 … 1.
        bun: the hair is tied up at the crown (only for a topology made with one).
    """

    top_m: float = 0.012
    side_m: float = 0.005
    hairline_m: float = 0.0
    parting: float | None = None
    strand_m: float = 0.006
    relief: float = 0.35
    edge_m: float = 0.012
    sideburn: float = 1.0
    bun: bool = False


def above_hairline(position: Points, style: HairStyle) -> Points:
    """[n] distance above the hairline in metres, negative on the face, ears aside."""
    offset = position - HEAD_CENTRE_M
    azimuth = np.degrees(np.abs(np.arctan2(offset[:, 0], offset[:, 2])))
    line = np.interp(azimuth, HAIRLINE_DEG, HAIRLINE_M) + style.hairline_m * (azimuth < 70)
    line -= style.sideburn * SIDEBURN_M * smoothstep(60, 69, azimuth) * smoothstep(84, 78, azimuth)
    fringe = 0.0045 * value_noise(position, (0.0016, 0.006, 0.006), 71)
    return np.asarray(position[:, 1] - line + fringe + 0.003 * value_noise(position, 0.011, 72))


def coverage(position: Points, ears: Points, style: HairStyle) -> Points:
    """[n] 0 bare skin … 1 hair; `ears` [n] masks the ears out."""
    grown = smoothstep(-0.35 * style.edge_m, 0.65 * style.edge_m, above_hairline(position, style))
    return np.asarray(grown * (1 - smoothstep(0.2, 0.6, ears)))


def thickness(position: Points, ears: Points, style: HairStyle) -> Points:
    """[n] metres by which the hair stands above the scalp, clumps included."""
    above = above_hairline(position, style)
    crown = smoothstep(0.03, 0.10, position[:, 1])
    depth = style.side_m + (style.top_m - style.side_m) * crown
    rising = smoothstep(-0.002, 0.022, above) * (1 - smoothstep(0.05, 0.4, ears))
    clumps = 1 + style.relief * strands(position, style)
    return np.asarray(depth * rising * clumps)


def strands(position: Points, style: HairStyle) -> Points:
    """[n] −1 … 1 pattern that runs along the hair."""
    across, along = _flow(position, style)
    wavy = across + 0.35 * style.strand_m * fractal_noise(position, 0.05, 73)
    flat = np.stack([wavy, along, np.zeros_like(across)], axis=1)
    coarse = value_noise(flat, (style.strand_m, 0.07, 1.0), 75)
    fine = value_noise(flat, (style.strand_m / 3.3, 0.045, 1.0), 77)
    return np.asarray(0.62 * coarse + 0.38 * fine)


def _flow(position: Points, style: HairStyle) -> tuple[Points, Points]:
    """Coordinates across and along the strands, metres."""
    offset = position - HEAD_CENTRE_M
    turn = np.arctan2(offset[:, 0], offset[:, 1] + 0.02)  # around the axis from face to back of the head
    if style.parting is None:
        return np.asarray(turn * 0.085), np.asarray(position[:, 2])
    return np.asarray(position[:, 2]), np.asarray(np.abs(turn - style.parting) * 0.085)


def bun_shape() -> tuple[Points, NDArray[np.int32]]:
    """[n, 3] vertices and [f, 3] faces of a tied-up bun, about its middle, in metres; strands wind around it."""
    rings, segments = 13, 28
    polar, turn = np.meshgrid(np.linspace(0, np.pi, rings), np.arange(segments) * 2 * np.pi / segments, indexing="ij")
    wound = 1 + 0.045 * np.sin(5 * turn + 7 * polar) + 0.02 * np.sin(11 * turn - 9 * polar)
    radius = BUN_RADIUS_M * wound * np.array([1.0, 0.92, 0.86])[:, None, None]
    x, y, z = np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)
    lying = np.stack([radius[0] * x, radius[1] * y, radius[2] * z], axis=-1).reshape(-1, 3)
    tilt = np.radians(-55)
    axes = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    index = np.arange(rings * segments, dtype=np.int32).reshape(rings, segments)
    a, b = index[:-1], np.roll(index[:-1], -1, axis=1)
    d, c = index[1:], np.roll(index[1:], -1, axis=1)
    faces = np.concatenate([np.stack([a, d, c], axis=-1).reshape(-1, 3), np.stack([a, c, b], axis=-1).reshape(-1, 3)])
    return lying @ axes.T, faces


def bun_shade(count: int) -> Points:
    """[count] brightness of the bun's vertices, 0.6 … 1.3, along its strands."""
    rings, segments = 13, 28
    polar, turn = np.meshgrid(np.linspace(0, np.pi, rings), np.arange(segments) * 2 * np.pi / segments, indexing="ij")
    shade = 0.95 + 0.25 * np.sin(5 * turn + 7 * polar) * np.sin(polar) + 0.1 * np.sin(17 * turn + 3 * polar)
    assert shade.size == count
    return np.asarray(shade.ravel())
