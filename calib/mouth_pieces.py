"""The inside of a mouth for heads that come without one: a lining behind the lips, and two rows of teeth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.openings import Opening
from calib.piece_textures import TEETH
from calib.pieces import Piece, grid_faces

# Rings of the lining from the lips inwards, in mouth widths: depth, height above and below, breadth,
# and how much of the lip's own motion it takes; the rest is the skull's above and the jaw's below.
_DEPTH = np.array([0.004, 0.05, 0.13, 0.26, 0.42, 0.58])
_HEIGHT = np.array([0.004, 0.05, 0.13, 0.20, 0.17, 0.02])
_BREADTH = np.array([1.0, 1.0, 0.97, 0.86, 0.66, 0.40])
_LIP_SHARE = np.array([1.0, 0.85, 0.45, 0.12, 0.0, 0.0])
_TOOTH_COLUMNS, _TOOTH_ROWS = 97, 9
_ARCH_WIDTH, _ARCH_DEPTH = 0.68, 0.30  # in mouth widths
_BEHIND_LIPS = 0.075
_UPPER_SPAN, _LOWER_SPAN = (0.16, -0.035), (-0.045, -0.17)  # top and bottom over the lips' line, in mouth widths


@dataclass(frozen=True, eq=False)
class JawFrame:
    """Four controllers that go with the jaw: any point's jaw motion is a fixed mix of theirs.

    Attributes:
        corners: [4, 3] their rest positions; first: the number of the first of them.
    """

    corners: NDArray[np.float64]
    first: int

    def mix(self, points: NDArray[np.float64], controllers: int) -> sparse.csr_matrix:
        """[P, K] weights that carry points [P, 3] rigidly with the jaw (a rotation is affine)."""
        system = np.vstack([self.corners.T, np.ones(4)])
        shares = np.linalg.solve(system, np.vstack([points.T, np.ones(len(points))])).T
        rows = np.repeat(np.arange(len(points)), 4)
        columns = np.tile(self.first + np.arange(4), len(points))
        return sparse.csr_matrix((shares.reshape(-1), (rows, columns)), shape=(len(points), controllers))


def jaw_corners(mouth: Opening) -> NDArray[np.float64]:
    """[4, 3] a tetrahedron in the lower half of the mouth."""
    local = np.array([[-0.4, -0.1, -0.1], [0.4, -0.1, -0.1], [0.0, -0.6, -0.1], [0.0, -0.2, -0.8]])
    return np.asarray(mouth.centre + mouth.width * local @ mouth.frame)


def lining_piece(mouth: Opening, rim_weights: tuple[sparse.csr_matrix, sparse.csr_matrix], jaw: JawFrame) -> Piece:
    """A bag behind the lips.

    Args:
        mouth: its rims at rest.
        rim_weights: [33, K] weights of the upper and the lower rim's points.
    """
    columns, rings = len(mouth.upper), len(_DEPTH)
    controllers = rim_weights[0].shape[1]
    halves, weights = [], []
    for rim, sign, rim_weight in ((mouth.upper, 1.0, rim_weights[0]), (mouth.lower, -1.0, rim_weights[1])):
        flat = mouth.flat(rim)
        bulge = np.sqrt(np.clip(1 - (2 * flat[:, :1].T - 1) ** 2, 0, 1))  # [1, C]: the bag closes at the corners
        along = 0.5 + (flat[:, 0] - 0.5) * _BREADTH[:, None]
        across = flat[:, 1] + sign * _HEIGHT[:, None] * bulge
        out = flat[:, 2] - _DEPTH[:, None] * (0.35 + 0.65 * bulge)
        points = mouth.upper[0] + mouth.width * np.stack([along, across, out], axis=-1).reshape(-1, 3) @ mouth.frame
        share = np.repeat(_LIP_SHARE, columns)
        own = sparse.diags(share) @ sparse.vstack([rim_weight] * rings)
        rest = sparse.diags(1 - share) @ jaw.mix(points, controllers) if sign < 0 else 0 * own
        halves.append(points)
        weights.append(own + rest)
    faces = [grid_faces(rings, columns, flip=False), grid_faces(rings, columns, flip=True) + rings * columns]
    last = np.arange((rings - 1) * columns, rings * columns)
    back = np.concatenate([last, last + rings * columns])
    faces.append(back[grid_faces(2, columns)])
    depth = np.repeat(np.linspace(0, 1, rings), columns)
    uvs = np.stack([np.full(2 * rings * columns, 0.5), np.tile(1 - depth, 2)], axis=1)
    return Piece(
        "mouth_lining",
        np.concatenate(halves),
        np.concatenate(faces),
        uvs,
        sparse.vstack(weights).tocsr().astype(np.float32),
    )


def teeth_pieces(mouth: Opening, jaw: JawFrame, controllers: int) -> list[Piece]:
    """An upper row that stays with the skull and a lower row that goes with the jaw."""
    upper = _tooth_row(mouth, _UPPER_SPAN, shrink=1.0)
    lower = _tooth_row(mouth, _LOWER_SPAN, shrink=0.93)
    faces = grid_faces(_TOOTH_ROWS, _TOOTH_COLUMNS)
    v = np.linspace(1, 0, _TOOTH_ROWS)
    u = np.linspace(0, 1, _TOOTH_COLUMNS)
    uvs = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    still = sparse.csr_matrix((len(upper), controllers), dtype=np.float32)
    carried = jaw.mix(lower, controllers).astype(np.float32)
    return [
        Piece("teeth_upper", upper, faces, uvs, still),
        Piece("teeth_lower", lower, faces, uvs * [1, -1] + [0, 1], carried),
    ]


def _tooth_row(mouth: Opening, span: tuple[float, float], shrink: float) -> NDArray[np.float64]:
    """[rows · columns, 3] a curved band with a bulge for each tooth, top row first."""
    u = np.linspace(-1, 1, _TOOTH_COLUMNS)[None, :]
    v = np.linspace(0, 1, _TOOTH_ROWS)[:, None]
    angle = u * 0.5 * np.pi * 0.92
    bulge = np.abs(np.sin((u + 1) / 2 * TEETH * np.pi)) ** 0.6
    along = 0.5 + 0.5 * shrink * _ARCH_WIDTH * np.sin(angle) / np.sin(0.5 * np.pi * 0.92) + 0 * v
    rim = mouth.flat((mouth.upper + mouth.lower) / 2)
    front = np.interp(0.5, rim[:, 0], rim[:, 2])
    depth = (
        _BEHIND_LIPS + shrink * _ARCH_DEPTH * (1 - np.cos(angle)) - 0.012 * bulge * np.sin(np.pi * np.clip(v, 0.1, 1))
    )
    line = float(np.interp(0.5, rim[:, 0], rim[:, 1]))
    across = line + span[0] + (span[1] - span[0]) * v + 0 * u
    out = front - depth
    flat = np.stack(np.broadcast_arrays(along, across, out), axis=-1).reshape(-1, 3)
    return np.asarray(mouth.upper[0] + mouth.width * flat @ mouth.frame)
