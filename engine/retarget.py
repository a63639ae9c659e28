"""From controllers to vertices: one sparse product, then the parts that move as one piece and the skin over the eyes."""

import numpy as np
from numpy.typing import NDArray

from calib.face_regions import CHIN, FACE_LANDMARKS
from calib.rig import EyeRig, FaceRig

_MAX_JAW_RAD = 0.7
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
        self._jaw_points = np.flatnonzero(rig.controllers.jaw)

    def vertices(self, displacement: NDArray[np.float64], gaze: NDArray[np.float64]) -> NDArray[np.float32]:
        """[R, 3] for the [468, 3] displacement of the landmarks and [2, 2] gaze (yaw, pitch) in radians."""
        rig = self._rig
        jaw_rotation, jaw_shift = self.jaw_motion(displacement)
        moved = np.zeros((len(rig.controllers.rest), 3), dtype=np.float32)
        moved[:FACE_LANDMARKS] = displacement
        points = rig.controllers.rest[self._jaw_points]
        moved[self._jaw_points] = points @ jaw_rotation.T + jaw_shift - points
        delta = self._weights @ moved
        if self._moving is None:
            vertices = rig.rest + delta
        else:
            vertices = rig.rest.copy()
            vertices[self._moving] += delta
        jaw = rig.jaw.vertices
        vertices[jaw] = rig.rest[jaw] @ jaw_rotation.T.astype(np.float32) + jaw_shift.astype(np.float32)
        for eye, (yaw, pitch) in zip(rig.eyes, gaze, strict=True):
            _turn_eyeball(vertices, rig.rest, eye, float(yaw), float(pitch))
            _keep_in_front(vertices, eye)
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


def _turn_eyeball(
    vertices: NDArray[np.float32], rest: NDArray[np.float32], eye: EyeRig, yaw: float, pitch: float
) -> None:
    if len(eye.ball):
        rotation = (_rotation_y(yaw) @ _rotation_x(-pitch)).astype(np.float32)
        centre = eye.centre.astype(np.float32)
        vertices[eye.ball] = (rest[eye.ball] - centre) @ rotation.T + centre


def _keep_in_front(vertices: NDArray[np.float32], eye: EyeRig) -> None:
    """Push skin that has sunk into the eyeball out to its surface."""
    if len(eye.cover):
        offset = vertices[eye.cover] - eye.centre.astype(np.float32)
        distance = np.sqrt(np.einsum("nd,nd->n", offset, offset))
        least = np.float32(eye.radius * (1 + _CLEARANCE))
        out = np.maximum(least / np.maximum(distance, 1e-9), 1.0)
        vertices[eye.cover] = offset * out[:, None].astype(np.float32) + eye.centre.astype(np.float32)


def _rotation_x(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _rotation_y(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
