"""A pose as a few hundred numbers instead of its vertices, for who works these out elsewhere: on a graphics card.

The same way from weights to a head as `engine.expression.unit_skin`, `engine.motion.retarget`, `engine.motion.lids` and
`engine.motion.neck_bend` go together, described once (`render.skin.moving_skin`), and afterwards only the numbers that
change. Of vertices, those on the rims of lids are worked out here, for lids close by where their rims are.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.rig.face_rig import FaceRig
from engine.expression.unit_skin import UnitSkin
from engine.motion.neck_bend import NeckBend
from engine.motion.retarget import Retargeter
from render.skin.moving_skin import (
    BALL,
    COVER,
    GAZE,
    LASH,
    NECK_CARRIED,
    NECK_START,
    NECK_TURN,
    OWN_NUMBERS,
    RIM_COLUMNS,
    SKIN,
    Entries,
    Follows,
    LidMargins,
    MovingEye,
    MovingSkin,
    SkinPose,
)

_OVERLAPS = 28  # columns of both eyes in which margins may cross
_PER_EYE = 3 * RIM_COLUMNS  # turns of two rims, growth of one


class SkinNumbers:
    """Poses of one avatar that is moved by units. Owned by one thread. Making one takes some tenths of a second.

    Args:
        skin, retargeter, neck: of the same rig.

    Raises ValueError where this head's eyes and neck are not apart, so that the description does not hold.
    """

    def __init__(self, rig: FaceRig, skin: UnitSkin, retargeter: Retargeter, neck: NeckBend) -> None:
        self._told, self._complete = skin.told, skin.complete
        self._lids, self._eyeballs, self._neck = retargeter.lids, retargeter.eyeballs, neck
        units, lips, parted, jaw, eyes = skin.counts
        self._yielding = OWN_NUMBERS + units + jaw + eyes  # the first number of how teeth give way
        exact = self._yielding + 3
        self._tongue = exact + lips + parted
        self._of_lids = self._tongue + 9
        after_units = OWN_NUMBERS + units
        parts = ((OWN_NUMBERS, units), (exact, lips), (exact + lips, parted), (after_units, jaw + eyes))
        self._slots = np.concatenate([np.arange(first, first + count) for first, count in parts])
        self._overlaps = slice(self._of_lids + 2 * _PER_EYE, self._of_lids + 2 * _PER_EYE + _OVERLAPS)
        count = self._overlaps.stop
        kind, eye = _kinds(rig, retargeter)
        follows = self._follows(rig, skin, after_units)
        near_lids, with_points = skin.follows_lids()
        entries = sparse.coo_matrix(with_points)
        of_margins: Entries = (near_lids[entries.row], entries.col, entries.data[:, None])
        follows_margins = Follows.of([of_margins], len(rig.rest))
        self._skin = MovingSkin(
            rest=rig.rest.astype(np.float32),
            count=count,
            exact=exact,
            follows=follows,
            margins=self._margins(skin),
            follows_margins=follows_margins,
            overlaps=self._overlaps,
            lids=self._following(len(rig.rest)),
            kind=kind,
            eye=eye,
            eyes=(self._moving_eye(0), self._moving_eye(1)),
            neck_base=rig.neck.base.astype(np.float32),
            neck_share=rig.neck.share.astype(np.float32),
        )
        self._rims = np.unique(np.concatenate([lids.rim_vertices for lids in self._lids]))
        self._rim_moves = follows.matrix(self._rims, count)
        self._rim_points = follows_margins.matrix(self._rims, with_points.shape[1])
        self._points = self._skin.rest.copy()

    def _moving_eye(self, number: int) -> MovingEye:
        return self._lids[number].moving_eye(self._eyeballs[number].profile)

    def _follows(self, rig: FaceRig, skin: UnitSkin, jaw: int) -> Follows:
        """What is linear in the numbers; those of the jaw's turn begin at `jaw`."""
        rows, features, amounts = skin.follows()
        found: list[Entries] = [(rows, self._slots[features - 1], amounts)]
        if not self._complete:  # teeth and tongue go with the jaw in one piece, upper teeth give way to lips
            lower, upper = rig.jaw.vertices, rig.jaw.upper
            lever = np.column_stack([rig.rest[lower], np.ones(len(lower))])
            for column, (from_axis, along) in enumerate(np.ndindex(4, 3)):
                found.append((lower, np.full(len(lower), jaw + column), lever[:, from_axis, None] * np.eye(3)[along]))
            for axis in range(3):
                there = np.full(len(upper), self._yielding + axis)
                found.append((upper, there, np.tile(np.eye(3)[axis], (len(upper), 1))))
        tongue, out = skin.tongue
        for number, (from_axis, along) in enumerate(np.ndindex(3, 3)):
            there = np.full(len(tongue), self._tongue + number)
            found.append((tongue, there, out[:, from_axis, None] * np.eye(3)[along]))
        return Follows.of(found, len(rig.rest))

    def _margins(self, skin: UnitSkin) -> LidMargins | None:
        points = skin.lid_points
        if points is None:
            return None
        units, count, _ = points.units.shape
        unit, point = (each.ravel() for each in np.indices((units, count)))
        moved: Entries = (point, OWN_NUMBERS + unit, points.units.reshape(-1, 3))
        return LidMargins(
            points.base.astype(np.float32),
            Follows.of([moved], count),
            points.centre.astype(np.float32),
            (self._overlaps.start + points.column).astype(np.int32),
            points.share.astype(np.float32),
            skin.to_avatar,
        )

    def _following(self, count: int) -> Follows:
        """How lids follow the turns of their rims, and the growth."""
        found: list[Entries] = []
        for number, lids in enumerate(self._lids):
            vertices, turning, growing = lids.following()
            first = self._of_lids + number * _PER_EYE
            for matrix, at, way in ((turning, first, [1.0, 0.0]), (growing, first + 2 * RIM_COLUMNS, [0.0, 1.0])):
                each = sparse.coo_matrix(matrix)
                found.append((vertices[each.row], at + each.col, each.data[:, None] * way))
        return Follows.of(found, count)

    def pose(
        self,
        weights: NDArray[np.float64],
        gaze: NDArray[np.float64],
        lids: NDArray[np.float64] | None,
        T_world_head: NDArray[np.float64],
    ) -> SkinPose:
        """What `UnitSkin.vertices` and the neck make of the same."""
        told = self._told(weights, gaze)
        numbers = np.zeros(self._skin.count, dtype=np.float32)
        numbers[NECK_TURN], numbers[NECK_CARRIED], numbers[NECK_START] = self._neck.motion(T_world_head)
        turned = [ball.turned(angles) for ball, angles in zip(self._eyeballs, gaze, strict=True)]
        numbers[GAZE] = np.concatenate(turned)
        numbers[self._slots] = told.features[1:]
        numbers[self._yielding : self._yielding + 3] = told.jaw.yielding
        if told.tongue is not None:
            numbers[self._tongue : self._tongue + 9] = told.tongue.ravel()
        if lids is not None:
            self._close(numbers, told.lids, lids)
        numbers[self._overlaps] = told.overlaps
        return SkinPose(self._skin, numbers)

    def _close(
        self, numbers: NDArray[np.float32], points: NDArray[np.float32] | None, lids: NDArray[np.float64]
    ) -> None:
        """Fill in the numbers of lids that close as `lids` [2, 2] says, given all others."""
        moved = (self._rim_moves @ numbers).reshape(-1, 3)
        if points is not None:
            moved += self._rim_points @ points
        self._points[self._rims] = self._skin.rest[self._rims] + moved
        for number, (lid, (closing, raised)) in enumerate(zip(self._lids, lids.tolist(), strict=True)):
            first = self._of_lids + number * _PER_EYE
            steps, growth = lid.motion(self._points, closing, raised)
            numbers[first : first + _PER_EYE] = np.concatenate([steps.ravel(), growth])


def _kinds(rig: FaceRig, retargeter: Retargeter) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Kind and eye of each vertex. Raises ValueError where one has two."""
    kind, eye = np.full(len(rig.rest), SKIN, np.int32), np.zeros(len(rig.rest), np.int32)
    of_eye = np.full(len(rig.rest), -1)
    for number, (own, lids) in enumerate(zip(rig.eyes, rig.lids, strict=True)):
        for vertices, what in ((lids.vertices, SKIN), (own.cover, COVER), (own.ball, BALL), (lids.lashes, LASH)):
            if (of_eye[vertices] == 1 - number).any() or (what != SKIN and (kind[vertices] != SKIN).any()):
                raise ValueError("parts of the eyes reach into each other")
            of_eye[vertices] = eye[vertices] = number
            if what != SKIN:
                kind[vertices] = what
    heads = np.concatenate([*(lids.rim_vertices for lids in retargeter.lids), *(lids.lashes for lids in rig.lids)])
    if (rig.neck.share[heads] < 1).any():
        raise ValueError("the neck reaches into the eyes")
    return kind, eye
