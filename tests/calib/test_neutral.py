import numpy as np
import pytest

from calib.person.neutral import NeutralPicker, best_neutral, deviation
from core.camera import Intrinsics
from core.expression_units import SCORE_NAMES
from core.frame import FaceObservation, RgbdFrame

PICTURE = np.zeros((4, 4, 3), np.uint8)


def face(timestamp_s: float = 0.0, turn_deg: float = 0.0, tracked: bool = True, **scores: float) -> FaceObservation:
    values = np.zeros(len(SCORE_NAMES), np.float32)
    for name, value in scores.items():
        values[SCORE_NAMES.index(name)] = value
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn
    frame = RgbdFrame(PICTURE, None, Intrinsics(4, 4, 2, 2, 4, 4), timestamp_s, 0)
    zeros = np.zeros((478, 3), np.float32)
    return FaceObservation(frame, tracked, 1.0, zeros[:, :2], zeros, pose, values)


def test_a_neutral_frontal_face_deviates_least() -> None:
    assert deviation(face()) == pytest.approx(0, abs=1e-6)
    for other in (face(jawOpen=0.5), face(eyeBlinkLeft=0.9), face(mouthSmileRight=0.8), face(turn_deg=20)):
        assert deviation(other) > 0.3
    assert deviation(face(tracked=False)) == float("inf")


def test_the_best_of_a_clip_is_found() -> None:
    calm = face(jawOpen=0.02)
    assert best_neutral([face(jawOpen=0.6), calm, face(turn_deg=30), face(tracked=False)]) is calm
    assert best_neutral([face(tracked=False)]) is None
    assert best_neutral([]) is None


def test_the_first_face_calibrates_at_once_and_a_better_one_soon_after() -> None:
    picker = NeutralPicker()
    assert not picker.offer(face(0.0, tracked=False))
    assert picker.offer(face(0.1, jawOpen=0.8))
    assert not picker.offer(face(0.2, jawOpen=0.8))
    assert picker.offer(face(0.5, jawOpen=0.1))
    assert not picker.offer(face(0.6, jawOpen=0.1))


def test_the_search_ends_once_a_good_one_was_found() -> None:
    picker = NeutralPicker()
    assert picker.offer(face(10.0, jawOpen=0.3))
    assert not picker.offer(face(60.0))


def test_a_requested_neutral_is_taken_and_not_overruled() -> None:
    picker = NeutralPicker()
    picker.offer(face(0.0, jawOpen=0.8))
    picker.request()
    assert not picker.offer(face(0.1, tracked=False))
    assert picker.offer(face(0.2, mouthSmileLeft=0.6))
    assert not picker.offer(face(0.4))
