"""A built-in head driven by the built-in performer: what she does has to show on it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from calib.avatar import Avatar, prepare_avatar
from capture.face.face_tracker import FaceTracker
from capture.synthetic.performer.performer import PerformerSource
from core.errors import InputError
from core.frame import FaceObservation
from core.source import frames_of
from engine.expression.expression_engine import ExpressionEngine
from engine.flow.ours.compact_flow_engine import CompactFlowEngine
from engine.flow.ours.shipped import COMPACT_FILE
from engine.landmark.landmark_engine import LandmarkEngine
from engine.motion.closing import LipClosing
from engine.motion.protocol import AvatarPose, HeadPose
from engine.open_flow import open_flow_engine

FRAMES = 240
UPPER_LIP, LOWER_LIP = 13, 14
UPPER_LIDS, LOWER_LIDS = [159, 386], [145, 374]


@pytest.fixture(scope="module")
def avatar(lowpoly: Avatar) -> Avatar:
    return lowpoly


@pytest.fixture(scope="module")
def observations() -> list[FaceObservation]:
    with FaceTracker() as tracker:
        return [tracker.track(frame) for frame in islice(frames_of(PerformerSource(realtime=False)), FRAMES)]


Engine = LandmarkEngine | ExpressionEngine | CompactFlowEngine
MakeEngine = Callable[..., Engine]


@pytest.fixture(scope="module", params=["landmark", "expression", "flow"])
def make(request: pytest.FixtureRequest) -> MakeEngine:
    def make_one(avatar: Avatar, head_pose: HeadPose = "follow") -> Engine:
        if request.param == "flow":
            engine = open_flow_engine(avatar, COMPACT_FILE, head_pose=head_pose)
            assert isinstance(engine, CompactFlowEngine)
            return engine
        return (LandmarkEngine if request.param == "landmark" else ExpressionEngine)(avatar, head_pose)

    return make_one


Driven = tuple[list[AvatarPose], np.ndarray]


@pytest.fixture(scope="module")
def driven(make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]) -> Driven:
    """The whole performance, for several looks at it."""
    return drive(make, avatar, observations)


def drive(make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]) -> Driven:
    """Poses, and displacement [T, 468, 3] of the landmark controllers."""
    engine, poses, moved = make(avatar), [], []
    engine.calibrate(observations[0])
    for observation in observations:
        poses.append(engine.animate(observation))
        moved.append(engine.controller_motion().displacement)
    return poses, np.stack(moved)


def test_mouth_and_eyes_follow_the_driver(driven: Driven, observations: list[FaceObservation]) -> None:
    _, moved = driven
    heads = np.stack([observation.landmarks_head_m() for observation in observations])
    driver_gap = heads[:, UPPER_LIP, 1] - heads[:, LOWER_LIP, 1]
    avatar_gap = moved[:, UPPER_LIP, 1] - moved[:, LOWER_LIP, 1]
    assert np.ptp(driver_gap) > 0.005, "the performance has to open the mouth for this test to mean anything"
    assert np.corrcoef(driver_gap, avatar_gap)[0, 1] > 0.8
    driver_lids = (heads[:, UPPER_LIDS, 1] - heads[:, LOWER_LIDS, 1]).mean(axis=1)
    avatar_lids = (moved[:, UPPER_LIDS, 1] - moved[:, LOWER_LIDS, 1]).mean(axis=1)
    assert np.corrcoef(driver_lids, avatar_lids)[0, 1] > 0.7


def test_nothing_spikes(driven: Driven, avatar: Avatar) -> None:
    poses, _ = driven
    vertices = np.stack([pose.vertices for pose in poses])
    assert np.isfinite(vertices).all()
    assert np.abs(vertices - avatar.display_mesh.vertices).max() < 0.6, "half a face height is more than any face does"


def test_the_result_repeats(
    make: MakeEngine, driven: Driven, avatar: Avatar, observations: list[FaceObservation]
) -> None:
    again_driven, _ = drive(make, avatar, observations[:60])
    for pose, again in zip(driven[0][:60], again_driven, strict=True):
        np.testing.assert_array_equal(pose.vertices, again.vertices)


def test_the_neutral_face_leaves_the_head_at_rest(
    make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]
) -> None:
    poses, _ = drive(make, avatar, observations[:1])
    assert np.abs(poses[0].vertices - avatar.display_mesh.vertices).max() < 0.05
    np.testing.assert_allclose(poses[0].T_world_head, np.eye(4), atol=0.02)


def test_a_lost_face_eases_to_rest_and_returns_without_a_jump(
    make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]
) -> None:
    engine = make(avatar)
    engine.calibrate(observations[0])
    open_mouth = max(observations, key=lambda seen: float(seen.scores[25]))
    rest = avatar.display_mesh.vertices
    previous, steps, largest = rest, [], 0.0
    for number in range(90):
        lost = 30 <= number < 60
        frame = replace(open_mouth.frame, timestamp_s=number / 30, index=number)
        pose = engine.animate(replace(open_mouth, frame=frame, tracked=not lost))
        assert pose.tracked is not lost
        steps.append(float(np.abs(pose.vertices - previous).max()))
        previous = pose.vertices
        if number == 29:
            largest = float(np.abs(previous - rest).max())
        if number == 59:
            assert np.abs(previous - rest).max() < 0.2 * largest
    assert max(steps[30:]) < 0.6 * largest


def test_a_fixed_head_stays(make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]) -> None:
    engine = make(avatar, "fixed")
    engine.calibrate(observations[0])
    for observation in observations[::20]:
        np.testing.assert_array_equal(engine.animate(observation).T_world_head, np.eye(4))


def test_file_vertices_keep_order_and_coordinates(avatar: Avatar) -> None:
    back = avatar.to_file(avatar.display_mesh.vertices)
    np.testing.assert_allclose(back, avatar.file_mesh.vertices, atol=1e-5 * np.abs(avatar.file_mesh.vertices).max())


def test_a_mesh_without_a_human_face_is_refused(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="face"):
        prepare_avatar(shared_data / "heads" / "spot" / "spot_triangulated.obj", cache_dir=tmp_path)


def test_gains_make_the_avatar_do_more_of_a_unit(avatar: Avatar, observations: list[FaceObservation]) -> None:
    engine, doubled = ExpressionEngine(avatar), ExpressionEngine(avatar)
    jaw = engine.unit_names.index("jawOpen")
    doubled.gains[jaw] = 1.5
    for each in (engine, doubled):
        each.calibrate(observations[0])
    weights = np.array([[(e.animate(o), e.unit_weights[jaw])[1] for o in observations] for e in (engine, doubled)])
    wide = weights[0] > 0.15
    assert wide.sum() > 5, "the performance has to open the jaw for this test to mean anything"
    np.testing.assert_allclose(np.median(weights[1, wide] / weights[0, wide]), 1.5, atol=0.2)


def test_lips_that_meet_are_shut_on_the_avatar(avatar: Avatar, observations: list[FaceObservation]) -> None:
    """Where the driver's lips touch, so do the avatar's, to a hundredth of the mouth's width."""
    engine = ExpressionEngine(avatar)
    engine.calibrate(observations[0])
    closing, gaps = LipClosing(avatar.rig), []
    for observation in observations:
        engine.animate(observation)
        points = observation.landmarks_head_m()
        shut = float(np.linalg.norm(points[UPPER_LIP] - points[LOWER_LIP])) < 0.0015
        if shut:
            moved = np.zeros((len(avatar.controllers.rest), 3))
            moved[:468] = engine.controller_motion().displacement
            upper, lower = (moved[index, 1] for index in (UPPER_LIP, LOWER_LIP))
            gaps.append(upper - lower)
    assert len(gaps) > 10
    assert np.quantile(np.abs(gaps), 0.95) < 0.02 * avatar.rig.mouth.width
    assert closing.opening(np.zeros((len(avatar.controllers.rest), 3))) == pytest.approx(0, abs=0.02)
