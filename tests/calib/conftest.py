"""Small surfaces for tests of avatar preparation."""

from pathlib import Path

import numpy as np
import pytest

from capture.synthetic import builtin_avatar_path
from core.mesh import Mesh, MeshPart


def _sheet(columns: int = 21, rows: int = 15, width: float = 1.0, height: float = 0.7) -> Mesh:
    """A flat rectangle around the origin in the plane z = 0, facing +z, with texture coordinates."""
    x, y = np.meshgrid(np.linspace(-width / 2, width / 2, columns), np.linspace(height / 2, -height / 2, rows))
    vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    a, b, c, d = corner, corner + 1, corner + columns, corner + columns + 1
    faces = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)]).astype(np.int32)
    uvs = (vertices[:, :2] + 0.5).astype(np.float32)
    return Mesh(vertices, faces, uvs, faces.copy(), parts=(MeshPart("sheet", 0, len(faces), 0),))


@pytest.fixture
def sheet() -> Mesh:
    return _sheet()


@pytest.fixture
def lowpoly_path() -> Path:
    return builtin_avatar_path("lowpoly")
