"""Lids that slide over the eyeball along the avatar's own rims, and lashes that turn with them.

Whatever moved the skin before (expression units, landmarks, flow), the rims are looked at where they are now, and each
lid is turned about the axis along the eye by what its rim still has to go, column by column. Skin behind the rim goes
along less and less. So shut lids meet along their whole length, on the ball, without a crumple: a lid is a visor.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from calib.rig.face_rig import FaceRig
from calib.rig.lid_rig import RIM_COLUMNS

_OVERLAP = 0.012  # of the eye's width: the upper lid goes so far over the lower one, so that no slit stays between
_OVER_LOWER = 1.012  # of the lower rim's distance: where the upper lid lies upon it
_FINISHED = 0.88  # closed so far, lids are on their way to shut: trackers leave a rest of an eye open
_MOST_SQUASHED = 0.93  # of an eye that is painted on the skin: a line of it stays
_MOST_RAISED, _MOST_OPEN = (-0.25, 0.6), -0.4  # of the opening: the lower lid's own motion; wide open eyes
_BESIDE = 13  # columns beyond each corner in which skin still goes along
_SOFT = 4.5  # columns over which skin away from the rim evens out what the rim does
_SLIT, _COARSE, _TRIES = 0.005, 9, 3  # radians; columns between corners of coarse rims; rounds of closing slits
_EVEN_LASHES = 4.0  # columns over which the turn of lashes is evened out, so that those in the corners turn, too
_EVEN = 1.5  # columns over which the motion of a rim is evened out
_LASH_TURN = 1.35  # of the lid's own turn: lashes that look up from an open eye look down from a shut one
_CORNER = 4  # columns from an end of the rims: from there lids close evenly to a corner that lies beyond it
_LEAST_BEYOND = 3.0  # columns over which the turn of a rim's end fades in any case
_MOST_OVER = 0.12  # radians that a lid may overlap the other on that way

Array = NDArray[np.float64]


class Lids:
    """The lids of one eye of one avatar. Owned by one thread; takes vertices in place."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        own, self._lids = rig.eyes[eye], rig.lids[eye]
        self._present = bool(len(self._lids.vertices))
        self._frame, self._centre = own.frame, own.centre
        lids = self._lids
        self._columns = _Columns(lids.along)
        self._beside = _Columns(lids.along, _BESIDE)
        self._sharp = lids.near
        self._rest = rig.rest[lids.vertices].astype(np.float64)
        self._evened = _evening(lids.along, lids.upper * lids.near), _evening(lids.along, lids.lower * lids.near)
        self._lash_columns = _Columns(lids.lash_along)
        self._lash_rim = np.where(lids.lash_upper, 0, 1)
        rim = self._rim(rig.rest)
        angle, radius = _polar(rim)
        self._rest_angle, self._rest_cheek = angle, _slope(rim)
        place = own.frame[0] @ (own.upper - own.upper[0]).T / own.width
        columns = np.linspace(0, 1, RIM_COLUMNS)
        gap = np.interp(columns, place, (own.upper - own.lower) @ own.frame[1])
        opened = np.interp(columns, place, own.aperture) - gap
        self._opened = np.where(opened > 0.02 * own.width, opened, 0.0) / radius[0]  # of eyes shut in the file
        self._lower_rest = np.interp(columns, place, own.lower_rest) / radius[1]
        self._rest_gap = np.maximum(angle[0] - angle[1], 0.0) + self._opened
        self._overlap = _OVERLAP * own.width / radius[0] * np.sin(np.pi * columns).clip(0) ** 0.5
        self._squashed = not len(own.ball) and float(own.aperture.max()) > 0.8 * own.width
        for _ in range(_TRIES):
            self._overlap += self._slits(rig.rest)
        roots = self._lash_columns.of(rim[self._lash_rim])
        self._lash_offset = self._local(rig.rest[lids.lashes]) - roots

    def _slits(self, rest: NDArray[np.float32]) -> Array:
        """[33] by how much more the upper rim has to go: between the few corners of coarse rims slits stay open."""
        if not self._present:
            return np.zeros(RIM_COLUMNS)
        vertices = rest.copy()
        self.apply(vertices, 1.0)
        (upper, lower, _), _ = _polar(self._rim(vertices))
        left = np.where(upper - lower > _SLIT, upper - lower, 0.0)
        left[[0, -1]] = 0.0
        return np.asarray(maximum_filter1d(left, _COARSE, mode="constant"))

    def even(self, vertices: NDArray[np.float32]) -> None:
        """Let the skin on each rim of `vertices` [R, 3] move as one smooth curve: what was carried to it from another
        head, vertex by vertex, may differ between neighbours there and tear a shard out of a lid."""
        if not self._present:
            return
        lids = self._lids
        moved = vertices[lids.vertices] - self._rest
        upper, lower = (matrix @ moved for matrix in self._evened)
        upper[[0, -1]] = lower[[0, -1]] = (upper[[0, -1]] + lower[[0, -1]]) / 2
        sure = self._sharp[:, None]
        above = (lids.upper >= lids.lower)[:, None]
        curve = np.where(above, self._columns.of(upper), self._columns.of(lower))
        vertices[lids.vertices] = self._rest + moved + sure * (curve - moved)

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
        upper, lower = (self._turns(each) for each in steps)
        local = self._local(vertices[lids.vertices])
        turned = _turned(local, lids.upper * upper + lids.lower * lower)
        turned[:, 1:] *= (1 + lids.upper * self._columns.of(growth))[:, None]
        vertices[lids.vertices] = turned @ self._frame + self._centre

    def place_lashes(self, vertices: NDArray[np.float32]) -> None:
        """Set lashes onto the rims as they are in `vertices` [R, 3], turned as far as these have turned."""
        if not len(self._lids.lashes):
            return
        rim = self._rim(vertices)
        turn = _LASH_TURN * (_polar(rim[:2])[0] - self._rest_angle[:2])
        turn[0] = gaussian_filter1d(turn[0], _EVEN_LASHES, mode="nearest")
        turn[1] = np.maximum(turn[1], _slope(rim) - self._rest_cheek)
        columns, which = self._lash_columns, self._lash_rim
        placed = columns.of(rim[which]) + _turned(self._lash_offset, columns.of(turn[which]))
        vertices[self._lids.lashes] = placed @ self._frame + self._centre

    def _turns(self, step: Array) -> Array:
        """[N] radians by which the skin turns where a rim turns by [33]: as the rim does on it, evenly farther away."""
        sharp = np.pad(step, _BESIDE)
        for corner, row in zip(self._lids.corners.tolist(), (sharp, sharp[::-1]), strict=True):
            _towards_corner(row, corner * (RIM_COLUMNS - 1))
        soft = self._beside.of(gaussian_filter1d(sharp, _SOFT, mode="constant"))
        return np.asarray(soft + self._sharp * (self._beside.of(sharp) - soft))

    def _steps(self, polar: tuple[Array, Array], closing: float, raised: float) -> tuple[Array, Array]:
        """Radians [2, 33] that the upper and the lower rim have to turn, and [33] how far the upper one has to grow."""
        (upper, lower, _), radius = polar
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
        growth = shut * np.maximum(_OVER_LOWER * radius[1] / radius[0] - 1, 0.0)
        return steps, growth

    def _rim(self, vertices: NDArray[np.float32]) -> Array:
        """[3, 33, 3] upper rim, lower rim and the skin below that, in the eye's frame."""
        ends = self._local(vertices[self._lids.rims])
        return np.asarray(ends[:, :, 0] + self._lids.rim_share[..., None] * (ends[:, :, 1] - ends[:, :, 0]))

    def _local(self, points: NDArray[np.float32]) -> Array:
        return np.asarray((points - self._centre) @ self._frame.T)


class _Columns:
    """Reads what is known in each column of an eye, and in so many `beside` it, at places [N] between them."""

    def __init__(self, along: Array, beside: int = 0) -> None:
        last = RIM_COLUMNS - 1 + 2 * beside
        place = np.clip(along * (RIM_COLUMNS - 1) + beside, 0, last)
        self._first = np.minimum(place.astype(np.intp), last - 1)
        self._share = place - self._first
        self._row = np.arange(len(along))

    def of(self, values: Array) -> Array:
        """[N] or [N, 3] of values [columns] or [columns, 3]; or of [N, columns, 3] that differ from place to place."""
        if len(values) == len(self._row) and values.ndim > 1 and values.shape[1] > 3:
            one, other = values[self._row, self._first], values[self._row, self._first + 1]
        else:
            one, other = values[self._first], values[self._first + 1]
        share = self._share.reshape(-1, *[1] * (one.ndim - 1))
        return np.asarray(one + share * (other - one))


def _towards_corner(step: Array, beyond: float) -> None:
    """Let the turns in `step` [columns] end evenly in the corner of the eye, so many columns `beyond` the first of the
    rim, in place."""
    along = _CORNER if beyond > _LEAST_BEYOND else 0
    first = _BESIDE + along
    line = step[first] * np.clip(1 - np.arange(first + 1)[::-1] / (along + max(beyond, _LEAST_BEYOND)), 0, 1)
    limit = np.full(first + 1, np.inf)
    limit[_BESIDE:] = _MOST_OVER
    step[: first + 1] += np.clip(np.minimum(line - step[: first + 1], 0), -limit, 0)


def _evening(along: Array, weight: Array) -> sparse.csr_matrix:
    """[33, N] that averages over vertices at places [N] along an eye, around each column."""
    columns = np.linspace(0, 1, RIM_COLUMNS)
    share = weight * np.exp(-0.5 * ((columns[:, None] - along) * (RIM_COLUMNS - 1) / _EVEN) ** 2)
    share[share < 1e-3] = 0.0
    empty = share.sum(axis=1) == 0
    if empty.any() and len(along):
        share[empty, np.abs(columns[empty, None] - along).argmin(axis=1)] = 1.0
    return sparse.csr_matrix(share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12))


def _slope(rim: Array) -> Array:
    """[33] angle at which the skin below the lower rim falls off, radians; greater where it bulges forwards."""
    down = rim[2] - rim[1]
    return np.asarray(np.arctan2(down[:, 2], -down[:, 1]))


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
