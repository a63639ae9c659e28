"""A built-in head driven by the built-in performer: what she does has to show on it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import trimesh

from calib.avatar import Avatar, prepare_avatar
from capture.face.face_tracker import FaceTracker
from capture.synthetic.performer.performance import make_performance
from capture.synthetic.performer.performer import PerformerSource
from core.camera import transform_points
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion, gaze_of
from core.frame import FaceObservation
from core.rigid_motion import rotation_vector
from core.source import frames_of
from engine.expression.expression_engine import ExpressionEngine
from engine.motion.closing import LipClosing
from engine.motion.driver_face import DriverMotion
from engine.motion.protocol import AvatarPose, HeadPose, MotionEngine
from realtime.config import MotionOptions
from realtime.engines import make_engine

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


MakeEngine = Callable[..., MotionEngine]


@pytest.fixture(scope="module", params=["landmark", "expression", "flow"])
def make(request: pytest.FixtureRequest) -> MakeEngine:
    def make_one(avatar: Avatar, head_pose: HeadPose = "follow") -> MotionEngine:
        return make_engine(MotionOptions(engine=request.param, head_pose=head_pose), avatar)

    return make_one


@pytest.fixture(scope="module")
def driven(make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]) -> list[AvatarPose]:
    """The whole performance, for several looks at it."""
    return drive(make, avatar, observations)


def drive(make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]) -> list[AvatarPose]:
    engine = make(avatar)
    engine.calibrate(observations[0])
    return [engine.animate(observation) for observation in observations]


def raised(avatar: Avatar, poses: list[AvatarPose], landmarks: list[int]) -> np.ndarray:
    """[T, N] how far up the vertices went that follow these landmarks most, avatar units."""
    followers = np.asarray(avatar.rig.weights[:, landmarks].argmax(axis=0)).reshape(-1)
    return np.stack([(pose.vertices - avatar.display_mesh.vertices)[followers, 1] for pose in poses])


def test_mouth_and_eyes_follow_the_driver(
    driven: list[AvatarPose], avatar: Avatar, observations: list[FaceObservation]
) -> None:
    heads = np.stack([observation.landmarks_head_m() for observation in observations])
    driver_gap = heads[:, UPPER_LIP, 1] - heads[:, LOWER_LIP, 1]
    upper, lower = raised(avatar, driven, [UPPER_LIP, LOWER_LIP]).T
    assert np.ptp(driver_gap) > 0.005, "the performance has to open the mouth for this test to mean anything"
    assert np.corrcoef(driver_gap, upper - lower)[0, 1] > 0.8
    driver_lids = (heads[:, UPPER_LIDS, 1] - heads[:, LOWER_LIDS, 1]).mean(axis=1)
    avatar_lids = (raised(avatar, driven, UPPER_LIDS) - raised(avatar, driven, LOWER_LIDS)).mean(axis=1)
    assert np.corrcoef(driver_lids, avatar_lids)[0, 1] > 0.7


def test_nothing_spikes(driven: list[AvatarPose], avatar: Avatar) -> None:
    vertices = np.stack([pose.vertices for pose in driven])
    assert np.isfinite(vertices).all()
    assert np.abs(vertices - avatar.display_mesh.vertices).max() < 0.6, "half a face height is more than any face does"


def test_the_result_repeats(
    make: MakeEngine, driven: list[AvatarPose], avatar: Avatar, observations: list[FaceObservation]
) -> None:
    for pose, again in zip(driven[:60], drive(make, avatar, observations[:60]), strict=True):
        np.testing.assert_array_equal(pose.vertices, again.vertices)


def test_the_neutral_face_leaves_the_head_at_rest(
    make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]
) -> None:
    poses = drive(make, avatar, observations[:1])
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


def test_shoulders_stay_where_they_are_while_the_head_turns(driven: list[AvatarPose], avatar: Avatar) -> None:
    rest, share = avatar.rig.rest.astype(np.float64), avatar.rig.neck.share
    head, shoulders = np.flatnonzero(share == 1), np.flatnonzero(share == 0)
    assert len(shoulders) > 20
    shown = [transform_points(pose.T_world_head, pose.vertices.astype(np.float64)) for pose in driven]
    away = np.array([np.linalg.norm(points - rest, axis=1) for points in shown])
    assert away[:, head].max() > 0.15, "the head did turn"
    assert away[:, shoulders].max() < 0.25 * away[:, head].max()
    turned = [np.ptp((points - rest)[shoulders], axis=0).max() for points in shown]
    assert max(turned) < 1e-4, "shoulders give way, but never turn"


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


def test_a_ball_is_no_head(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(3)
    (tmp_path / "ball.obj").write_text(ball.export(file_type="obj"))
    with pytest.raises(InputError, match="face"):
        prepare_avatar(tmp_path / "ball.obj", cache_dir=tmp_path)


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


@pytest.mark.parametrize(("apart", "share"), [(0.0, 0.0), (0.02, 0.0), (0.05, 1.0), (0.4, 1.0)])
def test_lips_that_are_seen_to_be_shut_are_shut_whatever_the_prior_says(
    avatar: Avatar, apart: float, share: float
) -> None:
    class Bares:
        def estimate(self, *_: object) -> np.ndarray:
            return np.array([{"jawOpen": 0.3, "mouthClose": 0.1}.get(name, 0.5 * ("Upper" in name)) for name in names])

    engine = ExpressionEngine(avatar, prior=Bares())  # type: ignore[arg-type]
    names = engine.unit_names
    motion = DriverMotion(np.zeros((468, 3)), np.array([[1.0, 0.0]] * 2), np.zeros((2, 2)), np.eye(4), apart)
    units, _ = engine._seen(None, motion, type("Driver", (), {"own": None})())  # type: ignore[arg-type]
    shown = dict(zip(names, units[:, 0], strict=True))
    assert shown["mouthUpperUpLeft"] == pytest.approx(0.5 * share)
    assert shown["jawOpen"] - shown["mouthClose"] == pytest.approx(0.2 * share)


def test_gains_of_another_number_than_the_units_are_refused(avatar: Avatar) -> None:
    engine = ExpressionEngine(avatar)
    for wrong in (np.ones(51), np.full(52, np.nan)):
        with pytest.raises(ValueError, match="52 finite gains"):
            engine.gains = wrong
    np.testing.assert_array_equal(engine.gains, np.ones(52))


def test_an_engine_says_what_it_has(make: MakeEngine, avatar: Avatar, observations: list[FaceObservation]) -> None:
    """Units and gains go together; an engine without them may be given a profile's gains and stays as it is."""
    plain, given = make(avatar), make(avatar)
    units = plain.unit_names
    assert plain.keeps_neutral == (plain.name != "flow")
    assert (plain.unit_weights is None) == (units is None)
    assert plain.gains.shape == ((0,) if units is None else (len(units),))
    given.gains = np.full(52, 1.5)
    if units is not None:
        np.testing.assert_array_equal(given.gains, np.full(52, 1.5))
        return
    for each in (plain, given):
        each.calibrate(observations[0])
    one, other = (each.animate(max(observations, key=lambda seen: float(seen.scores[25]))) for each in (plain, given))
    np.testing.assert_array_equal(one.vertices, other.vertices)


def test_lips_that_meet_are_shut_on_the_avatar(avatar: Avatar, observations: list[FaceObservation]) -> None:
    """Where the driver's lips touch, so do the avatar's, to a fiftieth of the mouth's width."""
    poses = drive(ExpressionEngine, avatar, observations)
    points = np.stack([observation.landmarks_head_m() for observation in observations])
    shut = np.linalg.norm(points[:, UPPER_LIP] - points[:, LOWER_LIP], axis=1) < 0.0015
    assert shut.sum() > 10
    upper, lower = raised(avatar, poses, [UPPER_LIP, LOWER_LIP])[shut].T
    assert np.quantile(np.abs(upper - lower), 0.95) < 0.02 * avatar.rig.mouth.width
    still = np.zeros((len(avatar.controllers.rest), 3))
    assert LipClosing(avatar.rig).opening(still) == pytest.approx(0, abs=0.02)


def test_what_a_pose_does_is_told_in_the_words_of_other_programs(
    driven: list[AvatarPose], observations: list[FaceObservation]
) -> None:
    heads = np.stack([observation.landmarks_head_m() for observation in observations])
    jaw = np.array([pose.motion.weights[UNIT_NAMES.index("jawOpen")] for pose in driven])
    assert np.corrcoef(heads[:, UPPER_LIP, 1] - heads[:, LOWER_LIP, 1], jaw)[0, 1] > 0.7
    blinks = np.array([pose.motion.weights[UNIT_NAMES.index("eyeBlinkLeft")] for pose in driven])
    assert blinks.max() > 0.8
    assert np.median(blinks) < 0.3
    for pose in driven:
        np.testing.assert_allclose(gaze_of(pose.motion.weights), pose.motion.gaze, atol=1e-12)
        turned = rotation_vector(pose.motion.T_neutral_head[:3, :3])  # an avatar's world has the axes of its head
        np.testing.assert_allclose(turned, rotation_vector(pose.T_world_head[:3, :3]), atol=0.1)


def test_a_motion_that_was_kept_moves_the_head_as_it_did(avatar: Avatar, observations: list[FaceObservation]) -> None:
    engine, again = ExpressionEngine(avatar), ExpressionEngine(avatar)
    engine.calibrate(observations[0])
    size = float(np.linalg.norm(np.ptp(avatar.display_mesh.vertices, axis=0)))
    for number, observation in enumerate(observations):
        pose = engine.animate(observation)
        kept = again.follow(pose.motion, pose.timestamp_s, pose.index)
        if number > 30:  # both have eased in
            np.testing.assert_allclose(kept.T_world_head, pose.T_world_head, atol=1e-6)
            off = np.abs(kept.vertices - pose.vertices).max()
            assert off < 1e-3 * size, "lids of eyes that look aside or down follow the gaze, not the prior"
            np.testing.assert_allclose(kept.motion.weights, pose.motion.weights, atol=1e-6)
            np.testing.assert_allclose(kept.motion.T_neutral_head, pose.motion.T_neutral_head, atol=1e-6)
    lost = [again.follow(FaceMotion.at_rest(), pose.timestamp_s + step / 30, 0, tracked=False) for step in range(1, 30)]
    assert np.abs(lost[-1].motion.weights).max() < 1e-6


def test_eyes_look_where_the_driver_looks(avatar: Avatar, observations: list[FaceObservation]) -> None:
    engine = ExpressionEngine(avatar)
    engine.calibrate(observations[0])
    seen = np.array([engine.animate(observation).motion.gaze.mean(axis=0) for observation in observations])
    played = make_performance(UNIT_NAMES).weights
    truth = np.array([gaze_of(played[observation.frame.index]).mean(axis=0) for observation in observations])
    for axis in range(2):
        assert np.ptp(truth[:, axis]) > np.radians(5)
        assert np.corrcoef(truth[:, axis], seen[:, axis])[0, 1] > 0.6


def test_engines_without_units_follow_no_motion(avatar: Avatar) -> None:
    with pytest.raises(InputError, match="--engine expression"):
        make_engine(MotionOptions(engine="landmark"), avatar).follow(FaceMotion.at_rest(), 0.0, 0)
