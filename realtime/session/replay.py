"""What drives, where it may be a session: its source, and the tracker that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from capture import open_source as sources
from capture.face.face_tracker import FaceTracker
from capture.open_source import Layout, Rotate
from capture.recordings.playback import WHOLE, Excerpt
from core.errors import InputError
from core.source import AnyFrame, Source
from realtime.session.reader import SessionReader, is_session
from realtime.session.retracked import session_clip
from realtime.session.seen_frame import SeenTracker
from realtime.session.session_source import SessionSource


def open_driving(
    device: str,
    *,
    realtime: bool,
    fov_deg: float | None = None,
    face_model: Path | None = None,
    layout: Layout = "auto",
    rotate: Rotate = "0",
    excerpt: Excerpt = WHOLE,
    retrack: bool = False,
    pictures: bool = False,
) -> Source[AnyFrame]:
    """A session's folder, or whatever `capture.open_source.open_source` takes, as a source.

    Args:
        retrack: of a session, its pictures alone: faces are tracked anew.
        pictures: of a session, only frames with their picture, for engines that look at it.

    Raises InputError.
    """
    path = Path(device)
    if not is_session(path):
        if retrack:
            raise InputError(f"{device}: is no session, its faces are tracked in any case; leave out --retrack")
        return sources.open_source(
            device,
            realtime=realtime,
            fov_deg=fov_deg,
            face_model=face_model,
            layout=layout,
            rotate=rotate,
            excerpt=excerpt,
        )
    if rotate != "0":
        raise InputError(f"{device}: a session's pictures stand upright already; leave out --rotate {rotate}")
    session = SessionReader.open(path)
    if retrack:
        return session_clip(session, realtime=realtime, excerpt=excerpt)
    return SessionSource(session, realtime=realtime, pictures=pictures, excerpt=excerpt)


def tracker_for(source: Source[AnyFrame], make_tracker: Callable[[], FaceTracker]) -> FaceTracker | SeenTracker:
    """Who sees the faces in a source's frames: a tracker, or the one of the session that it plays."""
    return SeenTracker() if source.seen else make_tracker()
