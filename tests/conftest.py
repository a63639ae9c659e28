"""What all tests share: surroundings of their own, the real recordings, an avatar, a screen."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from calib.avatar import Avatar

# Tests run side by side, and what they work out is small: threads that share it out mostly wait for each other.
# Set here, before anything imports numpy or torch; the commands that tests start inherit it.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

with contextlib.suppress(ImportError):  # the second environment, of the Azure Kinect's library, has no hypothesis
    from hypothesis import settings

    settings.register_profile("any machine", deadline=None)  # how long an example takes is not what is tested
    settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """One empty cache folder for the whole run, so that tests neither see nor touch the user's."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # inherited from the process that started it
    before, folder = os.environ.get("XDG_CACHE_HOME"), tempfile.mkdtemp(prefix="vfa-live-tests-")
    os.environ["XDG_CACHE_HOME"] = folder

    def restore() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("XDG_CACHE_HOME")
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before

    config.add_cleanup(restore)


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


@pytest.fixture(scope="session", autouse=True)
def _forks_end() -> Iterator[None]:
    from tests.fakes import forked

    yield
    forked.stop()


@pytest.fixture(scope="session")
def lowpoly() -> "Avatar":
    """The smallest built-in head, prepared in the run's cache, where commands that are given it find it, too."""
    from calib.avatar import prepare_avatar
    from capture.synthetic import builtin_avatar_path

    with (Path(os.environ["XDG_CACHE_HOME"]) / "lowpoly.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two workers, one prepares it
        return prepare_avatar(builtin_avatar_path("lowpoly"))


@pytest.fixture
def virtual_screen() -> Iterator[str]:
    """DISPLAY of an X server of its own. (xvfb-run picks numbers in a way that two at a time can get the same.)"""
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("needs Xvfb and xdotool (apt install xvfb xdotool)")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.kill()
