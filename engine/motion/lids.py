"""Lids that slide over the eyeball along the avatar's own rims, and lashes that turn with them.

Whatever moved the skin before (expression units, landmarks, flow), the rims are looked at where they are now, and each
lid is turned about the axis along the eye by what its rim still has to go, column by column. Skin behind the rim goes
along less and less. So shut lids meet along their whole length, on the ball, without a crumple: a lid is a visor.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.rig.face_rig import EyeRig, FaceRig
from calib.rig.lid_rig import RIM_COLUMNS
from engine.motion.contact import smoothstep
from engine.motion.lid_columns import BESIDE, Corner, RimColumns, average, blur, near_first, turning
from engine.motion.motion_kernels import LidTurn, compiled_kernels
from render.skin.moving_skin import MovingEye

_OVERLAP = 0.012  # of the eye's width: the upper lid goes so far over the lower one, so that no slit stays between
_OVER_LOWER = 1.012  # of the lower rim's distance: where the upper lid lies upon it
_STEEPEST = 0.03  # change of that from column to column, and into the corners: what is steeper was traced wrongly there
_FINISHED = 0.88  # closed so far, lids are on their way to shut: trackers leave a rest of an eye open
_MOST_SQUASHED = 0.93  # of an eye that is painted on the skin: a line of it stays
_MOST_RAISED, _MOST_OPEN = (-0.25, 0.6), -0.4  # of the opening: the lower lid's own motion; wide open eyes
_SOFT = 4.5  # columns over which skin away from the rim evens out what the rim does
_FOLLOWS_GAZE, _MOST_FOLLOWED = 0.8, 0.6  # of the eyeball's turn downwards; of what stands open: how far lids follow
_SURELY_DOWN = 0.3  # radians: squints and smiles are taken for a gaze a little downwards
_SLIT, _TRIES = 0.005, 3  # radians; rounds of closing slits
_FOLLOWS = 0.5  # of the upper lid's turn: what goes along less is left behind
_EVEN_LASHES = 4.0  # columns over which the turn of lashes is evened out, so that those in the corners turn, too
_LASH_TURN = 1.35  # of the lid's own turn: lashes that look up from an open eye look down from a shut one
_COLUMNS = np.arange(RIM_COLUMNS)
_MIDDLE = np.sin(np.pi * _COLUMNS / (RIM_COLUMNS - 1)).clip(0) ** 0.5  # 1 in an eye's middle, 0 in its corners
_ALLOWED = _STEEPEST * np.abs(_COLUMNS[:, None] - _COLUMNS)
_ALLOWED_AT_ENDS = _STEEPEST * (1 + np.minimum(_COLUMNS, _COLUMNS[::-1]))

Array = NDArray[np.floating]


class Lids:
    """The lids of one eye of one avatar. Owned by one thread; takes vertices in place."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        own, self._lids = rig.eyes[eye], near_first(rig.lids[eye])
        self._present = bool(len(self._lids.vertices))
        self._frame, self._centre = own.frame.astype(np.float32), own.centre.astype(np.float32)
        lids = self._lids
        self._rim_share = lids.rim_share.reshape(-1, 1).astype(np.float32)
        self._rim_ends = lids.rims.transpose(2, 0, 1).reshape(-1)  # those of all first ends, then of all second ones
        near = self._near = slice(int((lids.near > 0).sum()))
        self._near_columns = RimColumns(lids.along[near])
        self._sharp = lids.near[near].astype(np.float32)[:, None]
        self._turning, self._growing = turning(lids), RimColumns(lids.along).matrix(lids.upper)
        kernels = compiled_kernels()
        self._compiled = None
        if kernels is not None:
            frame, centre = self._frame, self._centre
            self._compiled = LidTurn(kernels, lids.vertices, frame, centre, self._turning, self._growing)
        self._corners = [Corner(float(beyond) * (RIM_COLUMNS - 1)) for beyond in lids.corners]
        self._rest = rig.rest[lids.vertices[near]]
        self._own_rim = np.where(lids.upper >= lids.lower, 0, RIM_COLUMNS)[near]
        averages = [average(lids.along[near], (share * lids.near)[near]) for share in (lids.upper, lids.lower)]
        self._averages = sparse.vstack(averages).tocsr().astype(np.float32)
        self._lash_columns = RimColumns(lids.lash_along)
        self._soften = blur(RIM_COLUMNS + 2 * BESIDE, _SOFT, "constant")
        self._even_lashes = blur(RIM_COLUMNS, _EVEN_LASHES, "nearest")
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
        closes = self._closing_edges(rig.rest, own)
        for _ in range(_TRIES):
            self._overlap += np.where(closes, self._slits(rig.rest)[:, None], 0.0).max(axis=0)
        self._lash_offset = self._local(rig.rest[lids.lashes]) - self._roots(rim)

    def _closing_edges(self, rest: NDArray[np.float32], own: EyeRig) -> NDArray[np.bool_]:
        """[33, 33] in which columns (second) the upper rim has to go farther to close a slit in each column (first):
        those that its edge there spans. None where an end of that edge stays behind, as it does where the skin around
        a corner goes along with the lower lid: turning the rest farther would pull it down beside a slit as wide."""
        lids, columns = self._lids, np.arange(RIM_COLUMNS)
        share = np.zeros(len(rest))
        share[lids.vertices] = lids.upper
        ends = lids.rims[0]
        along = (rest[ends] - own.upper[0]) @ own.frame[0] / own.width * (RIM_COLUMNS - 1)
        first, last = np.floor(along.min(axis=1)), np.ceil(along.max(axis=1))
        spans = (first[:, None] <= columns) & (columns <= last[:, None])
        return np.asarray(spans & (share[ends].min(axis=1) > _FOLLOWS)[:, None])

    def _slits(self, rest: NDArray[np.float32]) -> Array:
        """[33] radians by which shut lids stay open: between the few corners of coarse rims slits stay."""
        if not self._present:
            return np.zeros(RIM_COLUMNS)
        vertices = rest.copy()
        self.apply(vertices, 1.0)
        (upper, lower, _), _ = _polar(self._rim(vertices))
        left = np.where(upper - lower > _SLIT, upper - lower, 0.0)
        left[[0, -1]] = 0.0
        return np.asarray(left)

    def apply(
        self,
        vertices: NDArray[np.float32],
        closing: float,
        raised: float = 0.0,
        *,
        evened: bool = False,
        looks_down: float = 0.0,
    ) -> None:
        """Even out and close the lids in `vertices` [R, 3].

        Args:
            closing: share of what stands open now that is closed: 1 shut, below 0 wider.
            raised: how far the lower lid is raised, in apertures.
            evened: they are even already: `unevenness` was added to all that moves them.
            looks_down: radians by which the eyeball looks down: the upper lid follows at least so far as people's do.
        """
        if not self._present:
            return
        lids = self._lids
        if not evened:
            near = vertices[self.near]
            vertices[self.near] = near + self.unevenness(near - self._rest)
        steps, growth = self.motion(vertices, closing, raised, looks_down)
        if not steps.any():
            return
        if self._compiled is not None:
            self._compiled(vertices, self._turns(steps), growth if growth.any() else None)
            return
        local = self._frame @ (vertices[lids.vertices] - self._centre).T
        _turn(local, self._turning @ self._turns(steps))
        if growth.any():
            local[1:] *= 1 + self._growing @ growth
        vertices[lids.vertices] = local.T @ self._frame + self._centre

    def motion(
        self, vertices: NDArray[np.float32], closing: float, raised: float, looks_down: float
    ) -> tuple[Array, Array]:
        """How the lids close, as told to `apply`, of `vertices` [R, 3] of which only the rims are looked at: radians
        [2, 33] that the upper and the lower rim turn, and [33] how far the upper one grows. All 0 without lids."""
        if not self._present:
            return np.zeros((2, RIM_COLUMNS)), np.zeros(RIM_COLUMNS)
        steps, growth = self._steps(_polar(self._rim(vertices)), closing, raised, looks_down)
        for corner, columns in zip(self._corners, (steps, steps[:, ::-1]), strict=True):
            corner.ends(columns)
        return steps, growth

    @property
    def rim_vertices(self) -> NDArray[np.int64]:
        """[N] those that `motion` looks at."""
        return np.unique(self._lids.rims) if self._present else np.zeros(0, dtype=np.int64)

    def following(self) -> tuple[NDArray[np.int64], sparse.csr_matrix, sparse.csr_matrix]:
        """[N] vertices of the lids, and what `motion` does to them: [N, 66] how far they turn with both rims, and
        [N, 33] how far they grow."""
        if not self._present:
            none_turn, none_grow = (sparse.csr_matrix((0, count)) for count in (2 * RIM_COLUMNS, RIM_COLUMNS))
            return np.zeros(0, dtype=np.int64), none_turn, none_grow
        single = np.eye(2 * RIM_COLUMNS, dtype=np.float32).reshape(-1, 2, RIM_COLUMNS)
        turns = sparse.csr_matrix(np.stack([self._turns(steps) for steps in single], axis=1))
        return self._lids.vertices, (self._turning @ turns).tocsr(), self._growing

    def moving_eye(self, profile: Array) -> MovingEye:
        """The same eye for who draws it without this class; `profile` as there."""
        lids, columns = self._lids, self._lash_columns
        reads = columns.matrix(np.ones(len(lids.lashes))).toarray()
        weights = np.where(self._lash_rim[:, None] == 0, reads @ self._even_lashes, reads)
        return MovingEye(
            self._frame,
            self._centre,
            profile.astype(np.float32),
            lids.rims,
            lids.rim_share.astype(np.float32),
            np.concatenate([self._rest_angle[:2], self._rest_cheek[None]]).astype(np.float32),
            lids.lashes,
            self._lash_rim,
            columns.place,
            self._lash_offset.astype(np.float32),
            weights.astype(np.float32),
            _LASH_TURN,
        )

    @property
    def near(self) -> NDArray[np.int64]:
        """[N] vertices near the rims, in the order in which `unevenness` takes them."""
        return self._lids.vertices[self._near]

    def unevenness(self, moved: Array) -> Array:
        """[N, D] what is to be added to displacements [N, D] of the skin near the rims, by anything at all, so that it
        moves as one smooth curve on each: what was carried to it from another head may differ from vertex to vertex and
        tear a shard out of a lid."""
        curves = (self._averages @ moved).reshape(2, RIM_COLUMNS, -1)
        curves[:, [0, -1]] = curves[:, [0, -1]].mean(axis=0)
        on_rim = self._near_columns.of(curves.reshape(2 * RIM_COLUMNS, -1), self._own_rim)
        return np.asarray(self._sharp * (on_rim - moved))

    def place_lashes(self, vertices: NDArray[np.float32]) -> None:
        """Set lashes onto the rims as they are in `vertices` [R, 3], turned as far as these have turned."""
        if not len(self._lids.lashes):
            return
        rim = self._rim(vertices)
        turn = _LASH_TURN * (_polar(rim[:2])[0] - self._rest_angle[:2])
        turn[0] = self._even_lashes @ turn[0]
        turn[1] = np.maximum(turn[1], _slope(rim) - self._rest_cheek)
        offset = self._lash_offset.T.copy()
        _turn(offset, self._roots(turn))
        vertices[self._lids.lashes] = (self._roots(rim) + offset.T) @ self._frame + self._centre

    def _turns(self, steps: Array) -> NDArray[np.float32]:
        """[4 · 59] what `_turning` takes: radians by which skin turns that goes along with the upper and with the lower
        rim, where these turn by [2, 33], evened out; and what is missing to the rims' own turn."""
        sharp = np.zeros((2, RIM_COLUMNS + 2 * BESIDE), dtype=np.float32)
        sharp[:, BESIDE:-BESIDE] = steps
        for corner, columns in zip(self._corners, (sharp, sharp[:, ::-1]), strict=True):
            corner.fades(columns)
        even = sharp @ self._soften.T
        return np.concatenate([even, sharp - even]).reshape(-1)

    def _roots(self, values: Array) -> Array:
        """[M] or [M, 3] of values [2 or 3 rims, 33] or [2 or 3 rims, 33, 3] at the roots of lashes."""
        return self._lash_columns.of(values.reshape(-1, *values.shape[2:]), self._lash_rim * RIM_COLUMNS)

    def _steps(
        self, polar: tuple[Array, Array], closing: float, raised: float, looks_down: float
    ) -> tuple[Array, Array]:
        """Radians [2, 33] that the upper and the lower rim have to turn, and [33] how far the upper one has to grow."""
        (upper, lower, _), radius = polar
        closing = max(closing, _MOST_OPEN)
        if closing > _FINISHED:
            closing += (1 - closing) * float(smoothstep((closing - _FINISHED) / (1 - _FINISHED)))
        if self._squashed:
            closing = min(closing, _MOST_SQUASHED)
        shut = min(max(closing, 0.0), 1.0)
        gap = np.maximum(upper - lower, 0.0) + self._opened
        if looks_down > 0:
            follows = _FOLLOWS_GAZE * looks_down * float(smoothstep(looks_down / _SURELY_DOWN))
            behind = follows * _MIDDLE - np.maximum(self._rest_angle[0] - upper, 0.0)  # wide eyes follow from there
            gap = gap - np.clip(behind, 0.0, _MOST_FOLLOWED * gap)
        step_lower = (1 - shut) * self._lower_rest + shut * self._lids.meet * gap
        least, most = _MOST_RAISED
        step_lower += min(max(raised, least), most) * (1 - shut) * self._rest_gap
        line = lower + step_lower
        step_upper = line + (1 - closing) * gap - self._overlap * shut**8 - upper
        steps = np.stack([step_upper, step_lower])
        growth = shut * _gentle(np.maximum(_OVER_LOWER * radius[1] / radius[0] - 1, 0.0))
        return steps, growth

    def _rim(self, vertices: NDArray[np.float32]) -> Array:
        """[3, 33, 3] upper rim, lower rim and the skin below that, in the eye's frame."""
        one, other = vertices.take(self._rim_ends, axis=0).reshape(2, -1, 3)
        return np.asarray(self._local(one + self._rim_share * (other - one)).reshape(-1, RIM_COLUMNS, 3))

    def _local(self, points: NDArray[np.float32]) -> Array:
        return np.asarray((points - self._centre) @ self._frame.T)


def _gentle(growth: Array) -> Array:
    """[33] the most, nowhere more than `growth` [33], that changes by at most `_STEEPEST` a column and ends
    in the corners: there flesh is taken for a rim, and what hangs on it would be drawn out to a spike."""
    return np.minimum(np.minimum.reduce(growth + _ALLOWED, axis=1), _ALLOWED_AT_ENDS)


def _slope(rim: Array) -> Array:
    """[33] angle at which the skin below the lower rim falls off, radians; greater where it bulges forwards."""
    down = rim[2] - rim[1]
    return np.asarray(np.arctan2(down[:, 2], -down[:, 1]))


def _polar(local: Array) -> tuple[Array, Array]:
    """Angle upwards from straight ahead, and distance from the axis, of points [..., 3] in an eye's frame."""
    return np.arctan2(local[..., 1], local[..., 2]), np.maximum(np.hypot(local[..., 1], local[..., 2]), 1e-9)


def _turn(local: Array, angle: Array) -> None:
    """Turn points [3, N] in an eye's frame upwards by angles [N] about the axis along the eye, in place."""
    cosine, sine = np.cos(angle), np.sin(angle)
    up, out = local[1], local[2]
    raised = cosine * up + sine * out
    local[2] = cosine * out - sine * up
    local[1] = raised


def finished(shut: Array) -> Array:
    """[2] share of what is left open to close for lids that something else has shut so far [2]: only the last."""
    return smoothstep((shut - _FINISHED) / (1 - _FINISHED))


def evened(followed: sparse.csr_matrix, lid: Lids) -> sparse.csr_matrix:
    """[R, N] how far vertices follow N points, evened out near the rims of a lid."""
    change = sparse.coo_matrix(lid.unevenness(followed[lid.near].toarray()))
    return followed + sparse.csr_matrix((change.data, (lid.near[change.row], change.col)), shape=followed.shape)
