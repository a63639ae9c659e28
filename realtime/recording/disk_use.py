"""How much disk a recording takes, in words short enough for a line on the picture."""

from __future__ import annotations

import shutil
from pathlib import Path

from calib.avatar import Avatar
from realtime.recording.session_writer import LEAST_FREE_BYTES
from realtime.session.folder_names import RawName
from realtime.session.observation_records import OBSERVATION
from realtime.session.poses import POSE

_USUAL_FPS = 30
_FILM_MB, _COLOR_MB, _DEPTH_MB = 8.0, 30.0, 300.0  # a minute, roughly: of a face before a wall, 1280x720
_LONG_MINUTES = 120.0  # so long nobody needs to be told


def expected_mb(avatar: Avatar, raw: RawName) -> float:
    """Megabytes a minute at 30 frames a second, before anything is known of the camera."""
    frame_bytes = 12 * len(avatar.file_mesh.vertices) + POSE.itemsize + OBSERVATION.itemsize
    pictures = {"off": 0.0, "colour": _COLOR_MB, "rgbd": _COLOR_MB + _DEPTH_MB}[raw]
    return frame_bytes * _USUAL_FPS * 60 / 1e6 + _FILM_MB + pictures


def told_before(folder: Path, avatar: Avatar, raw: RawName) -> str:
    """What a recording will take, and for how long there is room."""
    mb_a_minute = expected_mb(avatar, raw)
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError:
        return f"about {mb_a_minute:.0f} MB a minute"
    return f"about {mb_a_minute:.0f} MB a minute, {free_bytes / 1e9:.1f} GB are free"


def told_meanwhile(written_bytes: int, seconds: float, left_bytes: int | None) -> str:
    """What it takes, and how long there still is room where that is not for hours; empty in the first seconds."""
    if seconds < 3.0 or not written_bytes:
        return ""
    bytes_a_minute = written_bytes / seconds * 60
    told = f"{bytes_a_minute / 1e6:.0f} MB/min"
    if left_bytes is None:
        return told
    minutes = max(left_bytes - LEAST_FREE_BYTES, 0) / bytes_a_minute
    return told if minutes > _LONG_MINUTES else f"{told}, {minutes:.0f} min left"
