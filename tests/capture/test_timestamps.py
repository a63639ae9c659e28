"""Times that always rise, whatever a camera or a file says."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.cameras.timestamps import LONGEST_DELAY_S, LiveTimes, RecordedTimes

ANY_TIME = st.floats() | st.floats(-2, 2) | st.just(0.0)


@given(st.lists(ANY_TIME, max_size=40))
def test_live_times_rise_and_stay_near_the_arrival(offsets_s: list[float]) -> None:
    times, kept, arrival_s = LiveTimes(0.05), [], 100.0
    for offset_s in offsets_s:
        arrival_s += 1 / 30
        stamped_s = times.stamp(arrival_s + offset_s, arrival_s)
        if stamped_s is not None:
            assert arrival_s - LONGEST_DELAY_S <= stamped_s <= arrival_s + 0.06
            kept.append(stamped_s)
    assert all(later > earlier for earlier, later in pairwise(kept))
    assert len(kept) + times.unordered == len(offsets_s)


def test_a_live_time_that_is_true_is_kept_as_it_is() -> None:
    times = LiveTimes()
    stamps = [times.stamp(50 + number / 30, 50.07 + number / 30) for number in range(5)]
    assert stamps == [50 + number / 30 for number in range(5)]
    assert (times.restamped, times.unordered) == (0, 0)


def test_a_live_time_is_replaced_by_the_arrival_less_the_known_latency() -> None:
    times = LiveTimes(0.068)
    assert times.stamp(math.nan, 10.0) == 10.0 - 0.068
    assert times.restamped == 1


@given(st.lists(st.floats() | st.floats(0, 100), max_size=40), st.sampled_from([0.0, 30.0, 60.0, 1e-320, math.nan]))
def test_recorded_times_rise_and_no_frame_is_lost(times_s: list[float], fps: float) -> None:
    times = RecordedTimes(fps)
    stamped = [times.stamp(time_s) for time_s in times_s]
    assert all(math.isfinite(time_s) for time_s in stamped)
    assert all(later > earlier for earlier, later in pairwise(stamped))
    assert all(later - earlier <= 60.1 for earlier, later in pairwise(stamped)), "nobody waits so long"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([0.0, 0.1, 5.0], [0.0, 0.1, 5.0]),
        ([math.nan, 0.1, math.nan, 0.3], [0.0, 0.1, 0.2, 0.3]),
        ([0.0, 0.1, 1e6, 1e6 + 0.1, 0.4, 0.5], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ([7.0, 7.1, 0.0, 0.1, 0.2], [7.0, 7.1, 7.2, 7.3, 7.4]),
        ([-math.inf, 0.1], [0.0, 0.1]),
        ([1e300, 1e300], [0.0, 0.1]),
    ],
    ids=["good", "nan", "a leap and back", "restarted", "inf", "huge"],
)
def test_recorded_times_go_on_at_the_nominal_rate(own: list[float], expected: list[float]) -> None:
    times = RecordedTimes(10.0)
    assert [times.stamp(time_s) for time_s in own] == pytest.approx(expected, abs=1e-5)
