"""The contact sheet shows every state, close up, through the engine that drives."""

import numpy as np
import pytest

from benchmarks.contact_sheet import MAGNIFIED, STATES, WINDOW, State, close_ups, draw_sheet, posed
from calib.avatar import Avatar
from core.camera import AVATAR_VIEW
from core.face_regions import LOWER_LIDS, UPPER_LIDS
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
