"""The inside of a mouth for heads that come without one: a lining behind the lips, and two rows of teeth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from calib.surgery.piece_textures import GUM_SHARE, TEETH
from calib.surgery.pieces import Piece, grid_faces
from calib.survey.openings import Opening

# Rings of the lining from the lips inwards, in mouth widths: depth in the middle and at the corners, height above and
# below, breadth, and how much of the lip's own motion it takes; the rest is the skull's above and the jaw's below.
_DEPTH = np.array([0.015, 0.06, 0.13, 0.26, 0.44, 0.64])
_CORNER_DEPTH = np.array([0.015, 0.05, 0.13, 0.26, 0.44, 0.64])
_HEIGHT = np.array([-0.012, 0.06, 0.15, 0.22, 0.20, 0.16])  # first behind the other lip: nothing shines through a slit
_LOWER_HEIGHT = np.array([-0.012, 0.06, 0.15, 0.22, 0.26, 0.26])
_BREADTH = np.array([1.0, 0.99, 1.0, 1.0, 0.9, 0.60])
_PINCHED = np.array([0.0, 0.08, 0.20, 0.45, 0.60, 0.75])  # height at the corners beside that in the middle
_LIP_SHARE = np.array([1.0, 0.94, 0.55, 0.15, 0.0, 0.0])
_CORNER_SHARE = np.array([1.0, 0.98, 0.88, 0.60, 0.25, 0.1])
_SKIN_RELIEF = 0.3  # points so much deeper than their neighbours are no face
_UNDER_SKIN = np.array([0.0, 0.04, 0.07, 0.10, 0.10, 0.10])  # at least so far behind the face
_TOOTH_COLUMNS, _TOOTH_ROWS = 145, 12
_ARCH_WIDTH, _ARCH_DEPTH = 1.06, 0.70  # in mouth widths
_BEHIND_LIPS = 0.11
_UPPER_SPAN, _LOWER_SPAN = (0.20, -0.035), (-0.30, -0.020)  # root and edge over the lips' line, in mouth widths
_PARTED_LIPS = 0.12  # in mouth widths: lips of an open mouth that are no farther apart bare teeth that meet
_HUMAN_JAW = 0.5  # in mouth widths: from the lips down to the chin there is at least so much in people
_TONGUE_LENGTH = 0.5  # in mouth widths, from its tip to where the lining hides it
_GUM_UNDER_SKIN = 0.07  # in mouth widths: teeth and gums are at least so far behind the face
_GUM_SLOPE = 0.10  # how far the root end of a row lies behind its teeth, in mouth widths


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


def lining_piece(
    mouth: Opening,
    rim_weights: tuple[sparse.csr_matrix, sparse.csr_matrix],
    jaw: JawFrame,
    skin: NDArray[np.float64],
    room: float = 1.0,
) -> Piece:
    """A bag behind the lips.

    Args:
        mouth: its rims at rest.
        room: how much of the usual height there is below the lips; see `room_below`.
        rim_weights: [33, K] weights of the upper and the lower rim's points.
        skin: [N, 3] visible points of the face, which the bag stays behind.
    """
    columns, rings = len(mouth.upper), len(_DEPTH)
    controllers = rim_weights[0].shape[1]
    tree = cKDTree(skin[:, :2])
    bulge = _bulge(mouth.flat(mouth.upper)[:, 0])
    share = (_CORNER_SHARE[:, None] + (_LIP_SHARE - _CORNER_SHARE)[:, None] * bulge).reshape(-1)
    rim_weights = _joined_at_corners(rim_weights)
    halves, weights = [], []
    for rim, sign, rim_weight in ((mouth.upper, 1.0, rim_weights[0]), (mouth.lower, -1.0, rim_weights[1])):
        points = _lining_half(mouth, rim, sign if sign > 0 else -room)
        limit = _front_of(points, tree, skin, mouth) - np.repeat(_UNDER_SKIN, columns) * mouth.width
        points[:, 2] = np.where(np.arange(len(points)) < columns, points[:, 2], np.minimum(points[:, 2], limit))
        own = sparse.diags(share) @ sparse.vstack([rim_weight] * rings)
        rest = sparse.diags(1 - share) @ jaw.mix(points, controllers) if sign < 0 else 0 * own
        halves.append(points.reshape(rings, columns, 3))
        weights.append((own + rest).tocsr())
    loop = np.concatenate([np.arange(columns), 2 * columns - 1 - np.arange(columns)])  # along above, back below
    order = np.concatenate([ring * 2 * columns + loop for ring in range(rings)])
    vertices = np.concatenate(halves, axis=1).reshape(-1, 3)[order]
    by_half = np.arange(rings * columns).reshape(rings, columns)
    stacked = np.concatenate([by_half, by_half + rings * columns], axis=1).reshape(-1)[order]
    around = 2 * columns
    faces = _closed_grid(rings, around)
    last = (rings - 1) * around + np.arange(around)
    middle = len(vertices)
    back = np.stack([last, np.roll(last, -1), np.full(around, middle)], axis=1)
    vertices = np.concatenate([vertices, vertices[last].mean(axis=0, keepdims=True)])
    depth = np.append(np.repeat(np.linspace(0, 1, rings), around), 1.0)
    every = sparse.vstack(weights).tocsr()[stacked]
    every = sparse.vstack([every, sparse.csr_matrix(every[last].mean(axis=0))])
    return Piece(
        "mouth_lining",
        vertices,
        np.concatenate([faces, back]),
        np.stack([np.full(len(depth), 0.5), 1 - depth], axis=1),
        every.tocsr().astype(np.float32),
    )


def _front_of(
    points: NDArray[np.float64], tree: cKDTree, skin: NDArray[np.float64], mouth: Opening
) -> NDArray[np.float64]:
    """[P] how far out the face is before points [P, 3]; `tree` holds its points `skin` [N, 3] as seen from the front."""
    near = skin[tree.query(points[:, :2], k=6)[1], 2]
    no_face = near <= near.max(axis=1, keepdims=True) - _SKIN_RELIEF * mouth.width
    return np.asarray(np.where(no_face, np.inf, near).min(axis=1))


def _joined_at_corners(
    rim_weights: tuple[sparse.csr_matrix, sparse.csr_matrix],
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Both rims' weights with the same ones at their ends, where the lips are one."""
    count = rim_weights[0].shape[0]
    middle = np.ones(count)
    middle[[0, -1]] = 0.5
    at_ends = sparse.diags(1 - middle)
    upper, lower = (sparse.diags(middle) @ weights for weights in rim_weights)
    return (upper + at_ends @ rim_weights[1]).tocsr(), (lower + at_ends @ rim_weights[0]).tocsr()


def _teeth_lines(mouth: Opening) -> tuple[float, float]:
    """Heights in the middle, in widths, at which the upper and the lower row end: the lips' line; in a mouth that is
    open at rest they part as far as its lips do beyond what bares the teeth."""
    flat = [mouth.flat(rim) for rim in (mouth.upper, mouth.lower)]
    upper, lower = (float(np.interp(0.5, rim[:, 0], rim[:, 1])) for rim in flat)
    bared = min(max(upper - lower, 0.0), _PARTED_LIPS) / 2
    return upper - bared, lower + bared


def _bulge(along: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 in the middle of the mouth, 0 at its corners."""
    return np.asarray(np.sqrt(np.clip(1 - (2 * along - 1) ** 2, 0, 1)))


def _lining_half(mouth: Opening, rim: NDArray[np.float64], sign: float) -> NDArray[np.float64]:
    """[rings · columns, 3] of the upper (sign 1) or lower (−1, or less far down) half, ring by ring."""
    flat = mouth.flat(rim)
    bulge = _bulge(flat[:, 0])
    pinch = _PINCHED[:, None] + (1 - _PINCHED[:, None]) * bulge
    along = 0.5 + (flat[:, 0] - 0.5) * _BREADTH[:, None]
    height = _HEIGHT if sign > 0 else _LOWER_HEIGHT
    across = flat[:, 1] + sign * height[:, None] * pinch
    out = flat[:, 2] - _CORNER_DEPTH[:, None] - (_DEPTH - _CORNER_DEPTH)[:, None] * bulge
    return np.asarray(
        mouth.upper[0] + mouth.width * np.stack([along, across, out], axis=-1).reshape(-1, 3) @ mouth.frame
    )


def _closed_grid(rings: int, around: int) -> NDArray[np.int64]:
    """Triangles between rings of `around` vertices each that close upon themselves, seen from within."""
    start = np.arange(rings - 1)[:, None] * around
    one, other = np.arange(around), np.roll(np.arange(around), -1)
    a, b, c, d = ((start + corner).reshape(-1) for corner in (one, other, one + around, other + around))
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)])


def room_below(mouth: Opening, chin: NDArray[np.float64]) -> float:
    """How much of a human mouth's height the jaw below the lips holds, 0.2 to 1: `chin` [3] bounds it."""
    flat = mouth.flat(np.stack([mouth.lower[len(mouth.lower) // 2], chin]))
    return float(np.clip((flat[0, 1] - flat[1, 1]) / _HUMAN_JAW, 0.2, 1.0))


def tongue_piece(mouth: Opening, jaw: JawFrame, controllers: int, room: float = 1.0) -> Piece:
    """A tongue at rest on the floor of the mouth: its upper side, and a flatter lower one that shows when it is out."""
    rows, columns = 17, 17
    over = np.linspace(-1, 1, columns)
    u = np.concatenate([over, over[-2::-1]])[None, :]
    lower = np.arange(u.shape[1]) >= columns
    v = np.linspace(0, 1, rows)[:, None] ** 1.6  # tip to root; the tip is blunt, as it is drawn out where it shows
    half_width = 0.24 * np.sqrt(np.clip(1 - (1 - v / 0.22) ** 2 * (v < 0.22), 0, 1))
    rim = mouth.flat((mouth.upper + mouth.lower) / 2)
    front, line = float(np.interp(0.5, rim[:, 0], rim[:, 2])), _teeth_lines(mouth)[1]
    along = 0.5 + half_width * u
    arch = np.where(lower, -0.4 * (1 - u**2) * 0.10, (1 - u**2) * 0.10 - 0.02 * (1 - np.abs(u)) ** 4)
    rise = arch * np.minimum(1, half_width / 0.2) + 0.16 * np.clip(v - 0.2, 0, 1) ** 1.3
    across = line + room * (rise - 0.23)
    out = front - 0.25 - _TONGUE_LENGTH * v + 0 * u
    flat = np.stack(np.broadcast_arrays(along, across, out), axis=-1).reshape(-1, 3)
    vertices = mouth.upper[0] + mouth.width * flat @ mouth.frame
    uvs = np.stack(np.broadcast_arrays((u + 1) / 2, 1 - v), axis=-1).reshape(-1, 2)
    return Piece(
        "tongue", vertices, grid_faces(rows, u.shape[1], flip=True), uvs, jaw.mix(vertices, controllers).astype("f4")
    )


def teeth_pieces(
    mouth: Opening, jaw: JawFrame, controllers: int, skin: NDArray[np.float64], room: float = 1.0
) -> list[Piece]:
    """An upper row that stays with the skull and a lower row that goes with the jaw; `skin` [N, 3] are visible points of
    the face, as fine as it bends."""
    line = _teeth_lines(mouth)
    upper = _tooth_row(mouth, line[0], _UPPER_SPAN, shrink=1.0)
    lower = _tooth_row(mouth, line[1], (room * _LOWER_SPAN[0], room * _LOWER_SPAN[1]), shrink=0.93)
    tree = cKDTree(skin[:, :2])
    for row in (upper, lower):  # gums reach down to where a chin that falls back already lies behind the teeth
        row[:, 2] = np.minimum(row[:, 2], _front_of(row, tree, skin, mouth) - _GUM_UNDER_SKIN * mouth.width)
    faces = grid_faces(_TOOTH_ROWS, _TOOTH_COLUMNS)
    along, down = np.linspace(0, 1, _TOOTH_COLUMNS), np.linspace(1, 0, _TOOTH_ROWS)
    uvs = np.stack(np.meshgrid(along, down), axis=-1).reshape(-1, 2)
    still = sparse.csr_matrix((len(upper), controllers), dtype=np.float32)
    carried = jaw.mix(lower, controllers).astype(np.float32)
    return [
        Piece("teeth_upper", upper, faces, uvs, still),
        Piece("teeth_lower", lower, np.ascontiguousarray(faces[:, ::-1]), uvs, carried),
    ]


def _tooth_row(mouth: Opening, line: float, span: tuple[float, float], shrink: float) -> NDArray[np.float64]:
    """[rows · columns, 3] a curved band with a bulge and a rounded edge for each tooth; roots in the first row."""
    u = np.linspace(-1, 1, _TOOTH_COLUMNS)[None, :]
    v = np.linspace(0, 1, _TOOTH_ROWS)[:, None]
    angle = u * 0.5 * np.pi
    bulge = np.abs(np.sin((u + 1) / 2 * TEETH * np.pi)) ** 0.5
    enamel = np.clip((v - GUM_SHARE) / (1 - GUM_SHARE), 0, 1)
    rim = mouth.flat((mouth.upper + mouth.lower) / 2)
    front = float(np.interp(0.5, rim[:, 0], rim[:, 2]))
    along = 0.5 + 0.5 * shrink * _ARCH_WIDTH * np.sin(angle) + 0 * v
    depth = _BEHIND_LIPS + shrink * _ARCH_DEPTH * (1 - np.cos(angle)) + _GUM_SLOPE * (1 - v) ** 2
    depth = depth - 0.010 * bulge * np.sin(np.pi * np.clip(v, 0.1, 0.95))
    rounded = 0.014 * (1 - bulge) * enamel**3
    across = line + span[0] + (span[1] - span[0]) * (v - rounded / abs(span[1] - span[0])) + 0 * u
    flat = np.stack(np.broadcast_arrays(along, across, front - depth), axis=-1).reshape(-1, 3)
    return np.asarray(mouth.upper[0] + mouth.width * flat @ mouth.frame)
