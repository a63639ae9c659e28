"""Times that can be relied on: every frame has one, finite, and later than that of the frame before."""

from __future__ import annotations

import math

LEAST_STEP_S = 1e-6  # between two frames
LONGEST_DELAY_S = 2.0  # from exposure to arrival; a camera that says more has a wrong clock
EARLY_S = 0.05  # how far clocks may be apart for a picture to be younger than its arrival
RESTART_S = 1.0  # a recording's clock that goes back by more was restarted
LONGEST_GAP_S = 60.0  # and one that leaps ahead by more is broken: nobody waits for that
LARGEST_S = 1e10  # three centuries; beyond, microseconds get lost in float64


class LiveTimes:
    """Timestamps of a live camera, on the machine's monotonic clock.

    One that cannot be true is replaced by the time at which the picture came: the picture itself is good, and a camera
    whose clock is broken for good stays usable. A picture older than the one before is dropped: what is shown would
    step back. As no timestamp may be far from its arrival, that never lasts longer than two seconds.

    Attributes:
        restamped: timestamps replaced.
        unordered: pictures to be dropped.
    """

    def __init__(self, latency_s: float = 0.0) -> None:
        self.restamped = self.unordered = 0
        self._latency_s = latency_s
        self._last_s = -math.inf

    def stamp(self, timestamp_s: float, arrival_s: float) -> float | None:
        """The time to use for a picture that arrived at `arrival_s`, or None for one that is to be dropped."""
        if not arrival_s - LONGEST_DELAY_S <= timestamp_s <= arrival_s + EARLY_S:  # true for NaN
            self.restamped += 1
            timestamp_s = arrival_s - self._latency_s
        if timestamp_s < self._last_s:
            self.unordered += 1
            return None
        self._last_s = max(timestamp_s, self._last_s + LEAST_STEP_S)
        return self._last_s


class RecordedTimes:
    """Timestamps of a recording, in seconds from its start.

    No frame is dropped: its place in the file says where it belongs. One without a time follows the frame before at the
    nominal rate; one a little too early follows it at once; where the clock restarts or leaps, it goes on from there.

    Attributes:
        restamped: timestamps replaced, those a little too early not counted.
    """

    def __init__(self, fps: float) -> None:
        self.restamped = 0
        self._step_s = 1 / fps if math.isfinite(fps) and fps > 1e-3 else 1 / 30
        self._offset_s = 0.0
        self._last_s: float | None = None

    def stamp(self, time_s: float) -> float:
        """The time to use for the next frame, whose own time is `time_s`."""
        last_s = self._last_s
        expected_s = 0.0 if last_s is None else last_s + self._step_s
        earliest_s, latest_s = (
            (-LARGEST_S, LARGEST_S) if last_s is None else (last_s - RESTART_S, last_s + LONGEST_GAP_S)
        )
        shifted_s = time_s + self._offset_s
        if not earliest_s <= shifted_s <= latest_s:  # true for NaN
            self.restamped += 1
            if abs(time_s) <= LARGEST_S:
                self._offset_s = expected_s - time_s
            shifted_s = expected_s
        self._last_s = shifted_s if last_s is None else max(shifted_s, last_s + LEAST_STEP_S)
        return self._last_s
