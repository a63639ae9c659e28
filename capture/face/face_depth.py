"""Depth pictures for frames that came without: the tracked face's surface, seen by the camera."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from core.camera import Intrinsics
from core.canonical_face import CanonicalFace, load_canonical_face
from core.frame import FaceObservation

_SUBPIXEL_BITS = 4


def lift_depth(
    observation: FaceObservation, face: CanonicalFace | None = None, intrinsics: Intrinsics | None = None
) -> NDArray[np.float32]:
    """Metric depth [H, W] of the face surface between the landmarks; 0 outside the face.

    The triangles of the canonical face are laid over the lifted landmarks and drawn; eyes are covered and an open
    mouth is spanned from lip to lip. Without a tracked face everything is 0.

    Args:
        face: the canonical face; that of the official model by default.
        intrinsics: the picture to draw, in the frame's own camera position; aligned to the frame by default.
    """
    intrinsics = intrinsics or observation.frame.intrinsics
    if not observation.tracked:
        return np.zeros((intrinsics.height, intrinsics.width), np.float32)
    return draw_depth(observation.landmarks_m, (face or _official_face()).triangles, intrinsics)


@lru_cache(maxsize=1)
def _official_face() -> CanonicalFace:
    return load_canonical_face(find_face_model())


def draw_depth(
    points: NDArray[np.float32], triangles: NDArray[np.int32], intrinsics: Intrinsics
) -> NDArray[np.float32]:
    """Depth [H, W] of triangles [F, 3] over `points` [N, 3] in the camera frame; 0 where there is none.

    Triangles are painted from far to near; each pixel takes the exact depth of its triangle's plane at its centre,
    kept within the triangle's own range at the rim.
    """
    import cv2

    depth_m = np.zeros((intrinsics.height, intrinsics.width), np.float32)
    corners = points[triangles].astype(np.float64)  # [F, 3, 3]
    corners = corners[corners[:, :, 2].min(axis=1) > 0]
    px = intrinsics.project(corners)
    visible = (px.max(axis=1) > 0).all(axis=1) & (px.min(axis=1) < (intrinsics.width, intrinsics.height)).all(axis=1)
    corners, px = corners[visible], px[visible]
    order = np.argsort(-corners[:, :, 2].mean(axis=1))
    corners, px = corners[order], px[order]
    numbers = np.zeros(depth_m.shape, np.int32)
    polygons = np.rint((px - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    for number, polygon in enumerate(polygons, start=1):
        cv2.fillConvexPoly(numbers, polygon, number, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    rows, columns = np.nonzero(numbers)
    drawn = numbers[rows, columns] - 1
    inverse = _inverse_depth_planes(corners)[drawn]
    rays_x = (columns + 0.5 - intrinsics.cx) / intrinsics.fx
    rays_y = (rows + 0.5 - intrinsics.cy) / intrinsics.fy
    at = inverse[:, 0] * rays_x + inverse[:, 1] * rays_y + inverse[:, 2]
    with np.errstate(divide="ignore"):
        depth = np.clip(1.0 / at, corners[:, :, 2].min(axis=1)[drawn], corners[:, :, 2].max(axis=1)[drawn])
    depth_m[rows, columns] = depth
    return depth_m


def _inverse_depth_planes(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """[F, 3] coefficients of 1/z = a·x/z + b·y/z + c over each triangle [F, 3, 3]: n·(point) = n·(corner)."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    offsets = np.einsum("fi,fi->f", normals, corners[:, 0])
    return normals / np.where(np.abs(offsets) < 1e-12, 1e-12, offsets)[:, None]
