"""Pictures of an avatar being prepared, and the way back from a pixel to its surface."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from core.camera import Intrinsics, look_at
from core.closeable import Closeable
from core.mesh import Mesh
from render.gl.rgbd import RgbdCamera

FAR_EYE_DISTANCE = 8.0  # of the published camera, avatar units


@dataclass(frozen=True, eq=False)
class View:
    """One rendered picture.

    Attributes:
        rgb: [H, W, 3] uint8.
        depth: [H, W] float32 along the optical axis, 0 where empty.
        face_id: [H, W] int32 face of the mesh, -1 where empty.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    face_id: NDArray[np.int32]
    T_camera_world: NDArray[np.float64]
    intrinsics: Intrinsics

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """World points [..., 3] → pixels [..., 2]."""
        camera = points @ self.T_camera_world[:3, :3].T + self.T_camera_world[:3, 3]
        return self.intrinsics.project(camera)

    def lift(self, pixels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """World points [N, 3] under pixels [N, 2], and [N] whether the surface was right there.

        A pixel beside the surface takes the nearest pixel on it. Raises ValueError where the picture is empty.
        """
        covered = self.depth > 0
        if not covered.any():
            raise ValueError("cannot lift points in an empty picture")
        height, width = self.depth.shape
        column = np.clip(np.floor(pixels[:, 0]).astype(int), 0, width - 1)
        row = np.clip(np.floor(pixels[:, 1]).astype(int), 0, height - 1)
        direct = covered[row, column]
        nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
        row_on, column_on = nearest[0][row, column], nearest[1][row, column]
        at = np.where(direct[:, None], pixels, np.stack([column_on, row_on], axis=1) + 0.5)
        camera = self.intrinsics.unproject(at, self.depth[row_on, column_on].astype(np.float64))
        rotation, translation = self.T_camera_world[:3, :3], self.T_camera_world[:3, 3]
        return (camera - translation) @ rotation, direct


def front_camera(
    centre: NDArray[np.float64], half_width: float, size: int, yaw: float = 0.0, pitch: float = 0.0
) -> tuple[NDArray[np.float64], Intrinsics]:
    """A camera from far in front (turned by yaw, pitch in radians) in whose square picture `half_width` fills half."""
    direction = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    distance = max(FAR_EYE_DISTANCE, 6.0 * half_width)
    focal = size / 2 * distance / half_width
    T_camera_world = look_at(centre + distance * direction, centre)
    return T_camera_world, Intrinsics(focal, focal, size / 2, size / 2, size, size)


class Studio(Closeable):
    """Takes pictures of one mesh under any placement. A context manager that owns its OpenGL context.

    Raises InputError where there is no OpenGL.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._vertices = mesh.vertices.astype(np.float64)
        used = self._vertices[np.unique(mesh.faces)]
        low, high = used.min(axis=0), used.max(axis=0)
        unit = (self._vertices - (low + high) / 2) * (2.0 / float((high - low).max()))  # the renderer's clip planes
        self._camera = RgbdCamera(replace(mesh, vertices=unit.astype(np.float32)))  # follow the size it first meets

    def close(self) -> None:
        self._camera.close()

    def look(
        self, T_world_file: NDArray[np.float64], T_camera_world: NDArray[np.float64], intrinsics: Intrinsics
    ) -> View:
        """The mesh placed by `T_world_file` [4, 4]."""
        placed = (self._vertices @ T_world_file[:3, :3].T + T_world_file[:3, 3]).astype(np.float32)
        picture = self._camera.take(T_camera_world, intrinsics, placed)
        return View(picture.rgb, picture.depth, picture.face_id, T_camera_world, intrinsics)
