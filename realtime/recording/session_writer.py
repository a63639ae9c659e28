"""Everything about a session that is kept with each pose: vertices and motion, what the tracker saw, what happened."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calib.avatar import Avatar
from core.frame import RgbdFrame
from core.writable import next_step, reason_of
from engine.motion.posed_frame import UNTOLD, AnyPosed, Calibration, PosedFrame
from realtime.recording.animation_file import AnimationWriter
from realtime.recording.recording_folder import RecordingError, SyncedFile, sync_folder
from realtime.session import observation_records, record_file
from realtime.session.folder_names import (
    ANIMATION_NAME,
    EVENTS_NAME,
    OBSERVATIONS_NAME,
    partial_of,
    session_files,
)
from realtime.session.manifest import About, AvatarNamed, Event, Manifest
from realtime.session.observation_records import OBSERVATION, Kind

LEAST_FREE_BYTES = 48 << 20  # left on the disk, so that what was written can be made whole
READ_ONLY = "THE FOLDER HAS BECOME READ-ONLY: allow writing there, or it cannot be finished"
_END_BYTES = 1024  # more than a frame takes once more when it is
_LOOK_S = 1.0


class SessionWriter:
    """Writes poses and all that belongs to them as they come; closing makes the files whole, in place.

    Nothing waits in a buffer of ours, and each file may end anywhere: a killed process loses the frame it was writing,
    a power cut the last second (`vfa session repair` completes what is left). Nothing lies in the folder before the
    first pose but empty files.

    Args:
        folder: of the session; what is left there of an earlier one is replaced.
        about: asked with the first pose for what the manifest says.
        clock, free_bytes, writable: for tests.

    Attributes:
        disk_left_bytes: room on the disk when it was last looked at.
        trouble: why the recording could not be finished as things are, though what comes is still written; or empty.

    Raises RecordingError, here and from every method, where the disk takes no more.
    """

    def __init__(
        self,
        folder: Path,
        avatar: Avatar,
        about: Callable[[], About] = About,
        *,
        clock: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        writable: Callable[[Path], bool] = lambda folder: os.access(folder, os.W_OK | os.X_OK),
    ) -> None:
        self._folder, self._avatar, self._about = folder, avatar, about
        self._clock, self._free_bytes, self._looked_s = clock, free_bytes, -np.inf
        self.disk_left_bytes: int | None = None
        self._writable, self.trouble = writable, ""
        self._calibration = UNTOLD
        self._camera: tuple[Any, ...] | None = None
        self._waiting: list[Event] = []  # until there is a manifest
        self._begun = self._closed = False
        self._check_room(0)  # before anything of an earlier session goes
        self._animation = AnimationWriter(folder / ANIMATION_NAME, len(avatar.file_mesh.vertices), clock=clock)
        self._files: list[SyncedFile] = []
        try:
            for path in session_files(folder):
                path.unlink(missing_ok=True)
            self._observations = self._opened(partial_of(folder / OBSERVATIONS_NAME))
            self._observations.write(record_file.head(OBSERVATION))
            self._events = self._opened(folder / EVENTS_NAME)
        except OSError as error:
            self.discard()
            raise RecordingError.of(folder, error) from error

    def _opened(self, path: Path) -> SyncedFile:
        self._files.append(SyncedFile(path, self._clock))
        return self._files[-1]

    @property
    def frames(self) -> int:
        """Poses so far; once closed, those that could be kept."""
        return self._animation.frames

    @property
    def written_bytes(self) -> int:
        return self._animation.written_bytes + sum(file.written_bytes for file in self._files)

    def append(self, posed: AnyPosed) -> None:
        """Add a pose, what it answers, and what changed before it."""
        try:
            self._check_room(self.frames)
            if not self._begun:
                self._begin()
            if isinstance(posed, PosedFrame):
                self._note_changes(posed)
                self._write_observation(posed, Kind.SILENCE if posed.silence else Kind.FRAME, posed.calibration)
            else:
                self._observations.write(observation_records.motion_record_of(posed).tobytes())
            pose = posed.pose
            vertices, T_file_head = self._avatar.to_file(pose.vertices), self._avatar.motion_to_file(pose.T_world_head)
            self._animation.append(vertices, T_file_head, pose.timestamp_s, pose.tracked, pose.motion)
        except OSError as error:
            raise RecordingError.of(self._folder, error) from error

    def note(self, event: Event) -> None:
        """Add what happened to the log."""
        if not self._begun:
            self._waiting.append(event)
            return
        try:
            self._events.write(event.line())
        except OSError as error:
            raise RecordingError.of(self._folder / EVENTS_NAME, error) from error

    def _check_room(self, frames: int) -> None:
        """See that there is room to make whole so many, and that names may be changed then. Looked at once a second."""
        if self._clock() - self._looked_s < _LOOK_S:
            return
        self._looked_s = self._clock()
        with suppress(OSError):  # a folder that is gone is told by its files
            free = self.disk_left_bytes = self._free_bytes(self._folder)
            read_only = self._folder.is_dir() and not self._writable(self._folder)
            self.trouble = READ_ONLY if read_only else ""
            if free < LEAST_FREE_BYTES + frames * _END_BYTES:
                raise RecordingError(f"{self._folder}: the disk is nearly full ({free >> 20} MB are left); make room")

    def _begin(self) -> None:
        about, avatar = self._about(), self._avatar
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        named = AvatarNamed(
            avatar.name, about.avatar or avatar.name, avatar.content_key, len(avatar.file_mesh.vertices)
        )
        Manifest(
            began=now,
            began_s=self._clock(),
            programs=about.programs,
            device=about.device,
            fps=about.fps,
            avatar=named,
            engine=about.engine,
            settings=about.settings,
            raw=about.raw,
        ).write(self._folder)
        sync_folder(self._folder)
        self._begun = True
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self.note(event)

    def _note_changes(self, posed: PosedFrame) -> None:
        now, before, time_s = posed.calibration, self._calibration, posed.pose.timestamp_s
        self._calibration = now
        self._note_camera(posed.frame)
        if now is before:
            return
        if now.neutral is not None and now.neutral is not before.neutral:
            self._write_observation(PosedFrame(now.neutral, posed.pose), Kind.NEUTRAL, now)
            self.note(Event(time_s, "neutral", {"index": now.neutral.frame.index}))
        if len(now.gains) and (now.gains.shape != before.gains.shape or (now.gains != before.gains).any()):
            self.note(Event(time_s, "gains", {"gains": now.gains.tolist()}))
        if now.head_follows != before.head_follows:
            self.note(Event(time_s, "head", {"follows": now.head_follows}))

    def _note_camera(self, frame: RgbdFrame) -> None:
        """Of a source that is plugged in again, or turned upright, the pictures may be others than before."""
        alignment = None if frame.sensed is None else frame.sensed.alignment
        camera = (frame.intrinsics.width, frame.intrinsics.height), frame.depth_m is not None, alignment
        if camera != self._camera:
            self._camera = camera
            # JSON does not know NumPy's own kinds of numbers.
            numbers = {name: float(value) for name, value in asdict(frame.intrinsics).items()}
            numbers |= {"width": int(frame.intrinsics.width), "height": int(frame.intrinsics.height)}
            told = {**numbers, "depth": frame.depth_m is not None, **(alignment or {})}
            self.note(Event(frame.timestamp_s, "camera", told))

    def _write_observation(self, posed: PosedFrame, kind: Kind, calibration: Calibration) -> None:
        record = observation_records.record_of(posed.observation, kind, calibration)
        self._observations.write(record.tobytes())

    def close(self, *, shorten: bool = False) -> None:
        """Make all files whole but the manifest, which `realtime.session.sealing.seal` does once the films are, too. A
        session without a pose leaves nothing. May be called twice.

        Args:
            shorten: see `AnimationWriter.close`.

        Raises RecordingError where something could not be made whole, once all else is.
        """
        if self._closed:
            return
        self._closed = True
        failure: RecordingError | None = None
        if not self._animation.frames:
            self.discard()
            return
        for finish in (partial(self._animation.close, shorten=shorten), self._finish_observations):
            try:
                finish()
            except RecordingError as error:
                failure = failure or error
        for file in self._files:
            file.release()
        if failure is not None:
            raise failure

    def _finish_observations(self) -> None:
        path = self._folder / OBSERVATIONS_NAME
        count = (self._observations.written_bytes - record_file.HEAD_BYTES) // OBSERVATION.itemsize
        try:
            self._observations.check_in_place()
            record_file.complete(self._observations.raw, OBSERVATION, count)
            self._observations.release()
            partial_of(path).replace(path)
        except OSError as error:
            raise RecordingError(
                f"{path}: cannot be written ({reason_of(error)})",
                f"{next_step(error)} and run  vfa session repair {path.parent}",
            ) from error

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        self._closed = True
        self._animation.discard()
        mine = [file for file in self._files if file.in_place]
        for file in self._files:
            file.release()
        if len(mine) == len(self._files):
            for path in session_files(self._folder):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
