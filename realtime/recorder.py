"""A recording of a session: `animation.npz` and `preview.mp4` in one folder."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from engine.motion import AvatarPose
from realtime.animation_file import AnimationWriter
from realtime.disk_queue import DiskQueue
from realtime.preview import PreviewWriter
from realtime.worker import Stop
from render.errors import InputError

POSES_QUEUED = 90  # three seconds at 30 fps: a slow disk is bridged, a dead one is noticed
PICTURES_QUEUED = 20  # each pair of pictures is several megabytes

Picture = tuple[NDArray[np.uint8], NDArray[np.uint8], float]  # driver rgb, avatar rgb, timestamp_s

ANIMATION_NAME = "animation.npz"
PREVIEW_NAME = "preview.mp4"


def claim_folder(directory: Path, overwrite: bool) -> Path:
    """Make the folder for a recording. Raises InputError if one is there already and must not be replaced."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: expected a folder to record into, found a file; name another")
    taken = [name for name in (ANIMATION_NAME, PREVIEW_NAME) if (directory / name).exists()]
    if taken and not overwrite:
        raise InputError(
            f"{directory}: already holds a recording ({', '.join(taken)}); name another folder or pass --overwrite"
        )
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write_pose(writer: AnimationWriter, avatar: Avatar, pose: AvatarPose) -> None:
    """Append one pose in the coordinates of the avatar's file."""
    T_file_head = avatar.motion_to_file(pose.T_world_head)
    writer.append(avatar.to_file(pose.vertices), T_file_head, pose.timestamp_s, pose.tracked)


class Recorder:
    """Records beside a live loop: adding never blocks; what could not be kept is counted, never silent."""

    def __init__(self, directory: Path, avatar: Avatar, stop: Stop) -> None:
        self.directory = directory
        self._animation = AnimationWriter(directory / ANIMATION_NAME, len(avatar.file_mesh.vertices))
        self._preview = PreviewWriter(directory / PREVIEW_NAME)
        self._poses: DiskQueue[AvatarPose] = DiskQueue(
            "record-animation",
            lambda pose: write_pose(self._animation, avatar, pose),
            self._animation.close,
            stop,
            POSES_QUEUED,
        )
        self._pictures: DiskQueue[Picture] = DiskQueue(
            "record-preview", lambda item: self._preview.append(*item), self._preview.close, stop, PICTURES_QUEUED
        )

    @property
    def lost(self) -> dict[str, int]:
        """Poses and pictures that could not be written because the disk or the encoder fell behind."""
        return {"poses": self._poses.lost, "pictures": self._pictures.lost}

    def add_pose(self, pose: AvatarPose) -> None:
        self._poses.put(pose)

    def add_picture(self, driver_rgb: NDArray[np.uint8], avatar_rgb: NDArray[np.uint8], timestamp_s: float) -> None:
        self._pictures.put((driver_rgb, avatar_rgb, timestamp_s))

    def close(self) -> None:
        """Write what is queued and finish both files."""
        self._poses.close()
        self._pictures.close()
