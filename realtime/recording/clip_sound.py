"""The sound of the clip that drives, copied beside the session as far as that has come."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import InputError
from core.source import Sound
from realtime.recording.recording_folder import RecordingError
from realtime.recording.sound import RATE_HZ, channels_of, decoded_sound
from realtime.recording.sound_file import WaveFile

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)


class ClipSound:
    """Keeps a clip's sound as a WAV file whose first sample is heard with the session's first frame.

    A killed process leaves what was copied, as a microphone's (`sound_file.finish_sound` completes it). A clip that
    begins anew, or goes on late, is heard from there on when its pictures are shown. A clip that cannot be read is one
    line in the log, and what was copied of it is kept. Owned by one thread.

    Args:
        begins_s: timestamp of the session's first frame.
        clip: asked for the sound as it lies on the clock of the frames at that moment.

    Raises RecordingError, from every method, where the disk takes no more.
    """

    def __init__(self, path: Path, begins_s: float, clip: Callable[[], Sound | None]) -> None:
        self._path, self._begins_s, self._clip = path, begins_s, clip
        self._sound: Sound | None = None
        self._frames: Iterator[av.AudioFrame] | None = None
        self._opened = ExitStack()
        self._file: WaveFile | None = None
        self._channels = 0
        self._broken = False

    @property
    def written_bytes(self) -> int:
        return 0 if self._file is None else self._file.written_bytes

    @property
    def kept(self) -> bool:
        """Whether there was any."""
        return self._file is not None and self._file.frames > 0

    def until(self, time_s: float) -> None:
        """Copy what is heard before this time of the frames' clock, to the end of the clip's packet."""
        import av

        try:
            sound = None if self._broken else self._clip()
            if sound is None:
                return
            if sound != self._sound:
                self._open(sound)
            self._copy(round((time_s - self._begins_s) * RATE_HZ))
        except RecordingError:
            raise
        except (OSError, ValueError, av.error.FFmpegError, InputError) as error:
            self._broken = True
            log.warning("%s: the sound of %s cannot be read on (%s)", self._path.parent, sound and sound.path, error)

    def _open(self, sound: Sound) -> None:
        from capture.recordings.video_file import open_container

        self._opened.close()
        self._sound, self._frames = sound, None
        container = self._opened.enter_context(open_container(sound.path))
        if not container.streams.audio:
            self._broken = True
            return
        track = container.streams.audio[0]
        self._channels = self._channels or channels_of(track)
        done = 0 if self._file is None else self._file.frames
        self._frames = decoded_sound(container, track, self._channels, sound, self._begins_s, begin=done)

    def _copy(self, until: int) -> None:
        parts, done = [], 0 if self._file is None else self._file.frames
        while self._frames is not None and done < until:
            if (frame := next(self._frames, None)) is None:
                self._frames = None
                break
            parts.append(np.rint(frame.to_ndarray().T * 32767).clip(-32768, 32767).astype("<i2"))
            done += len(parts[-1])
        if not parts:
            return
        if self._file is None:
            self._file = WaveFile(self._path, RATE_HZ, self._channels)
        self._file.write(np.concatenate(parts).tobytes())

    def close(self) -> None:
        """Finish the file under its name."""
        self._opened.close()
        if self._file is not None:
            self._file.close()
