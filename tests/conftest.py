"""Fixtures shared by all tests."""

import os
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
