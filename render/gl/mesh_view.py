"""One camera's view of a mesh, as the matrices that shaders need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.camera import Intrinsics, gl_projection
from render.gl.render_target import RenderTarget
from render.mesh.openings import Box

VIEW_BYTES = 96  # of `MeshView.block`
_TOP_ROW_FIRST = np.diag([1.0, -1.0, 1.0, 1.0])
_OPENCV_TO_VIEW = np.diag([1.0, -1.0, -1.0])
_MARGIN_PX = 4  # outlines and lashes are drawn a little wider than the mesh
_ROOM_TO_MOVE = 2.5  # the mesh may stretch to this many rest radii before the clip planes cut it


class MeshView:
    """Matrices of one picture of a mesh that lies within `radius` of `centre` in the head's frame.

    Attributes:
        clip: [4, 4] from the head's frame to clip space.
        block: `View` of shaders/mesh.vert.glsl, as the std140 layout has it.
        depth_row: [4] float32 from the head's frame to depth along the view.
        eye_in_head: [3] the camera's position in the head's frame.
        lights: [3, 3] rotation from the head's frame into the axes the lights stand in.
        pixels_per_unit: size of one unit at the mesh's centre.
    """

    def __init__(
        self,
        target: RenderTarget,
        T_camera_world: NDArray[np.float64],
        intrinsics: Intrinsics,
        T_world_head: NDArray[np.float64] | None,
        centre: NDArray[np.float64],
        radius: float,
        *,
        lights_on_camera: bool = True,
    ) -> None:
        if (intrinsics.width, intrinsics.height) != target.size:
            raise ValueError(f"the camera is for {intrinsics.width}x{intrinsics.height}, the target is {target.size}")
        self._size = target.size
        T_world_head = np.eye(4) if T_world_head is None else T_world_head
        T_camera_head = T_camera_world @ T_world_head
        centre_z = float(T_camera_head[2, :3] @ centre + T_camera_head[2, 3])
        reach = _ROOM_TO_MOVE * radius
        self._near = max(centre_z - reach, 0.02 * reach)
        self._far = max(centre_z + reach, 2 * self._near)
        self._centre_z = max(centre_z, self._near)
        self.clip = _TOP_ROW_FIRST @ gl_projection(intrinsics, self._near, self._far) @ T_camera_head
        self.clip_bytes = _column_major(self.clip)
        self.lights = _OPENCV_TO_VIEW @ T_camera_head[:3, :3] if lights_on_camera else T_world_head[:3, :3]
        lights = np.zeros((4, 2))  # a column of three numbers takes the place of four; the third follows from two
        lights[:3] = self.lights[:, :2]
        self.block = self.clip_bytes + _column_major(lights)
        self.depth_row = T_camera_head[2].astype(np.float32).tobytes()
        self.eye_in_head = -T_camera_head[:3, :3].T @ T_camera_head[:3, 3]
        self.pixels_per_unit = intrinsics.fx / self._centre_z

    def box(self, points: NDArray[np.float32]) -> Box:
        """Pixels (left, first row, width, height) around all that lies between the least and the greatest coordinates
        of points [N, 3], with some room for edges; at least one pixel, and the whole picture if some is behind."""
        rows = np.ascontiguousarray(points.T)
        ends = np.stack([rows.min(axis=1), rows.max(axis=1)]).astype(np.float64)
        corners = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)
        clip = corners @ self.clip[[0, 1, 3], :3].T + self.clip[[0, 1, 3], 3]
        if clip[:, 2].min() <= 0:
            return (0, 0, *self._size)
        pixels = (clip[:, :2] / clip[:, 2:] * 0.5 + 0.5) * self._size
        most = np.array(self._size)
        low = np.floor(pixels.min(axis=0) - _MARGIN_PX).clip(0, most - 1).astype(int)
        high = np.ceil(pixels.max(axis=0) + _MARGIN_PX).clip(low + 1, most).astype(int)
        return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])

    def depth_step(self, distance: float) -> float:
        """Difference in normalised device depth of two points so far apart along the view, at the mesh's centre."""
        near, far = self._near, self._far
        return 2 * far * near / (far - near) * distance / self._centre_z**2


def _column_major(matrix: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(matrix.T, dtype=np.float32).tobytes()
