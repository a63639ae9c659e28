"""What the crash benchmark counts."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.crash import _what_is_left
from realtime.recording.animation_file import AnimationWriter
from realtime.recording.preview import PreviewWriter


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds of poses from 10 s on, and one second and a half of film."""
    animation = AnimationWriter(tmp_path / "animation.npz", 4)
    for number in range(61):
        animation.append(np.zeros((4, 3), np.float32), np.eye(4), 10 + number / 30, True)
    animation.close()
    film = PreviewWriter(tmp_path / "preview.mp4", height=32)
    for number in range(46):
        film.append(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8), 10 + number / 30)
    film.close()
    return tmp_path


def test_losses_are_counted_from_the_kill(recording: Path) -> None:
    kill = _what_is_left(recording, 12.25, "")
    assert kill.frames == 61
    assert kill.animation_loss_s == pytest.approx(0.25)
    assert kill.film_loss_s == pytest.approx(0.75, abs=0.002)


def test_a_film_that_never_began_is_missing_from_the_first_pose_on(recording: Path) -> None:
    (recording / "preview.mp4").unlink()
    assert _what_is_left(recording, 12.25, "").film_loss_s == pytest.approx(2.25)


@pytest.mark.parametrize("name", ["animation.npz", "preview.mp4"])
def test_damage_is_unopenable(recording: Path, name: str) -> None:
    (recording / name).write_bytes(b"damaged")
    kill = _what_is_left(recording, 12.25, "")
    assert None in (kill.animation_loss_s, kill.film_loss_s)
