import subprocess
import sys
import time

import pytest

from realtime.threads import timing
from realtime.threads.timing import Durations, Rate, SectionTimes, StateClock


def test_percentiles_are_in_milliseconds() -> None:
    durations = Durations()
    for milliseconds in range(1, 101):
        durations.add(milliseconds / 1e3)
    summary = durations.summary_ms()
    assert summary["p50"] == pytest.approx(50.5, abs=0.01)
    assert summary["p95"] == pytest.approx(95.05, abs=0.01)
    assert summary["max"] == pytest.approx(100)


def test_the_newest_are_kept_and_the_longest_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "KEPT_SAMPLES", 4)
    durations = Durations()
    assert durations.newest_s(2) == []
    for seconds in (9.0, 1.0, 2.0):
        durations.add(seconds)
    assert durations.newest_s(2) == [2.0, 1.0]
    for seconds in (3.0, 4.0, 5.0):
        durations.add(seconds)
    assert durations.newest_s(9) == [5.0, 4.0, 3.0, 2.0]
    assert durations.summary_ms() == {"p50": 3500.0, "p95": 4850.0, "max": 9000.0}


def test_nothing_timed_is_all_zero() -> None:
    assert Durations().summary_ms() == {"p50": 0.0, "p95": 0.0, "max": 0.0}


def test_a_section_is_timed_even_when_it_raises() -> None:
    times = SectionTimes()
    with pytest.raises(ZeroDivisionError), times.section("track"):
        _ = 1 / 0
    assert times.summary_ms()["track"]["max"] >= 0
    assert list(times.summary_ms()) == ["track"]


def test_rate_counts_intervals_not_events() -> None:
    rate = Rate()
    assert rate.per_second == 0
    for tick in range(31):
        rate.tick(5 + tick / 30)
    assert rate.count == 31
    assert rate.per_second == pytest.approx(30)


def test_states_share_out_the_time() -> None:
    clock = StateClock()
    clock.enter("waiting", 10)
    clock.enter("streaming", 12)
    clock.enter("streaming", 15)
    clock.enter("no face", 16)
    clock.enter("streaming", 16.5)
    assert clock.seconds(20) == {"waiting": 2.0, "streaming": 7.5, "no face": 0.5}
    assert clock.seconds(21)["streaming"] == 8.5


def test_a_process_is_no_older_than_the_call_that_started_it() -> None:
    """The machine's start is told in whole seconds: whoever counted from there was off by up to one."""
    code = "from realtime.live.report import seconds_since_process_start as age; print(age())"
    called_s = time.monotonic()
    told = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 0 <= told <= time.monotonic() - called_s + 0.02  # hundredths of a second are counted
