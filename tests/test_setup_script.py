"""What `make` says while it sets up: little, the line that works at its end, and everything where something fails."""

import os
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / ".ci" / "setup"
LIBRARIES = ("libEGL.so.1", "libGL.so.1", "libGLESv2.so.2", "libglib-2.0.so.0", "libEGL_mesa.so.0", "libgomp.so.1")


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A system that has all libraries, and an environment whose pip only talks."""
    program(tmp_path / "system" / "ldconfig", "\n".join(f"echo {name}" for name in LIBRARIES))
    program(tmp_path / "system" / "apt-get", "echo apt-get must not be called; exit 9")
    program(tmp_path / "venv" / "bin" / "python", "seq 200; echo to the errors >&2; exit ${FAILS:-0}")
    return tmp_path


def set_up(place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    python = program(place / "system" / "python", "exit 0")
    surroundings = {**os.environ, "PATH": f"{place / 'system'}:{os.environ['PATH']}", **environment}
    command = [str(SETUP), str(python), str(place / "venv")]
    return subprocess.run(command, capture_output=True, text=True, env=surroundings, timeout=240, check=False)


def test_a_set_up_that_works_ends_with_the_line_that_works(place: Path) -> None:
    done = set_up(place)
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) <= 3
    assert f"{place / 'venv'}/bin/vfa-live" in lines[-1]
    assert f"source {place / 'venv'}/bin/activate" in lines[-1]
    assert (place / "venv" / "installed").exists()


def test_one_that_fails_shows_all_that_was_said(place: Path) -> None:
    done = set_up(place, FAILS="7")
    assert done.returncode == 7
    assert "200" in done.stderr
    assert "to the errors" in done.stderr
    assert "pip install" in done.stderr.splitlines()[-1]
    assert not (place / "venv" / "installed").exists()
