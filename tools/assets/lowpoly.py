"""A faceted head of few triangles, with lids and lips that can still move (generator only)."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from capture.synthetic.head import hair
from capture.synthetic.head.embedding import grid_faces, oriented, quad_grid
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.head.paint import BROW_HALF_M, BROW_X_M, BROW_Y_M, shirt_cover
from capture.synthetic.head.subdivision import triangulated
from core.mesh import Material, Mesh, MeshPart
from tools.assets.characters import Character
from tools.assets.decimate import decimate

SKIN_FACES, TONGUE_FACES = 1250, 60
EYE_SEGMENTS, EYE_RINGS = 9, (9.0, 10.5, 23.5, 26.0, 44.0, 75.0, 120.0)
BROW_LIFT_M = 0.0042
LIP_RIMS, LIP_OVERLAP_M = 3, 0.0008
MOUTH = (0.30, 0.10, 0.10)
MATERIAL = "faceted"  # the viewer shades a material of this name flat

Points = NDArray[np.float64]
Painted = tuple[Points, NDArray[np.int32], Points]  # vertices [n, 3], triangles [f, 3], a colour per triangle [f, 3]


def lowpoly_mesh(character: Character) -> Mesh:
    """About two thousand triangles, every one of a single colour."""
    model = character.model()
    parts: dict[str, Painted] = {"skin": _skin(model)}
    for side in ("left", "right"):
        parts[f"eye_{side}"] = _eye(model, side)
    for jaw in ("upper", "lower"):
        parts[f"teeth_{jaw}"] = _teeth(model, jaw)
    parts["tongue"] = _tongue(model)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        parts[f"brow_{side}"] = _brow(model, sign, parts["skin"])
    return _joined(parts)


def _skin(model: HeadModel) -> Painted:
    """The skin's base vertices, which come first among the subdivided ones, with fewer triangles between them."""
    data, topology = model.data, model.topology
    kept = data.parts["skin"][topology.kept_quads]
    used = np.unique(kept)
    number = np.full(len(data.vertices), -1, dtype=np.int32)
    number[used] = np.arange(len(used))
    quads = number[kept]
    vertices = model.vertices()
    _overlap_lips(vertices, model, number)
    fixed = _border(quads, len(vertices))
    twin = np.full(len(vertices), -1)
    twin[: len(used)] = number[used[cKDTree(data.vertices[used]).query(data.vertices[used] * [-1, 1, 1])[1]]]
    importance = _importance(model, number)
    faces = decimate(vertices, triangulated(quads), SKIN_FACES, importance, fixed, twin)
    middle = int(topology.faces["skin"].max())  # of the fine bust's cap
    faces = np.concatenate([faces, _fan(faces, fixed, middle)])
    return vertices, faces, _skin_colors(model, faces)


def _overlap_lips(vertices: Points, model: HeadModel, number: NDArray[np.int32]) -> None:
    """Let the lips' inner rims pass each other a little, in place: between few vertices they would gape."""
    for ring in model.data.lip_rings[:LIP_RIMS]:
        x = model.data.vertices[ring, 0].astype(np.float64)
        left = int(np.argmax(x))
        shift = LIP_OVERLAP_M * np.sqrt(np.clip(1 - (x / np.abs(x).max()) ** 2, 0, 1))
        shift[: left + 1] *= -1  # the upper lip comes first
        vertices[number[ring], 1] += shift


def _importance(model: HeadModel, number: NDArray[np.int32]) -> Points:
    """[n] what removing a vertex costs: little inside and on the neck, much along lids and lips."""
    data = model.data
    template = model.topology.matrix @ data.vertices.astype(np.float64)
    importance = np.ones(len(template))
    importance[(template[:, 2] > -0.05) & (template[:, 1] > -0.115)] = 3.0
    importance[template[:, 1] < -0.12] = 0.3
    hidden = (data.masks["mouth_inside"] > 0.5) | (data.masks["sockets"] > 0.5)
    importance[number[np.flatnonzero(hidden & (number >= 0))]] = 0.05
    for rings in data.lid_rings.values():
        importance[number[rings[[1, 4, 7]]].ravel()] = 30.0
    importance[number[data.lip_rings[[1, 3, 5]]].ravel()] = 40.0
    return importance


def _skin_colors(model: HeadModel, faces: NDArray[np.int32]) -> Points:
    """[f, 3] one of a few colours for every face: skin, blush, lips, hair, shirt, mouth."""
    palette, fields = model.palette, model.skin_fields
    middle, ears = fields.position[faces].mean(axis=1), fields.ears[faces].mean(axis=1)
    colors = np.tile(np.array(palette.skin), (len(faces), 1))
    cheek = np.exp(-0.5 * (((np.abs(middle[:, :2]) - [0.042, 0.036]) / 0.016) ** 2).sum(axis=1))
    colors[((cheek > 0.55) & (middle[:, 1] < 0) & (middle[:, 2] > -0.03)) | (ears > 0.5)] *= [1.0, 0.90, 0.89]
    if palette.hair_style is not None:
        colors[hair.coverage(middle, ears, palette.hair_style) > 0.5] = palette.hair
    colors[fields.lips[faces].mean(axis=1) > 0.6] = palette.lips
    colors[fields.mouth_inside[faces].mean(axis=1) > 0.6] = MOUTH
    colors[fields.sockets[faces].mean(axis=1) > 0.6] = np.array(palette.skin) * 0.5
    if palette.shirt is not None:
        colors[shirt_cover(middle) > 0.5] = palette.shirt
    return colors


def _border(quads: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    ends = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    edges, uses = np.unique(ends, axis=0, return_counts=True)
    border = np.zeros(count, dtype=bool)
    border[edges[uses == 1].ravel()] = True
    return border


def _fan(faces: NDArray[np.int32], border: NDArray[np.bool_], middle: int) -> NDArray[np.int32]:
    """Triangles that close the open edges around the vertex `middle`."""
    edges = {pair for a, b, c in faces.tolist() for pair in ((a, b), (b, c), (c, a))}
    open_edges = sorted((b, a) for a, b in edges if (b, a) not in edges and border[a] and border[b])
    return np.array([(a, b, middle) for a, b in open_edges], dtype=np.int32)


def _eye(model: HeadModel, side: str) -> Painted:
    eyeball, palette = model.eyeballs[side], model.palette
    turn = np.arange(EYE_SEGMENTS) * 2 * np.pi / EYE_SEGMENTS
    rows = [np.stack([np.sin(p) * np.cos(turn), np.sin(p) * np.sin(turn), np.full_like(turn, np.cos(p))], axis=1)
            for p in np.radians(EYE_RINGS)]  # fmt: skip
    unit = np.concatenate([[[0.0, 0.0, 1.0]], *rows, [[0.0, 0.0, -1.0]]])
    ring = 1 + np.arange(len(EYE_RINGS) * EYE_SEGMENTS).reshape(len(EYE_RINGS), EYE_SEGMENTS)
    faces = [np.stack([np.zeros(EYE_SEGMENTS, int), ring[0], np.roll(ring[0], -1)], axis=1)]
    for inner, outer in itertools.pairwise(ring):
        after_inner, after_outer = np.roll(inner, -1), np.roll(outer, -1)
        faces += [np.stack([inner, outer, after_outer], axis=1), np.stack([inner, after_outer, after_inner], axis=1)]
    faces.append(np.stack([ring[-1], np.full(EYE_SEGMENTS, len(unit) - 1), np.roll(ring[-1], -1)], axis=1))
    triangles = np.concatenate(faces).astype(np.int32)
    angle = np.degrees(np.arccos(np.clip(unit[triangles].mean(axis=1)[:, 2], -1, 1)))[:, None]
    colors = np.where(angle < 9.6, 0.02, np.where(angle < 24.5, palette.iris, palette.sclera))
    return eyeball.centre + eyeball.radius * unit, triangles, colors


def _teeth(model: HeadModel, jaw: str) -> Painted:
    """The jaw's own strip of quads: front and biting edge."""
    points = model.data.vertices.astype(np.float64)
    grid = oriented(quad_grid(model.data.parts[f"teeth_{jaw}"]), points[:, 1], points[:, 0])
    rows = grid[[0, 1, 2]] if jaw == "upper" else grid[[1, 2, 3]]
    faces = grid_faces(*rows.shape)
    return model.base[rows.ravel()], faces, np.tile(np.array(model.palette.teeth) * 0.9, (len(faces), 1))


def _tongue(model: HeadModel) -> Painted:
    vertices = model.vertices()
    none = np.zeros(len(vertices), dtype=bool)
    faces = decimate(vertices, model.topology.faces["tongue"], TONGUE_FACES, np.ones(len(vertices)), none)
    return vertices, faces, np.tile(np.array([0.62, 0.28, 0.28]), (len(faces), 1))


def _brow(model: HeadModel, sign: float, skin: Painted) -> Painted:
    """A strip along one eyebrow, a little off the coarse skin."""
    x = np.linspace(BROW_X_M[0] + 0.002, BROW_X_M[-1], 7)
    middle, half = np.interp(x, BROW_X_M, BROW_Y_M), np.interp(x, BROW_X_M, BROW_HALF_M) * model.palette.brow_width
    middle = middle + model.palette.brow_lift_m * np.linspace(1, 0, len(x))
    flat = np.stack([np.tile(x, 2) * sign, np.concatenate([middle - half, middle + half])], axis=1)
    template = model.skin_fields.position
    front = np.flatnonzero(template[:, 2] > -0.02)
    nearest = front[cKDTree(template[front, :2]).query(flat)[1]]
    points = model.vertices()[model.part("skin")][nearest]
    points[:, :2] += flat - template[nearest, :2]
    points[:, 2] = _front_of(skin[0], skin[1], points[:, :2]) + BROW_LIFT_M
    faces = grid_faces(2, len(x)) if sign > 0 else grid_faces(2, len(x))[:, ::-1]
    return points, faces, np.tile(np.array(model.palette.brow), (len(faces), 1))


def _front_of(vertices: Points, faces: NDArray[np.int32], at: Points) -> Points:
    """[n] the largest z of the surface at [n, 2] places seen from the front."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    span = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    span = np.where(np.abs(span) < 1e-12, np.inf, span)
    x, y = at[:, :1], at[:, 1:]
    u = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (y - a[:, 1])) / span
    v = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (x - a[:, 0]) * (b[:, 1] - a[:, 1])) / span
    inside = (u >= 0) & (v >= 0) & (u + v <= 1)
    height = a[:, 2] + u * (b[:, 2] - a[:, 2]) + v * (c[:, 2] - a[:, 2])
    return np.asarray(np.where(inside, height, -np.inf).max(axis=1))


def _joined(parts: dict[str, Painted]) -> Mesh:
    """One mesh; a vertex is doubled where faces of different colours meet."""
    points, colors, corners, pieces = [], [], [], []
    vertex_count, face_count = 0, 0
    for name, (vertices, faces, face_colors) in parts.items():
        wanted = np.concatenate([faces.reshape(-1, 1), np.repeat(face_colors, 3, axis=0)], axis=1)
        unique, index = np.unique(wanted, axis=0, return_inverse=True)
        points.append(vertices[unique[:, 0].astype(int)])
        colors.append(unique[:, 1:])
        corners.append(index.reshape(-1, 3) + vertex_count)
        pieces.append(MeshPart(name, face_count, len(faces), 0))
        vertex_count += len(unique)
        face_count += len(faces)
    return Mesh(
        np.concatenate(points).astype(np.float32),
        np.concatenate(corners).astype(np.int32),
        vertex_colors=np.concatenate(colors).astype(np.float32),
        parts=tuple(pieces),
        materials=(Material(MATERIAL, (1.0, 1.0, 1.0, 1.0)),),
    )
