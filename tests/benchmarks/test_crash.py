"""What `benchmarks.crash` counts is what is missing."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.crash import _what_is_left
from realtime.recording.preview import PreviewWriter
from tests.realtime.test_session_writing import killed


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Forty frames from 100 s on, of which the film has thirty."""
    folder = killed(tmp_path / "s")
    film = PreviewWriter(folder / "preview.mp4", height=32)
    for number in range(30):
        film.append(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8), 100 + number / 30)
    film.close()
    return folder


def test_losses_are_counted_from_the_kill(session: Path) -> None:
    kill = _what_is_left(session, 101.5)
    assert kill.faults == []
    assert kill.frames == 40
    assert kill.recorded_s == pytest.approx(1.5, abs=0.001)
    for name in ("animation.npz", "observations.npy"):
        assert kill.loss_s[name] == pytest.approx(0.2, abs=0.001)
    assert kill.loss_s["preview.mp4"] == pytest.approx(1.5 - 29 / 30, abs=0.002)
    for name in ("color.mp4", "depth.mkv"):
        assert 0.2 <= kill.loss_s[name] <= 0.5, "no more than a fragment was not on the disk"


def test_a_film_that_never_began_is_missing_from_the_first_pose_on(session: Path) -> None:
    (session / "preview.mp4").unlink()
    assert _what_is_left(session, 101.5).loss_s["preview.mp4"] == pytest.approx(1.5, abs=0.001)


@pytest.mark.parametrize("name", ["animation.partial.npz", "preview.mp4", "observations.partial.npy"])
def test_damage_is_a_fault(session: Path, name: str) -> None:
    (session / name).write_bytes(b"damaged")
    assert _what_is_left(session, 101.5).faults
