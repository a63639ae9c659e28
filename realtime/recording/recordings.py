"""The recordings of a live session, one after the other: begun, ended and watched without holding up the picture."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from capture.sound.microphone import Microphone
from core.errors import InputError
from core.source import Sound
from engine.motion.posed_frame import AnyPosed
from realtime.recording.disk_use import told_before, told_meanwhile
from realtime.recording.recorder import FilmName, Recorder
from realtime.recording.recording_folder import RecordingFolder
from realtime.session.folder_names import RawName
from realtime.session.manifest import About, Event

log = logging.getLogger(__name__)

FOLDER = Path("recordings")


class Recordings:
    """Owned by the main thread; `add_pose` may be called from any.

    Args:
        film, sound, about, raw, microphone: see `Recorder`.

    Attributes:
        lost: poses and pictures that could not be kept, over all recordings.
        problems: why recordings could not begin or broke off, a line each.
    """

    def __init__(
        self,
        film: FilmName | None = None,
        sound: Callable[[], Sound | None] = lambda: None,
        about: Callable[[], About] = About,
        raw: RawName = "off",
        microphone: Microphone | None = None,
    ) -> None:
        self._film, self._sound, self._about, self._raw = film, sound, about, raw
        self._microphone = microphone
        self._recorder: Recorder | None = None
        self._began_s, self._trouble = 0.0, ""
        self._closing: list[tuple[threading.Thread, Recorder]] = []
        self.lost: dict[str, int] = {}
        self.problems: list[str] = []

    @property
    def status(self) -> str:
        """For the line about the session: that it is recorded, what that takes, for how long the disk has room."""
        if (recorder := self._recorder) is None:
            return ""
        if recorder.trouble:
            return f"REC: {recorder.trouble}"
        passed_s = time.monotonic() - self._began_s
        return f"REC {told_meanwhile(recorder.written_bytes, passed_s, recorder.disk_left_bytes)}".rstrip()

    @property
    def active(self) -> bool:
        return self._recorder is not None

    def begin(self, folder: RecordingFolder, avatar: Avatar) -> str:
        """Record into a claimed folder. Returns what the user is told, that it cannot be done included."""
        try:
            self._recorder = Recorder(folder, avatar, self._film, self._sound, self._about, self._raw, self._microphone)
        except InputError as error:
            return self._went_wrong(str(error))
        self._began_s = time.monotonic()
        return f"recording to {folder.path} ({told_before(folder.path, avatar, self._raw)})"

    def toggle(self, avatar: Avatar) -> str:
        """Begin a recording in a folder named by the time, or end the present one. Returns what the user is told."""
        if self._recorder is not None:
            return self.end()
        try:
            folder = RecordingFolder.claim_new(FOLDER, f"{datetime.now():%Y%m%d-%H%M%S}")
        except InputError as error:
            return self._went_wrong(str(error))
        return self.begin(folder, avatar)

    def end(self) -> str:
        """End the present recording, if there is one; its files are finished on a thread of their own."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return ""
        closing = threading.Thread(target=recorder.close, name="close-recording", daemon=True)
        closing.start()
        self._closing.append((closing, recorder))
        return f"saving {recorder.directory}"

    def take_notice(self) -> str | None:
        """What the user should be told now: that a recording broke off, or that one is finished."""
        if self._recorder is not None and (problem := self._recorder.problem) is not None:
            self.end()
            return self._went_wrong(problem)
        if (trouble := "" if self._recorder is None else self._recorder.trouble) != self._trouble:
            self._trouble = trouble
            if trouble and self._recorder is not None:
                log.warning("%s: %s", self._recorder.directory, trouble)
                return trouble
        done = next((pair for pair in self._closing if not pair[0].is_alive()), None)
        return None if done is None else self._finished(*done)

    def _finished(self, closing: threading.Thread, recorder: Recorder) -> str:
        self._closing.remove((closing, recorder))
        for kind, missing in recorder.lost.items():
            self.lost[kind] = self.lost.get(kind, 0) + missing
        if (problem := recorder.problem) is not None:
            return problem if problem in self.problems else self._went_wrong(problem)
        if not recorder.kept:
            return f"nothing was recorded to {recorder.directory}"
        told = f"recorded to {recorder.directory}"
        log.info(told)
        return told

    def _went_wrong(self, problem: str) -> str:
        self.problems.append(problem)
        log.error("%s", problem)
        return problem

    def add_pose(self, posed: AnyPosed) -> None:
        if (recorder := self._recorder) is not None:
            recorder.add_pose(posed)

    def note(self, time_s: float, what: str, **details: object) -> None:
        """Keep that something happened. May be called from any thread."""
        if (recorder := self._recorder) is not None:
            recorder.note(Event(time_s, what, details))

    def add_picture(
        self, driver_rgb: NDArray[np.uint8] | None, avatar_rgb: NDArray[np.uint8], timestamp_s: float
    ) -> None:
        if (recorder := self._recorder) is not None:
            recorder.add_picture(driver_rgb, avatar_rgb, timestamp_s)

    def shut_down(self) -> None:
        """End the present recording and wait until all are finished. May be called twice."""
        self.end()
        for closing, recorder in list(self._closing):
            closing.join()
            self._finished(closing, recorder)
