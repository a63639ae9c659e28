"""An avatar that does again what was kept, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.rigging.morphs import own_units
from core.camera import transform_points
from core.errors import InputError
from core.face_motion import MotionTrack
from engine.expression.expression_engine import ExpressionEngine
from engine.motion.protocol import AvatarPose, HeadPose
from realtime.export.sampling import Frame
from realtime.export.take import RecordedVertices

_SAME = 0.01  # of the head's size
_BEFORE_S = (2000.0, 1000.0)  # before its first frame the head stands still in it for long: nothing is left to ease


@dataclass(frozen=True, eq=False)
class PosedAvatar:
    """The poses of one avatar for a motion, worked out anew in every pass.

    Attributes:
        avatar: whose they are.
        motion: what it does. Frames without a face are in it as they were shown, on their way to rest.
        head_pose: "follow" turns the avatar, "fixed" keeps it still.
    """

    avatar: Avatar
    motion: MotionTrack
    head_pose: HeadPose = "follow"

    def __len__(self) -> int:
        return len(self.motion)

    def poses(self) -> Iterator[AvatarPose]:
        """[T] poses, as live shows them. Raises InputError where the avatar cannot be moved by units."""
        engine = ExpressionEngine(self.avatar, self.head_pose, units=own_units(self.avatar))
        first = float(self.motion.timestamps_s[0])
        for before in _BEFORE_S:
            engine.follow(self.motion[0], first - before, 0)
        for number, time_s in enumerate(self.motion.timestamps_s):
            yield engine.follow(self.motion[number], float(time_s), number)

    def __iter__(self) -> Iterator[Frame]:
        """Vertices [V, 3] of the avatar's file in its coordinates, before the head's motion, and that motion."""
        for pose in self.poses():
            yield self.avatar.to_file(pose.vertices), self.avatar.motion_to_file(pose.T_world_head)


def above_chin(avatar: Avatar) -> NDArray[np.bool_]:
    """[V] which vertices of the head's file are: there a pose moves few of them, however the neck is bent."""
    placed = transform_points(avatar.T_world_file, avatar.file_mesh.vertices)
    return np.asarray(placed[:, 1] > avatar.landmarks[:, 1].min())


def shows(avatar: Avatar, recorded: RecordedVertices) -> bool:
    """Whether vertices that were recorded are this head's: as many, and most of them where the head has them."""
    rest = avatar.file_mesh.vertices
    if len(rest) != recorded.vertex_count:
        return False
    above = above_chin(avatar)
    first, _ = next(iter(recorded))
    off = np.median(np.linalg.norm(first[above] - rest[above], axis=1))
    return bool(off < _SAME * np.linalg.norm(np.ptp(rest[above], axis=0)))


def check_shows(avatar: Avatar, recorded: RecordedVertices) -> None:
    """Raises InputError where vertices that were recorded cannot be this avatar's."""
    if not shows(avatar, recorded):
        raise InputError(
            f"{recorded.path}: holds {recorded.vertex_count} vertices of another head than {avatar.name}; give "
            "the head that was recorded by --avatar"
        )
