"""Tracking real faces: where landmarks are, that bones stay put and expressions show, and what upsets a tracker."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from capture.face.face_tracker import FaceTracker
from capture.recordings.video_file import decode_video
from core.camera import assumed_intrinsics
from core.canonical_face import CanonicalFace
from core.expression_units import SCORE_NAMES
from core.frame import FaceObservation, RgbdFrame


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> dict[str, list[FaceObservation]]:
    """Every third frame of each clip, tracked."""
    return {name: track(shared_data / "video" / f"{name}.mp4", step=3) for name in ("head_turns", "expressive_woman")}


def track(path: Path, step: int = 1, limit: int = 600) -> list[FaceObservation]:
    with FaceTracker() as tracker:
        return [tracker.track(frame) for frame in frames(path, step, limit)]


def frames(path: Path, step: int = 1, limit: int = 600) -> Iterator[RgbdFrame]:
    for picture in decode_video(path):
        if picture.index >= limit:
            return
        if picture.index % step == 0:
            rgb = picture.rgb()
            camera = assumed_intrinsics(rgb.shape[1], rgb.shape[0])
            yield RgbdFrame(rgb, None, camera, picture.time_s, picture.index)


def score(observations: list[FaceObservation], name: str) -> NDArray[np.float32]:
    return np.array([seen.scores[SCORE_NAMES.index(name)] for seen in observations])


def heads_mm(observations: list[FaceObservation]) -> NDArray[np.float64]:
    return np.array([seen.landmarks_head_m() for seen in observations]) * 1000.0


def correlation(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_there_are_52_different_scores() -> None:
    assert len(set(SCORE_NAMES)) == len(SCORE_NAMES) == 52


def test_the_face_is_found_in_every_frame(clips: dict[str, list[FaceObservation]]) -> None:
    for observations in clips.values():
        assert all(seen.tracked for seen in observations)
        assert min(seen.confidence for seen in observations) > 0.5


def test_landmarks_in_metres_project_to_those_in_pixels(clips: dict[str, list[FaceObservation]]) -> None:
    for seen in clips["head_turns"][::10]:
        projected = seen.frame.intrinsics.project(seen.landmarks_m)
        np.testing.assert_allclose(projected, seen.landmarks_px, atol=0.01)


def test_stable_points_stay_put_while_the_head_turns(
    clips: dict[str, list[FaceObservation]], face: CanonicalFace
) -> None:
    observations = clips["head_turns"]
    yaw = [np.degrees(np.arctan2(seen.T_camera_head[0, 2], -seen.T_camera_head[2, 2])) for seen in observations]
    assert np.ptp(yaw) > 25
    spread = heads_mm(observations).std(axis=0)[face.stable_weights > 0]
    assert spread.mean() < 1.0
    assert spread[:, 2].mean() < 0.7


def test_opening_the_mouth_and_blinking_show(clips: dict[str, list[FaceObservation]]) -> None:
    for name, least_gap_mm in (("head_turns", 20), ("expressive_woman", 25)):
        observations = clips[name]
        head = heads_mm(observations)
        mouth = np.linalg.norm(head[:, 13] - head[:, 14], axis=1)
        lids = np.linalg.norm(head[:, 159] - head[:, 145], axis=1)
        assert np.ptp(mouth) > least_gap_mm
        assert correlation(mouth, score(observations, "jawOpen")) > 0.8
        assert correlation(lids, score(observations, "eyeBlinkRight")) < -0.75
        assert np.ptp(lids) > 6


def test_the_face_is_of_average_size_and_before_the_camera(clips: dict[str, list[FaceObservation]]) -> None:
    for seen in clips["expressive_woman"][::20]:
        head = seen.landmarks_head_m()
        assert 0.080 < np.linalg.norm(head[33] - head[263]) < 0.098  # the outer corners of the eyes
        assert 0.2 < seen.T_camera_head[2, 3] < 1.5
        assert np.linalg.det(seen.T_camera_head[:3, :3]) == pytest.approx(1.0)


def test_the_pose_does_not_tremble(clips: dict[str, list[FaceObservation]], shared_data: Path) -> None:
    still = heads_and_poses(track(shared_data / "video" / "glasses_beard.mp4", limit=60))
    trembling = np.abs(still[2:] - 2 * still[1:-1] + still[:-2])
    assert trembling.mean() < 0.1  # degrees


def heads_and_poses(observations: list[FaceObservation]) -> NDArray[np.float64]:
    """[T, 3] yaw, pitch, roll in degrees."""
    turns = np.array([seen.T_camera_head[:3, :3] for seen in observations])
    yaw, pitch = np.arctan2(turns[:, 0, 2], -turns[:, 2, 2]), np.arcsin(turns[:, 1, 2])
    return np.degrees(np.column_stack([yaw, pitch, np.arctan2(turns[:, 1, 0], turns[:, 0, 0])]))


def test_the_same_clip_gives_the_same_numbers(shared_data: Path) -> None:
    path = shared_data / "video" / "head_turns.mp4"
    first, second = (track(path, limit=8)[-1] for _ in range(2))
    np.testing.assert_array_equal(first.landmarks_m, second.landmarks_m)
    np.testing.assert_array_equal(first.scores, second.scores)


def picture(shared_data: Path, name: str = "head_turns") -> RgbdFrame:
    return next(frames(shared_data / "video" / f"{name}.mp4"))


def moved(frame: RgbdFrame, *, time_s: float = 0.0, rgb: NDArray[np.uint8] | None = None) -> RgbdFrame:
    rgb = frame.rgb if rgb is None else rgb
    return RgbdFrame(rgb, None, assumed_intrinsics(rgb.shape[1], rgb.shape[0]), time_s, 0)


def test_time_may_stand_still_run_backwards_and_jump(shared_data: Path) -> None:
    frame = picture(shared_data)
    with FaceTracker() as tracker:
        for time_s in (5.0, 5.0, 4.0, 0.0, 1e-9, 1e6, 0.0):
            assert tracker.track(moved(frame, time_s=time_s)).tracked


def test_no_face_and_back(shared_data: Path) -> None:
    frame = picture(shared_data)
    wall = moved(frame, rgb=np.full_like(frame.rgb, 127))
    with FaceTracker() as tracker:
        assert tracker.track(frame).tracked
        lost = tracker.track(wall)
        assert not lost.tracked
        assert lost.confidence == 0
        assert not lost.landmarks_m.any()
        np.testing.assert_array_equal(lost.T_camera_head, np.eye(4))
        for _ in range(6):
            assert not tracker.track(wall).tracked
        assert any(tracker.track(frame).tracked for _ in range(4))


def test_a_face_that_jumps_is_found_in_the_same_frame(shared_data: Path) -> None:
    frame = picture(shared_data)
    left, right = (np.full((512, 1400, 3), 90, np.uint8) for _ in range(2))
    left[:, :512], right[:, -512:] = frame.rgb, frame.rgb
    with FaceTracker() as tracker:
        assert tracker.track(moved(frame, rgb=left)).tracked
        jumped = tracker.track(moved(frame, rgb=right, time_s=0.03))
    assert jumped.tracked
    assert jumped.landmarks_px[1, 0] > 1400 - 512


def test_a_small_face_in_a_large_picture_is_found_and_followed(shared_data: Path) -> None:
    import cv2

    small = cv2.resize(picture(shared_data).rgb, (150, 150), interpolation=cv2.INTER_AREA)
    found = []
    with FaceTracker() as tracker:
        for step in range(40):
            rgb = np.full((1080, 1920, 3), 90, np.uint8)
            x = 900 + 20 * step  # out of the window it is first found in
            rgb[500:650, x : x + 150] = small
            seen = tracker.track(moved(picture(shared_data), rgb=rgb, time_s=step / 30))
            if seen.tracked:
                assert x < seen.landmarks_px[1, 0] < x + 150
            found.append(seen.tracked)
    assert found[0]
    assert sum(found) >= len(found) - 2


def test_the_picture_may_change_its_size(shared_data: Path) -> None:
    frame = picture(shared_data)
    half = np.ascontiguousarray(frame.rgb[::2, ::2])
    with FaceTracker() as tracker:
        whole = tracker.track(frame)
        other = tracker.track(moved(frame, rgb=half, time_s=0.03))
    assert other.tracked
    assert np.abs(other.landmarks_px * 2 - whole.landmarks_px).mean() < 3


def test_pictures_that_are_slices_are_taken(shared_data: Path) -> None:
    frame = picture(shared_data)
    wide = np.concatenate([frame.rgb, frame.rgb[::-1]], axis=1)[:, :512]
    with FaceTracker() as tracker:
        assert tracker.track(moved(frame, rgb=wide)).tracked
