"""How much of the sky each vertex of the skin sees: creases, nostrils and the skin under the chin are darker.

Generator only; needs OpenGL.
"""

from __future__ import annotations

import moderngl
import numpy as np
from numpy.typing import NDArray

from render.gl.gl_context import create_context, release_context

DIRECTIONS = 220
SIZE = 1024
LIFT_M = 0.0012  # off the surface, so that a vertex is not hidden by its own faces

Points = NDArray[np.float64]

_VERTEX = "#version 330\nin vec3 position; void main() { gl_Position = vec4(position, 1.0); }"
_FRAGMENT = "#version 330\nvoid main() {}"


def sky_visibility(vertices: Points, faces: NDArray[np.int32], points: Points, normals: Points) -> Points:
    """[n] cosine-weighted share of visible directions at `points` [n, 3] with `normals` [n, 3], 0..1."""
    directions = _sphere(DIRECTIONS)
    cosine = np.maximum(normals @ directions.T, 0)
    seen = np.zeros_like(cosine)
    centre, radius = vertices.mean(axis=0), np.linalg.norm(vertices - vertices.mean(axis=0), axis=1).max() * 1.01
    lifted = points + LIFT_M * normals
    ctx = create_context(headless=True)
    try:
        draw = _DepthMap(ctx, vertices, faces)
        for number, direction in enumerate(directions):
            axes = _axes(direction)
            depth = draw.depth((vertices - centre) @ axes.T / radius)
            local = (lifted - centre) @ axes.T / radius
            column, row = (np.clip((local[:, :2].T + 1) / 2 * SIZE, 0, SIZE - 1)).astype(int)
            seen[:, number] = -local[:, 2] < depth[row, column] + 1e-4
    finally:
        release_context(ctx)
    return np.asarray((cosine * seen).sum(axis=1) / np.maximum(cosine.sum(axis=1), 1e-9))


class _DepthMap:
    def __init__(self, ctx: moderngl.Context, vertices: Points, faces: NDArray[np.int32]) -> None:
        self._program = ctx.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._vertices = ctx.buffer(reserve=len(vertices) * 12)
        self._array = ctx.vertex_array(
            self._program, [(self._vertices, "3f", "position")], ctx.buffer(faces.astype("i4").tobytes())
        )
        self._texture = ctx.depth_texture((SIZE, SIZE))
        self._target = ctx.framebuffer(depth_attachment=self._texture)
        ctx.enable(moderngl.DEPTH_TEST)

    def depth(self, local: Points) -> Points:
        """[SIZE, SIZE] −z of the nearest surface; `local` [V, 3] in the unit sphere, seen from +z."""
        flipped = local * [1, 1, -1]
        self._vertices.write(flipped.astype("f4").tobytes())
        self._target.use()
        self._target.clear()
        self._array.render()
        window = np.frombuffer(self._texture.read(), dtype="f4").reshape(SIZE, SIZE)
        return window.astype(np.float64) * 2 - 1


def _sphere(count: int) -> Points:
    """Evenly spread directions (spiral of Fibonacci)."""
    number = np.arange(count) + 0.5
    height = 1 - 2 * number / count
    turn = number * np.pi * (3 - np.sqrt(5))
    level = np.sqrt(1 - height**2)
    return np.stack([level * np.cos(turn), height, level * np.sin(turn)], axis=1)


def _axes(direction: Points) -> Points:
    helper = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(direction, right), direction])
