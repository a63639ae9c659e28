"""The published preprocessing: a frame with a tracked face → the network's 4×256×256 input."""

from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from capture.face.face_depth import lift_depth
from core.canonical_face import CanonicalFace
from core.frame import FaceObservation

ChannelOrder = Literal["rgb", "bgr"]
_Pixel = TypeVar("_Pixel", np.uint8, np.float32)

NETWORK_SIZE = 256
PUBLISHED_FOREGROUND_M = 0.5  # what is nearer belongs to the driver
BEHIND_FACE_M = 0.2  # what our foreground keeps behind the middle of the head, where that is farther
_BELOW_PX = 15
_SIGMAS = 2.0


class FaceBox(NamedTuple):
    """The square of the picture the network sees, in whole pixels. It may reach over the picture's edge."""

    x: int
    y: int
    width: int
    height: int


def face_box(observation: FaceObservation) -> FaceBox:
    """The published cut: around all landmarks, 15 pixels more below, and square where it is taller than wide.

    Raises ValueError without a tracked face.
    """
    if not observation.tracked:
        raise ValueError("expected a tracked face to cut out")
    low = np.floor(observation.landmarks_px.min(axis=0)).astype(int)
    high = np.ceil(observation.landmarks_px.max(axis=0)).astype(int)
    x, y = int(low[0]), int(low[1])
    width, height = int(high[0]) - x, int(high[1]) - y + _BELOW_PX
    if height > width:
        x, width = x - (height - width) // 2, height
    return FaceBox(x, y, width, height)


class NetworkCropper:
    """Cuts every frame at the place of the first tracked face, as published: the cut never jumps.

    Args: see `network_crop`.
    """

    def __init__(
        self, channel_order: ChannelOrder = "bgr", foreground_m: float | None = None, face: CanonicalFace | None = None
    ) -> None:
        self._channel_order: ChannelOrder = channel_order
        self._foreground_m = foreground_m
        self._face = face
        self.box: FaceBox | None = None

    def reset(self) -> None:
        """Take the next tracked face's place."""
        self.box = None

    def __call__(self, observation: FaceObservation) -> NDArray[np.float32] | None:
        """[4, 256, 256] in [-1, 1]; None until a face was tracked."""
        if self.box is None:
            if not observation.tracked:
                return None
            self.box = face_box(observation)
        return network_crop(
            observation, self.box, channel_order=self._channel_order, foreground_m=self._foreground_m, face=self._face
        )


def network_crop(
    observation: FaceObservation,
    box: FaceBox | None = None,
    *,
    channel_order: ChannelOrder = "bgr",
    foreground_m: float | None = None,
    face: CanonicalFace | None = None,
) -> NDArray[np.float32]:
    """The network's input [4, 256, 256] in [-1, 1]: colour and depth of the driver, the background black and -1.

    Args:
        box: where to cut; around this very face by default (raises ValueError without one).
        channel_order: of the first three channels. The released code swaps driving frames once more than it means to,
            so "bgr" is what released checkpoints see.
        foreground_m: what is nearer is the driver. By default the published 0.5 m, or 0.2 m behind the face where
            that is farther.
        face: for frames without depth, whose depth is then that of the tracked face's surface; their colour is kept
            everywhere.
    """
    rgb, depth_m = cut_driver(observation, box or face_box(observation), foreground_m=foreground_m, face=face)
    return network_input(rgb if channel_order == "rgb" else rgb[..., ::-1], clip_depth(depth_m))


def cut_driver(
    observation: FaceObservation, box: FaceBox, *, foreground_m: float | None = None, face: CanonicalFace | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The driver [256, 256, 3] and their depth [256, 256] in metres, 0 (and black) behind; see `network_crop`."""
    frame = observation.frame
    rgb = _cut(frame.rgb, box)
    if frame.depth_m is None:
        view = frame.intrinsics.crop(box.x, box.y, box.width, box.height).resized(NETWORK_SIZE, NETWORK_SIZE)
        return rgb, lift_depth(observation, face, view)
    limit_m = foreground_m or PUBLISHED_FOREGROUND_M
    if foreground_m is None and observation.tracked:
        limit_m = max(limit_m, float(observation.T_camera_head[2, 3]) + BEHIND_FACE_M)
    depth_m = _cut(frame.depth_m, box)
    depth_m = np.where(depth_m < limit_m, depth_m, np.float32(0))
    return np.where(depth_m[..., None] > 0, rgb, np.uint8(0)), depth_m


def clip_depth(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The published 16-bit depth: foreground clipped to mean ± 2σ and stretched to 1…65535; background 0."""
    values = np.zeros(depth_m.shape, np.uint16)
    foreground = depth_m > 0
    if not foreground.any():
        return values
    depth = depth_m[foreground].astype(np.float64)
    mean, sigma = depth.mean(), depth.std()
    depth = np.clip(depth, mean - _SIGMAS * sigma, mean + _SIGMAS * sigma)
    span = max(np.ptp(depth), 1e-9)
    values[foreground] = np.rint(1 + (depth - depth.min()) / span * 65534).astype(np.uint16)
    return values


def network_input(color: NDArray[np.uint8], depth: NDArray[np.generic]) -> NDArray[np.float32]:
    """Normalise a picture: color [H, W, 3] and depth [H, W] (any unit, background ≤ 0) → [4, H, W] float32 in [-1, 1].

    Depth is stretched over its foreground's own range; the background lies at its near end, -1.
    """
    values = depth.astype(np.float64)
    foreground = values > 0
    stretched = np.zeros_like(values)
    if foreground.any():
        near, far = values[foreground].min(), values[foreground].max()
        stretched[foreground] = (values[foreground] - near) / max(far - near, 1e-12)
    planes = np.empty((4, *values.shape), np.float32)
    planes[:3] = color.transpose(2, 0, 1) / 255.0 * 2 - 1
    planes[3] = stretched * 2 - 1
    return planes


def _cut(picture: NDArray[_Pixel], box: FaceBox) -> NDArray[_Pixel]:
    """The box [256, 256, …] of a picture [H, W, …] by nearest neighbours; 0 beyond its edges."""
    height, width = picture.shape[:2]
    rows = box.y + (np.arange(NETWORK_SIZE) * box.height) // NETWORK_SIZE
    columns = box.x + (np.arange(NETWORK_SIZE) * box.width) // NETWORK_SIZE
    cut: NDArray[_Pixel] = picture[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)[None, :]]
    cut[(rows < 0) | (rows >= height)] = 0
    cut[:, (columns < 0) | (columns >= width)] = 0
    return cut
