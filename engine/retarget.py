"""From controllers to vertices: one sparse product, then what moves as one piece, then the skin over the eyes."""

import numpy as np
from numpy.typing import NDArray

from calib.controllers import Role
from calib.face_regions import CHIN, FACE_LANDMARKS, IRISES, LOWER_LIDS, UPPER_LIDS
from calib.rig import FaceRig

_MAX_JAW_RAD = 0.7
_FLAT_IRIS_REACH = 0.35  # of the eye's width: radius on which an iris that is painted on the surface moves
_CLEARANCE = 0.012  # of the eyeball's radius: how far lids stay in front of it


class Retargeter:
    """Deforms one avatar. Owned by one thread; `vertices` is the only thing done per frame."""

    def __init__(self, rig: FaceRig) -> None:
        self._rig = rig
        self._weights = rig.weights.astype(np.float32).tocsr()
        moving = np.flatnonzero(np.diff(self._weights.indptr))
        self._moving = moving if len(moving) < 0.9 * len(rig.rest) else None
        if self._moving is not None:
            self._weights = self._weights[self._moving]
        self._chin = np.array(CHIN)
        self._followers = ControllerFollowers(rig)
        self._eyeballs = [_Eyeball(rig, eye) for eye in range(2)]

    def vertices(self, displacement: NDArray[np.float64], gaze: NDArray[np.float64]) -> NDArray[np.float32]:
        """[R, 3] for the [468, 3] displacement of the landmarks and [2, 2] gaze (yaw, pitch) in radians."""
        rig = self._rig
        jaw_rotation, jaw_shift = self.jaw_motion(displacement)
        moved = self._followers(displacement, gaze, jaw_rotation, jaw_shift)
        delta = self._weights @ moved
        if self._moving is None:
            vertices = rig.rest + delta
        else:
            vertices = rig.rest.copy()
            vertices[self._moving] += delta
        jaw = rig.jaw.vertices
        vertices[jaw] = rig.rest[jaw] @ jaw_rotation.T.astype(np.float32) + jaw_shift.astype(np.float32)
        for eyeball, angles in zip(self._eyeballs, gaze, strict=True):
            eyeball.apply(vertices, angles)
        return vertices

    def jaw_motion(self, displacement: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotation [3, 3] and shift [3] of the lower jaw about its hinge that take the chin where it went."""
        hinge = self._rig.jaw.hinge
        rest = self._rig.controllers.rest[self._chin].mean(axis=0) - hinge
        now = rest + displacement[self._chin].mean(axis=0)
        opened = np.arctan2(-now[1], now[2]) - np.arctan2(-rest[1], rest[2])
        opened = float(np.clip(opened, -0.1, _MAX_JAW_RAD))
        aside = float(np.clip(np.arctan2(now[0] - rest[0], np.hypot(rest[1], rest[2])), -0.25, 0.25))
        rotation = _rotation_y(aside) @ _rotation_x(opened)
        return rotation, hinge - rotation @ hinge


class ControllerFollowers:
    """Moves the controllers that have no landmark of their own to follow."""

    def __init__(self, rig: FaceRig) -> None:
        self._rig = rig
        controllers = rig.controllers
        self._jaw = controllers.of(Role.JAW)
        self._rims = [_EyeRim(rig, eye) for eye in range(2)]

    def __call__(
        self,
        displacement: NDArray[np.float64],
        gaze: NDArray[np.float64],
        jaw_rotation: NDArray[np.float64],
        jaw_shift: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """[K, 3] for the landmarks' [468, 3]."""
        rest = self._rig.controllers.rest
        moved = np.zeros((len(rest), 3), dtype=np.float32)
        moved[:FACE_LANDMARKS] = displacement
        points = rest[self._jaw]
        moved[self._jaw] = points @ jaw_rotation.T + jaw_shift - points
        for rim, angles in zip(self._rims, gaze, strict=True):
            rim.move(moved, displacement, angles)
        return moved


class _EyeRim:
    """What a surface in one piece shows between the lids of one eye: lids uncover it, and its iris looks round."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        controllers = rig.controllers
        self._eye = rig.eyes[eye]
        own = [*UPPER_LIDS[eye], *LOWER_LIDS[eye]]
        rim = controllers.of(Role.EYE_RIM)
        self._rim = rim[np.isin(controllers.landmark[rim], own)]
        iris = controllers.of(Role.IRIS)
        self._iris = iris[np.isin(controllers.landmark[iris], IRISES[eye])]
        self._landmark = controllers.landmark[self._rim]
        upper, lower = (np.isin(self._landmark, chain[eye][1:-1]) for chain in (UPPER_LIDS, LOWER_LIDS))
        self._outward = upper.astype(float) - lower.astype(float)  # 0 at the corners

    def move(self, moved: NDArray[np.float32], displacement: NDArray[np.float64], gaze: NDArray[np.float64]) -> None:
        if len(self._rim):
            up, out = self._eye.frame[1], self._eye.frame[2]
            lid = displacement[self._landmark]
            across = (lid @ up) * self._outward
            covered = np.minimum(across, 0.0)  # a lid that closes slides over the eye instead of taking it along
            kept = np.where(self._outward[:, None] == 0, lid, lid - (covered * self._outward)[:, None] * up)
            moved[self._rim] = kept - np.where(covered < 0, kept @ out, 0.0)[:, None] * out
            reach = _FLAT_IRIS_REACH * self._eye.width
            turned = np.sin(gaze)[0] * self._eye.frame[0] + np.sin(gaze)[1] * up
            moved[self._iris] = reach * turned


class _Eyeball:
    """Turns one eyeball, and keeps the skin over it in front of it."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        own = rig.eyes[eye]
        self._ball, self._cover = own.ball, own.cover
        self._centre = own.centre.astype(np.float32)
        self._rest_ball = rig.rest[own.ball] - self._centre
        self._rest_cover = rig.rest[own.cover]
        self._rest_distance = np.linalg.norm(self._rest_cover - self._centre, axis=1)
        self._cosines = np.cos(np.linspace(np.pi, 0, len(own.profile)))
        self._profile = own.profile[::-1] * (1 + _CLEARANCE)

    def apply(self, vertices: NDArray[np.float32], gaze: NDArray[np.float64]) -> None:
        rotation = (_rotation_y(float(gaze[0])) @ _rotation_x(-float(gaze[1]))).astype(np.float32)
        if len(self._ball):
            vertices[self._ball] = self._rest_ball @ rotation.T + self._centre
        if len(self._cover):
            vertices[self._cover] = self._in_front(vertices[self._cover], rotation[:, 2])

    def _in_front(self, skin: NDArray[np.float32], ahead: NDArray[np.float32]) -> NDArray[np.float32]:
        """Skin that has sunk into the ball, pushed out. Skin at rest stays where the file has it, in or out."""
        offset = skin - self._centre
        distance = np.sqrt(np.einsum("nd,nd->n", offset, offset))
        moved = skin - self._rest_cover
        allowed = self._rest_distance + np.sqrt(np.einsum("nd,nd->n", moved, moved))
        outer = np.interp(offset @ ahead / np.maximum(distance, 1e-9), self._cosines, self._profile)
        push = np.maximum(np.minimum(outer, allowed) / np.maximum(distance, 1e-9), 1.0)
        return offset * push[:, None].astype(np.float32) + self._centre


def _rotation_x(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _rotation_y(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
