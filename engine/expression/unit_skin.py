"""All vertices of a head in one product a frame: what units, lips, jaw and eyes do to its skin, added up beforehand.

Whatever moves the skin is linear in a few numbers: the weights of the units, how far lips part, the motion of the jaw.
`engine.motion.retarget` follows the way from units over controllers to vertices in every frame, through large sparse
matrices; here that way is multiplied out once. The skin is cut into patches of neighbours, each with only the units
that move it, so that the product is a few dense ones that stay in the processor's caches.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.rig.controllers import Role
from calib.rig.expression_basis import UnitFields, UnitSum
from calib.rig.face_rig import FaceRig, JawRig
from core.expression_units import UNIT_NAMES
from engine.motion.closing import LipClosing
from engine.motion.contact import smoothstep
from engine.motion.lids import evened
from engine.motion.motion_kernels import MOST_FEATURES, FieldSum, compiled_kernels
from engine.motion.retarget import JawMotion, Retargeter

_PATCH = 1024  # vertices: with fewer, calls cost more than the units they leave out
_SMALL_PATCH = 128  # where compiled kernels sum them, whose calls cost little
_SMALL = 5e-7  # of the head's size: what a unit moves less, stays; all 52 together then err by less than 1e-4
_TONGUE_OUT = UNIT_NAMES.index("tongueOut")
_TONGUE_HEIGHT = 0.16  # of the mouth's width: lips so far apart let all of the tongue out, shut ones none
_EYES = (Role.UPPER_EYE, Role.LOWER_EYE, Role.EYE_CORNER, Role.IRIS)

Array = NDArray[np.float32]


class Units(Protocol):
    """`calib.rig.expression_basis.ExpressionUnits`, or `calib.rigging.morphs.MorphUnits`."""

    @property
    def complete(self) -> bool: ...
    def fields(self) -> UnitFields: ...

    def tongue(self, jaw: JawRig) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...

    def summed(self, weights: NDArray[np.float64]) -> UnitSum: ...


@dataclass(frozen=True, eq=False)
class Told:
    """What units and gaze come to.

    Attributes:
        features: [F] float32: 1, the units [U], how the template's lips part [P] and the avatar's part more than that
            [24], the jaw's turn less the identity [9] and its shift [3], and where controllers of eyes go that are in
            one piece with the skin [3E].
        jaw: of teeth and tongue.
        lids: [N, 3] float32 displacement of points of lids; None where none would cross.
        tongue: [3, 3] float32 from a tongue's whole way out to how far it goes, in the head's frame; None where it
            stays in.
        overlaps: see `UnitSum`.
    """

    features: Array
    jaw: JawMotion
    lids: Array | None
    tongue: Array | None
    overlaps: Array


@dataclass(frozen=True, eq=False)
class _Patch:
    """A run of moving vertices, the features that move them [F], and how: [F, 3 · vertices]."""

    where: slice
    features: NDArray[np.intp]
    field: Array


class UnitSkin:
    """The skin of one avatar. Any thread may ask for vertices.

    What it returns differs from what `Retargeter.vertices` makes of the same units by less than 1e-4 of the head.

    Args:
        lips: whose corrections the skin follows.
        retargeter: of the same rig, for all that is not skin.

    Attributes:
        complete: its units shut eyes and move teeth themselves: lids need no evening out, teeth no placing.
        lid_points, to_avatar: see `UnitFields`.
        counts: of the features, in the order of `Told`, without the first: of units, lips, avatar's lips, jaw and eyes.
    """

    def __init__(self, rig: FaceRig, units: Units, lips: LipClosing, retargeter: Retargeter) -> None:
        self._summed, self._lips, self._retargeter = units.summed, lips, retargeter
        self._lock = threading.Lock()  # of what is reused from frame to frame
        self.complete = units.complete
        self._evening = () if units.complete else tuple(retargeter.lids)
        self._jaw = rig.controllers.of(Role.JAW)
        self._eyes = np.flatnonzero(np.isin(rig.controllers.role, _EYES))
        self._unparted = np.zeros(lips.spread.shape[1])
        tongue, out = units.tongue(rig.jaw)
        self.tongue = tongue, out.astype(np.float32)  # vertices [n], their whole way out [n, 3]
        self._tongue_height = _TONGUE_HEIGHT * rig.mouth.width
        fields = units.fields()
        self._parting, self.lid_points, self.to_avatar = fields.parting, fields.lid_points, fields.to_avatar
        skin_units, lips_parted = fields.units[0].shape[1] // 3, fields.lips[0].shape[1]
        self.counts = (skin_units, lips_parted, len(self._unparted), 12, 3 * len(self._eyes))
        self._controllers = _by_feature(fields.units[1].reshape(len(rig.controllers.rest), -1, 3))
        self._controllers_of_lips, self._controllers_of_lids = fields.lips[1], fields.lids[1]
        skin, lids = self._multiplied_out(rig, fields)
        self._arrange(rig, skin, *self._led(rig, fields), lids)

    def _multiplied_out(self, rig: FaceRig, fields: UnitFields) -> tuple[Array, sparse.csr_matrix]:
        """[R, 3U] how the skin moves by the units, and [R, N] how it follows points of lids. Controllers of the jaw do
        not go along with units but with the jaw: what they would do is taken away."""
        skin, lids = fields.units[0], fields.lids[0]
        jaw = rig.basis.corrections.tocsc()[:, self._jaw]
        if jaw.nnz:
            skin = skin - jaw @ fields.units[1][self._jaw]
            lids = lids - jaw @ fields.lids[1][self._jaw]
        for lid in self._evening:
            skin[lid.near] += lid.unevenness(skin[lid.near])
            lids = evened(lids, lid)
        return skin, lids

    def _led(self, rig: FaceRig, fields: UnitFields) -> tuple[sparse.csr_matrix, NDArray[np.intp], Array]:
        """[R, G] how far the skin goes along with all but units; and for each other feature, in the order of
        `_features`, which of those columns it moves [E], and where to [E, 3]."""
        corrections, lips = rig.basis.corrections.tocsc(), np.flatnonzero(self._lips.spread.any(axis=1))
        jaw = corrections[:, self._jaw]
        rest = np.hstack([rig.controllers.rest[self._jaw], np.ones((len(self._jaw), 1))])
        follows = [
            fields.lips[0] - jaw @ fields.lips[1][self._jaw],
            corrections[:, lips] @ sparse.csr_matrix(self._lips.spread[lips]),
            jaw @ sparse.csr_matrix(rest),
            corrections[:, self._eyes],
        ]
        led = sparse.hstack(follows, format="csr", dtype=np.float32)
        for lid in self._evening:
            led = evened(led, lid)
        one_way = follows[0].shape[1] + follows[1].shape[1]  # the others go along all three axes
        ways = np.repeat([fields.parting, self._lips.up], [each.shape[1] for each in follows[:2]], axis=0)
        axes = np.tile(np.eye(3), (led.shape[1] - one_way, 1))
        columns = np.concatenate([np.arange(one_way), np.repeat(np.arange(one_way, led.shape[1]), 3)])
        return led, columns, np.concatenate([ways, axes]).astype(np.float32)

    def _arrange(
        self,
        rig: FaceRig,
        skin: Array,
        led: sparse.csr_matrix,
        columns: NDArray[np.intp],
        ways: Array,
        lids: sparse.csr_matrix,
    ) -> None:
        """Cut what moves into patches, those first that follow points of lids. The first feature is 1: the rest."""
        count, small = len(rig.rest), _SMALL * float(np.ptp(rig.rest, axis=0).max())
        along = (skin > small) | (skin < -small)
        moves = along[:, 0::3] | along[:, 1::3] | along[:, 2::3]
        placed = self._retargeter.placed
        placed = np.setdiff1d(placed, rig.jaw.vertices) if self.complete else placed
        moves[placed] = False
        moving = moves.any(axis=1) | (np.diff(led.indptr) > 0)
        moving[placed] = False
        near_lids, elsewhere = moving & (np.diff(lids.indptr) > 0), moving & (np.diff(lids.indptr) == 0)
        kernels = compiled_kernels()
        most = _PATCH if kernels is None else _SMALL_PATCH
        patches = [part for where in (near_lids, elsewhere) for part in _patches(np.flatnonzero(where), rig.rest, most)]
        self._patches, start = [], 0
        for rows in patches:
            units, own = np.flatnonzero(moves[rows].any(axis=0)), led[rows].toarray()
            others = np.flatnonzero((np.abs(own) > small).any(axis=0)[columns])
            field = [
                rig.rest[rows].reshape(1, -1),
                _by_feature(skin.reshape(count, -1, 3)[rows[:, None], units]),
                (own.T[columns[others], :, None] * ways[others, None]).reshape(len(others), 3 * len(rows)),
            ]
            where = slice(3 * start, 3 * (start + len(rows)))
            features = np.concatenate([[0], 1 + units, 1 + moves.shape[1] + others])
            self._patches.append(_Patch(where, features, np.concatenate(field)))
            start += len(rows)
        order = np.concatenate([np.zeros(0, np.intp), *patches])
        still = np.setdiff1d(np.arange(count), order)
        self._near_lids = slice(int(near_lids.sum()))
        self._lids = lids[order[self._near_lids]]
        self._moved = np.concatenate([rig.rest[order], rig.rest[still]])
        self._sum: FieldSum | None = None
        if kernels is not None and max((len(each.features) for each in self._patches), default=0) <= MOST_FEATURES:
            parts = [(each.where, each.features, each.field) for each in self._patches]
            self._sum = FieldSum(kernels, parts, self._moved.reshape(-1))
            self._patches = []
        self._place = np.empty(count, np.intp)
        self._place[np.concatenate([order, still])] = np.arange(count)

    def vertices(
        self, weights: NDArray[np.float64], gaze: NDArray[np.float64], lids: NDArray[np.float64] | None
    ) -> NDArray[np.float32]:
        """[R, 3] avatar units, for weights [52]; gaze and lids as `Retargeter.vertices` takes them."""
        told = self.told(weights, gaze)
        with self._lock:
            if self._sum is not None:
                self._sum(told.features)
            else:
                flat = self._moved.reshape(-1)
                for patch in self._patches:
                    np.dot(told.features[patch.features], patch.field, out=flat[patch.where])
            if told.lids is not None:
                self._moved[self._near_lids] += self._lids @ told.lids
            vertices = self._moved.take(self._place, axis=0)
        done = self.complete
        self._retargeter.finish(vertices, told.jaw, gaze, lids, evened=True, teeth_placed=done, lids_follow=True)
        if told.tongue is not None:
            tongue, out = self.tongue
            vertices[tongue] += out @ told.tongue
        return vertices

    def told(self, weights: NDArray[np.float64], gaze: NDArray[np.float64]) -> "Told":
        """What weights [52] and gaze [2, 2] come to, before any vertex is moved."""
        units = self._summed(weights)
        of_units = self._moved_controllers(units)
        moved = of_units.astype(np.float64)
        change = self._lips.apply(moved)
        jaw = self._retargeter.jaw_and_eyes(moved, gaze)
        features = self._features(units, change, jaw, moved[self._eyes] - of_units[self._eyes])
        out = float(weights[_TONGUE_OUT]) if len(self.tongue[0]) else 0.0
        tongue = (out * self._lets_out(moved) * jaw.rotation.T).astype(np.float32) if out > 0 else None
        return Told(features, jaw, units.lids, tongue, units.overlaps)

    def follows(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        """How vertices go along with the features, entry by entry: which vertex [n], which feature [n], how far [n, 3].
        The first feature, which is the rest, is left out; so are points of lids."""
        order = np.argsort(self._place)
        rows, numbers, amounts = [], [], []
        patches = ((each.where, each.features[1:], each.field[1:]) for each in self._patches)
        for where, features, field in patches if self._sum is None else self._sum.fields():
            own = order[where.start // 3 : where.stop // 3]
            rows.append(np.tile(own, len(features)))
            numbers.append(np.repeat(features, len(own)))
            amounts.append(field.reshape(-1, 3))
        return np.concatenate(rows), np.concatenate(numbers), np.concatenate(amounts)

    def follows_lids(self) -> tuple[NDArray[np.intp], sparse.csr_matrix]:
        """[n] vertices near the lids, and [n, N] how far they go along with the points of lids (`Told.lids`)."""
        return np.argsort(self._place)[self._near_lids], self._lids

    def _lets_out(self, moved: NDArray[np.float64]) -> float:
        """Share of a tongue's way that lips whose controllers are displaced by `moved` leave free."""
        opening = self._lips.opening(moved)
        middle = opening[len(opening) // 3 : -len(opening) // 3]
        return float(smoothstep(middle.mean() / self._tongue_height))

    def _moved_controllers(self, units: UnitSum) -> Array:
        """[K, 3] where units take the controllers."""
        moved = (units.units @ self._controllers).reshape(-1, 3)
        if units.lips.any():
            moved += (self._controllers_of_lips @ units.lips)[:, None] * self._parting
        if units.lids is not None:
            moved += self._controllers_of_lids @ units.lids
        return moved

    def _features(
        self, units: UnitSum, change: NDArray[np.float64] | None, jaw: JawMotion, eyes: NDArray[np.floating]
    ) -> Array:
        """See `Told`."""
        parted = self._unparted if change is None else change
        turn = (jaw.rotation.T - np.eye(3)).ravel()
        return np.concatenate([[1.0], units.units, units.lips, parted, turn, jaw.shift, eyes.ravel()], dtype=np.float32)


def _by_feature(field: Array) -> Array:
    """[N, F, 3] → [F, 3N]"""
    return np.ascontiguousarray(field.transpose(1, 0, 2)).reshape(field.shape[1], 3 * len(field))


def _patches(rows: NDArray[np.intp], points: NDArray[np.float32], most: int) -> Iterator[NDArray[np.intp]]:
    """Neighbours among the `rows` of points [R, 3], at most so many each: halved along their longest side."""
    if len(rows) <= most:
        if len(rows):
            yield rows
        return
    own = points[rows]
    sorted_ = rows[np.argsort(own[:, np.ptp(own, axis=0).argmax()], kind="stable")]
    half = len(rows) // 2
    yield from _patches(sorted_[:half], points, most)
    yield from _patches(sorted_[half:], points, most)
