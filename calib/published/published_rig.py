"""What the published way of driving needs of one avatar, worked out once and kept on disk."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from calib.published.published_weights import (
    NEIGHBOURS,
    PublishedControllers,
    Way,
    controlling_weights,
    normalised,
    select_controllers,
    smoothing_weights,
)
from core.array_checks import expect
from core.cache_folder import keep, reading
from core.camera import Intrinsics, transform_points
from core.errors import InputError
from core.sparse_arrays import csr_from_arrays, csr_to_arrays
from core.untrusted import read_arrays

_VERSION = "2"
_KEPT = "what the published way needs of the avatar"
_LARGEST_BYTES = 2 << 30
_HIDDEN = 0.03  # of the depth the picture spans: what lies deeper behind what it shows is hidden


@dataclass(frozen=True, eq=False)
class PublishedRig:
    """Controllers in the avatar's picture, weights [V, K] and smoothing [V, V] for its vertices."""

    controllers: PublishedControllers
    weights: csr_matrix
    smoothing: csr_matrix


@dataclass(frozen=True, eq=False)
class SeenHead:
    """A head before its camera.

    Attributes:
        vertices: [V, 3] and faces [F, 3] in avatar units.
        landmarks: [478, 3] face landmarks in avatar units.
        depth: [N, N] float32 camera depth of its picture, <= 0 where empty.
        intrinsics, T_camera_world: the camera.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    landmarks: NDArray[np.float32]
    depth: NDArray[np.float32]
    intrinsics: Intrinsics
    T_camera_world: NDArray[np.float64]


def published_rig(
    head: SeenHead,
    *,
    k: int = NEIGHBOURS,
    way: Way = "per_controller",
    cache_dir: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> PublishedRig:
    """Select controllers and solve weights, or read them back. Raises InputError where the head shows no landmarks."""
    path = cache_dir / f"published-rig-{_key(head, k, way)}.npz" if cache_dir else None
    return _kept_or_made(path, head, lambda: _published(head, k, way, progress))


def _published(head: SeenHead, k: int, way: Way, progress: Callable[[float], None] | None) -> PublishedRig:
    pixels = head.intrinsics.project(transform_points(head.T_camera_world, head.landmarks.astype(np.float64)))
    controllers = select_controllers(pixels / head.intrinsics.width, head.depth)
    under = faces_under(head, controllers.pixels)
    seen = under >= 0  # a pixel on the silhouette may be drawn by multisampling and yet lie beside every face
    controllers = PublishedControllers(
        controllers.pixels[seen], controllers.depth[seen], controllers.upper_lip[seen], controllers.lower_lip[seen]
    )
    return PublishedRig(
        controllers,
        controlling_weights(head.vertices, head.faces, under[seen], k=k, way=way, progress=progress),
        smoothing_weights(head.vertices, head.faces, k=k, way=way),
    )


def own_rig(
    head: SeenHead,
    controllers: NDArray[np.float64],
    weights: csr_matrix,
    *,
    k: int = NEIGHBOURS,
    cache_dir: Path | None = None,
) -> PublishedRig:
    """This project's own controllers [C, 3] and weights [V, C], as far as the picture shows them: K of the C, the
    weights of the others shared out among these. Smoothing is the published one.

    Raises InputError where the picture shows none of them.
    """
    placed = np.ascontiguousarray(controllers).tobytes() + weights.data.tobytes() + weights.indices.tobytes()
    way = f"own {hashlib.sha256(placed).hexdigest()}"
    path = cache_dir / f"published-rig-{_key(head, k, way)}.npz" if cache_dir else None
    return _kept_or_made(path, head, lambda: _own(head, controllers, weights, k))


def _own(head: SeenHead, controllers: NDArray[np.float64], weights: csr_matrix, k: int) -> PublishedRig:
    points = transform_points(head.T_camera_world, controllers)
    pixels = np.floor(head.intrinsics.project(points)).astype(np.int64)
    shown: NDArray[np.int64] = np.flatnonzero(_shown(pixels, points[:, 2], head.depth))
    first = np.unique(pixels[shown], axis=0, return_index=True)[1]  # of those on one pixel
    shown = shown[np.sort(first)]
    if not len(shown):
        raise InputError("avatar: expected some of its controllers on its picture, it shows none; adjust --eye")
    column, row = pixels[shown].T
    nowhere = np.zeros(len(shown), bool)
    chosen = PublishedControllers(pixels[shown], head.depth[row, column].astype(np.float64), nowhere, nowhere)
    weights = normalised(weights[:, shown])
    moves = diags((np.diff(weights.indptr) > 0).astype(np.float32))  # what no controller moves holds nothing back
    smoothing = normalised(smoothing_weights(head.vertices, head.faces, k=k) @ moves)
    return PublishedRig(chosen, weights, smoothing)


def _kept_or_made(path: Path | None, head: SeenHead, make: Callable[[], PublishedRig]) -> PublishedRig:
    if path is None:
        return make()
    with reading(path, _KEPT):
        if path.is_file():
            return _read(path, head)
    rig = make()
    keep(path, partial(_write, rig=rig), _KEPT)
    return rig


def _shown(pixels: NDArray[np.int64], depth: NDArray[np.float64], picture: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[C] whether points at pixels [C, 2] and camera depth [C] are what the picture's depth shows there."""
    inside = np.asarray(((pixels >= 0) & (pixels < picture.shape[::-1])).all(axis=1))
    at = np.where(inside[:, None], pixels, 0)
    seen: NDArray[np.float32] = picture[at[:, 1], at[:, 0]]
    span = float(np.ptp(picture[picture > 0])) if (picture > 0).any() else 0.0
    return np.asarray(inside & (seen > 0) & (np.abs(seen - depth) < _HIDDEN * span))


def faces_under(head: SeenHead, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """[K] the nearest face that covers each pixel's centre, -1 where none does. pixels [K, 2] column and row."""
    points = transform_points(head.T_camera_world, head.vertices.astype(np.float64))
    screen = head.intrinsics.project(points)
    corners, depth = screen[head.faces], points[head.faces][..., 2]  # [F, 3, 2], [F, 3]
    low, high = corners.min(axis=1), corners.max(axis=1)
    found = np.full(len(pixels), -1, np.int64)
    for i, centre in enumerate(pixels + 0.5):
        near = np.flatnonzero(((low <= centre) & (high >= centre)).all(axis=1) & (depth.min(axis=1) > 0))
        bary = _barycentric(corners[near], centre)
        inside = (bary >= -1e-9).all(axis=1)
        if inside.any():
            inverse_depth = (bary[inside] / depth[near[inside]]).sum(axis=1)
            found[i] = near[inside][inverse_depth.argmax()]
    return found


def _barycentric(corners: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3] of one point in triangles [n, 3, 2]; -1 in needles without area."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    to = point - corners[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    solid = np.abs(area) > 1e-12
    safe = np.where(solid, area, 1.0)
    v = (to[:, 0] * b[:, 1] - to[:, 1] * b[:, 0]) / safe
    w = (a[:, 0] * to[:, 1] - a[:, 1] * to[:, 0]) / safe
    bary: NDArray[np.float64] = np.where(solid[:, None], np.stack([1 - v - w, v, w], axis=1), -1.0)
    return bary


def _key(head: SeenHead, k: int, way: str) -> str:
    digest = hashlib.sha256(f"{_VERSION} {k} {way} {head.intrinsics}".encode())
    for array in (head.vertices, head.faces, head.landmarks, head.depth, head.T_camera_world):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:24]


def _read(path: Path, head: SeenHead) -> PublishedRig:
    """Raises InputError, KeyError or ValueError where the file is no rig of that head."""
    kept = read_arrays(path, _LARGEST_BYTES)
    pixels = expect(kept, "pixels", np.int64, None, 2, below=head.depth.shape[1])
    count, vertices = len(pixels), len(head.vertices)
    depth = expect(kept, "depth", np.float64, count)
    if not count or not (depth > 0).all() or pixels[:, 1].max() >= len(head.depth):
        raise ValueError("expected controllers on the picture, in front of its camera")
    lips = (expect(kept, f"{side}_lip", np.bool_, count) for side in ("upper", "lower"))
    weights = csr_from_arrays("weights", kept, (vertices, count))
    smoothing = csr_from_arrays("smoothing", kept, (vertices, vertices))
    return PublishedRig(PublishedControllers(pixels, depth, *lips), weights, smoothing)


def _write(path: Path, rig: PublishedRig) -> None:
    arrays: dict[str, Any] = csr_to_arrays("weights", rig.weights) | csr_to_arrays("smoothing", rig.smoothing)
    with path.open("wb") as file:
        np.savez(file, **vars(rig.controllers), **arrays)
