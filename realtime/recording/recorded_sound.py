"""The sound of one recording: a microphone's as it is heard, or at the end that of the clip that drives."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from capture.sound.microphone import Microphone
from capture.sound.sound_clock import SoundBlock
from core.source import Sound
from realtime.recording.recording_folder import SOUND_NAME
from realtime.recording.sound import keep_sound
from realtime.recording.sound_file import SoundWriter
from realtime.threads.disk_queue import DiskQueue

BLOCKS_QUEUED = 500  # ten seconds
_LATEST_S = 0.6  # after the last picture, for what was heard with it


class RecordedSound:
    """Keeps the sound of a session between its first and its last frame as `sound.wav`.

    Args:
        microphone: who is listened to; None: nobody.
        clip: asked at the end for the sound of what drives, which is kept where there is no microphone.
    """

    def __init__(self, folder: Path, microphone: Microphone | None, clip: Callable[[], Sound | None]) -> None:
        self._path, self._clip, self._microphone = folder / SOUND_NAME, clip, microphone
        self.begins_s: float | None = None
        self._ends_s = 0.0
        self._writer = SoundWriter(self._path)
        self._blocks: DiskQueue[SoundBlock] | None = None
        if microphone is not None:
            self._blocks = DiskQueue("record-sound", self._writer.append, self._writer.close, BLOCKS_QUEUED)
            microphone.listen(self._blocks.put)

    def mark(self, time_s: float) -> bool:
        """A frame came, of that time; whether it is the first."""
        self._ends_s = time_s
        if self.begins_s is not None:
            return False
        self.begins_s = self._writer.begins_s = time_s
        return True

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes

    @property
    def lost(self) -> int | None:
        """Blocks of 20 ms that could not be written; None without a microphone."""
        return None if self._blocks is None else self._blocks.lost

    @property
    def failure(self) -> BaseException | None:
        return None if self._blocks is None else self._blocks.failure

    def end(self) -> None:
        """No frame comes any more: what was heard with the last one is waited for, half a second at most."""
        if self._blocks is None or self._microphone is None:
            return
        until_s = time.monotonic() + _LATEST_S
        while (
            self.begins_s is not None
            and self._writer.heard_s < self._ends_s
            and time.monotonic() < until_s
            and self._microphone.active
            and self._blocks.failure is None
        ):
            time.sleep(0.02)
        self._microphone.leave(self._blocks.put)
        self._blocks.end_soon()

    def finished(self) -> Sound | None:
        """The sound, for the film; after `end`."""
        if self._blocks is not None:
            self._blocks.close()
            return self._writer.sound
        given = self._clip()
        if given is None or self.begins_s is None:
            return None
        kept = keep_sound(given, self.begins_s, self._ends_s + 0.1, self._path)
        return Sound(self._path, self.begins_s) if kept else None
