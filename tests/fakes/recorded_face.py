"""A recording of half a second in which the face does a little of everything."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from calib.avatar import Avatar
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion, with_gaze
from core.rigid_motion import rotation_matrix
from engine.expression.expression_engine import ExpressionEngine
from realtime.export_command import TakeOptions, export
from realtime.recording.animation_file import AnimationWriter

FRAMES, FPS = 24, 30.0
JAW, SMILE, LEFT = (UNIT_NAMES.index(name) for name in ("jawOpen", "mouthSmileLeft", "mouthLeft"))
YAW, GAZE = 0.2, (0.15, -0.1)


def motion(number: int) -> FaceMotion:
    """The jaw opens and shuts, a smile on the left comes, the head turns to the person's left, the eyes with it."""
    share = number / (FRAMES - 1)
    weights, T, gaze = np.zeros(52), np.eye(4), np.array([GAZE, GAZE]) * share
    weights[[JAW, SMILE, LEFT]] = np.sin(np.pi * share), 0.8 * share, 0.3 * share
    T[:3, :3], T[:3, 3] = rotation_matrix(np.array([0.0, YAW * share, 0.0])), (0.01 * share, 0, 0)
    return FaceMotion(with_gaze(weights, gaze), gaze, T)


def recorded_as(avatar: Avatar, folder: Path, performed: Callable[[int], FaceMotion]) -> Path:
    """The folder with an animation.npz, as live writes it, of the motion in each frame."""
    writer = AnimationWriter(folder / "animation.npz", len(avatar.file_mesh.vertices))
    engine = ExpressionEngine(avatar)
    for before in (-9.0, -5.0):
        engine.follow(performed(0), before, 0)
    for number in range(FRAMES):
        pose = engine.follow(performed(number), number / FPS, number)
        T = avatar.motion_to_file(pose.T_world_head)
        writer.append(avatar.to_file(pose.vertices), T, pose.timestamp_s, True, pose.motion)
    writer.close()
    return folder


def exported(recorded: Path, out: Path, **options: object) -> Path:
    export(TakeOptions(take=recorded, out=out, avatar="lowpoly", **options))  # type: ignore[arg-type]
    return out
