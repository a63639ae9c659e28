"""Separate teeth and a gum on the base mesh's jaw cages, so that they follow identity and jaw."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from capture.synthetic.head.embedding import bilinear_rows, grid_faces, oriented, quad_grid
from capture.synthetic.head.head_data import HeadData

# Widths of half an arch in millimetres, from the middle outwards: incisors, canine, premolars, molars. Only their
# proportions count; they are stretched to the length of the arch. (Upper jaw after Wheeler's Dental Anatomy, rounded.)
WIDTHS_UPPER = (8.5, 6.6, 7.6, 7.2, 6.9, 10.0, 9.5)
WIDTHS_LOWER = (5.6, 6.2, 7.2, 7.2, 7.2, 11.0, 10.5)
ACROSS = np.array([-1.0, -0.6, 0.0, 0.6, 1.0])  # over one tooth
DOWN = np.array([0.8, 1.2, 1.65, 1.9, 2.0, 2.12, 2.45, 2.8])  # cage rows: 1 gum line, 2 biting edge, 3 tongue side
GUM_COLUMNS_PER_TOOTH = 6
GUM_DOWN = np.array([0.0, 0.35, 0.75, 1.0])
BACK_ROW = 3.0


@dataclass(frozen=True, eq=False)
class Teeth:
    """One jaw. `matrix` [n, V] makes its vertices from the base mesh; the rest is for painting.

    Attributes:
        faces: [f, 3] int32.
        gum: [n] 1 on the gum, 0 on a tooth.
        height: [n] 0 at the gum line … 1 at the biting edge (teeth), 0 elsewhere.
        rim: [n] 0 in the middle of a tooth … 1 where it meets the next one.
        depth: [n] 0 at the front … 1 at the last molar.
    """

    matrix: sp.csr_matrix
    faces: NDArray[np.int32]
    gum: NDArray[np.float64]
    height: NDArray[np.float64]
    rim: NDArray[np.float64]
    depth: NDArray[np.float64]


def make_teeth(data: HeadData, jaw: str) -> Teeth:
    """`jaw` is "upper" or "lower"."""
    widths = WIDTHS_UPPER if jaw == "upper" else WIDTHS_LOWER
    cage = _Cage(data, jaw)
    borders = _borders(widths)
    blocks = [_tooth(cage, start, end) for start, end in itertools.pairwise(borders)]
    blocks.append(_gum(cage, borders))
    faces, first = [], 0
    for block in blocks:
        faces.append(block.faces + first)
        first += len(block.gum)
    joined = np.concatenate(faces)
    fields = {
        name: np.concatenate([getattr(block, name) for block in blocks]) for name in ("gum", "height", "rim", "depth")
    }
    matrix = sp.vstack([block.matrix for block in blocks]).tocsr()
    return Teeth(matrix, joined[:, ::-1] if jaw == "upper" else joined, **fields)


class _Cage:
    """The jaw's strip of quads: rows front gum, front middle, biting edge, tongue side; columns from right to left."""

    def __init__(self, data: HeadData, jaw: str) -> None:
        points = data.vertices.astype(np.float64)
        self._count = len(points)
        grid = oriented(quad_grid(data.parts[f"teeth_{jaw}"]), points[:, 1], points[:, 0])
        self.grid = grid[::-1] if jaw == "upper" else grid
        steps = np.linalg.norm(np.diff(points[self.grid[2]], axis=0), axis=1)
        self._arc = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum() * 2 - 1

    def rows(self, down: NDArray[np.float64], along: NDArray[np.float64], bulge: NDArray[np.float64]) -> sp.csr_matrix:
        """Points at cage row `down` and arc position `along` (−1 … 1), pushed out by `bulge` of the jaw's thickness."""
        columns = np.interp(along, self._arc, np.arange(len(self._arc)))
        surface = bilinear_rows(self.grid, down, columns, self._count)
        back = bilinear_rows(self.grid, np.full_like(down, BACK_ROW), columns, self._count)
        front = bilinear_rows(self.grid, np.ones_like(down), columns, self._count)
        return (surface + sp.diags(bulge) @ (front - back)).tocsr()


def _borders(widths: tuple[float, ...]) -> NDArray[np.float64]:
    """Where teeth meet along the arch, −1 … 1."""
    half = np.cumsum((0.0, *widths)) / sum(widths)
    return np.concatenate([-half[:0:-1], half])


def _tooth(cage: _Cage, start: float, end: float) -> Teeth:
    centre, reach = (start + end) / 2, (end - start) / 2
    across, down = (field.ravel() for field in np.meshgrid(ACROSS, DOWN))
    narrowing = np.where(down < 1.2, 0.96, 1.015) - 0.05 * (np.abs(down - 2) < 0.15)  # neighbours touch: no slits
    rounding = 0.16 * np.abs(across) ** 3 * (np.abs(down - 2) < 0.15)
    bulge = np.where(down <= 2, 0.13, -0.1) * (1 - across**2) - 0.03
    bulge *= np.clip(np.abs(down - 2) * 4 + 0.25, 0, 1)
    matrix = cage.rows(down - rounding, centre + reach * across * narrowing, bulge)
    height = np.clip(np.where(down <= 2, down - 1, 3 - down), 0, 1)
    depth = np.full(len(down), abs(centre))
    faces = grid_faces(len(DOWN), len(ACROSS))
    return Teeth(matrix, faces, np.zeros(len(down)), height, np.abs(across), depth)


def _gum(cage: _Cage, borders: NDArray[np.float64]) -> Teeth:
    """The gum in front, scalloped around every tooth, and a plain band on the tongue side."""
    steps = np.linspace(0, 1, GUM_COLUMNS_PER_TOOTH, endpoint=False)
    along = np.concatenate([start + steps * (end - start) for start, end in itertools.pairwise(borders)])
    along = np.append(along, borders[-1])
    scallop = np.append(np.tile(np.sin(np.pi * steps) ** 0.55, len(borders) - 1), 0.0)
    line = 1.17 - 0.19 * scallop
    down = GUM_DOWN[:, None] * line
    bulge = np.broadcast_to(np.array([0.0, 0.05, 0.12, 0.02])[:, None], down.shape)
    front = cage.rows(down.ravel(), np.tile(along, len(GUM_DOWN)), bulge.ravel())
    back_down = np.repeat([2.62, 3.0, 3.5], len(along))
    back = cage.rows(back_down, np.tile(along, 3), np.repeat([-0.06, -0.1, -0.05], len(along)))
    faces = np.concatenate(
        [grid_faces(len(GUM_DOWN), len(along)), grid_faces(3, len(along), first=len(GUM_DOWN) * len(along))]
    )
    count = front.shape[0] + back.shape[0]
    depth = np.abs(np.tile(along, len(GUM_DOWN) + 3))
    return Teeth(sp.vstack([front, back]).tocsr(), faces, np.ones(count), np.zeros(count), np.zeros(count), depth)
