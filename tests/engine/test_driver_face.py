"""What the driver does, apart from how the head moves."""

from collections.abc import Callable

import numpy as np
import pytest

from core.face_regions import LOWER_LIDS, UPPER_LIDS
from core.frame import FaceObservation
from engine.motion.driver_face import make_neutral, measure

Observe = Callable[..., FaceObservation]


def turn(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    y, p = np.radians([yaw_deg, pitch_deg])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return about_y @ about_x


def test_moving_the_head_moves_nothing_in_the_face(face_points: np.ndarray, observe: Observe) -> None:
    neutral = make_neutral(observe(face_points))
    motion = measure(observe(face_points, 0.1, turn(25, -10), (0.1, 0.05, 0.2)), neutral)
    assert np.abs(motion.displacement).max() < 1e-5
    np.testing.assert_allclose(motion.lids, [[1, 0], [1, 0]], atol=1e-3)
    np.testing.assert_allclose(motion.gaze, 0, atol=1e-3)


def test_a_wrong_rigid_pose_is_put_right(face_points: np.ndarray, observe: Observe) -> None:
    """Talking must not nod the head: the tracker's pose is off, the stable points tell."""
    neutral = make_neutral(observe(face_points))
    talking = face_points.copy()
    low = face_points[:, 1] < face_points[14, 1]
    talking[low, 1] -= 0.012
    seen = observe(talking)
    seen.T_camera_head[:3, :3] = seen.T_camera_head[:3, :3] @ turn(2, 3)
    motion = measure(seen, neutral)
    np.testing.assert_allclose(motion.T_camera_head[:3, :3], neutral.T_camera_head[:3, :3], atol=5e-3)
    assert motion.displacement[152, 1] == pytest.approx(-0.012, abs=1e-3)
    assert np.abs(motion.displacement[[10, 151, 9]]).max() < 1e-3


@pytest.mark.parametrize("eye", [0, 1])
def test_a_blink_shuts_one_eye_only(face_points: np.ndarray, observe: Observe, eye: int) -> None:
    neutral = make_neutral(observe(face_points))
    blink = face_points.copy()
    upper, lower = list(UPPER_LIDS[eye][1:-1]), list(LOWER_LIDS[eye][1:-1])
    blink[upper] = blink[lower]
    lids = measure(observe(blink), neutral).lids
    assert lids[eye, 0] == pytest.approx(0, abs=1e-3)
    assert lids[1 - eye, 0] == pytest.approx(1, abs=0.02)


def test_gaze_follows_the_irises(face_points: np.ndarray, observe: Observe) -> None:
    neutral = make_neutral(observe(face_points))
    looking = face_points.copy()
    looking[468:, 0] += 0.004
    looking[468:, 1] += 0.002
    gaze = measure(observe(looking), neutral).gaze
    assert (gaze[:, 0] > 0.2).all()
    assert (gaze[:, 1] > 0.1).all()


def test_no_face_is_no_neutral(face_points: np.ndarray, observe: Observe) -> None:
    with pytest.raises(ValueError, match="no face"):
        make_neutral(observe(face_points, tracked=False))
