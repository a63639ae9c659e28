"""The contact sheet shows every state, close up, through the engine that drives."""

import numpy as np
import pytest

from benchmarks.contact_sheet import (
    MAGNIFIED,
    STATES,
    WINDOW,
    State,
    close_ups,
    draw_moments,
    draw_sheet,
    moments,
    posed,
)
from benchmarks.tearing import TrackedClip
from calib.avatar import Avatar
from capture.face.face_model_file import find_face_model
from core.camera import AVATAR_VIEW, Intrinsics, transform_points
from core.canonical_face import load_canonical_face
from core.errors import InputError
from core.expression_units import SCORE_NAMES
from core.face_regions import LOWER_LIDS, LOWER_LIP, UPPER_LIDS
from core.frame import FaceObservation, RgbdFrame
from engine.expression.expression_engine import ExpressionEngine


@pytest.fixture(scope="module")
def engine(lowpoly: Avatar) -> ExpressionEngine:
    return ExpressionEngine(lowpoly)


def test_at_rest_the_head_is_as_in_its_file(lowpoly: Avatar, engine: ExpressionEngine) -> None:
    np.testing.assert_allclose(posed(engine, STATES["rest"]), lowpoly.display_mesh.vertices, atol=3e-4)


def test_every_other_state_moves_what_its_name_says(lowpoly: Avatar, engine: ExpressionEngine) -> None:
    rest = lowpoly.rig.rest
    eye = lowpoly.rig.eyes[0]
    for name, axis, sign in (("gaze_up", 1, 1), ("gaze_down", 1, -1), ("gaze_left", 0, -1), ("gaze_right", 0, 1)):
        foremost = eye.ball[rest[eye.ball, 2].argmax()]
        assert sign * (posed(engine, STATES[name]) - rest)[foremost, axis] > 0.01, name
    for name in ("half_shut", "shut", "jaw_open", "smile", "pucker"):
        assert np.abs(posed(engine, STATES[name]) - rest).max() > 0.01, name


def test_a_unit_that_there_is_not_is_an_error(engine: ExpressionEngine) -> None:
    with pytest.raises(ValueError, match="noseWiggle"):
        posed(engine, State({"noseWiggle": 1.0}))


def test_the_cameras_hold_eyes_and_mouth_and_are_four_times_as_large(lowpoly: Avatar) -> None:
    eyes, mouth = close_ups(lowpoly)
    assert eyes.fx == mouth.fx == MAGNIFIED * AVATAR_VIEW.fitted(*WINDOW).fx
    lids = lowpoly.landmarks[[*UPPER_LIDS[0], *UPPER_LIDS[1], *LOWER_LIDS[0], *LOWER_LIDS[1]]].astype(np.float64)
    at = eyes.project(lids * [1, -1, -1] + [0, 0, 8])
    assert ((at > 0) & (at < [eyes.width, eyes.height])).all()


def test_a_sheet_shows_the_states_beside_each_other(lowpoly: Avatar) -> None:
    states = {name: STATES[name] for name in ("rest", "shut", "jaw_open")}
    sheet = draw_sheet(lowpoly, states)
    eyes, mouth = close_ups(lowpoly)
    half = sheet.shape[1] // 2
    assert half > eyes.width + mouth.width
    assert len(sheet) > 2 * max(eyes.height, mouth.height)
    rest, shut = (sheet[: eyes.height, start : start + eyes.width].astype(int) for start in (0, half))
    assert np.abs(rest - shut).max() > 60
    shown = draw_sheet(lowpoly, {"rest": STATES["rest"]}, as_shown=True)
    assert (shown[:MAGNIFIED, :MAGNIFIED] == shown[0, 0]).all()


def test_the_flow_engine_shows_the_states_too(lowpoly: Avatar) -> None:
    states = {name: STATES[name] for name in ("rest", "jaw_open")}
    eyes, mouth = close_ups(lowpoly)
    sheet = draw_sheet(lowpoly, states, engine="flow").astype(int)
    half = sheet.shape[1] // 2
    at_mouth = slice(eyes.width, eyes.width + mouth.width)
    assert np.abs(sheet[: mouth.height, :half][:, at_mouth] - sheet[: mouth.height, half:][:, at_mouth]).max() > 60
    with pytest.raises(InputError, match="landmark"):
        draw_sheet(lowpoly, states, engine="landmark")


def clip(jaw: list[float]) -> TrackedClip:
    """A driver in grey whose jaw opens so far in one frame after another, and who smiles in the last."""
    rest = load_canonical_face(find_face_model()).points
    camera = Intrinsics(200, 200, 64, 64, 128, 128)
    T = np.eye(4)
    T[:3, :3], T[2, 3] = np.diag([1.0, -1.0, -1.0]), 0.5
    seen = []
    for number, opened in enumerate([0.0, *jaw, 0.0]):
        points = rest.copy()
        points[list(LOWER_LIP[0]), 1] -= 0.03 * opened
        scores = np.zeros(len(SCORE_NAMES), np.float32)
        scores[SCORE_NAMES.index("jawOpen")] = opened
        scores[SCORE_NAMES.index("mouthSmileLeft")] = float(number == len(jaw) + 1)
        at = transform_points(T, points.astype(np.float64))
        frame = RgbdFrame(np.full((128, 128, 3), 90, np.uint8), None, camera, number / 30, number)
        pixels = camera.project(at).astype(np.float32)
        seen.append(FaceObservation(frame, True, 1.0, pixels, at.astype(np.float32), T, scores))
    return TrackedClip("clip", seen[0], seen)


def test_the_moments_of_a_clip_differ_from_its_neutral_and_each_other() -> None:
    assert moments(clip([0.1, 0.9, 0.85]), 2) == [2, 4]
    assert moments(clip([]), 5) == [0, 1]


def test_a_sheet_of_clips_shows_driver_and_head(lowpoly: Avatar) -> None:
    sheet = draw_moments(lowpoly, [clip([0.5, 1.0]), clip([0.9])], 2, "landmark")
    eyes, mouth = close_ups(lowpoly)
    assert sheet.shape[1] > 2 * (960 + eyes.width + mouth.width)
    assert len(sheet) > 2 * 480
    assert (sheet[200:280, 200:280] == 90).all(), "the driver's own picture"
    assert sheet[:480, 480:960].std() > 10, "a head"
