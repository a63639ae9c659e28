"""A cut that stays on the head: what networks trained by this project see, whatever the head's distance and place."""

import numpy as np
from numpy.typing import NDArray

from capture.canonical_face import CanonicalFace
from capture.frame import FaceObservation
from capture.preprocess import ChannelOrder, FaceBox, face_box, network_crop


class HeadCropper:
    """Cuts every frame around the head, as large as it is seen.

    The first tracked face decides, by the published box around it, which square of space in front of the head the cut
    shows; from then on that square moves with the tracked head. Expressions move within the cut, the head hardly does.

    Args: see `capture.preprocess.network_crop`.
    """

    def __init__(
        self, channel_order: ChannelOrder = "rgb", foreground_m: float | None = None, face: CanonicalFace | None = None
    ) -> None:
        self._channel_order: ChannelOrder = channel_order
        self._foreground_m = foreground_m
        self._face = face
        self._centre_m: NDArray[np.float64] | None = None  # [3] of the square, in the head's frame
        self._side_m = 0.0

    def reset(self) -> None:
        """Take the next tracked face's square."""
        self._centre_m = None

    def box(self, observation: FaceObservation) -> FaceBox:
        """Where the cut lies in this tracked frame."""
        T, camera = observation.T_camera_head, observation.frame.intrinsics
        place_m = self._measured(observation) if self._centre_m is None else self._centre_m
        centre_m = T[:3, :3] @ place_m + T[:3, 3]
        x, y = camera.project(centre_m[None])[0]
        side = max(8, round(self._side_m * camera.fx / centre_m[2]))
        return FaceBox(round(float(x) - side / 2), round(float(y) - side / 2), side, side)

    def __call__(self, observation: FaceObservation) -> NDArray[np.float32] | None:
        """[4, 256, 256] in [-1, 1]; None where no face is tracked."""
        if not observation.tracked:
            return None
        return network_crop(
            observation,
            self.box(observation),
            channel_order=self._channel_order,
            foreground_m=self._foreground_m,
            face=self._face,
        )

    def _measured(self, observation: FaceObservation) -> NDArray[np.float64]:
        T, camera = observation.T_camera_head, observation.frame.intrinsics
        box, depth_m = face_box(observation), T[2, 3]
        middle = np.array([[box.x + box.width / 2, box.y + box.height / 2]])
        centre_m = camera.unproject(middle, np.array([depth_m]))[0]
        self._side_m = max(box.width, box.height) * depth_m / camera.fx
        place_m: NDArray[np.float64] = (centre_m - T[:3, 3]) @ T[:3, :3]
        self._centre_m = place_m
        return place_m
