"""What depth sensors make of the true depth.

Kinect NFOV (time of flight): random error that grows with the distance and with slant and falls with what comes back
(standard deviation about 0.8–1 mm on skin at half a metre to one), a slowly varying systematic error, mixed distances
("flying pixels") and missing readings at depth edges, missing readings on dark hair and where a surface is steep. After
M. Tölgyessy et al., "Evaluation of the Azure Kinect and Its Comparison to Kinect V1 and Kinect V2", Sensors 21(2), 2021
(distance, reflectivity, edges), and, for the dependence on slant, C. V. Nguyen, S. Izadi, D. Lovell, "Modeling Kinect
Sensor Noise for Improved 3D Reconstruction and Tracking", 3DIMPVT 2012.

TrueDepth (structured light): error in disparity, hence growing with the square of the distance, correlated over several
pixels because the phone smooths; quantised disparity; soft edges; a shadow without readings on one side of every edge.
After G. Breitbarth et al., "Measurement accuracy and dependence on external influences of the iPhone X TrueDepth
sensor", SPIE 11144, 2019, and M. Vogt et al., "Comparison of iPad Pro's LiDAR and TrueDepth Capabilities with an
Industrial 3D Scanner", Technologies 9(2), 2021.

Both see at a resolution of their own; what is handed over is aligned to the colour, as the cameras' software does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.synthetic.studio.clip_options import SENSORS, SensorName
from core.camera import Intrinsics

Image = NDArray[np.float32]

NATIVE_FOCAL_PX = {"kinect": 504.0, "truedepth": 590.0}  # NFOV unbinned 640x576; 640x480
EDGE_M = 0.012
_SMOOTH_M = 0.010  # readings that differ by less are blended when depth is brought to the colour's size


@dataclass(frozen=True, eq=False)
class SurfaceView:
    """What the sensor looks at, [H, W] float32 each, at the colour's resolution.

    Attributes:
        depth_m: true depth along the axis, 0 where there is nothing.
        cosine: of the angle between surface and line of sight, 0..1.
        reflectivity: in near infrared, 0..1: skin about 0.7, hair 0.15–0.4, the mouth's inside little.
    """

    depth_m: Image
    cosine: Image
    reflectivity: Image


class DepthSensor:
    """One sensor that films one clip; the same name, camera and seed give the same readings."""

    def __init__(self, name: SensorName, intrinsics: Intrinsics, seed: int) -> None:
        if name not in SENSORS:
            raise ValueError(f"expected a sensor of {SENSORS}, got {name!r}")
        self.name = name
        self._seed = seed
        scale = min(NATIVE_FOCAL_PX.get(name, intrinsics.fx) / intrinsics.fx, 1.0)
        self._size = (max(8, round(intrinsics.width * scale)), max(8, round(intrinsics.height * scale)))
        self._full = (intrinsics.width, intrinsics.height)
        self._pixel_rad = 1.0 / (intrinsics.fx * scale)
        coarse = np.random.default_rng([seed, 1]).standard_normal((7, 7)).astype(np.float32)
        self._wave = cv2.resize(coarse, self._size, interpolation=cv2.INTER_CUBIC)  # of about unit spread; it stays

    def measure(self, view: SurfaceView, frame: int) -> Image:
        """[H, W] float32 metres as handed over; 0 where there is no reading."""
        if self.name == "ideal":
            return view.depth_m
        rng = np.random.default_rng([self._seed, 2, frame])
        native = view
        if self._size != self._full:  # single rays at the sensor's own resolution, so that edges stay edges
            images = (view.depth_m, view.cosine, view.reflectivity)
            rays = [cv2.resize(image, self._size, interpolation=cv2.INTER_NEAREST) for image in images]
            native = SurfaceView(*(np.asarray(each, np.float32) for each in rays))
        ways: dict[str, Callable[..., Image]] = {"kinect": self._kinect, "truedepth": self._truedepth}
        return self._enlarged(ways[self.name](native, rng))

    def _kinect(self, view: SurfaceView, rng: np.random.Generator) -> Image:
        near, far = _around(view.depth_m, 1)
        edge = far - near > EDGE_M
        chance = _uniform(rng, view.depth_m.shape)
        share = _uniform(rng, view.depth_m.shape)
        depth = np.where(edge & (chance < 0.45), near + share * (far - near), view.depth_m)
        signal = np.clip(view.reflectivity * view.cosine / 0.7, 0.05, 1.5)
        spread = (
            (0.0004 + 0.0005 * depth * depth) / np.sqrt(signal) * np.clip(1 / np.maximum(view.cosine, 0.2), 1, 4) ** 0.5
        )
        noise = _normal(rng, depth.shape)
        noise = 0.85 * noise + 0.9 * cv2.blur(noise, (3, 3))  # neighbours are demosaicked together: unit spread
        measured = depth + spread * noise + 0.0007 * self._wave
        missing = (edge & (chance > 0.72)) | (view.cosine < 0.16) | (signal < 0.08)
        missing |= _uniform(rng, depth.shape) < np.clip(0.35 - signal, 0.001, 0.3)
        return _readings(np.round(measured, 3), missing | (view.depth_m <= 0))

    def _truedepth(self, view: SurfaceView, rng: np.random.Generator) -> Image:
        near, far = _around(view.depth_m, 1)
        edge = far - near > EDGE_M
        soft = cv2.blur(view.depth_m, (3, 3))
        depth = np.where(edge, near + 0.5 * (soft - near), view.depth_m)
        disparity = 1 / np.maximum(depth, 0.05)
        noise = cv2.GaussianBlur(_normal(rng, depth.shape), (0, 0), 1.4) * 4.9  # of about unit spread
        disparity = disparity + 0.0028 * noise / np.sqrt(np.clip(view.reflectivity / 0.7, 0.15, 1.2))
        disparity = np.round((disparity + 0.0020 * self._wave) * 1000) / 1000
        missing = _shadow(view.depth_m) | (view.cosine < 0.12) | (view.depth_m <= 0)
        missing |= _uniform(rng, depth.shape) < np.where(view.reflectivity < 0.22, 0.12, 0.0)
        return _readings(1 / np.maximum(disparity, 0.1), missing)

    def _enlarged(self, depth: Image) -> Image:
        """At the colour's resolution: blended on smooth surfaces, the nearest reading at edges and beside holes."""
        if self._size == self._full:
            return depth
        nearest = cv2.resize(depth, self._full, interpolation=cv2.INTER_NEAREST)
        blended = cv2.resize(depth, self._full, interpolation=cv2.INTER_LINEAR)
        return np.where(np.abs(blended - nearest) < _SMOOTH_M, blended, nearest).astype(np.float32)


def _around(depth: Image, radius: int) -> tuple[Image, Image]:
    """Nearest and farthest distance in a square around every pixel."""
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(cv2.erode(depth, square)), np.asarray(cv2.dilate(depth, square))


def _shadow(depth: Image) -> NDArray[np.bool_]:
    """Pixels that the projector, to the camera's left, cannot light because something nearer stands before them."""
    shadow = np.zeros(depth.shape, dtype=bool)
    for shift in range(1, 6):
        shadow[:, shift:] |= depth[:, :-shift] < depth[:, shift:] - EDGE_M * (1 + shift)
    return shadow


def _readings(depth: NDArray[np.floating], missing: NDArray[np.bool_]) -> Image:
    return np.where(missing, 0, depth).astype(np.float32)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Image:
    return rng.standard_normal(shape, dtype=np.float32)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Image:
    return rng.random(shape, dtype=np.float32)
