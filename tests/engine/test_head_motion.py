"""Turns and shifts of the head, whichever way the camera stands."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.motion.driver_face import DriverMotion
from engine.motion.head_motion import head_motion

FACING = np.diag([1.0, -1.0, -1.0])
CAMERAS = {
    "upright": Rotation.identity(),
    "on its left side": Rotation.from_euler("z", 90, degrees=True),
    "on its head": Rotation.from_euler("z", 180, degrees=True),
    "from below": Rotation.from_euler("x", 35, degrees=True),
    "from the side": Rotation.from_euler("y", -40, degrees=True),
}


def pose(camera: Rotation, head: Rotation, place_m: tuple[float, float, float]) -> np.ndarray:
    """T_camera_head of a head turned by `head` and standing at `place_m` in the axes of its neutral."""
    T = np.eye(4)
    T[:3, :3] = camera.as_matrix() @ FACING @ head.as_matrix()
    T[:3, 3] = camera.as_matrix() @ FACING @ place_m + [0, 0, 0.6]
    return T


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
@pytest.mark.parametrize("turn", [(0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3), (0.1, -0.2, 0.05)])
def test_a_nod_is_a_nod_for_every_camera(camera: Rotation, turn: tuple[float, float, float]) -> None:
    now = pose(camera, Rotation.from_rotvec(turn), (0.02, -0.01, 0.03))
    motion = DriverMotion(np.zeros((468, 3)), np.ones((2, 2)), np.zeros((2, 2)), now, 0.3)
    mapping = SimpleNamespace(rotation=np.eye(3), scale=10.0)
    turned, shifted = head_motion(motion, pose(camera, Rotation.identity(), (0, 0, 0)), mapping)  # type: ignore[arg-type]
    np.testing.assert_allclose(turned[0], turn, atol=1e-9)
    np.testing.assert_allclose(shifted[0], [0.2, -0.1, 0.3], atol=0.02)  # far shifts are held back softly


def test_an_avatar_that_stands_otherwise_turns_about_its_own_axes() -> None:
    lying = Rotation.from_euler("z", 90, degrees=True)
    now = pose(Rotation.identity(), Rotation.from_rotvec([0.3, 0, 0]), (0, 0, 0))
    motion = DriverMotion(np.zeros((468, 3)), np.ones((2, 2)), np.zeros((2, 2)), now, 0.3)
    neutral = pose(Rotation.identity(), Rotation.identity(), (0, 0, 0))
    turned, _ = head_motion(motion, neutral, SimpleNamespace(rotation=lying.as_matrix(), scale=1.0))  # type: ignore[arg-type]
    np.testing.assert_allclose(turned[0], [0, 0.3, 0], atol=1e-9)
