"""From controllers to vertices: one sparse product, then what moves as one piece, then the skin over the eyes."""

import ctypes
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from calib.rig.controllers import Role
from calib.rig.face_rig import FaceRig
from core.face_regions import (
    CHIN,
    FACE_LANDMARKS,
    LOWER_LIDS,
    UPPER_LID_FOLDS,
    UPPER_LIDS,
    eye_corners,
    lower_lip_mask,
    mask,
    upper_lip_mask,
)
from engine.motion.controllers_followed import ControllersFollowed
from engine.motion.lids import Lids, evened
from engine.motion.motion_kernels import EyeballTurn, compiled_kernels

_MAX_JAW_RAD = 0.7
_STEEPEST = 0.97  # sine of how far below the hinge a chin turns: nearer to 1 the angle would jump with its height
_SHALLOW = 1.25  # of the eye's width: balls are no larger; irises of drawn faces slide on shallower whites
_FLAT_IRIS_REACH = 0.35  # of the eye's width: radius on which an iris that is painted on the surface moves
_LIP_THICKNESS = 0.07  # of the mouth's width: lips may be drawn back so far before teeth give way
_CLEARANCE = 0.012  # of the eyeball's radius: how far lids stay in front of it

UnitMotion = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Displacement of the vertices [R, 3] and of the controllers [K, 3] by expression units, avatar units."""


@dataclass(frozen=True, eq=False)
class JawMotion:
    """Rotation [3, 3] and shift [3] of the lower jaw, and how far [3] teeth give way to lips; avatar units."""

    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    yielding: NDArray[np.float64]


class Retargeter:
    """Deforms one avatar. Owned by one thread; `vertices` is the only thing done per frame.

    Attributes:
        placed: numbers of the vertices that `finish` puts where they belong, wherever they were before.
        lids, eyeballs: of both eyes.
    """

    def __init__(self, rig: FaceRig) -> None:
        self._rig = rig
        self._chin = np.array(CHIN)
        self._jaw = rig.controllers.of(Role.JAW)
        self._lips = np.flatnonzero(upper_lip_mask() | lower_lip_mask())
        self._eyes = [_EyeBetweenLids(rig, eye) for eye in range(2)]
        self.eyeballs = [Eyeball(rig, eye) for eye in range(2)]
        self.lids = [Lids(rig, eye) for eye in range(2)]
        self._rest_jaw = rig.rest[rig.jaw.vertices]
        placed = [rig.jaw.vertices, *(eye.ball for eye in rig.eyes), *(lids.lashes for lids in rig.lids)]
        self.placed = np.unique(np.concatenate(placed))

    # What follows is for whole controllers only; `engine.expression.unit_skin` needs none of it.

    @cached_property
    def _follow(self) -> ControllersFollowed:
        return ControllersFollowed(self._rig.weights)

    @cached_property
    def _follow_evened(self) -> ControllersFollowed:
        """What is near the rims of lids evened out once, and not in every frame."""
        shares = self._rig.weights.tocsr()
        for lid in self.lids:
            shares = evened(shares, lid)
        return ControllersFollowed(shares)

    @cached_property
    def _corrected(self) -> NDArray[np.int64]:
        return np.flatnonzero(_correctable(self._rig))

    @cached_property
    def _follow_corrections(self) -> ControllersFollowed:
        return ControllersFollowed(self._rig.basis.corrections.tocsc()[:, self._corrected])

    def vertices(
        self,
        moved: NDArray[np.float64],
        gaze: NDArray[np.float64],
        units: UnitMotion | None = None,
        lids: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float32]:
        """Deform the head.

        Args:
            moved: [K, 3] displacement of the controllers; those of landmarks and lids are taken as they are, the
                others are worked out here and written into it.
            gaze: [2, 2] yaw and pitch of each eye in radians.
            units: see `calib.rig.expression_basis`; controllers of lips, lids, jaw and eyes then carry what `moved`
                differs from that, the others nothing. The tongue stays in.
            lids: [2, 2] for each eye how far it is closed, of what `moved` leaves open, and how far the lower lid is
                raised; see `engine.motion.lids`. None: lids stay as `moved` and the file have them.

        Returns [R, 3] avatar units.
        """
        rig = self._rig
        jaw = self.jaw_and_eyes(moved, gaze)
        even = units is None and lids is not None
        follow = self._follow_evened if even else self._follow if units is None else self._follow_corrections
        offset = moved if units is None else (moved - units[1])[self._corrected]
        vertices = rig.rest.copy() if units is None else rig.rest + units[0]
        follow(vertices, offset)
        self.finish(vertices, jaw, gaze, lids, evened=even, lids_follow=units is not None)
        return vertices

    def jaw_and_eyes(self, moved: NDArray[np.float64], gaze: NDArray[np.float64]) -> JawMotion:
        """Work out the controllers of the jaw, and of eyes that are in one piece with the skin, in `moved` [K, 3]."""
        rotation, shift = self.jaw_motion(moved)
        yielding = self._yielding(moved)
        jaw = JawMotion(rotation, shift + yielding, yielding)
        points = self._rig.controllers.rest[self._jaw]
        moved[self._jaw] = points @ jaw.rotation.T + jaw.shift - points
        for eye, angles in zip(self._eyes, gaze, strict=True):
            eye.move(moved, angles)
        return jaw

    def finish(
        self,
        vertices: NDArray[np.float32],
        jaw: JawMotion,
        gaze: NDArray[np.float64],
        lids: NDArray[np.float64] | None,
        *,
        evened: bool = False,
        teeth_placed: bool = False,
        lids_follow: bool = False,
    ) -> None:
        """Place what moves as one piece, and close the lids, in `vertices` [R, 3] whose skin is where it belongs, and
        whose teeth and tongue are if they are `teeth_placed`. `lids_follow`: upper lids follow a gaze downwards; lids
        that were measured on a driver do that already."""
        rig = self._rig
        if len(self._rest_jaw) and not teeth_placed:
            vertices[rig.jaw.vertices] = self._rest_jaw @ jaw.rotation.T.astype(np.float32) + jaw.shift.astype(
                np.float32
            )
        if len(rig.jaw.upper) and jaw.yielding.any() and not teeth_placed:
            vertices[rig.jaw.upper] += jaw.yielding.astype(np.float32)
        if lids is not None:
            for lid, eyeball, (closing, raised), angles in zip(
                self.lids, self.eyeballs, lids.tolist(), gaze, strict=True
            ):
                down = eyeball.looks_down(angles) if lids_follow else 0.0
                lid.apply(vertices, closing, raised, evened=evened, looks_down=down)
        for eyeball, lid, angles in zip(self.eyeballs, self.lids, gaze, strict=True):
            eyeball.apply(vertices, angles)
            lid.place_lashes(vertices)

    def _yielding(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """[3] how far teeth give way backwards, so that lips that are drawn back over them do not let them through."""
        out = self._rig.mouth.frame[2]
        back = float((moved[self._lips] @ out).mean()) + _LIP_THICKNESS * self._rig.mouth.width
        return np.asarray(min(back, 0.0) * out)

    def jaw_motion(self, moved: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotation [3, 3] and shift [3] of the lower jaw that let the chin down as far as it went.

        It turns about its hinge and slides for the rest, as jaws do: a chin that lies almost below the hinge goes back
        as it turns, hardly down. Its depth is left out: skin over the chin slides, and trackers tell depth worst.
        """
        hinge = self._rig.jaw.hinge
        rest = self._rig.controllers.rest[self._chin].mean(axis=0) - hinge
        now = rest + moved[self._chin].mean(axis=0)
        radius = float(np.hypot(rest[1], rest[2]))
        before, after = np.arcsin(np.clip(np.array([-rest[1], -now[1]]) / radius, -_STEEPEST, _STEEPEST))
        opened = float(np.clip(after - before, -0.1, _MAX_JAW_RAD))
        aside = float(np.clip(np.arctan2(now[0] - rest[0], radius), -0.25, 0.25))
        rotation = _rotation_y(aside) @ _rotation_x(opened)
        shift = hinge - rotation @ hinge
        shift[1] += min(0.0, float(now[1] - (rotation @ rest)[1]))
        return rotation, shift


def _correctable(rig: FaceRig) -> NDArray[np.bool_]:
    """[K] controllers that may leave the place expression units give them."""
    correctable = rig.controllers.role != Role.LANDMARK
    lids = mask(*UPPER_LIDS, *LOWER_LIDS, *UPPER_LID_FOLDS)
    correctable[:FACE_LANDMARKS] |= lids | upper_lip_mask() | lower_lip_mask()
    return np.asarray(correctable)


class _EyeBetweenLids:
    """What a surface in one piece shows between the lids of one eye: lids uncover it, and its iris looks round."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        controllers = rig.controllers
        self._frame, self._width = rig.eyes[eye].frame, rig.eyes[eye].width
        pairs = ((Role.UPPER_EYE, Role.UPPER_LID, 1.0), (Role.LOWER_EYE, Role.LOWER_LID, -1.0))
        self._rims = [(controllers.of(own, eye), controllers.of(lid, eye), sign) for own, lid, sign in pairs]
        self._edge, self._corners = controllers.of(Role.EYE_CORNER, eye), np.array(eye_corners(eye))
        self._iris = controllers.of(Role.IRIS, eye)

    def move(self, moved: NDArray[np.float64], gaze: NDArray[np.float64]) -> None:
        if not len(self._iris):
            return
        along, up, out = self._frame
        for own, lid, sign in self._rims:
            motion = moved[lid]
            covering = np.minimum(sign * (motion @ up), 0.0)  # a lid that closes slides over the eye
            motion = motion - (sign * covering)[:, None] * up
            moved[own] = motion - np.where(covering < 0, motion @ out, 0.0)[:, None] * out
        moved[self._edge] = moved[self._corners]
        reach = _FLAT_IRIS_REACH * self._width
        moved[self._iris] = reach * (np.sin(gaze[0]) * along + np.sin(gaze[1]) * up)


def turned_share(rig: FaceRig, eye: int) -> float:
    """Share of a gaze's angle by which an eyeball turns: all of it, except for irises that slide on shallow whites."""
    own = rig.eyes[eye]
    far = float(np.median(np.linalg.norm(rig.rest[own.ball] - own.centre, axis=1))) if len(own.ball) else 0.0
    return _FLAT_IRIS_REACH * own.width / far if far > _SHALLOW * own.width else 1.0


class Eyeball:
    """Turns one eyeball, and keeps the skin over it in front of it."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        own = rig.eyes[eye]
        self._ball, self._cover = own.ball, own.cover
        self._centre = own.centre.astype(np.float32)
        self._rest_ball = rig.rest[own.ball] - self._centre
        self._turns = turned_share(rig, eye)
        self._rest_cover = rig.rest[own.cover]
        self._rest_distance = np.linalg.norm(self._rest_cover - self._centre, axis=1)
        self._cosines = np.cos(np.linspace(np.pi, 0, len(own.profile)))
        self._profile = own.profile[::-1] * (1 + _CLEARANCE)
        self._farthest = float(self._profile.max(initial=0.0)) ** 2
        kernels = compiled_kernels()
        self._compiled = None if kernels is None else self._turn(kernels)

    def _turn(self, library: ctypes.CDLL) -> EyeballTurn:
        return EyeballTurn(
            library,
            centre=self._centre,
            ball=self._ball,
            cover=self._cover,
            rest_ball=self._rest_ball,
            rest_cover=self._rest_cover,
            rest_distance=self._rest_distance,
            cosines=self._cosines,
            profile=self._profile,
        )

    @property
    def profile(self) -> NDArray[np.float64]:
        """[16] how far skin stays from the middle, from straight back to straight ahead; 0 where there is no ball."""
        return self._profile

    def turned(self, gaze: NDArray[np.float64]) -> NDArray[np.float64]:
        """[2] how far the ball turns for a gaze."""
        return np.asarray(self._turns * gaze)

    def looks_down(self, gaze: NDArray[np.float64]) -> float:
        """Radians by which it looks down for a gaze, 0 for one upwards."""
        return max(-self._turns * float(gaze[1]), 0.0)

    def apply(self, vertices: NDArray[np.float32], gaze: NDArray[np.float64]) -> None:
        gaze = self.turned(gaze)
        rotation = (_rotation_y(float(gaze[0])) @ _rotation_x(-float(gaze[1]))).astype(np.float32)
        if self._compiled is not None:
            self._compiled(vertices, rotation)
            return
        if len(self._ball):
            vertices[self._ball] = self._rest_ball @ rotation.T + self._centre
        if len(self._cover):
            self._push_out(vertices, rotation[:, 2])

    def _push_out(self, vertices: NDArray[np.float32], ahead: NDArray[np.float32]) -> None:
        """Push skin that has sunk into the ball out. Skin at rest stays where the file has it, in or out."""
        offset = vertices.take(self._cover, axis=0)
        offset -= self._centre
        square = np.einsum("nd,nd->n", offset, offset)
        near = np.flatnonzero(square < self._farthest)  # all else lies in front of any part of the ball
        offset, distance = offset[near], np.sqrt(square[near])
        outer = np.interp(offset @ ahead / np.maximum(distance, 1e-9), self._cosines, self._profile)
        sunk = np.flatnonzero(distance < outer)
        near, offset, distance, outer = near[sunk], offset[sunk], distance[sunk], outer[sunk]
        moved = offset - (self._rest_cover[near] - self._centre)
        allowed = self._rest_distance[near] + np.sqrt(np.einsum("nd,nd->n", moved, moved))
        push = np.maximum(np.minimum(outer, allowed) / np.maximum(distance, 1e-9), 1.0)
        vertices[self._cover[near]] = offset * push[:, None].astype(np.float32) + self._centre


def _rotation_x(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _rotation_y(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
