"""Points that ride on a grid of base vertices: teeth on the jaw's cage, lashes on the lid's strip."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def quad_grid(quads: NDArray[np.int32]) -> NDArray[np.int32]:
    """Vertex numbers [rows, columns] of a rectangular patch of quads, rows ≤ columns.

    Raises ValueError where the quads are no such patch.
    """
    faces_at: dict[int, int] = defaultdict(int)
    edges: dict[frozenset[int], int] = defaultdict(int)
    for quad in quads.tolist():
        for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
            faces_at[a] += 1
            edges[frozenset((a, b))] += 1
    corners = [vertex for vertex, count in faces_at.items() if count == 1]
    if len(corners) != 4:
        raise ValueError(f"expected a rectangular patch of quads with 4 corners, found {len(corners)}")
    border: dict[int, set[int]] = defaultdict(set)
    for edge, count in edges.items():
        if count == 1:
            a, b = edge
            border[a].add(b)
            border[b].add(a)
    first, second = (_side(corners[0], start, border, corners) for start in sorted(border[corners[0]]))
    side = first if len(first) >= len(second) else second
    return _rows_from(side, quads, len(faces_at) // len(side))


def oriented(
    grid: NDArray[np.int32], row_key: NDArray[np.float64], column_key: NDArray[np.float64]
) -> NDArray[np.int32]:
    """The grid flipped so that `row_key` [V] grows, on the whole, with the row and `column_key` [V] with the column."""
    if row_key[grid[0]].mean() > row_key[grid[-1]].mean():
        grid = grid[::-1]
    if column_key[grid[:, 0]].mean() > column_key[grid[:, -1]].mean():
        grid = grid[:, ::-1]
    return grid


def bilinear_rows(
    grid: NDArray[np.int32], row: NDArray[np.float64], column: NDArray[np.float64], vertex_count: int
) -> sp.csr_matrix:
    """[n, vertex_count] weights of points at fractional grid positions `row`, `column` [n]; outside is extrapolated."""
    r0 = np.clip(np.floor(row), 0, grid.shape[0] - 2).astype(int)
    c0 = np.clip(np.floor(column), 0, grid.shape[1] - 2).astype(int)
    fr, fc = row - r0, column - c0
    corners = np.stack([grid[r0, c0], grid[r0, c0 + 1], grid[r0 + 1, c0], grid[r0 + 1, c0 + 1]], axis=1)
    weights = np.stack([(1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc], axis=1)
    rows = np.repeat(np.arange(len(row)), 4)
    return sp.csr_matrix((weights.ravel(), (rows, corners.ravel())), shape=(len(row), vertex_count))


def grid_faces(rows: int, columns: int, first: int = 0) -> NDArray[np.int32]:
    """Triangles [2 (rows − 1)(columns − 1), 3] over row-major points; outward if rows run up, columns right."""
    index = first + np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.stack([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)], axis=2).reshape(-1, 3)


def _side(corner: int, start: int, border: dict[int, set[int]], corners: list[int]) -> list[int]:
    side = [corner, start]
    while side[-1] not in corners:
        side.append((border[side[-1]] - {side[-2]}).pop())
    return side


def _rows_from(side: list[int], quads: NDArray[np.int32], row_count: int) -> NDArray[np.int32]:
    across: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for quad in quads.tolist():
        for k in range(4):
            a, b, c, d = (quad[(k + i) % 4] for i in range(4))
            across[(a, b)].append((d, c))
            across[(b, a)].append((c, d))
    rows = [side]
    for _ in range(row_count - 1):
        before = set(rows[-2]) if len(rows) > 1 else set()
        row: list[int] = []
        for a, b in zip(rows[-1], rows[-1][1:], strict=False):
            c, d = next(pair for pair in across[(a, b)] if not set(pair) & before)
            row = row or [c]
            row.append(d)
        rows.append(row)
    return np.array(rows, dtype=np.int32)
