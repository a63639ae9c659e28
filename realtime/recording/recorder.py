"""A recording of a session: `animation.npz` and `preview.mp4` in one folder."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from core.errors import InputError
from core.source import Sound
from core.untrusted import read_arrays
from engine.motion.protocol import AvatarPose
from realtime.recording.animation_file import POSE, AnimationWriter, finish_animation
from realtime.recording.preview import PreviewWriter, finish_preview
from realtime.recording.recording_folder import (
    ANIMATION_NAME,
    POSES_NAME,
    PREVIEW_NAME,
    RecordingError,
    RecordingFolder,
    partial_of,
)
from realtime.threads.disk_queue import DiskQueue

POSES_QUEUED = 90  # three seconds at 30 fps: a slow disk is bridged, a dead one is noticed
PICTURES_QUEUED = 20  # each pair of pictures is several megabytes

FilmName = Literal["both", "avatar"]
Picture = tuple[NDArray[np.uint8] | None, NDArray[np.uint8], float]  # driver rgb, avatar rgb, timestamp_s

log = logging.getLogger(__name__)


def write_pose(writer: AnimationWriter, avatar: Avatar, pose: AvatarPose) -> None:
    """Append one pose in the coordinates of the avatar's file."""
    T_file_head = avatar.motion_to_file(pose.T_world_head)
    writer.append(avatar.to_file(pose.vertices), T_file_head, pose.timestamp_s, pose.tracked, pose.motion)


class Recorder:
    """Records beside a live loop: adding never blocks; what could not be kept is counted, never silent.

    A disk that takes no more ends the recording, not the session: see `problem`.

    Args:
        film: "both" or "avatar", as high as the avatar's pictures; None: both, 480 pixels high.
        sound: see `PreviewWriter`.

    Raises RecordingError where the recording cannot begin; the folder is released then, as it is by `close`.
    """

    def __init__(
        self,
        folder: RecordingFolder,
        avatar: Avatar,
        film: FilmName | None = None,
        sound: Callable[[], Sound | None] = lambda: None,
    ) -> None:
        self._folder = folder
        animation: AnimationWriter | None = None
        try:
            animation = AnimationWriter(folder.path / ANIMATION_NAME, len(avatar.file_mesh.vertices))
            height = 480 if film is None else None
            preview = PreviewWriter(folder.path / PREVIEW_NAME, height, driver=film != "avatar", sound=sound)
        except BaseException:
            if animation is not None:
                animation.discard()
            folder.release()
            raise
        self._animation, self._preview = animation, preview
        self._poses: DiskQueue[AvatarPose] = DiskQueue(
            "record-animation", lambda pose: write_pose(animation, avatar, pose), animation.close, POSES_QUEUED
        )
        self._pictures: DiskQueue[Picture] = DiskQueue(
            "record-preview", lambda item: preview.append(*item), preview.close, PICTURES_QUEUED
        )

    @property
    def directory(self) -> Path:
        return self._folder.path

    @property
    def kept(self) -> bool:
        """Whether anything came to be written: of a recording without a pose or picture no file is left."""
        return self._animation.frames > 0 or self._preview.frames > 0

    @property
    def lost(self) -> dict[str, int]:
        """Poses and pictures that could not be written because the disk or the encoder fell behind."""
        return {"poses": self._poses.lost, "pictures": self._pictures.lost}

    @property
    def problem(self) -> str | None:
        """Why nothing more is recorded, in one line; None while all is well."""
        failure = self._poses.failure or self._pictures.failure
        if failure is None or isinstance(failure, RecordingError):
            return None if failure is None else f"{failure}; what was written before is kept"
        return (
            f"{self.directory}: the recording broke off ({type(failure).__name__}: {failure}); what was written is kept"
        )

    def add_pose(self, pose: AvatarPose) -> None:
        self._poses.put(pose)

    def add_picture(
        self, driver_rgb: NDArray[np.uint8] | None, avatar_rgb: NDArray[np.uint8], timestamp_s: float
    ) -> None:
        self._pictures.put((driver_rgb, avatar_rgb, timestamp_s))

    def close(self) -> None:
        """Write what is queued and finish both files."""
        self._poses.end_soon()
        self._pictures.close()
        self._poses.close()
        for failure in (self._poses.failure, self._pictures.failure):
            if failure is not None and not isinstance(failure, RecordingError):
                log.error("the recording broke off", exc_info=failure)
        self._folder.release()


def finish_recording(path: Path) -> str:
    """Complete the recording that a killed process left in a folder; what of it can be.

    Returns what was done, in words. Raises InputError where there is nothing to complete, or none of it can be, or the
    recording goes on at this moment. Only complete files replace anything, and nothing else is deleted.
    """
    with RecordingFolder.reopen(path) as folder:
        if (told := _already_complete(folder.path)) is not None:
            return told
        done, problems = [], []
        animation, film = (partial_of(folder.path / name) for name in (ANIMATION_NAME, PREVIEW_NAME))
        if animation.exists() or (folder.path / POSES_NAME).exists() or not film.exists():
            try:
                done.append(f"{finish_animation(folder.path)} frames: {folder.path / ANIMATION_NAME}")
            except InputError as error:
                problems.append(str(error))
        earlier = (folder.path / PREVIEW_NAME).exists()
        try:
            if finish_preview(folder.path):
                done.append(f"film: {folder.path / PREVIEW_NAME}")
        except InputError as error:
            problems.append(str(error) + f"; {PREVIEW_NAME} is of an earlier recording" * earlier)
    if not done:
        raise InputError("; ".join(problems))
    return "\n".join([*done, *problems])


def _already_complete(folder: Path) -> str | None:
    """What to say where both files are there and nothing waits to be completed. Poses that a process killed at the very
    end left over go."""
    animation = folder / ANIMATION_NAME
    if not animation.is_file() or any(partial_of(folder / name).exists() for name in (ANIMATION_NAME, PREVIEW_NAME)):
        return None
    poses = folder / POSES_NAME
    if poses.is_file() and not poses.is_symlink():
        frames = read_arrays(animation, animation.stat().st_size, ("timestamps_s",))["timestamps_s"]
        if len(frames) != poses.stat().st_size // POSE.itemsize:
            return None
        poses.unlink()
    return f"{folder}: is complete already, there is nothing to do"
