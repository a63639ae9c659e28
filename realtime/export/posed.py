"""An avatar that does again what was kept, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from calib.avatar import Avatar
from calib.rigging.morphs import MorphUnits
from core.errors import InputError
from core.face_motion import MotionTrack
from engine.expression.expression_engine import ExpressionEngine
from engine.motion.protocol import AvatarPose, HeadPose
from realtime.export.sampling import Frame

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
        units = None if self.avatar.file_mesh.morphs is None else MorphUnits(self.avatar)
        engine = ExpressionEngine(self.avatar, self.head_pose, units=units)
        first = float(self.motion.timestamps_s[0])
        for before in _BEFORE_S:
            engine.follow(self.motion[0], first - before, 0)
        for number, time_s in enumerate(self.motion.timestamps_s):
            yield engine.follow(self.motion[number], float(time_s), number)

    def __iter__(self) -> Iterator[Frame]:
        """Vertices [V, 3] of the avatar's file in its coordinates, before the head's motion, and that motion."""
        for pose in self.poses():
            yield self.avatar.to_file(pose.vertices), self.avatar.motion_to_file(pose.T_world_head)


def check_count(avatar: Avatar, vertex_count: int, name: str) -> None:
    """Raises InputError where vertices that were recorded cannot be this avatar's."""
    own = len(avatar.file_mesh.vertices)
    if own != vertex_count:
        raise InputError(
            f"{name}: holds {vertex_count} vertices, the head {avatar.name} has {own}; give the head it was recorded "
            "with by --avatar"
        )
