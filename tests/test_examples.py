"""The examples run, and what the API promises is there."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realtime import api

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_animate_frames_prints_what_the_head_does_and_leaves_a_picture(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "animate_frames.py")]
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    assert "vertices" in lines[-1]
    picture = np.asarray(Image.open(tmp_path / "animated.png"))
    assert picture.shape == (480, 640, 3)
    assert picture.std() > 10


def test_everything_the_api_names_is_there_and_described() -> None:
    for name in api.__all__:
        assert getattr(api, name, None) is not None, name
    assert "Raises InputError" in (api.animate.__doc__ or "")


def test_a_wrong_head_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(api.InputError, match=r"none\.glb"):
        api.prepare_avatar(tmp_path / "none.glb")
