"""The code that the prior names is calm, and lags no more than units do."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.frame import FaceObservation
from engine.expression.expression_features import ExpressionNeutral
from engine.flow.ours.motion_code import SeenByPrior
from engine.motion.driver_face import DriverMotion

SMILE, BLINK = UNIT_NAMES.index("mouthSmileLeft"), UNIT_NAMES.index("eyeBlinkLeft")
FPS = 30.0


def played(monkeypatch: pytest.MonkeyPatch, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[T, 52] codes, and units as they are named, of a driver who does this [T, 52]."""
    code = SeenByPrior(np.zeros((1, UNIT_COUNT), np.float32))
    frames = iter(weights)
    monkeypatch.setattr(code, "units", lambda *_: next(frames))
    monkeypatch.setattr(ExpressionNeutral, "of", staticmethod(lambda _neutral: None))
    driver = code.relative_to(cast(FaceObservation, None))
    seen = [
        driver(cast(FaceObservation, SimpleNamespace(timestamp_s=number / FPS)), cast(DriverMotion, None))
        for number in range(len(weights))
    ]
    assert all(each.units is not None for each in seen)
    return np.stack([each.offset[0] for each in seen]), np.stack([np.asarray(each.units) for each in seen])


def test_noise_is_calmed_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(0).normal(0, 0.001, (120, UNIT_COUNT))
    code, named = played(monkeypatch, weights)
    assert code[20:, SMILE].std() < 0.65 * weights[20:, SMILE].std()
    np.testing.assert_array_equal(named, weights)  # whoever smooths those does it himself


def test_an_expression_is_in_the_code_two_frames_after_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.zeros((30, UNIT_COUNT))
    weights[10:, SMILE] = 1.0
    weights[10:, BLINK] = 1.0
    code, _ = played(monkeypatch, weights)
    assert not code[:10].any()
    assert code[12, SMILE] > 0.85
    assert not code[:, BLINK].any()  # lids are shut on the eyeballs
