"""Which way up a picture belongs on a mesh, told from the seams of its texture coordinates."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.mesh import Mesh
from render.mesh.mesh_layout import weld_positions

_FEWEST_PAIRS = 20
_CLEARLY = 0.85  # the better way up must leave less than this share of the other's mismatch


def is_upside_down(mesh: Mesh, picture: NDArray[np.uint8]) -> bool:
    """Whether the picture [h, w, 3 or 4] fits the mesh clearly better turned upside down.

    Where one place on the surface has two texture coordinates, the right picture has like colours at both. glTF counts
    rows from the top, but pictures kept beside such files often follow the opposite, older convention.
    """
    first, second = _seam_pairs(mesh)
    if len(first) < _FEWEST_PAIRS:
        return False
    soft = cv2.resize(picture[..., :3], (256, 256), interpolation=cv2.INTER_AREA).astype(np.float32)
    upright = _mismatch(_colors(soft, first), _colors(soft, second))
    turned = _mismatch(_colors(soft, _turned(first)), _colors(soft, _turned(second)))
    return turned < _CLEARLY * upright


def _mismatch(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Difference of colours that should agree, relative to that of colours paired at random: 1 is mere chance."""
    chance = np.abs(a - b[np.random.default_rng(0).permutation(len(b))]).mean()
    return float(np.abs(a - b).mean() / chance) if chance > 0.5 else 1.0


def _seam_pairs(mesh: Mesh) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two [n, 2] arrays: texture coordinates that meet at the same place on the surface."""
    if mesh.uvs is None or mesh.faces_uv is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    place = weld_positions(mesh.vertices)[mesh.faces].reshape(-1)
    uvs = mesh.uvs[mesh.faces_uv.reshape(-1)]
    order = np.argsort(place, kind="stable")
    a, b = order[:-1], order[1:]
    meet = (place[a] == place[b]) & (np.abs(uvs[a] - uvs[b]).max(axis=1) > 0.01)
    return uvs[a[meet]], uvs[b[meet]]


def _turned(uvs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([uvs[:, 0], 1 - uvs[:, 1]], axis=1)


def _colors(picture: NDArray[np.float32], uvs: NDArray[np.float32]) -> NDArray[np.float32]:
    size = picture.shape[0]
    column = ((uvs[:, 0] % 1.0) * size).astype(np.int64).clip(0, size - 1)
    row = (((1 - uvs[:, 1]) % 1.0) * size).astype(np.int64).clip(0, size - 1)
    return np.asarray(picture[row, column])
