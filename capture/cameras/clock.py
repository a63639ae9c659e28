"""One clock for everything: a device's own timestamps → seconds of `time.monotonic`."""

from __future__ import annotations

import math
from collections import deque

BUCKET_S = 2.0  # the quickest arrival of each stretch of this length counts
BUCKETS = 30  # drift is taken from the last minute
MAX_DRIFT = 500e-6  # no crystal is worse than this; what looks worse is a change of load
RESTART_S = 1.0  # a device clock that jumps by more than this was restarted


class DeviceClock:
    """Maps the timestamps of a device to the time when the picture was taken, on the machine's monotonic clock.

    A frame arrives some time after it was taken: a delay every frame has (`latency_s`) and one that varies with load
    and is never negative. So the quickest arrivals carry the mapping: the smallest (arrival − device time) of each
    stretch of two seconds, with a line through those of the last minute for the drift between the two crystals (a lower
    envelope, the idea of Zhang, Liu and Xia, "Clock synchronization algorithms for network measurements", INFOCOM
    2002). Results never run backwards.

    Args:
        latency_s: the delay that even the quickest frame has, where it is known.
    """

    def __init__(self, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s
        self.drift = 0.0  # seconds per second by which the machine's clock outruns the device's
        self.restart()

    def restart(self) -> None:
        """Forget everything: the device was started anew and counts from another zero."""
        self._buckets: deque[tuple[float, float]] = deque(maxlen=BUCKETS)  # (device time, smallest offset)
        self._bucket_end_s = float("-inf")
        self._last_device_s = float("-inf")
        self._last_s = float("-inf")

    def to_monotonic(self, device_s: float, arrival_s: float) -> float:
        """Time of capture, for a picture stamped `device_s` by the device that arrived at `arrival_s`.

        NaN for a stamp that is no finite number, of which nothing is kept.
        """
        if not math.isfinite(device_s):
            return math.nan
        ahead = bool(self._buckets) and arrival_s - device_s < self._offset_at(device_s) - RESTART_S
        if ahead or device_s < self._last_device_s - RESTART_S:
            self.restart()
        self._last_device_s = device_s
        offset_s = arrival_s - device_s
        if device_s >= self._bucket_end_s:
            self._bucket_end_s = device_s + BUCKET_S
            self._buckets.append((device_s, offset_s))
            self._fit_drift()
        elif offset_s < self._buckets[-1][1]:
            self._buckets[-1] = (device_s, offset_s)
        captured_s = min(device_s + self._offset_at(device_s), arrival_s) - self.latency_s
        self._last_s = max(self._last_s, captured_s)
        return self._last_s

    def _fit_drift(self) -> None:
        """Slope between the quickest arrivals of the older and of the newer half of the minute (without the newest)."""
        full = list(self._buckets)[:-1]
        if len(full) < 6:
            return
        middle = len(full) // 2
        older, newer = min(full[:middle], key=lambda it: it[1]), min(full[middle:], key=lambda it: it[1])
        slope = (newer[1] - older[1]) / (newer[0] - older[0])
        self.drift = min(max(slope, -MAX_DRIFT), MAX_DRIFT)

    def _offset_at(self, device_s: float) -> float:
        """The smallest offset of the minute, each sample brought forward to `device_s` by the drift."""
        return min(offset_s + self.drift * (device_s - at_s) for at_s, offset_s in self._buckets)
