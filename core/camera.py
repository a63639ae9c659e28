"""Pinhole cameras: intrinsics, projection, placing a camera in the world, and the camera a mouse moves.

Camera frame: OpenCV (x right, y down, z forward). Depth is z. Pixel centres lie at +0.5, so the picture's corners are
(0, 0) and (width, height). A world point reaches a camera by `T_camera_world` [4, 4].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

ASSUMED_FOV_DEG = 45.0
_Float = TypeVar("_Float", np.float32, np.float64)


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera in pixels of a width × height picture: u = fx·X/Z + cx, v = fy·Y/Z + cy.

    Raises ValueError where a number is not finite, a focal length is not positive or the picture is empty.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.fx, self.fy, self.cx, self.cy)):
            raise ValueError(f"camera intrinsics must be finite numbers, got {self}")
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"focal lengths must be positive, got fx={self.fx}, fy={self.fy}")
        if self.width != int(self.width) or self.height != int(self.height) or self.width < 1 or self.height < 1:
            raise ValueError(f"expected a picture of at least 1x1 whole pixels, got {self.width}x{self.height}")

    def project(self, points: NDArray[_Float]) -> NDArray[_Float]:
        """Points [..., 3] in the camera frame → pixels [..., 2]. Points with z <= 0 give numbers without meaning."""
        with np.errstate(divide="ignore", invalid="ignore"):
            normalised = points[..., :2] / points[..., 2:3]
        focal, centre = self._focal(points.dtype), self._centre(points.dtype)
        return np.asarray(normalised * focal + centre, dtype=points.dtype)

    def unproject(self, pixels: NDArray[_Float], depth: NDArray[_Float]) -> NDArray[_Float]:
        """Pixels [..., 2] and depth [...] along z → points [..., 3] in the camera frame; inverse of `project`."""
        rays = np.asarray((pixels - self._centre(pixels.dtype)) / self._focal(pixels.dtype))
        return np.asarray(np.concatenate([rays * depth[..., None], depth[..., None]], axis=-1), dtype=pixels.dtype)

    def crop(self, x0: float, y0: float, width: int, height: int) -> Intrinsics:
        """The camera of the window of this picture that starts at (x0, y0)."""
        return replace(self, cx=self.cx - x0, cy=self.cy - y0, width=width, height=height)

    def resized(self, width: int, height: int) -> Intrinsics:
        """The camera of this picture stretched to width × height."""
        scale_x, scale_y = width / self.width, height / self.height
        return Intrinsics(self.fx * scale_x, self.fy * scale_y, self.cx * scale_x, self.cy * scale_y, width, height)

    def turned(self, quarter_turns: int) -> Intrinsics:
        """The camera of this picture turned clockwise by so many quarter turns."""
        it = self
        for _ in range(quarter_turns % 4):
            it = Intrinsics(it.fy, it.fx, it.height - it.cy, it.cx, it.height, it.width)
        return it

    def fitted(self, width: int, height: int) -> Intrinsics:
        """The camera of a width × height window that shows this whole picture, centred, at its own aspect ratio."""
        scale = min(width / self.width, height / self.height)
        left, top = (width - self.width * scale) / 2, (height - self.height * scale) / 2
        cx, cy = self.cx * scale + left, self.cy * scale + top
        return Intrinsics(self.fx * scale, self.fy * scale, cx, cy, width, height)

    def matrix(self) -> NDArray[np.float64]:
        """The [3, 3] camera matrix K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def _focal(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        return np.array([self.fx, self.fy], dtype=dtype)

    def _centre(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        return np.array([self.cx, self.cy], dtype=dtype)


PUBLISHED_INTRINSICS = Intrinsics(1000.0, 1000.0, 128.0, 128.0, 256, 256)
AVATAR_VIEW = PUBLISHED_INTRINSICS.crop(-20, -20, 296, 296)  # with room above the hair and for turns
PUBLISHED_EYE = (0.0, 0.0, 8.0)


def look_at(
    eye: tuple[float, float, float] | NDArray[np.float64],
    target: tuple[float, float, float] | NDArray[np.float64] = (0.0, 0.0, 0.0),
    up: tuple[float, float, float] | NDArray[np.float64] = (0.0, 1.0, 0.0),
) -> NDArray[np.float64]:
    """T_camera_world [4, 4] of a camera at `eye` that looks at `target` with `up` upwards in its picture.

    Raises ValueError where eye and target coincide or the view runs along `up`.
    """
    position = np.asarray(eye, dtype=np.float64)
    forward = np.asarray(target, dtype=np.float64) - position
    distance = np.linalg.norm(forward)
    if not np.isfinite(distance) or distance < 1e-12:
        raise ValueError(f"a camera at {_triple(position)} cannot look at that same point")
    forward /= distance
    right = _across(forward, np.asarray(up, dtype=np.float64))
    length = np.linalg.norm(right)
    if not np.isfinite(length) or length < 1e-9:
        raise ValueError(f"a camera at {_triple(position)} would look straight along its up direction {tuple(up)}")
    right /= length
    T_camera_world = np.eye(4)
    T_camera_world[:3, :3] = np.stack([right, _across(forward, right), forward])
    T_camera_world[:3, 3] = -T_camera_world[:3, :3] @ position
    return T_camera_world


def _across(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3] their cross product; a tenth of NumPy's time, which is made for many."""
    (a, b, c), (x, y, z) = one.tolist(), other.tolist()
    return np.array([b * z - c * y, c * x - a * z, a * y - b * x])


def gl_projection(intrinsics: Intrinsics, near: float, far: float) -> NDArray[np.float64]:
    """[4, 4] matrix from the (OpenCV) camera frame straight to OpenGL clip space, for column vectors.

    The picture's upper row lands at clip y = +1, so a framebuffer read back bottom-up has to be flipped.
    """
    if not 0 < near < far:
        raise ValueError(f"expected 0 < near < far, got near={near}, far={far}")
    width, height = intrinsics.width, intrinsics.height
    return np.array(
        [
            [2 * intrinsics.fx / width, 0.0, 2 * intrinsics.cx / width - 1, 0.0],
            [0.0, -2 * intrinsics.fy / height, 1 - 2 * intrinsics.cy / height, 0.0],
            [0.0, 0.0, (far + near) / (far - near), -2 * far * near / (far - near)],
            [0.0, 0.0, 1.0, 0.0],
        ]
    )


def transform_points(transform: NDArray[np.float64], points: NDArray[_Float]) -> NDArray[_Float]:
    """Apply a [4, 4] affine transform to points [..., 3]; the points' dtype stays."""
    linear, offset = transform[:3, :3].astype(points.dtype), transform[:3, 3].astype(points.dtype)
    return np.asarray(points @ linear.T + offset, dtype=points.dtype)


_MAX_ELEVATION = math.radians(89.0)
_ABOVE = 1e-3  # of the distance: an eye so little beside the axis is right above or below
_NEAREST, _FARTHEST = 0.05, 40.0  # avatar units


@dataclass
class OrbitCamera:
    """The viewer's camera in the published convention: it sits at `eye`, looks at the origin with +y up, and the mesh
    is moved by `translation` before it is seen. Both can be printed and passed to the command line again. From straight
    above or below, where +y is no direction in the picture, the face looks down or up in it.

    Attributes:
        nearest, farthest: how far from the mesh's origin it may be moved. A view that was asked for beyond them stands,
            and can be moved towards them only.

    Raises InputError where the eye lies at the origin.
    """

    eye: NDArray[np.float64] = field(default_factory=lambda: np.array(PUBLISHED_EYE))
    translation: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    nearest: float = _NEAREST
    farthest: float = _FARTHEST

    def __post_init__(self) -> None:
        self.eye = np.array(self.eye, dtype=np.float64).reshape(3)
        self.translation = np.array(self.translation, dtype=np.float64).reshape(3)
        try:
            self._view()
        except ValueError as error:
            raise InputError(
                f"--eye {_triple(self.eye)}: {error}; choose another point, such as --eye 0 0 8 in front of the face"
            ) from None
        if not np.isfinite(self.translation).all():
            raise InputError(f"--translation {_triple(self.translation)}: expected three finite numbers, such as 0 0 0")
        self._home = (self.eye.copy(), self.translation.copy())

    def T_camera_world(self) -> NDArray[np.float64]:
        """[4, 4] from the avatar's world to the camera."""
        view = self._view()
        view[:3, 3] += view[:3, :3] @ self.translation
        return view

    def _view(self) -> NDArray[np.float64]:
        """[4, 4] before the translation."""
        beside = float(np.hypot(self.eye[0], self.eye[2]))
        upright = beside > _ABOVE * float(np.linalg.norm(self.eye))
        return look_at(self.eye, up=(0.0, 1.0, 0.0) if upright else (0.0, 0.0, -math.copysign(1.0, self.eye[1])))

    def orbit(self, azimuth_rad: float, elevation_rad: float) -> None:
        """Turn the eye about the origin: positive azimuth moves it to image right, positive elevation upwards."""
        radius = float(np.linalg.norm(self.eye))
        azimuth = math.atan2(self.eye[0], self.eye[2]) + azimuth_rad
        elevation = math.asin(self.eye[1] / radius) + elevation_rad
        elevation = min(max(elevation, -_MAX_ELEVATION), _MAX_ELEVATION)
        level = radius * math.cos(elevation)
        self.eye = np.array([level * math.sin(azimuth), radius * math.sin(elevation), level * math.cos(azimuth)])

    def pan(self, right: float, up: float) -> None:
        """Move the mesh by so many world units to the right and up as seen in the picture."""
        axes = self._view()[:3, :3]
        self.shift(right * axes[0] - up * axes[1])

    def shift(self, by: NDArray[np.float64]) -> None:
        """Move the mesh by so much [3]; it stays where that would bring it too near or too far."""
        before, after = (float(np.linalg.norm(self.eye - self.translation - step)) for step in (0 * by, by))
        if min(before, self.nearest) <= after <= max(before, self.farthest):
            self.translation = self.translation + by

    def zoom(self, factor: float) -> None:
        """Bring the eye `factor` times nearer to the origin (more than 1 enlarges the picture), as far as it may go."""
        if factor <= 0:
            raise ValueError(f"a zoom factor must be positive, got {factor}")
        radius = float(np.linalg.norm(self.eye))
        direction = self.eye / radius
        along = float(direction @ self.translation)  # where the mesh's origin lies on the way
        beside_2 = float(self.translation @ self.translation) - along**2
        near = along + math.sqrt(max(self.nearest**2 - beside_2, 0.0))
        far = along + math.sqrt(max(self.farthest**2 - beside_2, 0.0))
        self.eye = direction * min(max(radius / factor, min(near, radius)), max(far, radius), 1e4)

    def reset(self) -> None:
        """Back to where the camera was made."""
        self.eye, self.translation = self._home[0].copy(), self._home[1].copy()

    def command_line(self) -> str:
        """The options that bring this view back."""
        return f"--eye {_triple(self.eye)} --translation {_triple(self.translation)}"


def _triple(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.6g}" for value in values + 0.0)


def assumed_intrinsics(width: int, height: int, fov_deg: float | None = None) -> Intrinsics:
    """A camera for a picture nothing is known about, centred.

    `fov_deg` is the vertical field of view. By default 45° across the picture's shorter side: a webcam (60° across),
    a telephone held upright, and the middle ground for pictures cut down to a face. Distances come out wrong with a
    wrong guess, the shape of the face and its movement hardly: on scans seen at 25° and 65° but read at 45°, turns of
    the head are told to within 6 %.
    """
    side, angle_deg = (height, fov_deg) if fov_deg is not None else (min(width, height), ASSUMED_FOV_DEG)
    focal = side / 2 / math.tan(math.radians(angle_deg) / 2)
    return Intrinsics(focal, focal, width / 2, height / 2, width, height)
