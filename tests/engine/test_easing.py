"""Easing after losses and returns: at rest in time, and never a jump."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.motion.easing import Easing, State

STEP_S = 1 / 30


@dataclass(frozen=True, eq=False)
class Pair(State):
    mouth: NDArray[np.float64]
    lids: NDArray[np.float64]


def state(value: float) -> Pair:
    return Pair(np.array([value]), np.full((2, 2), -value))


def run(easing: Easing[Pair], tracked: list[bool], live: float = 1.0) -> list[float]:
    """What is shown frame by frame while the live state stays at `live`."""
    shown = []
    for number, is_tracked in enumerate(tracked):
        at = state(live) if is_tracked else easing.rest
        shown.append(float(easing.step(at, is_tracked, number * STEP_S).mouth[0]))
    return shown


def test_at_rest_soon_after_a_loss_and_back_without_a_jump() -> None:
    shown = run(Easing(state(0.0)), [True] * 30 + [False] * 30 + [True] * 30)
    assert shown[29] == pytest.approx(1.0)
    assert shown[30] == pytest.approx(1.0)  # the frame of the loss itself
    assert shown[30 + 11] == pytest.approx(0.0)
    assert shown[60] == pytest.approx(0.0)
    assert shown[60 + 13] == pytest.approx(1.0)
    assert np.abs(np.diff(shown)).max() < 0.2


def test_one_missing_frame_is_hardly_seen() -> None:
    shown = run(Easing(state(0.0)), [True] * 30 + [False] + [True] * 30)
    assert min(shown[30:]) > 0.97


def test_a_loss_in_the_middle_of_returning() -> None:
    shown = run(Easing(state(0.0)), [True] * 30 + [False] * 30 + [True] * 6 + [False] * 30)
    assert np.abs(np.diff(shown)).max() < 0.2
    assert shown[-1] == 0.0


def test_what_begins_is_shown_as_it_is() -> None:
    easing = Easing(state(0.0))
    assert float(easing.begin(state(0.7), 0.0).mouth[0]) == 0.7
    assert float(easing.step(state(0.8), True, STEP_S).mouth[0]) == 0.8


def test_all_parts_of_a_state_ease_alike() -> None:
    easing = Easing(state(0.0))
    for number in range(10):
        shown = easing.step(state(1.0), True, number * STEP_S)
        np.testing.assert_allclose(shown.lids, np.full((2, 2), -shown.mouth[0]))
    assert 0 < float(shown.mouth[0]) < 1
