"""Completing what a killed process left of a session, in place, as often as anybody likes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.untrusted import read_arrays
from realtime.recording.animation_file import finish_animation
from realtime.recording.fragments import finish_film, pictures_in, whole_clusters, whole_fragments
from realtime.recording.preview import finish_preview
from realtime.recording.recording_folder import RecordingError, RecordingFolder, sync_folder
from realtime.recording.sound import add_sound
from realtime.recording.sound_file import finish_sound
from realtime.session import record_file
from realtime.session.folder_names import (
    ANIMATION_NAME,
    COLOR_NAME,
    DEPTH_NAME,
    MANIFEST_NAME,
    OBSERVATIONS_NAME,
    PICTURES_NAME,
    POSES_NAME,
    PREVIEW_NAME,
    partial_of,
)
from realtime.session.manifest import read_manifest
from realtime.session.observation_records import OBSERVATION, sound_count
from realtime.session.picture_records import PICTURE
from realtime.session.poses import POSE
from realtime.session.reader import SessionReader, is_session
from realtime.session.sealing import seal, unfinished

_FEW_PICTURES = 60  # more than come before the first fragments of colour and depth are written
_FIRST_BYTES = 4 << 20  # more than a fifth of a second of any film takes


def repair(path: Path) -> str:
    """Complete the session that a killed process left in a folder; what of it can be.

    Returns what was done, in words. Raises InputError where there is nothing to complete, or none of it can be, or the
    session goes on at this moment. Only complete files replace anything, and nothing else is deleted.
    """
    with RecordingFolder.reopen(path) as folder:
        _drop_left_over_poses(folder.path)
        if (told := _already_complete(folder.path)) is not None:
            return told
        done: list[str] = []  # a line for each file
        problems: list[str] = []
        for step in (_animation, _observations, _sound, _film, _raw, _manifest):
            try:
                step(folder.path, done)
            except InputError as error:
                problems.append(str(error))
    if not done:
        raise InputError("; ".join(problems) or f"{path}: holds nothing that can be completed; record it again")
    return "\n".join([*done, *problems])


def _animation(folder: Path, done: list[str]) -> None:
    film = partial_of(folder / PREVIEW_NAME)
    animation = folder / ANIMATION_NAME
    waits = partial_of(animation).exists() or (folder / POSES_NAME).exists()
    if waits or not (film.exists() or animation.exists()):
        done.append(f"{finish_animation(folder)} frames: {animation}")


def _observations(folder: Path, done: list[str]) -> None:
    path = folder / OBSERVATIONS_NAME
    partial = partial_of(path)
    if not _ordinary(partial):
        return
    if not (count := sound_count(record_file.records_of(partial, OBSERVATION))):
        raise InputError(f"{partial}: not one observation is complete; it is left as it is")
    _complete(path, OBSERVATION, count)
    done.append(f"{count} observations: {path}")


def _sound(folder: Path, done: list[str]) -> None:
    if (path := finish_sound(folder)) is not None:
        done.append(f"sound: {path}")


def _film(folder: Path, done: list[str]) -> None:
    path = folder / PREVIEW_NAME
    earlier = path.exists()
    if _barely_begun(path) and (folder / ANIMATION_NAME).is_file():
        _remove([partial_of(path)], done)
        return
    try:
        if finish_preview(folder):
            done.append(f"film: {path}")
            _add_sound(path)
    except RecordingError:
        raise
    except InputError as error:
        raise InputError(str(error) + f"; {PREVIEW_NAME} is of an earlier recording" * earlier) from None


def _add_sound(film: Path) -> None:
    """To a film that has just been completed, where a microphone was recorded with it."""
    if not is_session(film.parent):
        return
    session = SessionReader.open(film.parent)
    begins_s = next((event.time_s for event in session.events if event.what == "film"), None)
    if session.sound is not None and begins_s is not None:
        add_sound(film, begins_s, session.sound)


def _raw(folder: Path, done: list[str]) -> None:
    """Colour and depth up to the last fragment of each, and as many of their frames as both hold."""
    films, path = [folder / name for name in (COLOR_NAME, DEPTH_NAME)], folder / PICTURES_NAME
    if not _ordinary(partial_of(path)):
        return
    partials = [film for film in films if _ordinary(partial_of(film))]
    few = record_file.count_of(partial_of(path), PICTURE) <= _FEW_PICTURES
    if few and any(map(_barely_begun, partials)) and all(_small(partial_of(film)) for film in partials):
        _remove([partial_of(each) for each in (*partials, path)], done)
        return
    done += [f"pictures: {film}" for film in films if finish_film(film)]
    whole = [film for film in films if film.is_file()]
    if not whole:
        raise InputError(f"{partial_of(path)}: the pictures are not there; it is left as it is")
    _complete(path, PICTURE, min(record_file.count_of(partial_of(path), PICTURE), *map(pictures_in, whole)))


def _barely_begun(film: Path) -> bool:
    """Whether the first fifth of a second of a film has not come to be written."""
    partial = partial_of(film)
    whole_bytes = whole_clusters if film.suffix == ".mkv" else whole_fragments
    return _ordinary(partial) and _small(partial) and not whole_bytes(partial)


def _small(path: Path) -> bool:
    return path.stat().st_size < _FIRST_BYTES


def _remove(paths: list[Path], done: list[str]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    done.append(f"{', '.join(path.name for path in paths)}: had barely begun, and went")


def _complete(path: Path, dtype: np.dtype[Any], count: int) -> None:
    partial = partial_of(path)
    try:
        with partial.open("r+b") as file:
            record_file.complete(file, dtype, count)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise RecordingError.of(path, error) from error


def _manifest(folder: Path, done: list[str]) -> None:
    if seal(folder) is not None:
        done.append(f"session: {folder / MANIFEST_NAME}")


def _ordinary(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _already_complete(folder: Path) -> str | None:
    """What to say where all files are there and nothing waits to be completed."""
    animation = folder / ANIMATION_NAME
    if not animation.is_file() or unfinished(folder):
        return None
    if (folder / MANIFEST_NAME).is_file() and not read_manifest(folder).complete:
        return None
    return f"{folder}: is complete already, there is nothing to do;  vfa session check {folder}  reads all of it"


def _drop_left_over_poses(folder: Path) -> None:
    """Poses that a process left which was killed once they were in their archive, whatever else waits, go."""
    animation, poses = folder / ANIMATION_NAME, folder / POSES_NAME
    if not (animation.is_file() and _ordinary(poses)) or partial_of(animation).exists():
        return
    frames = read_arrays(animation, animation.stat().st_size, ("timestamps_s",))["timestamps_s"]
    if len(frames) == poses.stat().st_size // POSE.itemsize:
        poses.unlink()
