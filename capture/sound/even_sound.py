"""Sound at exactly its nominal rate on the system's clock, from a card whose clock runs a little differently."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from capture.sound.sound_clock import SoundBlock

_HALF = 12  # samples on either side of a point that tell its value
_PHASES = 2048  # places between two samples for which weights are kept: noise 70 dB below
_KAISER = 8.0


@cache
def _weights() -> NDArray[np.float32]:
    """[phases + 1, taps] windowed sinc (Kaiser), for a point at a share of the way between the two middle samples."""
    taps = np.arange(1 - _HALF, _HALF + 1, dtype=np.float64)
    away = taps[None] - np.linspace(0.0, 1.0, _PHASES + 1)[:, None]
    window = np.i0(_KAISER * np.sqrt(np.clip(1 - (away / _HALF) ** 2, 0, None))) / np.i0(_KAISER)
    made = np.sinc(away) * window
    return np.asarray(made / made.sum(axis=1, keepdims=True), dtype=np.float32)


class EvenSound:
    """Sample n of what comes out was heard at `begins_s + n / rate_hz`. Where nothing was heard there is silence.

    What was heard before `begins_s` is left out. The last milliseconds stay back until the next block.

    Args:
        begins_s: on the clock of the blocks.
    """

    def __init__(self, rate_hz: int, channels: int, begins_s: float) -> None:
        self._rate_hz, self._channels, self._begins_s = rate_hz, channels, begins_s
        self._given = 0  # samples that came out
        self._heard = self._silence(0)  # [n, channels] float32 that is still needed
        self._first = 0  # number of the first of those; numbers count from the last gap on
        self._count = 0
        self._places: list[tuple[int, float]] = []  # number of a sample and when it was heard, where blocks meet

    def _silence(self, count: int) -> NDArray[np.float32]:
        return np.zeros((count, self._channels), dtype=np.float32)

    def take(self, block: SoundBlock) -> NDArray[np.int16]:
        """[m, channels]: what is complete with this block."""
        parts = []
        if block.gap or not self._places or block.begins_s != self._places[-1][1]:
            parts += [self.end(), self._silence_until(block.begins_s)]
            self._heard, self._first, self._count = self._silence(_HALF), -_HALF, 0
            self._places = [(0, block.begins_s)]
        self._heard = np.concatenate([self._heard, block.samples.astype(np.float32)])
        self._count += len(block.samples)
        self._places.append((self._count, block.ends_s))
        parts.append(self._even(self._count - _HALF))
        return np.concatenate(parts)

    def end(self) -> NDArray[np.int16]:
        """What stayed back."""
        if not self._places:
            return np.zeros((0, self._channels), dtype=np.int16)
        self._heard = np.concatenate([self._heard, self._silence(2 * _HALF)])
        made = self._even(self._count)
        self._places = []
        return made

    def _silence_until(self, heard_s: float) -> NDArray[np.int16]:
        missing = max(int(np.ceil((heard_s - self._begins_s) * self._rate_hz)) - self._given, 0)
        self._given += missing
        return np.zeros((missing, self._channels), dtype=np.int16)

    def _even(self, until: int) -> NDArray[np.int16]:
        """All that lies before sample number `until`, which has its surroundings."""
        numbers = np.array([number for number, _ in self._places], dtype=np.float64)
        times = np.array([at_s for _, at_s in self._places])
        last_s = float(np.interp(until, numbers, times))
        most = int(np.ceil((last_s - self._begins_s) * self._rate_hz)) - self._given
        at = np.interp(self._begins_s + (self._given + np.arange(max(most, 0))) / self._rate_hz, times, numbers)
        at = at[at < until]
        self._given += len(at)
        whole = np.floor(at).astype(np.int64)
        phase = np.rint((at - whole) * _PHASES).astype(np.int64)
        around = np.lib.stride_tricks.sliding_window_view(self._heard, 2 * _HALF, axis=0)  # [n, channels, taps]
        made = np.einsum("nct,nt->nc", around[whole - self._first + 1 - _HALF], _weights()[phase])
        # Samples and places that nothing to come needs go.
        spare = max(until - 2 * _HALF - self._first, 0)
        self._heard, self._first = self._heard[spare:], self._first + spare
        while len(self._places) > 2 and self._places[1][0] < until - 1:
            self._places.pop(0)
        return np.asarray(np.rint(made).clip(-32768, 32767), np.int16)
