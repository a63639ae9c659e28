"""Eyelashes: slender blades on the base mesh's lash strips, so that they ride on the lids."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from capture.synthetic.head.embedding import bilinear_rows, oriented, quad_grid
from capture.synthetic.head.head_data import HeadData

HAIRS = {"upper": 46, "lower": 24}
LENGTH = {"upper": 1.0, "lower": 0.55}  # of the strip's width
HALF_WIDTH_COLUMNS = {"upper": 0.085, "lower": 0.06}


def make_lashes(data: HeadData, length: float = 1.0) -> tuple[sp.csr_matrix, NDArray[np.int32]]:
    """Matrix [n, V] from base vertices to the lashes' vertices, and their triangles [f, 3]; `length` 0 … 1.3."""
    matrices, faces, first = [], [], 0
    for side in ("left", "right"):
        for lid in ("upper", "lower"):
            matrix, blades = _strip(data, side, lid, length)
            matrices.append(matrix)
            faces.append(blades + first)
            first += matrix.shape[0]
    return sp.vstack(matrices).tocsr(), np.concatenate(faces)


def _strip(data: HeadData, side: str, lid: str, length: float) -> tuple[sp.csr_matrix, NDArray[np.int32]]:
    points = data.vertices.astype(np.float64)
    centre = points[data.part_vertices(f"eye_{side}")].mean(axis=0)
    from_nose = np.abs(points[:, 0])
    grid = oriented(quad_grid(data.parts[f"lash_{lid}_{side}"]), np.linalg.norm(points - centre, axis=1), from_nose)
    count = HAIRS[lid]
    number = np.arange(count)
    root = np.linspace(0.15, grid.shape[1] - 1.05, count)
    # Lashes are uneven, and longest past the middle towards the temple.
    uneven = 0.86 + 0.14 * np.sin(number * 2.4) * np.cos(number * 1.1)
    reach = (
        length
        * LENGTH[lid]
        * (grid.shape[0] - 1)
        * uneven
        * np.interp(number / count, [0, 0.3, 0.75, 1], [0.45, 0.8, 1, 0.85])
    )
    lean = np.linspace(-0.25, 0.35, count) + 0.12 * np.sin(number * 3.7)
    width = HALF_WIDTH_COLUMNS[lid]
    # Two corners at the root, two half-way, the tip.
    columns = np.stack(
        [root - width, root + width, root + 0.5 * lean - 0.6 * width, root + 0.5 * lean + 0.6 * width, root + lean],
        axis=1,
    )
    rows = np.stack([np.zeros(count), np.zeros(count), 0.5 * reach, 0.5 * reach, reach], axis=1)
    matrix = bilinear_rows(grid, rows.ravel(), columns.ravel(), len(points))
    blade = np.array([[0, 1, 3], [0, 3, 2], [2, 3, 4]], dtype=np.int32)
    return matrix, (blade + 5 * number[:, None, None].astype(np.int32)).reshape(-1, 3)
