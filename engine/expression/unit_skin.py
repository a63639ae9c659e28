"""All vertices of a head in one product a frame: what units, lips, jaw and eyes do to its skin, added up beforehand.

Whatever moves the skin is linear in a few numbers: the weights of the units, how far lips part, the motion of the jaw.
`engine.motion.retarget` follows the way from units over controllers to vertices in every frame, through large sparse
matrices; here that way is multiplied out once. The skin is cut into patches of neighbours, each with only the units
that move it, so that the product is a few dense ones that stay in the processor's caches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.rig.controllers import Role
from calib.rig.expression_basis import UnitFields, UnitSum
from calib.rig.face_rig import FaceRig
from engine.motion.closing import LipClosing
from engine.motion.retarget import JawMotion, Retargeter

_PATCH = 1024  # vertices: with fewer, calls cost more than the units they leave out
_SMALL = 5e-7  # of the head's size: what a unit moves less, stays; all 52 together then err by less than 1e-4
_EYES = (Role.UPPER_EYE, Role.LOWER_EYE, Role.EYE_CORNER, Role.IRIS)

Array = NDArray[np.float32]


class Units(Protocol):
    """`calib.rig.expression_basis.ExpressionUnits`, or `calib.rigging.morphs.MorphUnits`."""

    @property
    def complete(self) -> bool: ...
    def fields(self) -> UnitFields: ...

    def summed(self, weights: NDArray[np.float64]) -> UnitSum: ...


@dataclass(frozen=True, eq=False)
class _Patch:
    """A run of moving vertices, the features that move them [F], and how: [F, 3 · vertices]."""

    where: slice
    features: NDArray[np.intp]
    field: Array


class UnitSkin:
    """The skin of one avatar. Owned by one thread.

    What it returns differs from what `Retargeter.vertices` makes of the same units by less than 1e-4 of the head.

    Args:
        lips: whose corrections the skin follows.
        retargeter: of the same rig, for all that is not skin.
    """

    def __init__(self, rig: FaceRig, units: Units, lips: LipClosing, retargeter: Retargeter) -> None:
        self._summed, self._lips, self._retargeter = units.summed, lips, retargeter
        self._complete = units.complete  # their lids need no evening out, their teeth no placing
        self._jaw = rig.controllers.of(Role.JAW)
        self._eyes = np.flatnonzero(np.isin(rig.controllers.role, _EYES))
        self._unparted = np.zeros(lips.spread.shape[1])
        fields = units.fields()
        self._controllers = _by_feature(fields.features[1]).reshape(-1, 3 * len(rig.controllers.rest))
        self._controllers_of_lids = fields.lids[1]
        self._arrange(rig, *self._multiplied_out(rig, fields))

    def _multiplied_out(self, rig: FaceRig, fields: UnitFields) -> tuple[Array, sparse.csr_matrix]:
        """[R, 3F] how the skin moves by all features, in the order of `_features`, and [R, N] how it follows points of
        lids. Controllers of the jaw do not go along with units but with the jaw: what they would do is taken away."""
        corrections, up = rig.basis.corrections.tocsc(), self._lips.up.astype(np.float32)
        jaw, moving = corrections[:, self._jaw], np.flatnonzero(self._lips.spread.any(axis=1))
        parted = corrections[:, moving] @ self._lips.spread[moving].astype(np.float32)
        turned = jaw @ np.hstack([rig.controllers.rest[self._jaw], np.ones((len(self._jaw), 1))]).astype(np.float32)
        eyes = corrections[:, self._eyes].toarray()
        axes = np.eye(3, dtype=np.float32)
        skin = np.hstack(
            [
                fields.features[0] - jaw @ fields.features[1][self._jaw],
                (parted[:, :, None] * up).reshape(len(parted), -1),
                *((each[:, :, None, None] * axes).reshape(len(each), -1) for each in (turned, eyes)),
            ]
        )
        lids = (fields.lids[0] - jaw @ fields.lids[1][self._jaw]).toarray()
        if not self._complete:
            self._retargeter.even(skin)
            self._retargeter.even(lids)
        return skin, sparse.csr_matrix(lids)

    def _arrange(self, rig: FaceRig, skin: Array, lids: sparse.csr_matrix) -> None:
        """Cut what moves into patches, those first that follow points of lids. The first feature is 1: the rest."""
        count = len(rig.rest)
        fields = skin.reshape(count, -1, 3)
        moves = np.abs(fields).max(axis=2) > _SMALL * float(np.ptp(rig.rest, axis=0).max())
        placed = self._retargeter.placed
        moves[np.setdiff1d(placed, rig.jaw.vertices) if self._complete else placed] = False
        near_lids = (np.diff(lids.indptr) > 0) & moves.any(axis=1)
        elsewhere = moves.any(axis=1) & ~near_lids
        patches = [*_patches(np.flatnonzero(near_lids), rig.rest), *_patches(np.flatnonzero(elsewhere), rig.rest)]
        self._patches, start = [], 0
        for rows in patches:
            features = np.flatnonzero(moves[rows].any(axis=0))
            field = np.concatenate([rig.rest[rows].reshape(1, -1), _by_feature(skin[rows])[features]])
            where = slice(3 * start, 3 * (start + len(rows)))
            self._patches.append(_Patch(where, np.concatenate([[0], features + 1]), field))
            start += len(rows)
        order = np.concatenate([np.zeros(0, np.intp), *patches])
        still = np.setdiff1d(np.arange(count), order)
        self._near_lids = slice(int(near_lids.sum()))
        self._lids = lids[order[self._near_lids]]
        self._moved = np.concatenate([rig.rest[order], rig.rest[still]])
        self._place = np.empty(count, np.intp)
        self._place[np.concatenate([order, still])] = np.arange(count)

    def vertices(
        self, weights: NDArray[np.float64], gaze: NDArray[np.float64], lids: NDArray[np.float64] | None
    ) -> NDArray[np.float32]:
        """[R, 3] avatar units, for weights [52]; gaze and lids as `Retargeter.vertices` takes them."""
        units = self._summed(weights)
        of_units = (units.features @ self._controllers).reshape(-1, 3)
        if units.lids is not None:
            of_units += self._controllers_of_lids @ units.lids
        moved = of_units.astype(np.float64)
        change = self._lips.apply(moved)
        jaw = self._retargeter.jaw_and_eyes(moved, gaze)
        features = self._features(units, change, jaw, moved[self._eyes] - of_units[self._eyes])
        flat = self._moved.reshape(-1)
        for patch in self._patches:
            np.dot(features[patch.features], patch.field, out=flat[patch.where])
        if units.lids is not None:
            self._moved[self._near_lids] += self._lids @ units.lids
        vertices = self._moved.take(self._place, axis=0)
        self._retargeter.finish(vertices, jaw, gaze, lids, evened=True, teeth_placed=self._complete)
        return vertices

    def _features(
        self, units: UnitSum, change: NDArray[np.float64] | None, jaw: JawMotion, eyes: NDArray[np.floating]
    ) -> Array:
        """All features: 1, those of the units, how lips part more than these say, the jaw's turn and shift less the
        identity, and where the controllers of eyes go that are in one piece with the skin."""
        parted = self._unparted if change is None else change
        turn = (jaw.rotation.T - np.eye(3)).ravel()
        return np.concatenate([[1.0], units.features, parted, turn, jaw.shift, eyes.ravel()], dtype=np.float32)


def _by_feature(field: Array) -> Array:
    """[N, 3F] → [F, 3N]"""
    count = len(field)
    return np.ascontiguousarray(field.reshape(count, -1, 3).transpose(1, 0, 2)).reshape(-1, 3 * count)


def _patches(rows: NDArray[np.intp], points: NDArray[np.float32]) -> Iterator[NDArray[np.intp]]:
    """Neighbours among the `rows` of points [R, 3], at most `_PATCH` each: halved along their longest side."""
    if len(rows) <= _PATCH:
        if len(rows):
            yield rows
        return
    own = points[rows]
    sorted_ = rows[np.argsort(own[:, np.ptp(own, axis=0).argmax()], kind="stable")]
    half = len(rows) // 2
    yield from _patches(sorted_[:half], points)
    yield from _patches(sorted_[half:], points)
