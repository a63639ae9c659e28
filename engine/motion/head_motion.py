"""How the driver's head has turned and moved since the neutral, in the avatar's world."""

import numpy as np
from numpy.typing import NDArray

from core.rigid_motion import rotation_matrix, rotation_vector
from engine.motion.driver_face import DriverMotion
from engine.motion.face_mapping import FaceMapping

_FARTHEST = np.array([0.7, 0.6, 1.5])  # avatar units the head may leave its place, approached softly
TURN_FILTER, SHIFT_FILTER = (2.0, 5.0), (1.5, 8.0)  # hertz at rest, hertz per radian and avatar unit a second


def head_motion(
    motion: DriverMotion, T_camera_neutral: NDArray[np.float64], mapping: FaceMapping
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation vector [1, 3] and shift [1, 3] of the head since the neutral, avatar units.

    Both are taken in the neutral head's own axes, not in the camera's: a nod is a nod also where the camera looks from
    below, from the side, or lies on its side.
    """
    now = motion.T_camera_head
    to_world = mapping.rotation @ T_camera_neutral[:3, :3].T
    turn = to_world @ now[:3, :3] @ mapping.rotation.T
    shift = to_world @ (now[:3, 3] - T_camera_neutral[:3, 3]) * mapping.scale
    return rotation_vector(turn)[None], (_FARTHEST * np.tanh(shift / _FARTHEST))[None]


def T_world_head(
    turn: NDArray[np.float64], shift: NDArray[np.float64], origin: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[4, 4] rigid motion about `origin` [3] for a rotation vector [1, 3] and a shift [1, 3]."""
    T = np.eye(4)
    T[:3, :3] = rotation_matrix(turn[0])
    T[:3, 3] = origin - T[:3, :3] @ origin + shift[0]
    return T
