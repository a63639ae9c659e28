"""What counts where the prior and what is measured between the lids say different things."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from core.expression_units import UNIT_NAMES
from core.frame import FaceObservation
from engine.expression.expression_features import ExpressionNeutral
from engine.expression.expression_prior import ExpressionPrior
from engine.expression.seen_units import BLINKS, SeenUnits
from engine.motion.driver_face import DriverMotion


def blinks_of(named: dict[str, float], *aperture: float) -> np.ndarray:
    """[2] blinks where the prior names these units and lids are seen so many times as far open as at rest: one number
    for both eyes, or those of the eyes at picture left and right."""
    units = np.array([named.get(name, 0.0) for name in UNIT_NAMES])
    prior = cast(ExpressionPrior, SimpleNamespace(estimate=lambda *_: units))
    motion = cast(
        DriverMotion, SimpleNamespace(lids=np.array([[each, 0.0] for each in (aperture * 2)[:2]]), lips_apart=0.0)
    )
    nobody = cast(FaceObservation, None), cast(ExpressionNeutral, None)
    return SeenUnits(prior)(*nobody, motion)[BLINKS]


def units_of(named: dict[str, float]) -> np.ndarray:
    """[52] what is made of these units, by the prior, of a face with open eyes and parted lips."""
    units = np.array([named.get(name, 0.0) for name in UNIT_NAMES])
    prior = cast(ExpressionPrior, SimpleNamespace(estimate=lambda *_: units))
    motion = cast(DriverMotion, SimpleNamespace(lids=np.array([[1.0, 0.0]] * 2), lips_apart=0.2))
    return SeenUnits(prior)(cast(FaceObservation, None), cast(ExpressionNeutral, None), motion)


def test_units_go_one_way_and_faint_ones_are_left_out() -> None:
    named = {
        "jawOpen": 0.03,
        "mouthStretchLeft": -0.1,
        "browInnerUp": -0.2,
        "mouthSmileLeft": 0.4,
        "eyeLookUpLeft": -0.1,
    }
    seen = dict(zip(UNIT_NAMES, units_of(named), strict=True))
    assert 0 <= seen["jawOpen"] < 0.01
    assert seen["mouthStretchLeft"] == seen["browInnerUp"] == 0
    assert seen["mouthSmileLeft"] == pytest.approx(0.4)
    assert seen["eyeLookUpLeft"] < -0.1, "a gaze has two sides"


def test_wide_eyes_are_not_opened_twice() -> None:
    """The unit opens them; that they are measured open says the same once more."""
    wide = {"eyeWideLeft": 1.0, "eyeWideRight": 1.0}
    assert blinks_of(wide, 1.25) == pytest.approx(0.0)
    assert blinks_of({}, 1.25) == pytest.approx(-0.125)


def test_what_is_measured_beyond_named_wideness_counts() -> None:
    half_wide = {"eyeWideLeft": 0.2, "eyeWideRight": 0.2}
    assert (blinks_of(half_wide, 1.25) < -0.05).all()


def test_lids_on_their_way_to_shut_are_shut_and_half_shut_ones_are_left() -> None:
    shut = {"eyeBlinkLeft": 0.88, "eyeBlinkRight": 0.88}
    half = {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5}
    assert blinks_of(shut, 0.12) == pytest.approx(1.0)
    assert blinks_of(half, 0.5) == pytest.approx(0.5)


def test_a_wink_is_shut_and_its_other_eye_open() -> None:
    """The face landmarker shows three quarters of a wink, and a quarter of it in the other eye."""
    shut, open_ = blinks_of({"eyeBlinkRight": 0.72}, 0.30, 0.80)
    assert shut > 0.9
    assert abs(open_) < 0.05
    assert blinks_of({"eyeBlinkLeft": 0.72}, 0.80, 0.30) == pytest.approx([open_, shut])


def test_eyes_that_hardly_differ_are_left_as_they_are_measured() -> None:
    assert blinks_of({}, 0.9, 0.75) == pytest.approx([0.05, 0.125])
