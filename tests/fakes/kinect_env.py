"""The second environment, in which the Azure Kinect's library runs: where it is, and how to run something in it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-kinect" / "bin" / "python"
LIMIT_S = 200


def need_kinect_env() -> None:
    """Skip where the environment is not there; in CI that is a failure, since it is made there."""
    if PYTHON.exists():
        return
    message = (
        f"needs the second environment for the Azure Kinect's library: run  .ci/kinect-env .venv {PYTHON.parents[1]}"
    )
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def need_tool(name: str, package: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}: apt-get install {package}")


def run_in_kinect_env(*arguments: str, screen: bool = False) -> str:
    """Run the environment's Python with these arguments; standard output. Fails with everything it said."""
    command = [str(PYTHON), *arguments]
    if screen:
        need_tool("xvfb-run", "xvfb xauth libgl1-mesa-dri")
        command = ["xvfb-run", "-a", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "K4A_LOG_LEVEL": "c"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def run_checks(name: str, *, screen: bool = False) -> str:
    """Run one file of tests/kinect_env with that environment's pytest."""
    checks = str(ROOT / "tests" / "kinect_env" / name)
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "python_files=check_*.py", checks]
    return run_in_kinect_env(*options, screen=screen)
