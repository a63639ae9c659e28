"""From controllers to vertices: rigid parts stay rigid, eyes turn in their sockets, all in array operations."""

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import FrameType

import numpy as np
import pytest

from calib.avatar import Avatar
from calib.rig.expression_basis import ExpressionUnits
from core.face_regions import CHIN, FACE_LANDMARKS
from core.frame import FaceObservation
from core.sphere import fit_sphere
from engine.landmark.landmark_engine import LandmarkEngine
from engine.motion.face_mapping import FaceMapping
from engine.motion.retarget import Retargeter

Observe = Callable[..., FaceObservation]


def chin_down(avatar: Avatar, amount: float) -> np.ndarray:
    moved = np.zeros((len(avatar.controllers.rest), 3))
    moved[list(CHIN), 1] = -amount
    return moved


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def test_nothing_moves_at_rest(prepared: Avatar) -> None:
    vertices = Retargeter(prepared.rig).vertices(chin_down(prepared, 0.0), np.zeros((2, 2)))
    np.testing.assert_allclose(vertices, prepared.rig.rest, atol=1e-6)


def test_lower_teeth_go_with_the_jaw_as_one_piece(prepared: Avatar) -> None:
    vertices = Retargeter(prepared.rig).vertices(chin_down(prepared, 0.2), np.zeros((2, 2)))
    teeth = prepared.rig.jaw.vertices
    assert len(teeth) > 20
    some = teeth[:: max(1, len(teeth) // 40)]
    np.testing.assert_allclose(distances(vertices[some]), distances(prepared.rig.rest[some]), atol=1e-5)
    front = some[prepared.rig.rest[some, 2].argmax()]
    assert (vertices - prepared.rig.rest)[front, 1] < -0.1


def test_the_jaw_lets_the_chin_down_as_far_as_it_went(prepared: Avatar) -> None:
    moved = chin_down(prepared, 0.15)
    rotation, shift = Retargeter(prepared.rig).jaw_motion(moved)
    chin = prepared.controllers.rest[list(CHIN)].mean(axis=0)
    assert (rotation @ chin + shift - chin)[1] == pytest.approx(-0.15, rel=0.05)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_lower_teeth_go_back_as_far_as_the_chin_over_them(prepared: Avatar) -> None:
    """An axis that lies too high takes them farther back than the skin, one too far forward takes them through it."""
    units = ExpressionUnits(prepared.rig.basis)
    _, moved = units.displacement(np.array([float(name == "jawOpen") for name in units.names]))
    skin = moved[list(CHIN)].mean(axis=0)
    rotation, shift = Retargeter(prepared.rig).jaw_motion(moved.astype(float))
    chin = prepared.controllers.rest[list(CHIN)].mean(axis=0)
    bone = rotation @ chin + shift - chin
    assert skin[2] < -0.1
    assert bone[2] == pytest.approx(skin[2], rel=0.3)


def test_a_jaw_whose_chin_lies_below_its_hinge_slides_down(prepared: Avatar) -> None:
    """As on stylised heads, whose faces are flat and chins set back: turning alone leaves the teeth where they are."""
    rig = prepared.rig
    chin = rig.controllers.rest[list(CHIN)].mean(axis=0)
    above = chin + np.array([0.0, 0.7, -0.1])
    moved = chin_down(prepared, 0.2)
    rotation, shift = Retargeter(replace(rig, jaw=replace(rig.jaw, hinge=above))).jaw_motion(moved)
    assert (rotation @ chin + shift - chin)[1] == pytest.approx(-0.2, rel=0.05)


def test_eyeballs_turn_about_their_middle_and_never_deform(prepared: Avatar) -> None:
    gaze = np.array([[0.3, 0.1], [0.3, 0.1]])
    vertices = Retargeter(prepared.rig).vertices(chin_down(prepared, 0.0), gaze)
    for eye in prepared.rig.eyes:
        ball = eye.ball
        np.testing.assert_allclose(distances(vertices[ball]), distances(prepared.rig.rest[ball]), atol=1e-5)
        before, after = fit_sphere(prepared.rig.rest[ball].astype(float)), fit_sphere(vertices[ball].astype(float))
        np.testing.assert_allclose(before.centre, after.centre, atol=1e-3)
        front = prepared.rig.rest[ball][:, 2].argmax()
        step = vertices[ball][front] - prepared.rig.rest[ball][front]
        assert step[0] > 0
        assert step[1] > 0


def test_irises_on_flat_whites_slide_as_far_as_painted_ones(prepared: Avatar) -> None:
    """A ball as large as the face would take them out of the eye."""
    rig = prepared.rig
    eyes = [replace(eye, centre=eye.centre - [0.0, 0.0, 3 * eye.width]) for eye in rig.eyes]
    retargeter = Retargeter(replace(rig, eyes=(eyes[0], eyes[1])))
    vertices = retargeter.vertices(np.zeros_like(rig.controllers.rest), np.full((2, 2), [0.4, 0.0]))
    for eye in eyes:
        shift = (vertices - rig.rest)[eye.ball].mean(axis=0)
        assert 0.25 * np.sin(0.4) < shift[0] / eye.width < 0.4 * np.sin(0.4)


def test_motion_is_scaled_to_the_head(prepared: Avatar, face_points: np.ndarray) -> None:
    mapping = FaceMapping(prepared.rig, face_points)
    step = np.zeros((FACE_LANDMARKS, 3))
    step[:, 1] = 0.01
    small = mapping(step)
    large = FaceMapping(prepared.rig, 2 * face_points)(2 * step)
    np.testing.assert_allclose(small, large, rtol=1e-6)
    inside = prepared.controllers.gain[:FACE_LANDMARKS] == 1
    assert (small[inside, 1] > 0.4 * 0.01 * mapping.scale).all()
    assert (small[inside, 1] < 1.8 * 0.01 * mapping.scale).all()
    assert np.abs(small[[10, 234, 454]]).max() < 0.2 * small[inside, 1].max()


def calls_of(work: Callable[[], object]) -> int:
    """How many functions it calls, Python's own and those of libraries; not those that earlier garbage calls when it
    goes."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.collect()
    gc.disable()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


def test_a_frame_loops_over_neither_controllers_nor_vertices(
    prepared: Avatar, face_points: np.ndarray, observe: Observe
) -> None:
    """What keeps it within a few milliseconds (benchmarks/live.py measures those): array operations only."""
    engine = LandmarkEngine(prepared)
    engine.calibrate(observe(face_points))
    seen = [observe(face_points + 1e-4 * number, number / 30) for number in range(3)]
    _, second, third = (calls_of(partial(engine.animate, observation)) for observation in seen)
    assert second < 900 + len(prepared.controllers.rest)
    assert third == second, "nothing piles up"


def test_every_engine_smooths_what_moves_together_alike(prepared: Avatar) -> None:
    for _ in range(2):
        groups = LandmarkEngine(prepared)._filters[0]._groups
        assert groups is not None
        assert len(np.unique(groups)) == 6, "lips with chin, two brows, nose bridge, oval, and the rest"


def test_wild_landmarks_do_not_throw_vertices_about(
    prepared: Avatar, face_points: np.ndarray, observe: Observe
) -> None:
    engine = LandmarkEngine(prepared)
    engine.calibrate(observe(face_points))
    wild = face_points.copy()
    wild[[14, 87, 317, 152, 105]] += [0.5, -2.0, 3.0]
    engine.animate(observe(face_points, 0.03))
    vertices = engine.animate(observe(wild, 0.06)).vertices
    assert np.isfinite(vertices).all()
    assert np.abs(vertices - prepared.rig.rest).max() < 1.0


def test_turning_the_head_turns_the_avatar_the_same_way(
    prepared: Avatar, face_points: np.ndarray, observe: Observe
) -> None:
    engine = LandmarkEngine(prepared)
    engine.calibrate(observe(face_points))
    angle = 0.3
    turned = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    for number in range(1, 40):
        pose = engine.animate(observe(face_points, number / 30, turned))
    np.testing.assert_allclose(pose.T_world_head[:3, :3], turned, atol=0.02)
    on_head = prepared.rig.neck.share == 1
    assert np.abs((pose.vertices - prepared.rig.rest)[on_head]).max() < 0.02


def test_what_the_face_does_while_a_new_neutral_is_eased_into_is_shown_whole(
    prepared: Avatar, face_points: np.ndarray, observe: Observe
) -> None:
    """The mouth opens in the very frame that follows the new neutral, which is the old one."""
    opened = face_points.copy()
    opened[[17, 84, 314, 14, 87, 317, 152, 148, 377]] -= [0, 0.015, 0]

    def moved(again: bool) -> float:
        engine = LandmarkEngine(prepared)
        engine.calibrate(observe(face_points))
        for number in range(1, 30):
            engine.animate(observe(face_points, number / 30))
        if again:
            engine.calibrate(observe(face_points))
        for number in range(30, 34):
            pose = engine.animate(observe(opened, number / 30))
        return float(np.abs(pose.vertices - prepared.rig.rest).max())

    assert moved(True) == pytest.approx(moved(False), rel=0.05)
    assert moved(True) > 0.05


def test_a_new_neutral_is_eased_into(prepared: Avatar, face_points: np.ndarray, observe: Observe) -> None:
    smiling = face_points.copy()
    smiling[[61, 291, 78, 308]] += [0, 0.008, 0]
    engine = LandmarkEngine(prepared)
    engine.calibrate(observe(face_points))
    for number in range(1, 30):
        before = engine.animate(observe(smiling, number / 30)).vertices
    smile = np.abs(before - prepared.rig.rest).max()
    engine.calibrate(observe(smiling))
    after = engine.animate(observe(smiling, 1.0)).vertices
    assert np.abs(after - before).max() < 0.25 * smile
    for number in range(31, 90):
        after = engine.animate(observe(smiling, number / 30)).vertices
    assert np.abs(after - prepared.rig.rest).max() < 0.1 * smile
