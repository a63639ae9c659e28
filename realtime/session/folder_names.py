"""What the files of a session are called."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

MANIFEST_NAME: Final = "session.json"
"""What was recorded, how, and what happened meanwhile: `realtime.session.manifest`."""
EVENTS_NAME: Final = "events.partial.jsonl"
"""What happened, a line each, until the end of the session puts it into the manifest."""
OBSERVATIONS_NAME: Final = "observations.npy"
"""What the tracker saw and the engine was told, frame by frame: `realtime.session.observation_records`."""
ANIMATION_NAME: Final = "animation.npz"
"""The avatar's vertices, and what the face did: `realtime.session.poses`."""
POSES_NAME: Final = "poses.partial"
"""All of that but the vertices while the session runs."""
PREVIEW_NAME: Final = "preview.mp4"
"""The film of driver and avatar."""
COLOR_NAME: Final = "color.mp4"
"""The camera's pictures, H.264."""
DEPTH_NAME: Final = "depth.mkv"
"""The camera's depth, FFV1."""
PICTURES_NAME: Final = "pictures.npy"
"""Which frame each picture of the two belongs to."""

SOUND_NAME: Final = "sound.wav"
"""What a microphone heard, or the sound of the clip that drove; event "sound" says when it begins."""

EDITS_NAME: Final = "edits.json"
"""Edits of the motion, which leave the recording alone: `realtime.editing.edit_list`."""

WHOLE_NAMES: Final = (
    ANIMATION_NAME,
    PREVIEW_NAME,
    MANIFEST_NAME,
    OBSERVATIONS_NAME,
    COLOR_NAME,
    DEPTH_NAME,
    PICTURES_NAME,
    SOUND_NAME,
)

RawName = Literal["off", "colour", "rgbd"]
"""Which of the camera's own pictures are kept."""


def partial_of(path: Path) -> Path:
    """Where a recording's file stands until it is whole."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def session_files(folder: Path) -> list[Path]:
    """All that may lie in a session's folder beside animation and film, whole or not."""
    names = [name for name in WHOLE_NAMES if name not in (ANIMATION_NAME, PREVIEW_NAME)]
    whole = [folder / name for name in names]
    return [*whole, *map(partial_of, whole), folder / EVENTS_NAME]


def there(path: Path) -> Path | None:
    """The file, or what of it was written by a session that goes on or was killed; None where there is neither."""
    return next((each for each in (path, partial_of(path)) if each.is_file()), None)
