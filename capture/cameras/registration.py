"""Depth as the depth camera sees it → depth as the colour camera sees it, from a factory calibration.

No graphics library, display or vendor code takes part: rays of the depth camera are worked out once, and a frame is a
handful of array operations and one scatter.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.cameras.depth_kernels import Scattering
from core.camera import Intrinsics

_Float = TypeVar("_Float", np.float32, np.float64)

TICKS_PER_M = 8000  # depth travels through the z-buffer as uint16 eighths of a millimetre: up to 8.19 m
GAP_HALVINGS = 5  # what is further than distance / 2^5 behind its surroundings lies in a gap between them
CHUNK = 65_536  # points worked on at a time, so that intermediate results stay in the cache
MOST_ITERATIONS = 50
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class LensCamera:
    """A pinhole camera behind a lens.

    Attributes:
        intrinsics: focal lengths and principal point, in pixels of the picture.
        distortion: [8] Brown–Conrady with rational radial term, in OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6.
    """

    intrinsics: Intrinsics
    distortion: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.distortion.shape != (8,) or not np.isfinite(self.distortion).all():
            raise ValueError(f"expected eight finite distortion coefficients, got {self.distortion}")

    def rays(self) -> NDArray[np.float64]:
        """[H, W, 2] x/z and y/z of the ray through every pixel's centre."""
        columns = np.arange(self.intrinsics.width) + 0.5
        rows = np.arange(self.intrinsics.height) + 0.5
        pinhole = self.intrinsics
        bent = np.stack(np.meshgrid((columns - pinhole.cx) / pinhole.fx, (rows - pinhole.cy) / pinhole.fy))
        x, y = _straightened(bent, self.distortion)
        return np.stack([x, y], axis=-1)

    def undistortion_maps(self) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
        """Maps for `cv2.remap` that take this camera's picture to that of the same camera without a lens."""
        # OpenCV counts pixel centres from 0, the project from 0.5
        matrix = self.intrinsics.matrix()
        matrix[:2, 2] -= 0.5
        size = (self.intrinsics.width, self.intrinsics.height)
        coarse, fine = cv2.initUndistortRectifyMap(matrix, self.distortion, None, matrix, size, cv2.CV_16SC2)
        return np.asarray(coarse, np.int16), np.asarray(fine, np.uint16)


@dataclass(frozen=True, eq=False)
class RgbdCalibration:
    """Two cameras in one housing; `T_color_depth` [4, 4] takes metres in the depth camera's frame to the colour's."""

    depth: LensCamera
    color: LensCamera
    T_color_depth: NDArray[np.float64]


class DepthRegistration:
    """Moves depth pictures into the colour camera's, for one calibration.

    Every reading is projected on its own; the nearer of two that meet wins. That needs no comparison: readings are
    written in an order in which later ones are always nearer, which exists for any pair of views (McMillan and Bishop,
    "Plenoptic Modeling", SIGGRAPH 1995). For cameras that stand side by side it is column by column; for others, such
    as those of pictures that were aligned already, readings are sorted. Where the colour camera's pixels are finer than
    the depth camera's, gaps stay
    between readings; they are closed (`close_gaps`).

    Args:
        calibration: what the factory measured.
        lens: True for depth aligned to the colour picture as captured; False (what the live path uses) for depth
            aligned to the colour picture after `LensCamera.undistortion_maps`, which a pinhole describes exactly.
        kernels: `depth_kernels.compiled_kernels`, which do the same in a third of the time, but for `lens`.
    """

    def __init__(self, calibration: RgbdCalibration, *, lens: bool = False, kernels: ctypes.CDLL | None = None) -> None:
        depth, color = calibration.depth, calibration.color
        self.intrinsics = color.intrinsics
        self._shape = (depth.intrinsics.height, depth.intrinsics.width)
        rotation, offset = calibration.T_color_depth[:3, :3], calibration.T_color_depth[:3, 3]
        self._sorted, self._reverse_columns = _column_order(depth, rotation, offset)
        rays = depth.rays()
        directions = np.concatenate([rays, np.ones((*self._shape, 1))], axis=-1) @ rotation.T
        self._directions = [self._ordered(directions[..., axis] * TICKS_PER_M) for axis in range(3)]
        self._offset = offset * TICKS_PER_M
        self._lens = color if lens else None
        self._padded = (color.intrinsics.height + 2, color.intrinsics.width + 2)  # a border takes what misses
        self._project_rays()
        self._buffer = np.empty(self._padded[0] * self._padded[1], np.uint16)
        self._scratch = [np.empty(CHUNK, np.float32) for _ in range(3)]
        self._columns, self._rows = np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32)
        self._scatter: Scattering | None = None
        if kernels is not None and not lens:
            # The same rays in the depth camera's own order: the kernel compares what meets.
            own = np.stack([self._unordered(ray) for ray in (self._ray_u, self._ray_v, self._ray_z)])
            origin = np.array([self._origin_u, self._origin_v, self._origin_z], np.float32)
            self._scatter = Scattering(kernels, own, origin, (self.intrinsics.width, self.intrinsics.height))

    def __call__(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """[h, w] float32 metres (0 = no reading) → [H, W] float32 metres in the colour picture.

        Raises ValueError for a picture of another size or type than the calibration's.
        """
        if depth_m.shape != self._shape or depth_m.dtype != np.float32:
            raise ValueError(f"expected {self._shape} float32 depth as calibrated, got {depth_m.shape} {depth_m.dtype}")
        ticks = self._scatter(depth_m) if self._scatter is not None else self._written(self._ordered(depth_m))
        close_gaps(ticks)
        return np.multiply(ticks, np.float32(1 / TICKS_PER_M), dtype=np.float32)

    def _written(self, readings: NDArray[np.float32]) -> NDArray[np.uint16]:
        """[n] metres → [H, W] ticks of the nearest reading in each pixel, 0 where there is none."""
        self._buffer.fill(0)
        unordered: list[tuple[NDArray[np.intp], NDArray[np.uint16]]] = []
        for start in range(0, readings.size, CHUNK):
            targets = self._pixels(readings, slice(start, min(start + CHUNK, readings.size)))
            distances = self._scratch[2][: len(targets)]
            if self._sorted:
                self._buffer[targets] = distances.astype(np.uint16)
            else:
                unordered.append((targets, np.where(distances > 0, distances, 0).astype(np.uint16)))
        if unordered:
            all_targets, all_distances = (np.concatenate(parts) for parts in zip(*unordered, strict=True))
            order = np.argsort(all_distances, kind="stable")[::-1]  # radix sort: three milliseconds
            self._buffer[all_targets[order]] = all_distances[order]
        self._buffer[self._missing] = 0
        return np.ascontiguousarray(self._buffer.reshape(self._padded)[1:-1, 1:-1])

    def _ordered(self, image: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float32]:
        """Flatten column by column, so that what comes later is nearer where two readings meet."""
        columns = image.T[::-1] if self._reverse_columns else image.T
        return np.ascontiguousarray(columns, dtype=np.float32).ravel()

    def _unordered(self, readings: NDArray[np.float32]) -> NDArray[np.float32]:
        """`_ordered` undone; row by row."""
        columns = readings.reshape(self._shape[::-1])
        return np.ascontiguousarray((columns[::-1] if self._reverse_columns else columns).T).ravel()

    def _project_rays(self) -> None:
        """Fold the colour camera's focal lengths and centre into the rays: u = (d·a + A) / (d·c + C), likewise v."""
        x, y, z = self._directions
        offset_x, offset_y, offset_z = self._offset
        fx, fy = self.intrinsics.fx, self.intrinsics.fy
        cx, cy = self.intrinsics.cx + 1, self.intrinsics.cy + 1
        if self._lens is not None:
            fx, fy, cx, cy = 1.0, 1.0, 0.0, 0.0
        self._ray_u = (x * fx + z * cx).astype(np.float32)
        self._ray_v = (y * fy + z * cy).astype(np.float32)
        self._ray_z = z
        self._origin_u, self._origin_v = (
            np.float32(offset_x * fx + offset_z * cx),
            np.float32(offset_y * fy + offset_z * cy),
        )
        self._origin_z = np.float32(offset_z)
        none = np.zeros(1, np.float32)
        self._scratch = [np.empty(1, np.float32) for _ in range(3)]
        self._columns, self._rows = np.empty(1, np.int32), np.empty(1, np.int32)
        self._missing = int(self._pixels(none, slice(0, 1))[0])  # where "no reading" is written

    def _pixels(self, readings: NDArray[np.float32], part: slice) -> NDArray[np.intp]:
        """Index into the padded picture of each reading; its depth in ticks is left in the third scratch array."""
        count = part.stop - part.start
        u, v, z = (scratch[:count] for scratch in self._scratch)
        columns, rows = self._columns[:count], self._rows[:count]
        np.multiply(readings[part], self._ray_z[part], out=z)
        np.multiply(readings[part], self._ray_u[part], out=u)
        np.multiply(readings[part], self._ray_v[part], out=v)
        z += self._origin_z
        u += self._origin_u
        v += self._origin_v
        with np.errstate(divide="ignore", invalid="ignore"):
            u /= z
            v /= z
        if self._lens is not None:
            u[:], v[:] = self._through_lens(u, v)
        # fmax/fmin also send NaN to the border
        np.fmin(np.fmax(u, np.float32(0), out=u), np.float32(self._padded[1] - 1), out=u)
        np.fmin(np.fmax(v, np.float32(0), out=v), np.float32(self._padded[0] - 1), out=v)
        np.copyto(columns, u, casting="unsafe")
        np.copyto(rows, v, casting="unsafe")
        rows *= np.int32(self._padded[1])
        rows += columns
        return rows.astype(np.intp)

    def _through_lens(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        assert self._lens is not None
        radial, shift_x, shift_y = _lens_terms(x, y, self._lens.distortion.astype(np.float32))
        x, y = x * radial + shift_x, y * radial + shift_y
        return x * np.float32(self.intrinsics.fx) + np.float32(self.intrinsics.cx + 1), y * np.float32(
            self.intrinsics.fy
        ) + np.float32(self.intrinsics.cy + 1)


def _lens_terms(x: NDArray[_Float], y: NDArray[_Float], distortion: NDArray[_Float]) -> tuple[NDArray[_Float], ...]:
    """Radial factor and the two tangential shifts at undistorted x/z, y/z."""
    k1, k2, p1, p2, k3, k4, k5, k6 = distortion
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return radial, 2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y


def _straightened(bent: NDArray[np.float64], distortion: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The rays before the lens, by fixed-point iteration; [2, ...] → two arrays. Without meaning beyond its circle."""
    x, y = bent[0].copy(), bent[1].copy()
    with np.errstate(all="ignore"):
        for _ in range(MOST_ITERATIONS):
            radial, shift_x, shift_y = _lens_terms(x, y, distortion)
            next_x, next_y = (bent[0] - shift_x) / radial, (bent[1] - shift_y) / radial
            moved = float(np.nanmax(np.abs(next_x - x)))
            x, y = next_x, next_y
            if moved < 1e-7:
                break
    return x, y


def close_gaps(depth: NDArray[np.uint16]) -> None:
    """Close gaps of one or two pixels between readings of one surface, in place; outlines do not grow.

    A gap is empty, or it shows what lies behind the surface: either way it is a thin streak of larger numbers once
    "empty" counts as the largest, and takes the nearest distance around it.
    """
    distance = depth - np.uint16(1)  # wraps "empty" round to 65535
    surface = np.asarray(cv2.morphologyEx(distance, cv2.MORPH_OPEN, _NEIGHBOURS), np.uint16)
    in_gap = cv2.compare(cv2.subtract(distance, surface), surface >> np.uint16(GAP_HALVINGS), cv2.CMP_GT)
    surface += np.uint16(1)
    cv2.copyTo(surface, in_gap, depth)


def _column_order(depth: LensCamera, rotation: NDArray[np.float64], offset: NDArray[np.float64]) -> tuple[bool, bool]:
    """Whether the nearer of two readings that meet in the colour picture always comes from one side of the depth one,
    and whether that is its left.

    So it is while the colour camera's centre lies beside the depth camera's field of view.
    """
    x, _, z = -rotation.T @ offset  # the colour camera seen from the depth camera
    half_view = max(depth.intrinsics.cx, depth.intrinsics.width - depth.intrinsics.cx) / depth.intrinsics.fx
    return bool(abs(x) > abs(z) * half_view), bool(x < 0)
