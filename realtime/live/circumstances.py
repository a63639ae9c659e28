"""Under what a session ran, for its trace: versions, machine, what drove what."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from core.native.cores import allowed_cores

_PACKAGES = ("vfa-live", "numpy", "scipy", "opencv-python", "mediapipe", "openvino", "torch", "av", "moderngl", "glfw")


def circumstances(device: str, avatar: str) -> dict[str, Any]:
    """What can be said before anything runs; paths are told by their last part alone."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(allowed_cores()),
            "memory_mb": round(psutil.virtual_memory().total / 1e6),
        },
        "device": Path(device).name,
        "avatar": {"name": Path(avatar).name},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
