"""Fixtures shared by all tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def _shared(name: str, what: str) -> Path:
    folder = Path(os.environ.get("VFA_SHARED", Path(__file__).parents[2] / "shared")) / name
    if not folder.is_dir():
        pytest.skip(f"needs {what}: no folder {folder} (VFA_SHARED names another)")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real recordings and heads that are not part of the repository."""
    return _shared("data", "the real recordings and heads")


@pytest.fixture(scope="session")
def shared_reference() -> Path:
    """Folder with the golden tensors of the published network and pipeline."""
    return _shared("reference", "the golden tensors")


@pytest.fixture
def virtual_screen() -> Iterator[str]:
    """DISPLAY of an X server of its own. (xvfb-run picks numbers in a way that two at a time can get the same.)"""
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("needs Xvfb and xdotool (apt install xvfb xdotool)")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.kill()
