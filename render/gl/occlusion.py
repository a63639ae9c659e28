"""How much of its surroundings each vertex sees at rest, baked once: soft shadow in eye sockets, nostrils and ears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.mesh import Mesh
from render.gl.kept_arrays import kept_arrays
from render.gl.shader_programs import set_uniforms
from render.mesh.mesh_layout import RenderLayout
from render.mesh.surface_normals import SurfaceNormals

if TYPE_CHECKING:
    import moderngl

_SIZE = 256
_DIRECTIONS = 40
_DENSE_DIRECTIONS = 24
_DENSE_VERTICES = 40_000
_CELLS = 48  # a radius; faces finer than this are merged for casting shadow
_DEPTH_SHADERS = (
    "#version 330\nin vec3 in_position; uniform mat4 clip;\n"
    "void main() { gl_Position = clip * vec4(in_position, 1.0); }",
    "#version 330\nvoid main() {}",
)


def bake_openness(ctx: moderngl.Context, mesh: Mesh, layout: RenderLayout) -> NDArray[np.float32]:
    """[V] float32 in 0..1: 1 where nothing shades a vertex. Parts in the mouth darken with depth instead.

    Depth maps from directions spread over the sphere, each vertex compared with each of them, weighted by cosine.
    """
    solid = [group for group in layout.groups if not (group.transparent or group.cut_out or group.look.deep)]
    faces = np.concatenate([layout.corners[g.first : g.first + g.count] for g in solid]) if solid else layout.corners
    solid_faces = layout.vertex_of[faces]
    kept = kept_arrays(
        "soft-shadow",
        (mesh.vertices, solid_faces),
        lambda: {"open": _seen_share(ctx, mesh.vertices, solid_faces)},
        lambda arrays: (
            arrays["open"].shape == (len(mesh.vertices),)
            and arrays["open"].dtype == np.float32
            and bool(np.isfinite(arrays["open"]).all())
        ),
    )
    openness = kept["open"].astype(np.float32)
    lowest = np.zeros(len(mesh.vertices), dtype=np.float32)
    for group in layout.groups:
        used = np.unique(layout.vertex_of[layout.corners[group.first : group.first + group.count]])
        lowest[used] = group.look.lowest_light
        if group.look.deep:
            depth, darkest = mesh.vertices[used, 2], group.look.lowest_light * 0.5
            share = (depth - depth.min()) / max(float(np.ptp(depth)), 1e-9)
            openness[used] = darkest + (1 - darkest) * share**1.5
    return np.maximum(openness, lowest).clip(0.0, 1.0).astype(np.float32)


def _directions(count: int) -> NDArray[np.float64]:
    """[count, 3] evenly spread over the sphere: a Fibonacci lattice."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + np.sqrt(5)) * index
    level = np.sqrt(1 - z * z)
    return np.stack([level * np.cos(angle), level * np.sin(angle), z], axis=1)


def _seen_share(ctx: moderngl.Context, vertices: NDArray[np.float32], faces: NDArray[Any]) -> NDArray[np.float32]:
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    radius = float(np.linalg.norm(vertices - centre, axis=1).max()) or 1.0
    unit = ((vertices - centre) / radius).astype(np.float32)
    surface = SurfaceNormals(unit, faces.astype(np.int32))
    normals = surface.update(unit)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    program = ctx.program(vertex_shader=_DEPTH_SHADERS[0], fragment_shader=_DEPTH_SHADERS[1])
    dense = len(vertices) > _DENSE_VERTICES
    casting = _coarse(unit, faces) if dense else faces
    positions, indices = ctx.buffer(unit.tobytes()), ctx.buffer(casting.astype(np.int32).tobytes())
    shape = ctx.vertex_array(program, [(positions, "3f", "in_position")], indices)
    target = ctx.framebuffer([], ctx.depth_renderbuffer((_SIZE, _SIZE)))
    seen, possible = np.zeros(len(unit)), np.full(len(unit), 1e-6)
    target.use()
    ctx.enable_only(ctx.DEPTH_TEST)
    ctx.depth_func = "<"
    for direction in _directions(_DENSE_DIRECTIONS if dense else _DIRECTIONS):
        frame = _facing(direction)
        clip = np.eye(4)
        clip[:3, :3] = frame * np.array([[1.0], [1.0], [-1.0]])  # nearer to the light is smaller
        set_uniforms(program, clip=np.ascontiguousarray(clip.T, dtype=np.float32).tobytes())
        target.clear(depth=1.0)
        shape.render()
        data = target.read(components=1, attachment=-1, dtype="f4", alignment=1)
        shadow = np.frombuffer(data, dtype=np.float32).reshape(_SIZE, _SIZE) * 2 - 1
        weight = np.maximum(normals @ direction, 0.0)
        seen += weight * _lit(unit @ frame.T.astype(np.float32), shadow)
        possible += weight
    for made in (target.depth_attachment, target, shape, positions, indices, program):
        made.release()
    return _smoothed(seen / possible, faces)


def _coarse(unit: NDArray[np.float32], faces: NDArray[Any]) -> NDArray[Any]:
    """Faces between one vertex of each cell of a grid: close enough to cast soft shadow, and several times fewer."""
    cell = np.floor((unit + 1) * _CELLS).astype(np.int64) @ np.array([1, 2 * _CELLS + 1, (2 * _CELLS + 1) ** 2])
    _, first, inverse = np.unique(cell, return_index=True, return_inverse=True)
    merged = first[inverse][faces]
    a, b, c = merged.T
    return np.asarray(merged[(a != b) & (b != c) & (c != a)])


def _facing(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3] rotation whose third row is `direction`."""
    side = np.cross(direction, (0.0, 1.0, 0.0) if abs(direction[1]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(direction, side), direction])


def _lit(points: NDArray[np.float32], shadow: NDArray[np.float32]) -> NDArray[np.float32]:
    """[V] share of the four depth texels around each point that lie no nearer to the light than it does."""
    at = (points[:, :2] * 0.5 + 0.5) * _SIZE - 0.5
    column, row = np.floor(at).astype(np.int64).clip(0, _SIZE - 2).T
    depth = -points[:, 2] - np.float32(0.02)
    corners = [shadow[row + i, column + j] >= depth for i in (0, 1) for j in (0, 1)]
    return np.asarray(np.mean(corners, axis=0), dtype=np.float32)


def _smoothed(values: NDArray[np.float64], faces: NDArray[Any]) -> NDArray[np.float32]:
    """Averaged twice with the neighbours, which takes the grain of the depth maps out."""
    count = len(values)
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    rows, columns = np.r_[ends[:, 0], ends[:, 1]], np.r_[ends[:, 1], ends[:, 0]]
    links: Any = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count)) + sparse.eye(count)
    share = np.asarray(links.sum(axis=1)).reshape(-1)
    for _ in range(2):
        values = links @ values / share
    return values.astype(np.float32)
