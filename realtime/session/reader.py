"""A session read back: its motion, what the tracker saw, what happened."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.face_motion import MotionTrack
from core.source import DeviceState, Sound
from realtime.session.folder_names import ANIMATION_NAME, MANIFEST_NAME, SOUND_NAME, partial_of, there
from realtime.session.manifest import AvatarNamed, Event, Gap, Manifest, read_manifest
from realtime.session.observation_records import Kind, read_observations
from realtime.session.poses import read_motion_of, read_track

_FRAMES_MISSED = 3  # so many in a row, and no less than a sixth of a second, are a gap
_GAP_S = 0.15
_USUAL_FPS = 30.0


@dataclass(frozen=True, eq=False)
class SessionReader:
    """A session's folder, whether it ended in order, goes on at this moment or was killed; opened by `open`.

    Attributes:
        folder: where it lies.
        manifest: what it says of itself.
    """

    folder: Path
    manifest: Manifest

    @staticmethod
    def open(folder: Path | str) -> SessionReader:
        """Raises InputError where there is no session."""
        folder = Path(folder)
        if not is_session(folder):
            told = "; it is a recording of an older version" if _holds_recording(folder) else ""
            raise InputError(f"{folder}: expected the folder of a session, found no {MANIFEST_NAME} in it{told}")
        return SessionReader(folder, read_manifest(folder))

    @property
    def avatar(self) -> AvatarNamed:
        return self.manifest.avatar

    @property
    def events(self) -> tuple[Event, ...]:
        return self.manifest.events

    @cached_property
    def motion(self) -> MotionTrack:
        """What the face did. Raises InputError where the session has none, or it is damaged."""
        if (track := read_track(self.folder)) is None:
            raise InputError(f"{self.folder}: holds no motion; record it again")
        return track

    @cached_property
    def observations(self) -> NDArray[Any]:
        """[T] `observation_records.OBSERVATION`, left on the disk until they are looked at. Raises InputError."""
        return read_observations(self.folder)

    @cached_property
    def faces_share(self) -> float:
        """Of the source's frames, those with a face; silence, which is kept as poses many times a second, counts as
        gaps. Raises InputError where there is neither frame nor pose."""
        tracked = self.observations["tracked"][frames_in(self.observations)]
        return float((tracked if len(tracked) else self.motion.tracked).mean())

    @cached_property
    def sound(self) -> Sound | None:
        """What was heard, on the clock of the frames; None where nothing was."""
        path = there(self.folder / SOUND_NAME)
        begun = next((event.time_s for event in self.events if event.what == "sound"), None)
        return None if path is None or begun is None else Sound(path, begun)

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """Times without frames, with what the source was doing."""
        if self.manifest.complete:
            return self.manifest.gaps
        return gaps_in(self.observations, self.manifest)


def frames_in(observations: NDArray[Any]) -> NDArray[np.intp]:
    """Which records answer a frame that the source brought: no neutral, and no silence."""
    frames = np.flatnonzero(np.isin(observations["kind"], (Kind.FRAME, Kind.MOTION)))
    new = np.diff(observations["index"][frames], prepend=-1) > 0  # a phone's silence repeats a frame
    return frames[new]


def gaps_in(observations: NDArray[Any], manifest: Manifest) -> tuple[Gap, ...]:
    """Where the source brought no frame for a while; frames that it brought and nobody had time for are none of it."""
    frames = frames_in(observations)
    frame_times_s, numbers = observations["timestamp_s"][frames], observations["index"][frames]
    fps = manifest.fps or _USUAL_FPS
    longest_s = max(_GAP_S, _FRAMES_MISSED / fps)
    passed_over_s = np.maximum(np.diff(numbers) - 1, 0) / fps
    ends = np.flatnonzero(np.diff(frame_times_s) - passed_over_s > longest_s)
    states = _StatesTold(manifest.events)
    return tuple(
        Gap(float(begins), float(ends), states.between(float(begins), float(ends)))
        for begins, ends in zip(frame_times_s[ends], frame_times_s[ends + 1], strict=True)
    )


class _StatesTold:
    """What a source is known to have done, or that the user paused, in the order of time."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        self._events = sorted(
            (event for event in events if event.what in ("state", "pause")), key=lambda event: event.time_s
        )
        self._times_s = [event.time_s for event in self._events]

    def between(self, from_s: float, to_s: float) -> str:
        """The last of it; empty where there was nothing but frames."""
        within = slice(bisect_left(self._times_s, from_s), bisect_right(self._times_s, to_s))
        states = (str(event.details.get("state", event.what))[:64] for event in reversed(self._events[within]))
        return next((state for state in states if state != DeviceState.STREAMING.value), "")


def is_session(path: Path) -> bool:
    """Whether `path` is the folder of a session."""
    try:
        return (path / MANIFEST_NAME).is_file()
    except (OSError, ValueError):  # a name too long, a null byte in it
        return False


def _holds_recording(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (ANIMATION_NAME, partial_of(folder / ANIMATION_NAME).name))


@dataclass(frozen=True, eq=False)
class RecordedMotion:
    """What a face did in a recording, and whom it drove: name and path of the avatar, empty where that is not known."""

    track: MotionTrack
    avatar_name: str
    avatar_path: str


def read_motion(path: Path | str) -> RecordedMotion:
    """The motion of a session, given as its folder or as an `animation.npz`. Raises InputError."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such session; check the path")
    folder = path if path.is_dir() else path.parent
    track = read_track(folder) if path.is_dir() else read_motion_of(path)
    if track is None:
        raise InputError(
            f"{path}: expected a session with its motion, found none; recordings of older versions have none: record "
            "again, or  vfa animate  its driver anew"
        )
    if not len(track):
        raise InputError(f"{path}: not one frame of the session is complete; record it again")
    if not is_session(folder):
        return RecordedMotion(track, "", "")
    avatar = read_manifest(folder).avatar
    return RecordedMotion(track, avatar.name, avatar.path)
