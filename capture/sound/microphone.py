"""A microphone beside the camera: blocks of sound as PortAudio hands them over, and when they were heard."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capture.sound.sound_clock import SoundBlock, SoundClock
from core.errors import InputError, MissingExtraError, one_line

if TYPE_CHECKING:
    from types import ModuleType

log = logging.getLogger(__name__)

RATE_HZ = 48_000
SILENT_S = 3.0  # a microphone that hands over nothing for so long has gone
_KEPT_S = 1.0  # of what was heard before anybody listened: pictures take a while to their recording, too
_MOST_CHANNELS = 2
_BLOCK_S = 0.02
_LATENCY_S = 0.2  # how much PortAudio may keep for us while the machine is busy; times are told apart from it
_LONGEST_DELAY_S = 5.0  # of a block, as far as times of PortAudio are believed
_LOOK_S = 0.25
_RETRY_S = 2.0  # how often one that went away is looked for
_JOIN_S = 2.0
_HINT = "vfa devices lists microphones"


@dataclass(frozen=True)
class MicrophoneRow:
    """What PortAudio says of one: its number, name, the host API it is reached by, channels, whether it is the
    default."""

    number: int
    name: str
    host: str
    channels: int
    default: bool


def sounddevice() -> ModuleType:
    """The module. Raises MissingExtraError where it is not installed and InputError where PortAudio is not."""
    try:
        import sounddevice as module
    except ImportError as error:
        raise MissingExtraError("audio", "a microphone (--audio)") from error
    except OSError as error:
        raise InputError(
            f"--audio: PortAudio cannot be loaded ({error}); install it (Debian, Ubuntu: apt install libportaudio2)"
        ) from None
    except Exception as error:  # PortAudioError, of a library that cannot begin
        raise InputError(f"--audio: PortAudio cannot be used ({one_line(error)}); leave out --audio") from None
    found: ModuleType = module
    return found


def list_microphones() -> list[MicrophoneRow]:
    """All microphones. Raises InputError where they cannot be listed."""
    sd = sounddevice()
    try:
        hosts, default = sd.query_hostapis(), sd.default.device[0]
        if default < 0 and hosts:
            default = hosts[0]["default_input_device"]
        return [
            MicrophoneRow(number, _one_line(row["name"]), hosts[row["hostapi"]]["name"], channels, number == default)
            for number, row in enumerate(sd.query_devices())
            if (channels := int(row["max_input_channels"])) > 0
        ]
    except sd.PortAudioError as error:
        raise InputError(f"--audio: microphones cannot be listed ({one_line(error)}); start again") from None


class Microphone:
    """Listens from `start` to `close`, so that its clock has settled when somebody begins to record.

    It is opened, watched and closed on a thread of its own. One that is missing, busy or goes away is one line for the
    user (`take_notice`, and the log), and no exception. One that was open and went away is opened again;
    what was missed is a gap between its blocks.

    Args:
        name: a part of its name, or its number, as `list_microphones` gives it; empty: the default one.
        clock: that of the frames' timestamps, seconds.

    Attributes:
        name: of the microphone, once it is open.
        problem: why nothing is heard, a line; empty while all is well.

    Raises MissingExtraError where the extra is not installed, InputError where PortAudio is not.
    """

    def __init__(self, name: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._sd = sounddevice()
        self._clock = clock
        self._asked: int | str | None = int(name) if name.isdecimal() else name or None
        self.name = name or "the default one"
        self.problem = ""
        self._notice: str | None = None
        self._listener: Callable[[SoundBlock], None] | None = None
        self._recent: deque[SoundBlock] = deque()
        self._turn = threading.Lock()  # of whoever gives blocks to the listener
        self._stream: Any = None
        self._rate_hz, self._channels = RATE_HZ, 0
        self._sound_clock = SoundClock(RATE_HZ)
        self._returned = False  # and has not been heard since
        self._last_s = 0.0
        self._closing, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="microphone", daemon=True)
        self._opened = False

    def start(self) -> None:
        """Open it, without waiting for that."""
        self._thread.start()

    def listen(self, listener: Callable[[SoundBlock], None] | None) -> None:
        """Who gets the blocks from now on, with those of the last second; None: nobody. It is called on PortAudio's
        thread, which must not be held up."""
        with self._turn:
            self._listener = listener
            if listener is not None:
                for block in self._recent:
                    listener(block)

    def leave(self, listener: Callable[[SoundBlock], None]) -> None:
        """Give no more blocks to a listener, where it is still the one who gets them."""
        with self._turn:
            if self._listener == listener:
                self._listener = None

    @property
    def active(self) -> bool:
        """Whether it is open and all is well."""
        return self._opened and not self.problem

    def take_notice(self) -> str | None:
        """What the user should be told, once."""
        notice, self._notice = self._notice, None
        return notice

    def summary(self) -> dict[str, str | float]:
        """For the report: its name, seconds of sound that got lost on the way to us, by how many parts in a million its
        clock is slow, and its problem ("" while there is none)."""
        clock = self._sound_clock
        return {
            "name": self.name,
            "lost_s": round(clock.lost_s, 3),
            "drift_ppm": round(1e6 * clock.drift, 1),
            "problem": self.problem,
        }

    def close(self) -> None:
        """Stop listening. May be called twice, and before `start`; a device that hangs is left alone."""
        self._closing.set()
        self.listen(None)
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            self._open_first()
            self._watch()
            while self._opened and not self._closing.wait(_RETRY_S):
                if self._opened_again():
                    self._watch()
        except Exception as error:  # host APIs raise whatever they like
            self._fail(f"cannot be used ({one_line(error)}); the show goes on without it ({_HINT})")
        finally:
            self._let_go()

    def _watch(self) -> None:
        """Until it goes away, or nobody wants it any more."""
        while not self._closing.wait(_LOOK_S):
            if self._ended.is_set() or self._clock() - self._last_s > SILENT_S:
                self._fail("went away; the show goes on without it, and it is taken up again once it is back")
                return

    def _open_first(self) -> None:
        about = self._sd.query_devices(self._asked, "input")
        self.name = _one_line(str(about["name"]))
        self._channels = max(min(int(about["max_input_channels"]), _MOST_CHANNELS), 1)
        self._rate_hz = self._rate(about, self._channels)
        self._sound_clock = SoundClock(self._rate_hz)
        self._open(self._asked, about)
        self._opened = True
        self._notice = f"microphone: {self.name}"
        log.info("%s, %d Hz", self._notice, self._rate_hz)

    def _opened_again(self) -> bool:
        """Look for the one that went away, by its name: its number may be another now. What is recorded goes on as it
        began, so that it has to take the same rate and as many channels."""
        self._let_go()
        try:
            self._sd._terminate()  # a list of devices is made once, when PortAudio begins
            self._sd._initialize()
            rows = enumerate(self._sd.query_devices())
            back = next(
                (
                    (number, row)
                    for number, row in rows
                    if _one_line(row["name"]) == self.name and row["max_input_channels"] >= self._channels
                ),
                None,
            )
            if back is None:
                return False
            self._returned = True
            self._open(*back)
        except Exception as error:  # host APIs raise whatever they like
            log.debug("microphone %s: %s", self.name, one_line(error))
            return False
        self.problem, self._notice = "", f"microphone: {self.name} is back"
        log.info("%s", self._notice)
        return True

    def _open(self, device: int | str | None, about: dict[str, Any]) -> None:
        self._last_s = self._clock()
        self._ended.clear()
        self._stream = self._sd.InputStream(
            samplerate=self._rate_hz,
            blocksize=round(_BLOCK_S * self._rate_hz),
            device=device,
            channels=self._channels,
            dtype="int16",
            latency=max(float(about["default_high_input_latency"]), _LATENCY_S),
            callback=self._heard,
            finished_callback=self._ended.set,
        )
        self._stream.start()

    def _rate(self, about: dict[str, Any], channels: int) -> int:
        """48 kHz, or where it refuses that, what it does by itself."""
        try:
            self._sd.check_input_settings(self._asked, channels, "int16", None, RATE_HZ)
        except self._sd.PortAudioError:
            return round(float(about["default_samplerate"]))
        return RATE_HZ

    def _heard(self, samples: NDArray[np.int16], count: int, times: Any, status: Any) -> None:
        """On PortAudio's thread."""
        now_s = self._last_s = self._clock()
        stream_s = self._stream.time if self._stream is not None else times.currentTime
        delay_s = stream_s - times.inputBufferAdcTime
        if not 0.0 <= delay_s <= _LONGEST_DELAY_S or not times.inputBufferAdcTime:  # hosts that do not know say 0
            delay_s = count / self._rate_hz
        lost, self._returned = bool(status.input_overflow) or self._returned, False
        made = self._sound_clock.take(samples.copy(), now_s - delay_s, lost=lost)
        with self._turn:
            self._recent.extend(made)
            while self._recent and self._recent[-1].ends_s - self._recent[0].ends_s > _KEPT_S:
                self._recent.popleft()
            if self._listener is not None:
                for block in made:
                    self._listener(block)

    def _fail(self, what: str) -> None:
        if self._closing.is_set():
            return
        self.problem = f"microphone {self.name}: {what}"
        log.error("%s", self.problem)
        self._notice = self.problem

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except self._sd.PortAudioError as error:
                log.info("microphone %s: %s while it was closed", self.name, one_line(error))


def _one_line(text: str) -> str:
    return " ".join(text.split())
