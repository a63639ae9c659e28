"""The Python API: what other programs may rely on. Everything else may move between versions.

    from realtime.api import animate, open_source, prepare_avatar

    avatar = prepare_avatar("head.glb")
    for shown in animate(avatar, open_source("clip.mp4", realtime=False)):
        print(shown.unit_weights["jawOpen"], shown.pose.T_world_head, shown.pose.vertices.shape)

Coordinates, units and shapes are written at `Avatar`, `AvatarPose`, `RgbdFrame` and `FaceObservation`. Whatever the
caller hands in and cannot be used raises `InputError`, one line with the next step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from calib import avatar as avatars
from calib.avatar import Avatar
from calib.framing import avatar_view
from calib.preparation_options import PreparationOptions
from capture.face.face_tracker import FaceTracker
from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path
from core.errors import InputError
from core.frame import FaceObservation, RgbdFrame
from core.source import AnyFrame, RgbdSource, Source, frames_of
from engine.motion.protocol import AvatarPose, MotionEngine
from realtime.config import MotionOptions
from realtime.engines import make_engine
from realtime.live.driving import open_driving as open_source
from realtime.live.driving import tracker_for
from realtime.live.person import PersonalCalibration
from realtime.live.pipeline import FramePipeline, PosedFrame
from realtime.live.replayed_person import ReplayedPerson
from realtime.session.reader import RecordedMotion, SessionReader, read_motion
from realtime.threads.timing import SectionTimes
from render.window.viewer import Viewer

__all__ = [
    "BUILTIN_AVATARS",
    "AnimatedFrame",
    "Avatar",
    "AvatarPictures",
    "AvatarPose",
    "FaceObservation",
    "FaceTracker",
    "InputError",
    "MotionEngine",
    "MotionOptions",
    "PreparationOptions",
    "RecordedMotion",
    "RgbdFrame",
    "RgbdSource",
    "SessionReader",
    "animate",
    "make_engine",
    "open_source",
    "prepare_avatar",
    "read_motion",
]


@dataclass(frozen=True, eq=False)
class AnimatedFrame:
    """A driver's frame and the avatar's answer to it.

    Attributes:
        observation: the tracked face, with the frame itself as `observation.frame`; None where the source brings motion
            without pictures, such as a phone that tracks by itself or a session with edits.
        pose: vertices and head pose of the avatar.
        unit_weights: what the avatar does, by the 52 ARKit names (0 neutral, 1 the full unit); empty for engines that
            work without units.
        calibrated: whether the driver's neutral is known; before, the avatar is at rest. Motion without pictures tells
            by itself how far it is from rest.
    """

    observation: FaceObservation | None
    pose: AvatarPose
    unit_weights: dict[str, float]
    calibrated: bool


def prepare_avatar(head: str | Path, options: PreparationOptions | None = None) -> Avatar:
    """A head ready to be driven: one of `BUILTIN_AVATARS` by name, or a mesh file.

    Takes some seconds the first time; afterwards it comes from the cache. Raises InputError.
    """
    path = builtin_avatar_path(str(head)) if str(head) in BUILTIN_AVATARS else Path(head)
    return avatars.prepare_avatar(path, options or PreparationOptions())


def animate(avatar: Avatar, source: Source[AnyFrame], options: MotionOptions | None = None) -> Iterator[AnimatedFrame]:
    """Drive an avatar with every frame of a source, on the calling thread.

    Args:
        source: not opened yet; opened, read and closed here. `open_source(path, realtime=False)` drops no frame.
        options: which engine, which driver's profile and so on; the defaults of the command line when left out.

    The neutral face is the first good one, as in a live session. Raises InputError.
    """
    options = options or MotionOptions()
    engine = make_engine(options, avatar)
    replayed = source.seen and options.profile is None
    person = ReplayedPerson() if replayed else PersonalCalibration(profile=options.profile)
    with tracker_for(source, lambda: FaceTracker(options.face_model, options.tracker)) as tracker:
        pipeline = FramePipeline(tracker, engine, SectionTimes(), person)
        for frame in frames_of(source):
            posed = pipeline.answer(frame)
            names, weights = engine.unit_names, engine.unit_weights
            named = {} if names is None or weights is None else dict(zip(names, weights.tolist(), strict=True))
            observation = posed.observation if isinstance(posed, PosedFrame) else None
            yield AnimatedFrame(observation, posed.pose, named, engine.calibrated or observation is None)


class AvatarPictures:
    """Pictures of an avatar in its poses, without a window. A context manager; for the thread that made it.

    Raises InputError where the machine has no OpenGL.
    """

    def __init__(self, avatar: Avatar, size: tuple[int, int] = (960, 720)) -> None:
        self._viewer = Viewer(avatar.display_mesh, size, headless=True, intrinsics=avatar_view(avatar))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._viewer.close()

    def take(self, pose: AvatarPose) -> NDArray[np.uint8]:
        """[height, width, 3] uint8."""
        self._viewer.show(pose.vertices, pose.T_world_head, None, "")
        return self._viewer.read_rgb()
