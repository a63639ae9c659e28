"""Paints the skin: a colour for every point, vertices and texels alike, from where it lies on the template head."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from capture.synthetic.head import hair
from capture.synthetic.head.geometry import fractal_noise, smoothstep, value_noise
from capture.synthetic.head.head_data import HeadData
from capture.synthetic.head.palette import Color, Palette

Points = NDArray[np.float64]

# Brows over the distance from the middle of the face: height of their centre line and half their width, metres.
BROW_X_M = (0.010, 0.016, 0.024, 0.032, 0.040, 0.047, 0.053)
BROW_Y_M = (0.0165, 0.0174, 0.0188, 0.0204, 0.0210, 0.0188, 0.0150)
BROW_HALF_M = (0.0030, 0.0042, 0.0044, 0.0040, 0.0033, 0.0023, 0.0012)
SHIRT_COLLAR_M = 0.013


@dataclass(frozen=True, eq=False)
class SkinFields:
    """What the painter knows of n points of the skin.

    Attributes:
        position: [n, 3] on the template head, metres.
        lips, mouth_inside, sockets, ears, eyelids, ambient, liner, waterline: [n] 0..1.
    """

    position: Points
    lips: Points
    mouth_inside: Points
    sockets: Points
    ears: Points
    eyelids: Points
    ambient: Points
    liner: Points
    waterline: Points


def skin_fields(data: HeadData, matrix: sp.csr_matrix) -> SkinFields:
    """Fields at the points that `matrix` [n, V] makes of the base vertices."""
    masks = {name: matrix @ mask.astype(np.float64) for name, mask in data.masks.items()}
    liner, waterline = np.zeros(len(data.vertices)), np.zeros(len(data.vertices))
    for rings in data.lid_rings.values():
        waterline[rings[:2]] = 1
        liner[rings[1:4, 1:14]] = [[0.7], [1.0], [0.6]]
        liner[rings[2:4, 15:26]] = 0.25
    position = matrix @ data.vertices.astype(np.float64)
    return SkinFields(position, **masks, liner=matrix @ liner, waterline=matrix @ waterline)


def skin_colors(fields: SkinFields, palette: Palette, *, detailed: bool = False) -> Points:
    """[n, 3] sRGB colours; `detailed` where points lie close enough together to show pores and single hairs."""
    if not detailed:
        palette = replace(palette, texture=0.0)
    color = _complexion(fields, palette)
    color = _mix(color, palette.lips, _lip_tint(fields))
    color = _mix(color, (0.60, 0.34, 0.31), 0.75 * fields.waterline)
    color = _mix(color, (0.10, 0.07, 0.06), palette.liner * 0.85 * fields.liner)
    color *= _shade(fields.ambient)[:, None]
    color = _mix(color, _scaled(palette.brow, 0.9), brows(fields.position, palette))
    if palette.hair_style is not None:
        grown = hair.coverage(fields.position, fields.ears, palette.hair_style)
        pattern = hair.strands(fields.position, palette.hair_style)
        strands = np.array(palette.hair) * (1 + 0.42 * pattern[:, None] * palette.hair_style.relief / 0.35)
        color = _mix_each(color, strands, grown)
    if palette.shirt is not None:
        color = _mix_each(color, _shirt_color(fields, palette.shirt), shirt_cover(fields.position))
    color = _mix(color, (0.50, 0.17, 0.15), smoothstep(0.35, 0.95, fields.mouth_inside))
    depth_in_mouth = smoothstep(0.022, -0.030, fields.position[:, 2]) * smoothstep(0.5, 1.0, fields.mouth_inside)
    color *= 1 - 0.62 * depth_in_mouth[:, None]
    color = _mix(color, (0.45, 0.2, 0.18), smoothstep(0.3, 0.9, fields.sockets))
    return np.clip(color, 0, 1)


def brows(position: Points, palette: Palette) -> Points:
    """[n] 0..1 density of the eyebrows, with single hairs where the points lie close enough to show them."""
    distance = np.abs(position[:, 0])
    centre, half = np.interp(distance, BROW_X_M, BROW_Y_M), np.interp(distance, BROW_X_M, BROW_HALF_M)
    centre = centre + palette.brow_lift_m * smoothstep(0.040, 0.012, distance)
    across = (position[:, 1] - centre) / (half * palette.brow_width)
    # Hairs rise steeply at the nose and lie down towards the temple.
    lean = np.interp(distance, [0.01, 0.025, 0.05], [0.35, 1.1, 2.4])
    run = (distance - lean * (position[:, 1] - centre)) * 1.0
    hairs = value_noise(np.stack([run, position[:, 1] * 0.12, np.zeros_like(run)], axis=1), 0.0011, 91)
    ends = smoothstep(0.0075, 0.0155, distance + 0.0025 * hairs) * (1 - smoothstep(0.050, 0.0545, distance))
    ragged = np.abs(across) + palette.texture * 0.28 * hairs
    body = 1 - smoothstep(0.55, 1.15, ragged)
    front = position[:, 2] > -0.03
    return np.asarray(palette.brow_density * body * ends * front * (1 - 0.22 * palette.texture * (1 + hairs) / 2))


def shirt_cover(position: Points) -> Points:
    """[n] 0 bare … 1 shirt: below a round neckline."""
    return smoothstep(0.0, 0.002, -_above_collar(position))


def shirt_thickness(position: Points) -> Points:
    """[n] metres by which the cloth stands off the skin."""
    return np.asarray(0.005 * smoothstep(-0.002, 0.016, -_above_collar(position)))


def _above_collar(position: Points) -> Points:
    """[n] height above the neckline, metres; it is round and lies lower in front than behind."""
    forward = np.clip((position[:, 2] + 0.125) / 0.11, 0, 1.2)
    line = -0.128 - 0.012 * forward - 0.038 * forward**3
    return np.asarray(position[:, 1] - line)


def _complexion(fields: SkinFields, palette: Palette) -> Points:
    p = fields.position
    color = np.broadcast_to(np.array(palette.skin), (len(p), 3)).copy()
    blotches = (0.5 + 0.5 * palette.texture) * fractal_noise(p, 0.022, 11)
    color *= 1 + blotches[:, None] * [0.020, 0.030, 0.034]
    pores = palette.texture * value_noise(p, 0.0014, 15)
    color *= 1 + 0.022 * pores[:, None]
    mirrored = np.abs(p) * [1, 0, 0] + p * [0, 1, 1]
    red = 0.75 * _blob(mirrored, (0.040, -0.036, 0.015), (0.022, 0.018, 0.04))
    red += 0.85 * _blob(mirrored, (0.0, -0.038, 0.042), (0.013, 0.012, 0.014)) + 0.7 * fields.ears
    red += 0.45 * _blob(mirrored, (0.0, -0.100, 0.022), (0.016, 0.012, 0.02)) + 0.5 * fields.eyelids
    color *= 1 - palette.blush * np.clip(red, 0, 1)[:, None] * [0.015, 0.13, 0.14]
    under_eye = _blob(mirrored, (0.026, -0.020, 0.018), (0.015, 0.006, 0.02))
    color *= 1 - 0.10 * under_eye[:, None] * [0.7, 1.0, 0.8]
    if palette.freckles:
        color *= 1 - palette.freckles * _freckles(p)[:, None] * [0.16, 0.26, 0.30]
    if palette.stubble:
        color = _mix(color, _scaled(palette.hair, 0.6), palette.stubble * _beard(fields))
    return color


def _freckles(position: Points) -> Points:
    spots = smoothstep(0.44, 0.60, value_noise(position, 0.0022, 21) * 0.8 + value_noise(position, 0.0040, 23) * 0.4)
    where = np.exp(-((position[:, 1] + 0.028) ** 2) / 0.018**2) * smoothstep(-0.03, 0.01, position[:, 2])
    return np.asarray(spots * where)


def _beard(fields: SkinFields) -> Points:
    """[n] 0..1 where a beard grows: moustache, chin and jaw."""
    p = fields.position
    x = np.abs(p[:, 0])
    cheek_line = np.interp(x, [0.0, 0.022, 0.035, 0.055, 0.068, 0.075], [-0.050, -0.052, -0.062, -0.050, -0.022, 0.0])
    jaw = smoothstep(-0.006, 0.006, cheek_line - p[:, 1]) * smoothstep(-0.150, -0.118, p[:, 1])
    front = smoothstep(-0.095, -0.075, p[:, 2])
    bare = _blob(np.stack([x, p[:, 1], p[:, 2]], axis=1), (0.016, -0.084, 0.02), (0.007, 0.005, 0.03))
    grain = 0.72 + 0.28 * value_noise(p, 0.0012, 31)
    return np.asarray(jaw * front * (1 - fields.lips) * (1 - 0.6 * bare) * grain * (1 - fields.ears))


def _lip_tint(fields: SkinFields) -> Points:
    lines = 0.06 * value_noise(fields.position * [1.0, 0.25, 0.25], 0.0011, 41)
    return np.asarray(np.clip(smoothstep(0.25, 0.95, fields.lips) * (0.86 + lines), 0, 1) * (1 - fields.mouth_inside))


def _shirt_color(fields: SkinFields, shirt: Color) -> Points:
    below = -_above_collar(fields.position)
    seam = 1 - 0.25 * np.exp(-(((below - SHIRT_COLLAR_M) / 0.0012) ** 2))
    folds = 1 + 0.05 * fractal_noise(fields.position, 0.05, 51) + 0.03 * value_noise(fields.position, 0.0016, 53)
    shade = _shade(fields.ambient)
    return np.array(shirt) * (seam * folds * shade)[:, None]


def _shade(ambient: Points) -> Points:
    """Darkening by hidden sky, softened because skin lets light through."""
    return np.asarray(0.66 + 0.34 * np.clip(ambient * 1.08, 0, 1) ** 0.7)


def _blob(position: Points, centre: Color, spread: Color) -> Points:
    return np.asarray(np.exp(-0.5 * (((position - centre) / spread) ** 2).sum(axis=1)))


def _mix(color: Points, other: Color, share: Points) -> Points:
    return np.asarray(color + share[:, None] * (np.array(other) - color))


def _mix_each(color: Points, other: Points, share: Points) -> Points:
    return np.asarray(color + share[:, None] * (other - color))


def _scaled(color: Color, factor: float) -> Color:
    return (color[0] * factor, color[1] * factor, color[2] * factor)
