"""What tests of recordings share."""

from pathlib import Path

import pytest

from calib.avatar import Avatar
from tests.fakes.recorded_face import motion, recorded_as


@pytest.fixture(scope="module")
def recorded(lowpoly: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an animation.npz, as live writes it."""
    return recorded_as(lowpoly, tmp_path_factory.mktemp("recorded"), motion)
