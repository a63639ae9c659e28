"""`sound.wav`: what was heard beside the pictures, on the disk within the second in which it was heard."""

from __future__ import annotations

import os
import struct
from collections import deque
from pathlib import Path
from typing import IO

from capture.sound.even_sound import EvenSound
from capture.sound.sound_clock import SoundBlock
from core.errors import InputError
from core.source import Sound
from realtime.recording.recording_folder import (
    SOUND_NAME,
    RecordingError,
    SyncedFile,
    partial_of,
    sync_folder,
)

_HEAD = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SAMPLE_BYTES = 2
_UNKNOWN = 0xFFFFFFFF  # as a size: up to the end of the file
_FASTEST_HZ = 1_000_000
_WAITING_S = 10.0  # of sound that is kept until the first picture comes


class WaveFile:
    """A WAV file (16 bit) that grows: `.partial` in its name until it is closed, and not there before the first sample.

    Raises RecordingError, from every method, where the disk takes no more.

    Attributes:
        frames: samples of each channel so far.
    """

    def __init__(self, path: Path, rate_hz: int, channels: int) -> None:
        self.path = path
        self._form = rate_hz, channels
        self._file: SyncedFile | None = None
        self.frames = 0

    @property
    def written_bytes(self) -> int:
        return 0 if self._file is None else self._file.written_bytes

    def write(self, content: bytes) -> None:
        """Add samples."""
        if not content:
            return
        try:
            if self._file is None:
                self._file = SyncedFile(partial_of(self.path))
                self._file.write(wave_head(*self._form, None))
            self._file.write(content)
        except OSError as error:
            raise RecordingError.of(self.path, error) from error
        self.frames += len(content) // (_SAMPLE_BYTES * self._form[1])

    @property
    def broken(self) -> bool:
        """Whether something could not be written."""
        return self._file is not None and self._file.error is not None

    def close(self) -> None:
        """Finish the file under its name, where there is one."""
        if self._file is None:
            return
        try:
            self._file.check_in_place()
            _put_in_order(self._file.raw, self.path, *self._form)
        except OSError as error:
            raise RecordingError.of(self.path, error) from error
        finally:
            self._file.release()


class SoundWriter:
    """Writes a microphone's blocks to a WAV file (16 bit) whose first sample was heard at `begins_s`.

    The card's clock is corrected on the way (`capture.sound.even_sound`), so film and file stay together however long
    they are. Until it is closed it is `sound.partial.wav`, and there is none before the first sample; a killed process
    loses what was heard in the last moments, a power cut the last second (`finish_sound` completes what is left).

    Raises RecordingError, from every method, where the disk takes no more.

    Attributes:
        begins_s: when the session begins, on the clock of the blocks; to be set, from any thread, once that is known.
        heard_s: until when all is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begins_s: float | None = None
        self.heard_s = 0.0
        self._even: EvenSound | None = None
        self._file: WaveFile | None = None
        self._waiting: deque[SoundBlock] = deque()
        self._closed = False

    @property
    def written_bytes(self) -> int:
        return 0 if self._file is None else self._file.written_bytes

    def append(self, block: SoundBlock) -> None:
        """Add what was heard next."""
        self._waiting.append(block)
        if self.begins_s is None:
            while block.ends_s - self._waiting[0].ends_s > _WAITING_S:
                self._waiting.popleft()
            return
        if self._even is None or self._file is None:
            form = block.rate_hz, block.samples.shape[1]
            self._even, self._file = EvenSound(*form, self.begins_s), WaveFile(self.path, *form)
        while self._waiting:
            self._file.write(self._even.take(self._waiting.popleft()).tobytes())
        self.heard_s = block.ends_s

    def close(self) -> None:
        """Finish the file under its name. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._file is None or self._even is None:
            return
        if self._file.frames and not self._file.broken:
            self._file.write(self._even.end().tobytes())
        self._file.close()

    @property
    def sound(self) -> Sound | None:
        """For the film, once it is closed; None where nothing was heard."""
        heard = self._closed and self._file is not None and self._file.frames > 0
        return Sound(self.path, self.begins_s) if heard and self.begins_s is not None else None


def wave_head(rate_hz: int, channels: int, data_bytes: int | None) -> bytes:
    """Of a WAV file of 16-bit samples; without a size, and where it does not fit, up to the end of the file."""
    size = _UNKNOWN if data_bytes is None or data_bytes > _UNKNOWN - _HEAD.size else data_bytes
    whole = _UNKNOWN if size == _UNKNOWN else size + _HEAD.size - 8
    frame = _SAMPLE_BYTES * channels
    pcm = (16, 1, channels, rate_hz, rate_hz * frame, frame, 8 * _SAMPLE_BYTES)
    return _HEAD.pack(b"RIFF", whole, b"WAVE", b"fmt ", *pcm, b"data", size)


def complete_wave(file: IO[bytes], rate_hz: int, channels: int) -> None:
    """Make a file that grew a whole one. Can be repeated if interrupted. Raises OSError."""
    frame = _SAMPLE_BYTES * channels
    length = (file.seek(0, os.SEEK_END) - _HEAD.size) // frame * frame
    file.truncate(_HEAD.size + length)
    file.seek(0)
    file.write(wave_head(rate_hz, channels, length))
    file.flush()
    os.fsync(file.fileno())


def _put_in_order(file: IO[bytes], path: Path, rate_hz: int, channels: int) -> None:
    """State the sizes, and away with the part in the name. Raises OSError."""
    complete_wave(file, rate_hz, channels)
    partial_of(path).replace(path)
    sync_folder(path.parent)


def finish_sound(folder: Path) -> Path | None:
    """Complete the sound that a killed process left in `folder`; None where there is none.

    Raises InputError where it is no such file, RecordingError where the disk takes no more.
    """
    path = folder / SOUND_NAME
    partial = partial_of(path)
    if partial.is_symlink() or not partial.is_file():
        return None
    try:
        with partial.open("r+b") as file:
            head = file.read(_HEAD.size)
            channels, rate_hz = struct.unpack_from("<HI", head, 22) if len(head) == _HEAD.size else (0, 0)
            sane = 1 <= channels <= 2 and 0 < rate_hz <= _FASTEST_HZ
            if not sane or head != wave_head(rate_hz, channels, None):
                raise InputError(
                    f"{partial}: expected an unfinished sound file, its head is another; it is left as it is"
                )
            if file.seek(0, os.SEEK_END) < _HEAD.size + _SAMPLE_BYTES * channels:
                raise InputError(f"{partial}: not one sample of the sound was written; it is left as it is")
            _put_in_order(file, path, rate_hz, channels)
    except OSError as error:
        raise RecordingError.of(path, error) from error
    return path
