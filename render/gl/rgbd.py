"""Pictures of a mesh with exact depth and face numbers, under the published flat light: what preparation looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.camera import Intrinsics, transform_points
from core.closeable import Closeable
from core.mesh import Mesh
from render.gl.gl_context import create_context, make_current, release_context
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget

if TYPE_CHECKING:
    import moderngl


@dataclass(frozen=True, eq=False)
class RgbdPicture:
    """One picture of a mesh.

    Attributes:
        rgb: [H, W, 3] uint8, black where empty.
        depth: [H, W] float32 camera-space depth at pixel centres, 0 where empty.
        face_id: [H, W] int32 face of the mesh under the pixel's centre, -1 where empty.
        weigh: works out `barycentric`, which takes longer than the picture.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    face_id: NDArray[np.int32]
    weigh: Callable[[], NDArray[np.float32]] = field(repr=False)

    @cached_property
    def barycentric(self) -> NDArray[np.float32]:
        """[H, W, 3] float32 weights of the face's three corners (perspective-correct), 0 where empty."""
        return self.weigh()


class RgbdCamera(Closeable):
    """Takes RGBD pictures of one mesh. Makes a context of its own unless given one; a context manager.

    Its context is the current one after each call, and stays so.

    Raises InputError where there is no OpenGL.
    """

    def __init__(self, mesh: Mesh, ctx: moderngl.Context | None = None) -> None:
        self._own = ctx is None
        self._ctx = create_context() if ctx is None else ctx
        make_current(self._ctx)
        self._renderer = MeshRenderer(self._ctx, mesh, soft_shadows=False)
        self._mesh = mesh
        self._target: RenderTarget | None = None

    def take(
        self, T_camera_world: NDArray[np.float64], intrinsics: Intrinsics, vertices: NDArray[np.float32] | None = None
    ) -> RgbdPicture:
        """The mesh, or the mesh with other vertices [V, 3], seen by this camera.

        Light and colours as published (PIPELINE: a light far on +z, 0.5 ambient + 0.5 diffuse, colours as stored,
        black behind; then the picture's range, black included, spread over 0..255 and cut to whole numbers).
        """
        shown = self._mesh.vertices if vertices is None else vertices
        make_current(self._ctx)
        size = (intrinsics.width, intrinsics.height)
        if self._target is None or self._target.size != size:
            if self._target is not None:
                self._target.release()
            self._target = RenderTarget(self._ctx, *size, geometry=True)
        self._renderer.set_vertices(shown)
        order = self._renderer.render_flat(self._target, T_camera_world, intrinsics)
        color, depth, drawn = self._target.float_rgb(), self._target.depth(), self._target.face_id()
        low, high = float(color.min()), float(color.max())
        rgb = np.asarray((color - low) / max(high - low, 1e-9) * 255.0, dtype=np.uint8)
        face_id = np.where(drawn >= 0, order[np.maximum(drawn, 0)], -1).astype(np.int32)
        points = transform_points(T_camera_world, shown)
        weigh = partial(barycentric, face_id, points, self._mesh.faces, intrinsics)
        return RgbdPicture(rgb, depth, face_id, weigh)

    def close(self) -> None:
        """Free everything; the context, too, where it is its own."""
        make_current(self._ctx)
        self._renderer.release()
        if self._target is not None:
            self._target.release()
            self._target = None
        if self._own:
            release_context(self._ctx)


def render_rgbd(
    mesh: Mesh,
    T_camera_world: NDArray[np.float64],
    intrinsics: Intrinsics,
    ctx: moderngl.Context | None = None,
) -> RgbdPicture:
    """One RGBD picture of a mesh (for several, keep an `RgbdCamera`). Raises InputError without OpenGL."""
    with RgbdCamera(mesh, ctx) as camera:
        return camera.take(T_camera_world, intrinsics)


def barycentric(
    face_id: NDArray[np.int32], points: NDArray[np.float32], faces: NDArray[np.int32], intrinsics: Intrinsics
) -> NDArray[np.float32]:
    """[H, W, 3] weights of the corners of the face under each pixel's centre, 0 where there is none.

    `points` are the vertices [V, 3] in the camera frame. The ray through a pixel meets the plane of its face; the
    weights are ratios of the volumes the ray spans with the edges, worked out in double precision.
    """
    weights = np.zeros((*face_id.shape, 3), dtype=np.float32)
    rows, columns = np.nonzero(face_id >= 0)
    if len(rows) == 0:
        return weights
    centres = np.stack([columns + 0.5, rows + 0.5], axis=1)
    rays = intrinsics.unproject(centres, np.ones(len(rows)))
    a, b, c = points.astype(np.float64)[faces[face_id[rows, columns]]].transpose(1, 0, 2)
    volumes = np.stack([_volume(rays, b, c), _volume(rays, c, a), _volume(rays, a, b)], axis=1)
    weights[rows, columns] = volumes / volumes.sum(axis=1, keepdims=True)
    return weights


def _volume(ray: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", ray, np.cross(first, second)))
