"""What drives, where it may be a session: its source, and the tracker that goes with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from capture import open_source as sources
from capture.face.face_tracker import FaceTracker
from capture.open_source import Layout, Rotate
from capture.recordings.playback import WHOLE, Excerpt
from core.errors import InputError
from core.face_motion import MotionTrack
from core.source import AnyFrame, Sound, Source
from realtime.editing.edit_list import EDITS_NAME, edited, with_edits
from realtime.session.reader import SessionReader, is_session
from realtime.session.retracked import session_clip
from realtime.session.seen_frame import SeenTracker
from realtime.session.session_source import SessionSource

log = logging.getLogger(__name__)


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

    A session with edits plays its motion as edited, but for engines that look at pictures and for `retrack`.

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
    motion = None if pictures else _with_edits(path, session)
    return SessionSource(session, realtime=realtime, pictures=pictures, excerpt=excerpt, edited=motion)


def _with_edits(folder: Path, session: SessionReader) -> tuple[MotionTrack, Sound | None] | None:
    """The motion and what is heard with it; None where there are no edits: what the tracker saw is played then."""
    if not (folder / EDITS_NAME).exists():
        return None
    motion = edited(folder, session.motion)
    if motion is session.motion:
        return None
    log.info("%s: played with its edits (%s)", folder, EDITS_NAME)
    return motion, None if session.sound is None else with_edits(session.sound, folder, session.motion)


def tracker_for(source: Source[AnyFrame], make_tracker: Callable[[], FaceTracker]) -> FaceTracker | SeenTracker:
    """Who sees the faces in a source's frames: a tracker, or the one of the session that it plays."""
    return SeenTracker() if source.seen else make_tracker()
