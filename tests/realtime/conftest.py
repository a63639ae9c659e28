"""What tests of recordings share."""

from pathlib import Path

import pytest

from calib.avatar import Avatar
from engine.expression.expression_engine import ExpressionEngine
from realtime.recording.animation_file import AnimationWriter
from tests.fakes.recorded_face import FPS, FRAMES, motion


@pytest.fixture(scope="module")
def recorded(lowpoly: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an animation.npz, as live writes it."""
    folder = tmp_path_factory.mktemp("recorded")
    writer, engine = (
        AnimationWriter(folder / "animation.npz", len(lowpoly.file_mesh.vertices)),
        ExpressionEngine(lowpoly),
    )
    for before in (-9.0, -5.0):
        engine.follow(motion(0), before, 0)
    for number in range(FRAMES):
        pose = engine.follow(motion(number), number / FPS, number)
        T = lowpoly.motion_to_file(pose.T_world_head)
        writer.append(lowpoly.to_file(pose.vertices), T, pose.timestamp_s, True, pose.motion)
    writer.close()
    return folder
