"""What has to fit together in the environment that `make` or `pip install .` sets up."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import cv2

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_the_two_opencv_packages_share_a_folder_so_they_are_of_one_series() -> None:
    """Whichever is installed last overwrites the other's files."""
    asked = [entry for entry in tomllib.loads(PROJECT.read_text())["project"]["dependencies"] if "opencv" in entry]
    ranges = {entry.split("python", 1)[1] for entry in asked}
    assert len(asked) == 2
    assert len(ranges) == 1
    assert version("opencv-python") == version("opencv-contrib-python")
    assert version("opencv-python").startswith(cv2.__version__)
