"""A session's pictures as any other recording, to be tracked anew."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from capture.recordings.playback import Clip, ClipFrame, ClipPicture, Excerpt, RecordedSource
from realtime.session.reader import SessionReader
from realtime.session.seen_frame import SeenFrame
from realtime.session.session_source import SessionSource


class SessionClip(Clip):
    """The frames of a session whose picture was kept, numbered as in the session. Raises InputError without any."""

    sound_file: Path | None = None

    def __init__(self, session: SessionReader) -> None:
        self._session = session
        source = SessionSource(session, realtime=False, pictures=True)
        self.name, self.fps, self.frame_count = source.name, source.fps, source.frame_count

    def frames(self) -> Iterator[ClipFrame]:
        source = SessionSource(self._session, realtime=False, pictures=True)
        source.open()
        first_s: float | None = None
        try:
            while True:
                try:
                    frame = source.read(0.0)
                except EOFError:
                    return
                if not isinstance(frame, SeenFrame) or frame.silent:
                    continue
                first_s = frame.timestamp_s if first_s is None else first_s
                yield ClipFrame(frame.index, frame.timestamp_s - first_s, partial(_pixels, frame))
        finally:
            source.close()


def _pixels(frame: SeenFrame) -> ClipPicture:
    return ClipPicture(frame.rgb, frame.depth_m, frame.intrinsics)


def session_clip(session: SessionReader, *, realtime: bool, excerpt: Excerpt) -> RecordedSource:
    """Raises InputError where the session has no pictures."""
    return RecordedSource(SessionClip(session), realtime=realtime, excerpt=excerpt)
