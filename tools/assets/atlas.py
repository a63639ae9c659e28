"""Paints the skin into a texture instead of its vertices, for brows, strands and pores finer than the mesh.

The base mesh's own texture layout is re-arranged: the head island is turned upright and stretched where the face is;
the linings of mouth and eye sockets and the chest go to a strip beside it. Generator only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse.csgraph import connected_components

from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.head.paint import SkinFields, skin_colors
from capture.synthetic.head.palette import Palette
from capture.synthetic.head.subdivision import bilinear, triangulated
from render.gl.gl_context import create_context, release_context

Points = NDArray[np.float64]

_VERTEX = """#version 330
in vec2 uv; in vec3 share; in float number; out vec3 shares; flat out float face;
void main() { gl_Position = vec4(2.0 * uv - 1.0, 0.0, 1.0); shares = share; face = number; }"""
_FRAGMENT = """#version 330
in vec3 shares; flat in float face; out vec4 texel;
void main() { texel = vec4(shares, face); }"""

HEAD_WIDTH = 0.78  # of the texture; the rest is the strip
MARGIN = 0.006
FACE_IN_SOURCE = (0.483, 0.868)  # middle of the face in the source layout, across (v) and down (u)
FACE_SPREAD = (0.075, 0.065)
FACE_STRETCH = 2.2
STRIP = {"chest": (0.0, 0.42), "mouth": (0.44, 0.66), "sockets": (0.68, 0.98)}  # from top to bottom


@dataclass(frozen=True, eq=False)
class Atlas:
    """Texture coordinates of a head's skin: `uvs` [T, 2] (v upwards, 0..1), `faces_uv` [f, 3] for `faces["skin"]`."""

    uvs: Points
    faces_uv: NDArray[np.int32]


def make_atlas(model: HeadModel) -> Atlas:
    """Lay out the skin of this head's topology; the cap below a bust takes its colour from the border."""
    data, topology = model.data, model.topology
    quads_uv = data.skin_uv[topology.kept_quads]
    placed = _arranged(data.uvs.astype(np.float64), quads_uv)
    fine = bilinear(quads_uv, len(placed))
    used, corners = np.unique(fine.quads, return_inverse=True)
    uvs, quads = (fine.matrix @ placed)[used], corners.reshape(-1, 4).astype(np.int32)
    faces_uv = triangulated(quads)
    missing = len(topology.faces["skin"]) - len(faces_uv)
    if missing:
        faces_uv = np.concatenate([faces_uv, _cap_uvs(model, faces_uv, missing)])
    return Atlas(uvs, faces_uv)


def bake(model: HeadModel, atlas: Atlas, size: int, palette: Palette | None = None) -> NDArray[np.uint8]:
    """[size, size, 3] uint8 texture, first row at v = 1; colours run on beyond the islands, so that no seam shows."""
    start, _ = model.topology.ranges["skin"]
    vertex, weight = _texel_corners(atlas, model.topology.faces["skin"] - start, size)
    inside = vertex[..., 0] >= 0
    rows = np.repeat(np.arange(inside.sum()), 3)
    matrix = sp.csr_matrix(
        (weight[inside].ravel(), (rows, vertex[inside].ravel())),
        shape=(int(inside.sum()), len(model.skin_fields.position)),
    )
    at_texels = SkinFields(**{f.name: matrix @ getattr(model.skin_fields, f.name) for f in fields(SkinFields)})
    color = np.zeros((size, size, 3))
    color[inside] = skin_colors(at_texels, palette or model.palette, detailed=True)
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.asarray(np.rint(color[tuple(nearest)] * 255), dtype=np.uint8)


def _arranged(uvs: Points, quads_uv: NDArray[np.int32]) -> Points:
    """[T, 2] new coordinates (x to the right, y upwards, 0..1) of the source coordinates that the quads use."""
    edges = np.stack([quads_uv.ravel(), np.roll(quads_uv, -1, axis=1).ravel()])
    graph = sp.coo_matrix((np.ones(edges.shape[1]), edges), shape=(len(uvs), len(uvs)))
    island = connected_components(graph, directed=False)[1]
    used = np.unique(quads_uv)
    placed = np.zeros_like(uvs)
    for number in np.unique(island[used]):
        members = used[island[used] == number]
        placed[members] = _placed_island(uvs[members])
    return placed


def _placed_island(source: Points) -> Points:
    # The source layout has the top of the head at small u and the person's right at small v.
    upright = np.stack([source[:, 1], -source[:, 0]], axis=1)
    low, high = source.min(axis=0), source.max(axis=0)
    if low[0] > 0.6 and high[1] - low[1] > 0.4:
        across = _stretched(source[:, 1], FACE_IN_SOURCE[0], FACE_SPREAD[0])
        down = _stretched(source[:, 0], FACE_IN_SOURCE[1], FACE_SPREAD[1])
        return np.stack([MARGIN + across * (HEAD_WIDTH - 2 * MARGIN), 1 - MARGIN - down * (1 - 2 * MARGIN)], axis=1)
    if high[1] < 0.2:
        top, bottom = STRIP["mouth"]
    elif high[0] < 0.2:
        start, end = STRIP["sockets"]
        middle = (start + end) / 2
        top, bottom = (start, middle - MARGIN) if high[0] < 0.08 else (middle + MARGIN, end)
    else:
        top, bottom = STRIP["chest"]
    unit = (upright - upright.min(axis=0)) / np.ptp(upright, axis=0)
    left, right = HEAD_WIDTH + MARGIN, 1 - MARGIN
    return np.stack([left + unit[:, 0] * (right - left), 1 - bottom + unit[:, 1] * (bottom - top - MARGIN)], axis=1)


def _stretched(value: Points, middle: float, spread: float) -> Points:
    """Monotonous map of the values' range onto 0..1 that gives more room to what lies near `middle`."""
    grid = np.linspace(value.min(), value.max(), 512)
    density = 1 + FACE_STRETCH * np.exp(-(((grid - middle) / spread) ** 2))
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.asarray(np.interp(value, grid, cumulative / cumulative[-1]))


def _cap_uvs(model: HeadModel, faces_uv: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """One texture coordinate, that of a vertex on the border, for all faces of the cap."""
    cap_faces = model.topology.faces["skin"][-count:]
    skin_faces = model.topology.faces["skin"][:-count]
    corner = np.argwhere(np.isin(skin_faces, cap_faces))[0]
    return np.full((count, 3), faces_uv[tuple(corner)], dtype=np.int32)


def _texel_corners(atlas: Atlas, faces: NDArray[np.int32], size: int) -> tuple[NDArray[np.int32], Points]:
    """For every texel the three skin vertices of its triangle, −1 outside, and their weights; [size, size, 3] each."""
    corners = np.column_stack([atlas.uvs[atlas.faces_uv].reshape(-1, 2), np.tile(np.eye(3), (len(faces), 1))])
    number = np.repeat(np.arange(1, len(faces) + 1), 3)
    ctx = create_context(headless=True)
    try:
        program = ctx.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        content = ctx.buffer(np.column_stack([corners, number]).astype("f4").tobytes())
        array = ctx.vertex_array(program, [(content, "2f 3f 1f", "uv", "share", "number")])
        target = ctx.framebuffer([ctx.texture((size, size), 4, dtype="f4")])
        target.use()
        target.clear()
        array.render()
        texels = np.frombuffer(target.read(components=4, dtype="f4"), dtype="f4").reshape(size, size, 4)[::-1]
    finally:
        release_context(ctx)
    hit = np.rint(texels[..., 3]).astype(np.int64) - 1
    vertex = np.where(hit[..., None] >= 0, faces[np.maximum(hit, 0)], -1)
    return vertex.astype(np.int32), texels[..., :3].astype(np.float64)
