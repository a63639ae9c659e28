"""What a camera hands over, and what face tracking makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.camera import Intrinsics
from core.errors import SourceError

LEAST_SIDE_PX = 16  # no face can be told in less
LARGEST_ASPECT = 10.0  # no camera has a longer picture; face tracking, films and windows all stumble over one


def check_picture_size(width: int, height: int, name: str) -> None:
    """See that a picture of width × height pixels can be a camera's. Raises SourceError, which names `name`."""
    shorter, longer = sorted((width, height))
    if shorter < LEAST_SIDE_PX or longer > LARGEST_ASPECT * shorter:
        raise SourceError(
            f"{name}: expected pictures of at least {LEAST_SIDE_PX}x{LEAST_SIDE_PX} pixels with one side at most "
            f"{LARGEST_ASPECT:.0f} times the other, got {width}x{height}; choose another size or another camera"
        )


@dataclass(frozen=True, eq=False)
class SensedDepth:
    """Depth as its own camera saw it, before it was brought to the colour's.

    Attributes:
        millimetres: [h, w] uint16, 0 where there is no reading.
        alignment: how it is brought there, bit for bit: see `capture.cameras.depth_alignment.DepthAlignment.of`.
    """

    millimetres: NDArray[np.uint16]
    alignment: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class RgbdFrame:
    """One picture with depth, as every source delivers it.

    Attributes:
        rgb: [H, W, 3] uint8, R first.
        depth_m: [H, W] float32 metres along the optical axis, aligned to `rgb`; 0 where there is no reading.
            None for a colour-only source.
        intrinsics: pinhole camera of `rgb`, in pixels of this image.
        timestamp_s: time of capture on the machine's monotonic clock (live) or since the recording's start (offline).
        index: number of the frame within its source, counted from 0 as captured, so that gaps show dropped frames.
        sensed: what `depth_m` was made of, where that is known.
    """

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None
    intrinsics: Intrinsics
    timestamp_s: float
    index: int
    sensed: SensedDepth | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        height, width = self.intrinsics.height, self.intrinsics.width
        if self.rgb.shape != (height, width, 3) or self.rgb.dtype != np.uint8:
            raise ValueError(
                f"frame {self.index}: expected rgb of {height}x{width}x3 uint8 as its intrinsics say, "
                f"got {self.rgb.shape} {self.rgb.dtype}"
            )
        if self.depth_m is not None and (self.depth_m.shape != (height, width) or self.depth_m.dtype != np.float32):
            raise ValueError(
                f"frame {self.index}: expected depth_m of {height}x{width} float32, aligned to the colour, "
                f"got {self.depth_m.shape} {self.depth_m.dtype}"
            )

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """[H, W, 3] what can be shown of it; None of a frame whose picture was not kept."""
        return self.rgb

    def without_pictures(self) -> "RgbdFrame":
        """The same camera, time and number with black pixels of no memory, and with depth where there was some."""
        nothing = np.broadcast_to(np.zeros(1, np.uint8), self.rgb.shape)
        no_depth = None if self.depth_m is None else np.broadcast_to(np.zeros(1, np.float32), self.depth_m.shape)
        sensed = self.sensed
        if sensed is not None:
            unread = np.broadcast_to(np.zeros(1, np.uint16), sensed.millimetres.shape)
            sensed = SensedDepth(unread, sensed.alignment)
        return replace(self, rgb=nothing, depth_m=no_depth, sensed=sensed)


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """The tracked face of one frame. Camera frame: x right, y down, z forward (OpenCV), metres.

    Head frame: that of the canonical face model, in metres: x to the face's left (image right when it looks into
    the camera), y up, z out of the face towards the camera.

    Attributes:
        frame: the frame it was found in.
        tracked: False when no face was found; then every array below is zero (T_camera_head is the identity).
        confidence: 0..1, how far to trust this frame (face presence, share of landmarks with depth, turn of the head).
        landmarks_px: [478, 2] float32 image positions, pixel centres at +0.5.
        landmarks_m: [478, 3] float32 in the camera frame.
        T_camera_head: [4, 4] float64 rigid head pose.
        scores: [52] float32 the tracker's own ARKit-named coefficients, 0..1, in the order of
            `capture.face.face_tracker.SCORE_NAMES`.
        depth_measured: whether the landmarks rest on a depth camera's readings.
    """

    frame: RgbdFrame
    tracked: bool
    confidence: float
    landmarks_px: NDArray[np.float32]
    landmarks_m: NDArray[np.float32]
    T_camera_head: NDArray[np.float64]
    scores: NDArray[np.float32]
    depth_measured: bool = False

    @property
    def timestamp_s(self) -> float:
        return self.frame.timestamp_s

    def landmarks_head_m(self) -> NDArray[np.float32]:
        """[478, 3] landmarks in the head frame, metres: what is left once the rigid pose is taken away."""
        rotation, translation = self.T_camera_head[:3, :3], self.T_camera_head[:3, 3]
        return ((self.landmarks_m - translation) @ rotation).astype(np.float32)
