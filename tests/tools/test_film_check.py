"""The film check has to refuse films without a face, and faces that stand still."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from capture.synthetic.performer.performer import PerformerSource
from realtime.recording.preview import PreviewWriter
from tools.film_check import check_film

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def performance() -> list[Picture]:
    """Five seconds of the built-in performer, every fifth frame."""
    source = PerformerSource(realtime=False)
    source.open()
    frames = [source.read(1.0) for _ in range(150)]
    source.close()
    return [frame.rgb for frame in frames[::5] if frame is not None]


@pytest.fixture
def film(tmp_path: Path) -> Callable[[list[Picture], list[Picture]], Path]:
    def write(left: list[Picture], right: list[Picture]) -> Path:
        writer = PreviewWriter(tmp_path / "film.mp4", height=360)
        for number, pair in enumerate(zip(left, right, strict=True)):
            writer.append(*pair, number / 10)
        writer.close()
        return tmp_path / "film.mp4"

    return write


def test_a_driver_and_an_avatar_that_move_are_good(performance, film) -> None:
    assert "the avatar found in" in check_film(film(performance, performance), side_by_side=True)


def test_an_avatar_that_stands_still_is_not(performance, film) -> None:
    with pytest.raises(ValueError, match="the avatar does not move"):
        check_film(film(performance, [performance[0]] * len(performance)), side_by_side=True)


def test_an_avatar_that_is_not_there_is_not(performance, film) -> None:
    grey = [np.full_like(performance[0], 90)] * len(performance)
    with pytest.raises(ValueError, match="the avatar is found in 0 of"):
        check_film(film(performance, grey), side_by_side=True)


def test_no_film_is_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be played"):
        check_film(tmp_path / "none.mp4")
