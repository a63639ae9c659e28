"""A device's clock mapped to ours: exact where arrivals are quick, steady under load, through drift and restarts."""

import math

import numpy as np
import pytest

from capture.cameras.clock import DeviceClock


def stream(seconds: float, drift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(true time, device time, arrival) of frames at 30 a second, 20 ms on the way and up to tens of ms late."""
    rng = np.random.default_rng(seed)
    taken = 500.0 + np.arange(round(30 * seconds)) / 30
    return taken, (taken - 493.0) * (1 - drift), taken + 0.020 + rng.exponential(0.004, len(taken))


@pytest.mark.parametrize("drift", [0.0, 50e-6, -80e-6, 200e-6])
def test_jitter_goes_and_drift_is_followed(drift: float) -> None:
    clock = DeviceClock(latency_s=0.020)
    taken, device, arrival = stream(180, drift)
    mapped = np.array([clock.to_monotonic(*pair) for pair in zip(device, arrival, strict=True)])
    late = taken > taken[0] + 60
    assert np.abs(mapped - taken)[late].max() < 0.001
    assert np.abs(mapped - taken).max() < 0.025
    assert (np.diff(mapped) >= 0).all()
    assert clock.drift == pytest.approx(drift, abs=20e-6)


def test_the_known_latency_is_taken_off() -> None:
    plain, known = DeviceClock(), DeviceClock(latency_s=0.068)
    for device_s in np.arange(0, 3, 1 / 30):
        assert plain.to_monotonic(device_s, 100 + device_s) - known.to_monotonic(
            device_s, 100 + device_s
        ) == pytest.approx(0.068)


def test_a_frame_is_never_from_the_future() -> None:
    clock = DeviceClock()
    _, device, arrival = stream(20, 100e-6, seed=3)
    for device_s, arrival_s in zip(device, arrival, strict=True):
        assert clock.to_monotonic(device_s, arrival_s) <= arrival_s


def test_a_device_that_restarted_counts_from_zero_again() -> None:
    clock = DeviceClock()
    for device_s in np.arange(1000, 1005, 1 / 30):
        clock.to_monotonic(device_s, 50 + device_s - 1000)
    for device_s in np.arange(0.5, 3, 1 / 30):
        assert clock.to_monotonic(device_s, 58 + device_s) == pytest.approx(58 + device_s)


def test_load_for_a_while_does_not_move_the_clock() -> None:
    clock = DeviceClock()
    _, device, arrival = stream(60, 0.0)
    arrival[900:1200] += 0.3
    mapped = np.array([clock.to_monotonic(*pair) for pair in zip(device, arrival, strict=True)])
    assert np.abs(np.diff(mapped)[300:] - 1 / 30).max() < 0.002


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_stamp_that_is_no_number_leaves_the_clock_as_it_is(wrong: float) -> None:
    spoiled, untouched = DeviceClock(), DeviceClock()
    for number in range(200):
        device_s, arrival_s = number / 30, 50 + number / 30 + 0.01 * (number % 3)
        assert math.isnan(spoiled.to_monotonic(wrong, arrival_s))
        assert spoiled.to_monotonic(device_s, arrival_s) == untouched.to_monotonic(device_s, arrival_s)
