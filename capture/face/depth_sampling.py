"""Reading a depth camera at the landmarks of a face, without falling off its edges or into its mouth.

Every reading is held against the depth the posed canonical face predicts there: what differs by more than skin can is
background, a flying pixel at a silhouette, or the mouth's inside. Landmarks on an edge (inner lips, outline, nostrils)
are read a little to the side, where flesh is sure to be, and carried over by the predicted difference. What is left
are corrections of the prediction; smoothed over neighbours on the face they also fill the landmarks without reading.
"""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.face.lifting_kernels import DepthCorrector, compiled_kernels
from core.canonical_face import CanonicalFace
from core.face_regions import (
    ALL_LANDMARKS,
    FACE_LANDMARKS,
    FACE_OVAL,
    IRISES,
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LIDS,
    UPPER_LIP,
)
from core.rigid_motion import solve_normal

_WINDOW_M = 0.0025  # half the side of the patch read at each landmark
_LARGEST_RADIUS_PX = 4
_RATIO_GATE = 0.08  # first look: readings within this share of the middle one
_TILT_SCALES_M = (np.inf, 0.040, 0.020, 0.012, 0.008)  # residuals of this size count half, from round to round
_LEAST_TILT_READINGS = 40
_TILT_PRIOR, _FACE_SPREAD_M = 0.02, 0.05  # holds what a badly seen face leaves open
_COARSE_GATE_M = 0.015
_FINE_GATE_M = 0.007
_LEAST_SHARE = 0.25  # of a patch that has to pass the gate for a reading to count
_NEAR_M, _FAR_M, _FAR_WEIGHT = 0.007, 0.025, 0.02  # reach of a correction over the face, and of the fallback
_OUTLINE_INWARD, _LIP_INWARD = 0.6, 0.4
_SURE = np.array([168, 6, 197, 195, 5, 4, 50, 280, 101, 330, 118, 347, 9, 151, 108, 337, 205, 425])
_AGREES_M = 0.02  # a reading this near to where the landmark was put has been used for it
_LEAST_AGREEING = 0.3


@dataclass(frozen=True, eq=False)
class DepthReading:
    """
    Attributes:
        depth: [478] float64 metres, corrected by the sensor where it could be read and consistently filled elsewhere.
        trust: [478] float64, 0 where a landmark had no reading of its own, 1 where its whole patch agreed.
    """

    depth: NDArray[np.float64]
    trust: NDArray[np.float64]


class DepthSampler:
    """Reads depth pictures at landmarks; everything that depends on the face only is worked out here once."""

    def __init__(self, face: CanonicalFace) -> None:
        self._stable = np.flatnonzero(face.stable_weights >= 0.6)
        partner, inward = _sure_skin(face)
        self._moved = np.flatnonzero(inward)  # landmarks that are read to the side, towards a partner
        self._partner, self._inward = partner[self._moved], inward[self._moved]
        self._reach = _reach(face.points).astype(np.float32)
        self._readable = np.ones(ALL_LANDMARKS, dtype=bool)
        # Eyeballs are wet mirrors to a depth camera, and the lids' margins are thinner than its pixels.
        self._readable[[i for chain in (*IRISES, *UPPER_LIDS, *LOWER_LIDS) for i in chain]] = False
        kernels = compiled_kernels()
        self._compiled = None if kernels is None else self._corrector(kernels)

    def _corrector(self, library: ctypes.CDLL) -> DepthCorrector:
        return DepthCorrector(
            library,
            gates_m=(_COARSE_GATE_M, _FINE_GATE_M),
            least_share=_LEAST_SHARE,
            tilt=(_TILT_SCALES_M, _LEAST_TILT_READINGS, _TILT_PRIOR, _FACE_SPREAD_M),
            moved=(self._moved, self._partner, self._inward),
            stable=self._stable,
            readable=self._readable,
            reach=self._reach,
        )

    def distance_ratio(
        self, depth_m: NDArray[np.float32], px: NDArray[np.float64], predicted: NDArray[np.float64]
    ) -> float | None:
        """How much further away the face is than `predicted` [478] (of an average-sized face) says; None if unseen.

        The middle of the ratios at stable landmarks, then of those near it, so that strands of hair, hands and holes
        do not count.
        """
        patches = _patches(depth_m, px[self._stable], 1)
        ratios = np.sort((patches / predicted[self._stable, None]).ravel())
        seen = ratios[ratios.searchsorted(0.0, side="right") :]
        if seen.size < 0.15 * ratios.size:
            return None
        middle = _median(seen)
        first = seen.searchsorted((1 - _RATIO_GATE) * middle, side="right")
        return _median(seen[first : seen.searchsorted((1 + _RATIO_GATE) * middle)])

    def correct(
        self, depth_m: NDArray[np.float32], px: NDArray[np.float64], predicted: NDArray[np.float64], focal: float
    ) -> DepthReading:
        """Correct `predicted` [478], metres, by `depth_m` [H, W] read around `px` [478, 2].

        `focal` is the focal length in pixels. Two passes: the first finds how the person's face differs from the
        average one at large, the second reads closely around that.
        """
        distance = _median(np.sort(predicted))
        radius = min(max(round(_WINDOW_M * focal / distance), 1), _LARGEST_RADIUS_PX)
        if self._compiled is not None:
            return DepthReading(*self._compiled(depth_m, px, predicted, radius, distance / focal))
        at, carried = px.copy(), predicted.copy()
        moved, partner, inward = self._moved, self._partner, self._inward
        at[moved] += inward[:, None] * (px[partner] - px[moved])
        carried[moved] += inward * (predicted[partner] - predicted[moved])
        readings = _Readings(_patches(depth_m, at, radius))
        across = (at - at[self._stable].mean(axis=0)) * (distance / focal)
        tilted = self._tilt(readings, carried, _median(np.sort(carried)), across)
        first, trust = readings.gated(carried + tilted, _COARSE_GATE_M)
        coarse = tilted + self._spread(first, trust * self._readable)
        close, trust = readings.gated(carried + coarse, _FINE_GATE_M)
        trust = trust * self._readable
        return DepthReading(predicted + coarse + self._spread(close, trust), trust)

    def _tilt(
        self, readings: "_Readings", predicted: NDArray[np.float64], middle: float, across: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """[478] what an offset, a tilt and another depth of the whole face explain of the readings; `middle` is the
        median of what is `predicted`.

        A picture alone tells the pitch of a face no better than to 15 degrees: five centimetres between forehead and
        chin, more than any gate for single readings may let through. Robust least squares, `across` [478, 2] metres.
        """
        seen = np.flatnonzero(self._readable & readings.any)
        if len(seen) < _LEAST_TILT_READINGS:
            return np.zeros(len(predicted))
        relief = predicted - middle
        design = np.stack([np.ones(len(predicted)), across[:, 0], across[:, 1], relief])
        own = design[:, seen]
        off = readings.middle[seen] - predicted[seen]
        products = (own[:, None] * np.concatenate([own, off[None]])).reshape(-1, len(seen))  # [4 · 5, N]
        held = np.diag(_TILT_PRIOR * len(seen) * np.array([0.0, 1.0, 1.0, 1.0]) * _FACE_SPREAD_M**2)
        answer: NDArray[np.float64] = np.zeros(4)
        for scale in _TILT_SCALES_M:
            left = (off - answer @ own) / scale
            weight = 1.0 / (1.0 + left * left)
            normal = (products @ weight).reshape(4, 5)
            answer = solve_normal(normal[:, :4] + held, normal[:, 4])
        return np.asarray(answer @ design)

    def _spread(self, corrections: NDArray[np.float64], trust: NDArray[np.float64]) -> NDArray[np.float64]:
        """Corrections [478] smoothed over neighbours, and filled where there is none."""
        both = np.stack([trust, trust * corrections]).astype(np.float32)
        support, sums = (both @ self._reach).astype(np.float64)  # which is symmetric
        return np.asarray(sums / np.maximum(support, 1e-9))


class _Readings:
    """The readings of patches [N, P], sorted once: those within a gate are then a run of each row.

    Attributes:
        any: [N] whether a patch has a reading.
        middle: [N] median of each patch's readings; meaningless where it has none.
    """

    def __init__(self, patches: NDArray[np.float32]) -> None:
        self._sorted = np.ascontiguousarray(np.sort(patches, axis=1).T)  # [P, N]: counted along the first axis, fast
        self._flat = self._sorted.reshape(-1)
        self._size, self._count = self._sorted.shape
        self._number = np.arange(self._count)
        first = _counted(self._sorted <= 0)
        count = self._size - first
        self.any = count > 0
        self.middle = (self._at(first + np.maximum(count - 1, 0) // 2) + self._at(first + count // 2)) / 2

    def gated(self, predicted: NDArray[np.float64], gate_m: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Correction [N] of `predicted` [N] by the median of each patch's readings within `gate_m`, and trust in it
        [N]: the share of the patch that these are, 0 where they are too few."""
        first = _counted(self._sorted <= _single(np.maximum(predicted - gate_m, 0.0), -np.inf))
        count = _counted(self._sorted < _single(predicted + gate_m, np.inf)) - first
        share = count / self._size
        seen = share >= _LEAST_SHARE
        middle = self._at(first + np.maximum(count - 1, 0) // 2) - predicted
        return np.where(seen, middle, 0.0), np.where(seen, share, 0.0)

    def _at(self, place: NDArray[np.int64]) -> NDArray[np.float64]:
        """[N] the reading at this place [N] of each patch's order."""
        return np.asarray(self._flat.take(np.minimum(place, self._size - 1) * self._count + self._number), np.float64)


def _counted(which: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[N] how many of each column are set; patches are small enough for a byte."""
    return np.asarray(np.add.reduce(which.view(np.uint8), axis=0, dtype=np.uint8), np.int64)


def _single(limit: NDArray[np.float64], towards: float) -> NDArray[np.float32]:
    """The next float32 from `limit` on the way to `towards`, or that itself: readings compare with it as with that."""
    single = limit.astype(np.float32)
    beyond = single > limit if towards < 0 else single < limit
    return np.where(beyond, np.nextafter(single, np.float32(towards)), single)


def _median(ordered: NDArray[np.floating]) -> float:
    """Of values in order."""
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def _patches(depth_m: NDArray[np.float32], px: NDArray[np.float64], radius: int) -> NDArray[np.float32]:
    """[N, (2·radius + 1)²] readings around positions [N, 2]; 0 outside the picture."""
    height, width = depth_m.shape
    steps = np.arange(-radius, radius + 1)
    column, row = np.floor(px).astype(np.int64).T
    (left, top), (right, bottom) = (pick(px, axis=0) for pick in (np.min, np.max))
    if min(left, top) >= radius and right < width - radius and bottom < height - radius:  # wholly inside
        around = (steps[:, None] * width + steps).reshape(-1)
        return np.asarray(np.ascontiguousarray(depth_m).reshape(-1).take((row * width + column)[:, None] + around))
    columns, rows = column[:, None, None] + steps, row[:, None, None] + steps[:, None]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    values = depth_m[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return np.asarray(np.where(inside, values, 0.0).reshape(len(px), -1), dtype=np.float32)


def depth_measured(
    depth_m: NDArray[np.float32] | None, landmarks_px: NDArray[np.float32], landmarks_m: NDArray[np.float32]
) -> bool:
    """Whether landmarks [478, 2] and [478, 3] rest on a depth camera's readings [H, W]: most of a few on sure skin
    agree with theirs."""
    if depth_m is None:
        return False
    column, row = np.floor(landmarks_px[_SURE]).astype(int).T
    inside = (column >= 0) & (column < depth_m.shape[1]) & (row >= 0) & (row < depth_m.shape[0])
    read = depth_m[row[inside], column[inside]]
    agrees = np.abs(read - landmarks_m[_SURE[inside], 2]) < _AGREES_M
    return bool(agrees.sum() >= _LEAST_AGREEING * len(_SURE))


def _sure_skin(face: CanonicalFace) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each landmark a partner [478] and how far towards it to read, as a share of the way [478]."""
    partner, inward = np.arange(ALL_LANDMARKS), np.zeros(ALL_LANDMARKS)
    outline = np.array(FACE_OVAL)
    inside = np.setdiff1d(np.arange(FACE_LANDMARKS), outline)
    apart = np.linalg.norm(face.points[outline, None] - face.points[None, inside], axis=2)
    partner[outline], inward[outline] = inside[apart.argmin(axis=1)], _OUTLINE_INWARD
    within_lower = (chain[1:-1] for chain in LOWER_LIP)  # the corners are read with the upper lip
    for _, middle, *inner in (UPPER_LIP, within_lower):
        for chain in inner:
            partner[list(chain)], inward[list(chain)] = middle, _LIP_INWARD
    return partner, inward


def _reach(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[478, 478] how much each landmark's reading counts for each other's correction.

    Upper and lower lip share nothing but the far fallback: an open mouth parts them.
    """
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    near = np.exp(-0.5 * (apart / _NEAR_M) ** 2)
    upper, lower = ([i for chain in lip for i in chain[1:-1]] for lip in (UPPER_LIP, LOWER_LIP))
    near[np.ix_(upper, lower)] = near[np.ix_(lower, upper)] = 0.0
    return np.asarray(near + _FAR_WEIGHT * np.exp(-0.5 * (apart / _FAR_M) ** 2))
