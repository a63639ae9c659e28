"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real recordings and heads that are not part of the repository."""
    root = Path(os.environ.get("VFA_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"needs the real recordings and heads: no folder {root / 'data'} (VFA_SHARED names another)")
    return root / "data"


@pytest.fixture(scope="session")
def shared_reference() -> Path:
    """Folder with the golden tensors of the published network and pipeline."""
    root = Path(os.environ.get("VFA_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "reference").is_dir():
        pytest.skip(f"needs the golden tensors: no folder {root / 'reference'} (VFA_SHARED names another)")
    return root / "reference"
