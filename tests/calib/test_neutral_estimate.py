"""A neutral out of many frames of a made-up person who blinks, looks down and talks."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from calib.person.neutral import NeutralEstimate, NeutralPicker
from calib.person.neutral_estimate import gape
from capture.face.face_model_file import find_face_model
from core.camera import Intrinsics
from core.canonical_face import load_canonical_face
from core.expression_units import SCORE_NAMES
from core.face_regions import LOWER_LIDS, LOWER_LIP, UPPER_LIDS, UPPER_LIP
from core.frame import FaceObservation, RgbdFrame
from engine.motion.driver_face import make_neutral, measure

FACE = load_canonical_face(find_face_model(url=None)).points.copy()
for upper, lower in zip(UPPER_LIP[-1][1:-1], LOWER_LIP[-1][1:-1], strict=True):  # the average face's lips are apart
    FACE[[upper, lower], 1] = FACE[[upper, lower], 1].mean() + np.array([1e-4, -1e-4])


def seen(
    time_s: float, *, lids: float = 1.0, mouth_m: float = 0.0, yaw: float = 0.0, **scores: float
) -> FaceObservation:
    """A face with lids open by a share, and the lower lip so far down."""
    points = FACE.copy()
    for top, bottom in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        upper, lower = list(top[1:-1]), list(bottom[1:-1])
        points[upper] = points[lower] + lids * (points[upper] - points[lower])
    points[sorted({index for chain in LOWER_LIP for index in chain[1:-1]}), 1] -= mouth_m
    blink, jaw = 0.6 * (1 - lids), min(1.0, mouth_m / 0.02)
    given = {"eyeBlinkLeft": blink, "eyeBlinkRight": blink, "jawOpen": jaw, **scores}
    values = np.zeros(len(SCORE_NAMES), np.float32)
    values[[SCORE_NAMES.index(name) for name in given]] = list(given.values())
    c, s = np.cos(yaw), np.sin(yaw)
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    pose[:3, 3] = 0, 0, 0.5
    camera_m = (points @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    frame = RgbdFrame(np.zeros((4, 4, 3), np.uint8), None, Intrinsics(4, 4, 2, 2, 4, 4), time_s, round(time_s * 30))
    return FaceObservation(frame, True, 1.0, np.zeros((478, 2), np.float32), camera_m, pose, values)


def settling(index: int) -> FaceObservation:
    """Lids are down most of the time and open while the mouth is; the mouth is shut while they are down."""
    open_eyed = index % 15 == 0
    return seen(index / 30, lids=1.0 if open_eyed else 0.45, mouth_m=0.01 if open_eyed else 0.0)


def test_lids_and_mouth_are_each_taken_from_where_they_are_at_rest() -> None:
    estimate = NeutralEstimate()
    for index in range(150):
        estimate.offer(settling(index))
    neutral = estimate.neutral()
    assert neutral is not None
    rest = make_neutral(seen(0.0))
    np.testing.assert_allclose(make_neutral(neutral).aperture, rest.aperture, rtol=0.05)
    assert gape(neutral.landmarks_head_m()) < 0.02
    assert neutral.scores[SCORE_NAMES.index("eyeBlinkLeft")] < 0.05
    assert neutral.scores[SCORE_NAMES.index("jawOpen")] < 0.05
    open_ = measure(seen(9.0), make_neutral(neutral)).lids[:, 0]
    np.testing.assert_allclose(open_, 1.0, atol=0.08)  # open eyes are not wide ones
    assert estimate.poor_because == ""


def test_lips_pressed_together_by_a_smile_are_no_neutral() -> None:
    """A slow machine sees few frames at rest, with lips a little apart, and many of the smile that follows."""
    smile = {f"mouthSmile{side}": 0.8 for side in ("Left", "Right")}
    estimate = NeutralEstimate()
    for index in range(60):
        at_rest = index < 8
        estimate.offer(seen(index / 8, mouth_m=0.0015) if at_rest else seen(index / 8, **smile))
    neutral = estimate.neutral()
    assert neutral is not None
    assert neutral.scores[SCORE_NAMES.index("mouthSmileLeft")] == 0
    assert gape(neutral.landmarks_head_m()) == pytest.approx(gape(seen(0.0, mouth_m=0.0015).landmarks_head_m()))


def test_a_neutral_asked_for_in_a_smile_is_told() -> None:
    picker = NeutralPicker()
    picker.request()
    assert (
        picker.offer(seen(0.0, mouth_m=0.012, **{f"mouthSmile{side}": 1.0 for side in ("Left", "Right")})) is not None
    )
    assert "press N" in picker.take_warning()


def test_a_single_frame_is_taken_as_it_is() -> None:
    estimate, only = NeutralEstimate(), seen(0.0)
    assert estimate.neutral() is None
    assert estimate.poor_because == ""
    estimate.offer(replace(only, tracked=False))
    estimate.offer(only)
    assert estimate.neutral() is only
    assert len(estimate) == 1


def test_wild_frames_do_not_move_the_estimate() -> None:
    rng, estimate = np.random.default_rng(0), NeutralEstimate()
    for index in range(120):
        calm = seen(index / 30)
        wild = calm.landmarks_m + rng.normal(0, 0.004, (478, 3)).astype(np.float32)
        estimate.offer(calm if index % 4 else replace(calm, landmarks_m=wild))
    neutral = estimate.neutral()
    assert neutral is not None
    np.testing.assert_allclose(neutral.landmarks_head_m(), FACE, atol=0.0005)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda time_s: seen(time_s, lids=0.4), "eyes were half shut"),
        (lambda time_s: seen(time_s, mouth_m=0.015), "mouth was open"),
        (lambda time_s: seen(time_s, yaw=0.6), "turned away"),
        (lambda time_s: seen(time_s, mouthSmileLeft=0.9, mouthSmileRight=0.9), "not at rest"),
        (lambda time_s: seen(time_s, lids=0.4, mouth_m=0.015), "half shut and your mouth was open"),
    ],
)
def test_a_poor_neutral_is_told_once_while_frames_come_in(
    make: Callable[[float], FaceObservation], reason: str
) -> None:
    picker, told = NeutralPicker(), []
    for index in range(750):
        picker.offer(make(index / 30))
        told.append(picker.take_warning())
    assert [reason in warning for warning in told if warning] == [True]
    assert "press N" in "".join(told)


def test_a_good_neutral_is_not_commented_on_and_not_taken_again() -> None:
    picker = NeutralPicker()
    taken = [picker.offer(seen(index / 30)) is not None for index in range(300)]
    assert taken[0]
    assert sum(taken) == 1
    assert picker.take_warning() == ""


def test_while_frames_come_in_the_neutral_gets_better() -> None:
    picker = NeutralPicker()
    given = [picker.offer(settling(index)) for index in range(1, 150)]
    taken = [make_neutral(neutral).aperture.mean() for neutral in given if neutral is not None]
    rest = make_neutral(seen(0.0)).aperture.mean()
    assert taken[0] < 0.6 * rest
    assert taken[-1] == pytest.approx(rest, rel=0.05)


def test_a_neutral_that_is_asked_for_has_the_lids_of_the_moment_before() -> None:
    picker = NeutralPicker()
    for index in range(60):
        picker.offer(seen(index / 30))
    picker.request()
    neutral = picker.offer(seen(2.0, lids=0.5))  # just closing
    assert neutral is not None
    rest = make_neutral(seen(0.0)).aperture.mean()
    assert make_neutral(neutral).aperture.mean() == pytest.approx(rest, rel=0.05)


def test_the_head_turns_clip_no_longer_has_drooping_lids(shared_data) -> None:
    from capture.face.face_tracker import FaceTracker
    from capture.open_source import open_source
    from core.source import frames_of

    estimate = NeutralEstimate()
    with FaceTracker() as tracker:
        for frame in frames_of(open_source(str(shared_data / "video" / "head_turns.mp4"), realtime=False)):
            if frame.timestamp_s > 5:
                break
            if frame.index % 2 == 0:
                estimate.offer(tracker.track(frame))
    neutral = estimate.neutral()
    assert neutral is not None
    assert make_neutral(neutral).aperture.mean() > 0.26  # the single frame 96 had 0.16
