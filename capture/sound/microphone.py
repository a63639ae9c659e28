"""A microphone beside the camera: blocks of sound as PortAudio hands them over, with the time at which they were heard."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capture.sound.sound_clock import SoundBlock, SoundClock
from core.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

log = logging.getLogger(__name__)

RATE_HZ = 48_000
SILENT_S = 3.0  # a microphone that hands over nothing for so long has gone
_MOST_CHANNELS = 2
_BLOCK_S = 0.02
_LONGEST_DELAY_S = 5.0  # of a block, as far as times of PortAudio are believed
_HINT = "vfa devices lists microphones"


@dataclass(frozen=True)
class MicrophoneRow:
    """What PortAudio says of one: its number, name, the host API it is reached by, channels, whether it is the default."""

    number: int
    name: str
    host: str
    channels: int
    default: bool


def sounddevice() -> ModuleType:
    """The module. Raises MissingExtraError where it is not installed and InputError where PortAudio is not."""
    try:
        import sounddevice as found
    except ImportError as error:
        raise MissingExtraError("audio", "a microphone (--audio)") from error
    except OSError as error:
        raise InputError(
            f"--audio: PortAudio cannot be loaded ({error}); install it (Debian, Ubuntu: apt install libportaudio2)"
        ) from None
    return found  # type: ignore[no-any-return]


def list_microphones() -> list[MicrophoneRow]:
    """All microphones. Raises InputError where they cannot be listed."""
    sd = sounddevice()
    try:
        hosts, default = sd.query_hostapis(), sd.default.device[0]
        return [
            MicrophoneRow(
                number, " ".join(row["name"].split()), hosts[row["hostapi"]]["name"], channels, number == default
            )
            for number, row in enumerate(sd.query_devices())
            if (channels := int(row["max_input_channels"])) > 0
        ]
    except sd.PortAudioError as error:
        raise InputError(f"--audio: microphones cannot be listed ({_reason(error)}); start again") from None


class Microphone:
    """An open microphone. Blocks go to `listener`, on PortAudio's thread, which must not be held up; there is none at
    first, and the clock settles meanwhile.

    What goes wrong once it runs is `problem`, a line for the user, and no exception.

    Args:
        name: a part of its name, or its number, as `list_microphones` gives it; empty: the default one.
        clock: that of the frames' timestamps, seconds.

    Raises MissingExtraError, and InputError where there is none of that name.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._sd = sounddevice()
        self._clock = clock
        self._asked: int | str | None = int(name) if name.isdecimal() else name or None
        self.name = name or "the default one"
        if self._asked is not None:
            self._look_up()
        self.listener: Callable[[SoundBlock], None] | None = None
        self.rate_hz, self.channels = RATE_HZ, 1
        self._stream: Any = None
        self._sound_clock = SoundClock(RATE_HZ)
        self._last_s = 0.0
        self._ended = False
        self.problem: str | None = None

    def _look_up(self) -> dict[str, Any]:
        """Raises InputError."""
        try:
            found: dict[str, Any] = self._sd.query_devices(self._asked, "input")
        except (ValueError, self._sd.PortAudioError) as error:
            if self._asked is None:
                raise InputError(f"there is no microphone ({_reason(error)})") from None
            raise InputError(f"--audio {self._asked}: no microphone of that name ({_reason(error)}); {_HINT}") from None
        return found

    def open(self) -> None:
        """Begin to listen. One that refuses is a `problem`."""
        try:
            about = self._look_up()
            self.name = " ".join(str(about["name"]).split())
            self.channels = max(min(int(about["max_input_channels"]), _MOST_CHANNELS), 1)
            self.rate_hz = self._rate(about)
            self._sound_clock = SoundClock(self.rate_hz)
            self._last_s = self._clock()
            self._stream = self._sd.InputStream(
                samplerate=self.rate_hz,
                blocksize=round(_BLOCK_S * self.rate_hz),
                device=self._asked,
                channels=self.channels,
                dtype="int16",
                latency="high",
                callback=self._heard,
                finished_callback=self._finished,
            )
            self._stream.start()
            log.info("microphone: %s, %d Hz", self.name, self.rate_hz)
        except (InputError, ValueError, self._sd.PortAudioError) as error:
            self._fail(f"cannot be used ({_reason(error)})")

    def _rate(self, about: dict[str, Any]) -> int:
        """48 kHz, or where it refuses that, what it does by itself."""
        try:
            self._sd.check_input_settings(self._asked, self.channels, "int16", None, RATE_HZ)
        except self._sd.PortAudioError:
            return round(float(about["default_samplerate"]))
        return RATE_HZ

    def _heard(self, samples: NDArray[np.int16], count: int, times: Any, status: Any) -> None:
        before_s = self._clock()
        stream_s = self._stream.time if self._stream is not None else times.currentTime
        now_s = (before_s + self._clock()) / 2
        delay_s = stream_s - times.inputBufferAdcTime
        if not 0.0 <= delay_s <= _LONGEST_DELAY_S:  # hosts that give no time give 0
            delay_s = count / self.rate_hz
        begins_s, ends_s, gap = self._sound_clock.take(count, now_s - delay_s, lost=bool(status.input_overflow))
        self._last_s = before_s
        if (listener := self.listener) is not None:
            listener(SoundBlock(samples.copy(), begins_s, ends_s, gap))

    def _finished(self) -> None:
        self._ended = True

    def check(self) -> str | None:
        """To be asked now and then: the problem, once, where the microphone has just gone away."""
        if self._stream is None or self.problem is not None:
            return None
        if self._ended or self._clock() - self._last_s > SILENT_S:
            self._fail("went away")
            return self.problem
        return None

    def _fail(self, what: str) -> None:
        self.problem = f"microphone {self.name}: {what}; the recording goes on without it ({_HINT})"
        log.error("%s", self.problem)

    def summary(self) -> dict[str, str | float]:
        """For the report: name, seconds of sound that it lost, and by how many parts in a million its clock is slow."""
        clock = self._sound_clock
        return {
            "name": self.name,
            "lost_s": round(clock.lost_s, 3),
            "drift_ppm": round(1e6 * clock.drift, 1),
            "problem": self.problem or "",
        }

    def close(self) -> None:
        """Stop listening. May be called twice."""
        stream, self._stream, self.listener = self._stream, None, None
        if stream is not None:
            try:
                stream.close()
            except self._sd.PortAudioError as error:
                log.info("microphone %s: %s while it was closed", self.name, _reason(error))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
