"""The One-Euro filter: still when still, quick when quick."""

import numpy as np
import pytest

from engine.motion.smoothing import OneEuro

STEP_S = 1 / 30


def run(filter_: OneEuro, values: np.ndarray) -> np.ndarray:
    return np.stack([filter_(value, index * STEP_S) for index, value in enumerate(values)])


def test_a_constant_passes_unchanged() -> None:
    values = np.tile([[0.3, -0.2, 0.1]], (20, 4, 1))
    np.testing.assert_allclose(run(OneEuro(1.0, 1.0), values), values)


def test_jitter_at_rest_is_calmed() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-3, (300, 5, 3))
    assert run(OneEuro(1.5, 5.0), noise)[60:].std() < 0.5 * noise.std()


def test_fast_motion_lags_by_less_than_a_frame() -> None:
    time_s = np.arange(60) * STEP_S
    signal = np.repeat(np.sin(2 * np.pi * 2 * time_s)[:, None, None] * 0.2, 3, axis=2)
    smooth = run(OneEuro(2.2, 14.0), signal)[:, 0, 0]
    lags = np.linspace(0, 0.1, 201)
    errors = [np.abs(np.interp(time_s[10:] - lag, time_s, signal[:, 0, 0]) - smooth[10:]).mean() for lag in lags]
    assert lags[int(np.argmin(errors))] < 0.025


def test_neighbours_share_the_speed_of_their_group() -> None:
    values = np.zeros((30, 2, 1))
    values[10:, 0] = np.linspace(0, 1, 20)[:, None]
    values[:, 1, 0] = np.random.default_rng(1).normal(0, 0.01, 30)
    apart, together = OneEuro(0.5, 5.0), OneEuro(0.5, 5.0, groups=np.array([0, 0]))
    assert run(together, values)[15:, 1].std() > 2 * run(apart, values)[15:, 1].std()


def test_time_standing_still_changes_nothing_and_a_gap_starts_anew() -> None:
    filter_ = OneEuro(1.0, 0.0)
    one, other = np.zeros((1, 1)), np.ones((1, 1))
    filter_(one, 0.0)
    assert filter_(other, 0.0) == pytest.approx(0.0)
    assert 0 < float(filter_(other, STEP_S)[0, 0]) < 1
    assert filter_(other, 10.0) == pytest.approx(1.0)
    assert filter_(one, 9.0) == pytest.approx(0.0)
