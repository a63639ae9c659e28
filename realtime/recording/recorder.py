"""A recording of a session beside a live picture, all its files in one folder."""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from capture.sound.microphone import Microphone
from core.errors import InputError
from core.frame import RgbdFrame
from core.source import Sound
from engine.motion.posed_frame import AnyPosed, PosedFrame
from realtime.recording.film_file import FilmFile
from realtime.recording.film_process import FilmProcess
from realtime.recording.preview import PreviewWriter
from realtime.recording.raw_process import RawProcess
from realtime.recording.raw_writer import RawWriter
from realtime.recording.recorded_sound import RecordedSound
from realtime.recording.recording_folder import PREVIEW_NAME, RecordingError, RecordingFolder
from realtime.recording.session_writer import SessionWriter
from realtime.session.folder_names import RawName
from realtime.session.manifest import About, Event
from realtime.session.sealing import seal
from realtime.threads.disk_queue import DiskQueue

POSES_QUEUED = 90  # three seconds at 30 fps: a slow disk is bridged, a dead one is noticed
FRAMES_QUEUED = 6  # of the camera, with its depth: as large again
PICTURES_QUEUED = 8  # a quarter of a second, which a killed process loses

FilmName = Literal["both", "avatar"]
Picture = tuple[NDArray[np.uint8] | None, NDArray[np.uint8], float]  # driver rgb, avatar rgb, timestamp_s

_POSIX = os.name == "posix"
_Raw: type[RawProcess | RawWriter] = RawProcess if _POSIX else RawWriter
_Film: type[FilmProcess | FilmFile] = FilmProcess if _POSIX else FilmFile

log = logging.getLogger(__name__)


class Recorder:
    """Records beside a live loop: adding never blocks; what could not be kept is counted, never silent.

    A disk that takes no more ends the recording, not the session: see `problem`.

    Args:
        film: "both" or "avatar", as high as the avatar's pictures; None: both, 480 pixels high.
        sound: see `RecordedSound`, `clip`.
        microphone: whom to listen to, instead.
        about: see `SessionWriter`.
        raw: which of the camera's own pictures are kept.

    Raises RecordingError where the recording cannot begin; the folder is released then, as it is by `close`.
    """

    def __init__(
        self,
        folder: RecordingFolder,
        avatar: Avatar,
        film: FilmName | None = None,
        sound: Callable[[], Sound | None] = lambda: None,
        about: Callable[[], About] = About,
        raw: RawName = "off",
        microphone: Microphone | None = None,
    ) -> None:
        self._folder = folder
        self._raw: RawProcess | RawWriter | None = None
        with ExitStack() as undone:
            undone.callback(folder.release)
            session = SessionWriter(folder.path, avatar, about)
            undone.callback(session.discard)
            height = 480 if film is None else None
            preview = PreviewWriter(
                folder.path / PREVIEW_NAME, height, driver=film != "avatar", sound=self._film_sound, film=_Film
            )
            undone.callback(preview.discard)
            if raw != "off":
                self._raw = _Raw(folder.path, raw)
            undone.pop_all()  # nothing went wrong
        self._session, self._preview = session, preview
        self._sound = RecordedSound(folder.path, microphone, sound)
        self._poses: DiskQueue[AnyPosed | Event] = DiskQueue(
            "record-session",
            lambda item: session.note(item) if isinstance(item, Event) else session.append(item),
            session.close,
            POSES_QUEUED,
        )
        self._frames: DiskQueue[RgbdFrame] | None = None
        if self._raw is not None:
            self._frames = DiskQueue("record-raw", self._raw.append, self._raw.close, FRAMES_QUEUED, drops_oldest=True)
        self._unsealed: InputError | None = None
        self._pictures: DiskQueue[Picture] = DiskQueue(
            "record-preview",
            self._append_picture,
            preview.close,
            PICTURES_QUEUED,
            drops_oldest=True,
        )

    @property
    def directory(self) -> Path:
        return self._folder.path

    @property
    def kept(self) -> bool:
        """Whether anything came to be written: of a recording without a pose or picture no file is left."""
        return self._session.frames > 0 or self._preview.frames > 0

    @property
    def lost(self) -> dict[str, int]:
        """Poses and pictures that could not be written because the disk or the encoder fell behind."""
        lost = {"poses": self._poses.lost, "pictures": self._pictures.lost}
        if self._raw is not None and self._frames is not None:
            lost["raw"] = self._frames.lost + self._raw.refused
        if (blocks := self._sound.lost) is not None:
            lost["sound"] = blocks
        return lost

    @property
    def written_bytes(self) -> int:
        """To all files so far."""
        raw = 0 if self._raw is None else self._raw.written_bytes
        return self._session.written_bytes + self._preview.written_bytes + self._sound.written_bytes + raw

    @property
    def disk_left_bytes(self) -> int | None:
        """Room on the disk; None where it is not known yet."""
        return self._session.disk_left_bytes

    @property
    def trouble(self) -> str:
        """Why it could not be finished as things are; empty while it could."""
        return self._session.trouble

    @property
    def problem(self) -> str | None:
        """Why nothing more is recorded, in one line; None while all is well."""
        failure = next((each for each in (*self._failures(), self._unsealed) if each is not None), None)
        if failure is None or isinstance(failure, InputError):
            return None if failure is None else f"{failure}; what was written before is kept"
        return (
            f"{self.directory}: the recording broke off ({type(failure).__name__}: {failure}); what was written is kept"
        )

    def _queues(self) -> list[DiskQueue[Any]]:
        return [queue for queue in (self._poses, self._pictures, self._frames) if queue is not None]

    def _failures(self) -> list[BaseException | None]:
        return [*(queue.failure for queue in self._queues()), self._sound.failure]

    def _append_picture(self, picture: Picture) -> None:
        """On the thread of the film."""
        first = self._preview.begins_s is None
        self._preview.append(*picture)
        if first and self._preview.begins_s is not None:
            self.note(Event(self._preview.begins_s, "film"))

    def _film_sound(self) -> Sound | None:
        return self._sound.finished()

    def add_pose(self, posed: AnyPosed) -> None:
        if self._sound.mark(posed.pose.timestamp_s):
            self.note(Event(posed.pose.timestamp_s, "sound"))
        if not isinstance(posed, PosedFrame):
            self._poses.put(posed)
            return
        self._poses.put(posed.without_pictures())
        if self._frames is not None and not posed.silence and posed.frame.picture is not None:
            self._frames.put(posed.frame)

    def note(self, event: Event) -> None:
        """Something happened."""
        self._poses.put(event)

    def add_picture(
        self, driver_rgb: NDArray[np.uint8] | None, avatar_rgb: NDArray[np.uint8], timestamp_s: float
    ) -> None:
        self._pictures.put((driver_rgb, avatar_rgb, timestamp_s))

    def close(self) -> None:
        """Write what is queued and finish both files."""
        self._sound.end()
        queues = self._queues()
        for queue in queues:
            queue.end_soon()
        for queue in queues:
            queue.close()
        self._sound.close()
        for failure in self._failures():
            if failure is not None and not isinstance(failure, RecordingError):
                log.error("the recording broke off", exc_info=failure)
        try:
            seal(self._folder.path, self.lost)
        except InputError as error:
            self._unsealed = error
        self._folder.release()
