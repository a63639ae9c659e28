"""Lids that slide over the eyeball along the avatar's own rims, and lashes that turn with them.

Whatever moved the skin before (expression units, landmarks, flow), the rims are looked at where they are now, and each
lid is turned about the axis along the eye by what its rim still has to go, column by column. Skin behind the rim goes
along less and less. So shut lids meet along their whole length, on the ball, without a crumple: a lid is a visor.
"""

import numpy as np
from numpy.typing import NDArray

from calib.rig.face_rig import FaceRig
from calib.rig.lid_rig import RIM_COLUMNS

_OVERLAP = 0.012  # of the eye's width: the upper lid goes so far over the lower one, so that no slit stays between
_OVER_LOWER = 1.012  # of the lower rim's distance: where the upper lid lies upon it
_FINISHED = 0.88  # closed so far, lids are on their way to shut: trackers leave a rest of an eye open
_MOST_SQUASHED = 0.93  # of an eye that is painted on the skin: a line of it stays
_MOST_RAISED, _MOST_OPEN = (-0.25, 0.6), -0.4  # of the opening: the lower lid's own motion; wide open eyes

Array = NDArray[np.float64]


class Lids:
    """The lids of one eye of one avatar. Owned by one thread; takes vertices in place."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        own, self._lids = rig.eyes[eye], rig.lids[eye]
        self._present = bool(len(self._lids.vertices))
        self._frame, self._centre = own.frame, own.centre
        self._columns = _Columns(self._lids.along)
        self._lash_columns = _Columns(self._lids.lash_along)
        self._lash_rim = np.where(self._lids.lash_upper, 0, 1)
        rim = self._rim(rig.rest)
        angle, radius = _polar(rim)
        self._rest_angle = angle
        place = own.frame[0] @ (own.upper - own.upper[0]).T / own.width
        columns = np.linspace(0, 1, RIM_COLUMNS)
        gap = np.interp(columns, place, (own.upper - own.lower) @ own.frame[1])
        opened = np.interp(columns, place, own.aperture) - gap
        self._opened = np.where(opened > 0.02 * own.width, opened, 0.0) / radius[0]  # of eyes shut in the file
        self._lower_rest = np.interp(columns, place, own.lower_rest) / radius[1]
        self._rest_gap = np.maximum(angle[0] - angle[1], 0.0) + self._opened
        self._overlap = _OVERLAP * own.width / radius[0] * np.sin(np.pi * columns) ** 0.5
        self._squashed = not len(own.ball) and float(own.aperture.max()) > 0.8 * own.width
        roots = self._lash_columns.of(rim[self._lash_rim])
        self._lash_offset = self._local(rig.rest[self._lids.lashes]) - roots

    def apply(self, vertices: NDArray[np.float32], closing: float, raised: float = 0.0) -> None:
        """Close the lids in `vertices` [R, 3].

        Args:
            closing: share of what stands open now that is closed: 1 shut, below 0 wider.
            raised: how far the lower lid is raised, in apertures.
        """
        if not self._present:
            return
        steps, growth = self._steps(_polar(self._rim(vertices)), closing, raised)
        if not steps.any():
            return
        lids = self._lids
        upper, lower, grown = (self._columns.of(each) for each in (*steps, growth))
        local = self._local(vertices[lids.vertices])
        turned = _turned(local, lids.upper * upper + lids.lower * lower)
        turned[:, 1:] *= (1 + lids.upper * grown)[:, None]
        vertices[lids.vertices] = turned @ self._frame + self._centre

    def place_lashes(self, vertices: NDArray[np.float32]) -> None:
        """Set lashes onto the rims as they are in `vertices` [R, 3], turned as far as these have turned."""
        if not len(self._lids.lashes):
            return
        rim = self._rim(vertices)
        turn = _polar(rim)[0] - self._rest_angle
        columns, which = self._lash_columns, self._lash_rim
        placed = columns.of(rim[which]) + _turned(self._lash_offset, columns.of(turn[which]))
        vertices[self._lids.lashes] = placed @ self._frame + self._centre

    def _steps(self, polar: tuple[Array, Array], closing: float, raised: float) -> tuple[Array, Array]:
        """Radians [2, 33] that the upper and the lower rim have to turn, and [33] how far the upper one has to grow."""
        (upper, lower), radius = polar
        closing = max(closing, _MOST_OPEN)
        if closing > _FINISHED:
            rest = min((closing - _FINISHED) / (1 - _FINISHED), 1.0)
            closing += (1 - closing) * rest * rest * (3 - 2 * rest)
        if self._squashed:
            closing = min(closing, _MOST_SQUASHED)
        shut = min(max(closing, 0.0), 1.0)
        gap = np.maximum(upper - lower, 0.0) + self._opened
        step_lower = (1 - shut) * self._lower_rest + shut * self._lids.meet * gap
        step_lower += float(np.clip(raised, *_MOST_RAISED)) * (1 - shut) * self._rest_gap
        line = lower + step_lower
        step_upper = line + (1 - closing) * gap - self._overlap * shut**8 - upper
        steps = np.stack([step_upper, step_lower])
        steps[:, [0, -1]] = 0.0
        growth = shut * np.maximum(_OVER_LOWER * radius[1] / radius[0] - 1, 0.0)
        return steps, growth

    def _rim(self, vertices: NDArray[np.float32]) -> Array:
        """[2, 33, 3] the rims in the eye's frame."""
        ends = self._local(vertices[self._lids.rims])
        return np.asarray(ends[:, :, 0] + self._lids.rim_share[..., None] * (ends[:, :, 1] - ends[:, :, 0]))

    def _local(self, points: NDArray[np.float32]) -> Array:
        return np.asarray((points - self._centre) @ self._frame.T)


class _Columns:
    """Reads what is known in each column of an eye at places [N] between them."""

    def __init__(self, along: Array) -> None:
        place = np.clip(along, 0, 1) * (RIM_COLUMNS - 1)
        self._first = np.minimum(place.astype(np.intp), RIM_COLUMNS - 2)
        self._share = place - self._first
        self._row = np.arange(len(along))

    def of(self, values: Array) -> Array:
        """[N, …] of values [33], or [N, 33, …] that differ from place to place."""
        if values.ndim == 1:
            return np.asarray(values[self._first] + self._share * (values[self._first + 1] - values[self._first]))
        one, other = values[self._row, self._first], values[self._row, self._first + 1]
        share = self._share.reshape(-1, *[1] * (one.ndim - 1))
        return np.asarray(one + share * (other - one))


def _polar(local: Array) -> tuple[Array, Array]:
    """Angle upwards from straight ahead, and distance from the axis, of points [..., 3] in an eye's frame."""
    return np.arctan2(local[..., 1], local[..., 2]), np.maximum(np.hypot(local[..., 1], local[..., 2]), 1e-9)


def _turned(local: Array, angle: Array) -> Array:
    """Points [N, 3] in an eye's frame turned upwards by angles [N] about the axis along the eye."""
    cosine, sine = np.cos(angle), np.sin(angle)
    up, out = local[:, 1], local[:, 2]
    return np.stack([local[:, 0], cosine * up + sine * out, cosine * out - sine * up], axis=1)


def finished(shut: Array) -> Array:
    """[2] share of what is left open to close for lids that something else has shut so far [2]: only the last."""
    share = np.clip((shut - _FINISHED) / (1 - _FINISHED), 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share))
