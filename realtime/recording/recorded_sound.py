"""The sound of one recording: a microphone's, or that of the clip that drives, each as it is heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from capture.sound.microphone import Microphone
from capture.sound.sound_clock import SoundBlock
from core.source import Sound
from realtime.recording.clip_sound import ClipSound
from realtime.recording.recording_folder import SOUND_NAME
from realtime.recording.sound_file import SoundWriter
from realtime.threads.disk_queue import DiskQueue

BLOCKS_QUEUED = 500  # ten seconds
_LATEST_S = 0.6  # after the last picture, for what was heard with it
_CLIP_STEP_S = 0.2  # how often a clip's sound is copied
_CLIP_LATEST_S = 0.1  # after the last picture


class RecordedSound:
    """Keeps the sound of a session between its first and its last frame as `sound.wav`.

    Args:
        microphone: who is listened to; None: nobody.
        clip: asked for the sound of what drives, which is kept where there is no microphone.
    """

    def __init__(self, folder: Path, microphone: Microphone | None, clip: Callable[[], Sound | None]) -> None:
        self._path, self._asked, self._microphone = folder / SOUND_NAME, clip, microphone
        self.begins_s: float | None = None
        self._ends_s = self._copied_s = 0.0
        self._writer = SoundWriter(self._path)
        self._blocks: DiskQueue[SoundBlock] | None = None
        self._clip: ClipSound | None = None
        self._times: DiskQueue[float] | None = None  # up to which the clip's sound is to be copied
        if microphone is not None:
            self._blocks = DiskQueue("record-sound", self._writer.append, self._writer.close, BLOCKS_QUEUED)
            microphone.listen(self._blocks.put)

    def mark(self, time_s: float) -> bool:
        """A frame came, of that time; whether it is the first."""
        self._ends_s = time_s
        first = self.begins_s is None
        if first:
            self.begins_s = self._writer.begins_s = time_s
        if self._blocks is None:
            # The clip's sound is copied so far, on a thread of its own.
            if self._clip is None and self.begins_s is not None and self._asked() is not None:
                self._clip = ClipSound(self._path, self.begins_s, self._asked)
                self._times = DiskQueue("record-sound", self._clip.until, self._finish_clip, 2, drops_oldest=True)
            if self._times is not None and time_s - self._copied_s >= _CLIP_STEP_S:
                self._copied_s = time_s
                self._times.put(time_s)
        return first

    def _finish_clip(self) -> None:
        assert self._clip is not None
        if self._times is None or self._times.failure is None:
            self._clip.until(self._ends_s + _CLIP_LATEST_S)
        self._clip.close()

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes + (0 if self._clip is None else self._clip.written_bytes)

    @property
    def lost(self) -> int | None:
        """Blocks of 20 ms that could not be written; None without a microphone."""
        return None if self._blocks is None else self._blocks.lost

    @property
    def failure(self) -> BaseException | None:
        return next((each.failure for each in (self._blocks, self._times) if each is not None), None)

    def end(self) -> None:
        """No frame comes any more: what was heard with the last one is waited for, half a second at most."""
        if self._times is not None:
            self._times.end_soon()
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
        """The sound, for the film; after `end`. May be called twice."""
        if self._blocks is not None:
            self._blocks.close()
            return self._writer.sound
        if self._times is None or self._clip is None:
            return None
        self._times.close()
        return Sound(self._path, self.begins_s) if self._clip.kept and self.begins_s is not None else None

    def close(self) -> None:
        """End, whatever becomes of the sound. May be called twice."""
        self.end()
        self.finished()
