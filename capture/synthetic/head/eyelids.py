"""Eyelids that close exactly, never cross, and slide on the eyeball instead of cutting through it."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from core.sphere import Sphere

COLUMNS = 14
UPPER = slice(0, COLUMNS)  # columns of the lid rings, from the nose outwards
LOWER = slice(27, 13, -1)  # the columns below them, in the same order
CONTACT_RING = 1  # where upper and lower margin meet
MARGIN_RINGS = 4
FALLOFF_RINGS = 10
LID_CLEARANCE_M = (0.0003, 0.0018)  # a lid keeps its own distance from the eyeball, within these bounds
LOWER_SHARE = 0.15  # of an overlap is taken back by the lower lid, the rest by the upper one

Points = NDArray[np.float64]


def blink_scale(points: Points, rings: NDArray[np.int32], eyeball: Sphere, blink: Points) -> Points:
    """[V] factors for the blink target that make the margins of this identity just meet at weight 1.

    `points` [V, 3] is the neutral head, `rings` [R, 28] and `blink` [V, 3] belong to the same eye. The artists shaped
    the blink for one head; an eye that is wider or narrower needs more or less of it, column by column.
    """
    before = _apertures(points, rings, eyeball)
    closing = before - _apertures(points + blink, rings, eyeball)
    columns = np.clip(before / np.maximum(closing, 1e-3), 0.5, 2.5)
    trust = np.sqrt(np.clip(before / before.max(), 0, 1))  # near the corners the ratio of two small angles says nothing
    columns = trust * columns + (1 - trust) * np.average(columns, weights=trust)
    azimuth, _, _ = _spherical(points - eyeball.centre)
    of_column, _, _ = _spherical(points[rings[CONTACT_RING, UPPER]] - eyeball.centre)
    order = np.argsort(of_column)
    return np.asarray(np.interp(azimuth, of_column[order], columns[order]))


class LidContact:
    """Takes back what goes too far when several units close one eye together."""

    def __init__(self, points: Points, rings: NDArray[np.int32], eyeball: Sphere, lashes: NDArray[np.int32]) -> None:
        """`points` [V, 3] neutral head, `rings` [R, 28] of this eye, `lashes` [n] what rides on the upper lid."""
        self._eyeball, self._contact = eyeball, rings[CONTACT_RING]
        falloff = np.clip((FALLOFF_RINGS - np.arange(len(rings))) / (FALLOFF_RINGS - MARGIN_RINGS), 0, 1)
        falloff = falloff * falloff * (3 - 2 * falloff)
        azimuth, _, _ = _spherical(points[lashes] - eyeball.centre)
        of_column, _, _ = _spherical(points[rings[CONTACT_RING, UPPER]] - eyeball.centre)
        nearest = np.abs(azimuth[:, None] - of_column).argmin(axis=1)
        columns = len(of_column)
        upper, lower = rings[:, UPPER], rings[:, LOWER]
        self._vertices = np.concatenate([upper.ravel(), lashes, lower.ravel()])
        grid = np.tile(np.arange(columns), len(rings))
        self._column = np.concatenate([grid, nearest, grid])
        share = np.repeat(falloff, columns)
        self._share = np.concatenate(
            [share * (1 - LOWER_SHARE), np.full(len(lashes), 1 - LOWER_SHARE), -share * LOWER_SHARE]
        )

    @property
    def vertices(self) -> NDArray[np.int64]:
        """[n] all that are looked at or moved, in ascending order."""
        return np.union1d(self._vertices, self._contact).astype(np.int64)

    def renumbered(self, vertices: NDArray[np.int64]) -> LidContact:
        """The same for points of which only `vertices` [m] are there, in ascending order."""
        contact = copy(self)
        contact._vertices = np.searchsorted(vertices, self._vertices)
        contact._contact = np.searchsorted(vertices, self._contact)
        return contact

    def crossing(self, points: Points) -> bool:
        """Whether margins cross in `points` [V, 3]: what `separate` would change something about. Heights over the
        eyeball's middle tell it without angles."""
        offset = points[self._contact] - self._eyeball.centre
        sine = offset[:, 1] / np.maximum(np.sqrt(np.einsum("nd,nd->n", offset, offset)), 1e-9)
        return bool((sine[LOWER] > sine[UPPER]).any())

    def turned_by(self, points: int) -> tuple[NDArray[np.int64], Points, Points]:
        """[n] in which column each of so many points lies, [n] by which share of what margins overlap there it turns
        upwards about the eyeball's middle, 0 for those that stay; and that middle [3]."""
        column, share = np.zeros(points, dtype=np.int64), np.zeros(points)
        column[self._vertices], share[self._vertices] = self._column, self._share
        return column, share, self._eyeball.centre

    def separate(self, points: Points) -> Points:
        """Part crossing margins in `points` [V, 3], in place; by how much they overlapped [14], radians."""
        centre = self._eyeball.centre
        _, upper, _ = _spherical(points[self._contact[UPPER]] - centre)
        _, lower, _ = _spherical(points[self._contact[LOWER]] - centre)
        overlap = np.maximum(lower - upper, 0)
        if not overlap.any():
            return overlap
        azimuth, elevation, radius = _spherical(points[self._vertices] - centre)
        elevation += overlap[self._column] * self._share
        level = radius * np.cos(elevation)
        turned = np.stack([level * np.sin(azimuth), radius * np.sin(elevation), level * np.cos(azimuth)], axis=-1)
        points[self._vertices] = centre + turned
        return overlap


class EyeballClearance:
    """Keeps vertices of the lids outside the eyeball."""

    def __init__(self, neutral: Points, candidates: NDArray[np.int64], eyeball: Sphere) -> None:
        """`neutral` [N, 3] of the finished mesh; of the `candidates` [n] those before the eyeball are kept."""
        offset = neutral[candidates] - eyeball.centre
        gap = np.linalg.norm(offset, axis=1) - eyeball.radius
        kept = (gap > -0.004) & (gap < 0.006) & (offset[:, 2] > 0)
        self._vertices, self._eyeball = candidates[kept], eyeball
        self._least = eyeball.radius + np.clip(0.9 * gap[kept], *LID_CLEARANCE_M)

    def push_out(self, points: Points) -> None:
        """Move vertices of `points` [N, 3] that came too near the eyeball outwards, in place."""
        offset = points[self._vertices] - self._eyeball.centre
        distance = np.linalg.norm(offset, axis=1)
        factor = np.maximum(self._least / distance, 1.0)
        points[self._vertices] = self._eyeball.centre + offset * factor[:, None]


def _apertures(points: Points, rings: NDArray[np.int32], eyeball: Sphere) -> Points:
    """[14] angles between upper and lower margin, seen from the eyeball's centre."""
    _, upper, _ = _spherical(points[rings[CONTACT_RING, UPPER]] - eyeball.centre)
    _, lower, _ = _spherical(points[rings[CONTACT_RING, LOWER]] - eyeball.centre)
    return np.asarray(upper - lower)


def _spherical(offset: Points) -> tuple[Points, Points, Points]:
    """Azimuth (towards +x), elevation (towards +y) in radians and radius of [..., 3] offsets; forward is +z."""
    radius = np.linalg.norm(offset, axis=-1)
    elevation = np.arcsin(np.clip(offset[..., 1] / np.maximum(radius, 1e-9), -1, 1))
    return np.arctan2(offset[..., 0], offset[..., 2]), elevation, radius
