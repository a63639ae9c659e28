"""A cut that stays on the head: what networks trained by this project see, wherever the head is and however it rolls.

Depth is metric here: what an expression does to it does not depend on hair, shoulders or noise, as it does where every
frame is stretched over its own range.
"""

import numpy as np
from numpy.typing import NDArray

from capture.face.face_depth import lift_depth
from capture.face.preprocess import BEHIND_FACE_M, NETWORK_SIZE, face_box
from core.frame import FaceObservation

NEAREST_M, FARTHEST_M = 0.10, -0.05  # before and behind the head's origin: −1 and 1 of the depth channel
EMPTY = 1.0  # depth channel where there is nothing, or nothing near
_FINE = 1.5  # frame pixels under one of the cut from which on several are averaged
_MOST_FINE = 4
_HOLE, _LEAST_AROUND = 5, 8  # holes are closed from readings within this square, where there are so many


class HeadCropper:
    """Cuts every frame around the head, upright and as large as it is seen.

    The first tracked face decides, by the published box around it, which square of space in front of the head the cut
    shows; from then on that square moves and rolls with the tracked head. Expressions move within the cut, the head
    hardly does.

    Depth is the sensor's, up to 0.2 m behind the face, and black behind that; of frames without depth it is that of the
    tracked face's surface, and their colour is kept everywhere.
    """

    def __init__(self) -> None:
        self._centre_m: NDArray[np.float64] | None = None  # [3] of the square, in the head's frame
        self._side_m = 0.0

    def reset(self) -> None:
        """Take the next tracked face's square."""
        self._centre_m = None

    def frame_of_cut(self, observation: FaceObservation) -> NDArray[np.float64]:
        """[2, 3] from places in the cut (0 to 256 from edge to edge) to places in this tracked frame, in pixels."""
        T, camera = observation.T_camera_head, observation.frame.intrinsics
        place_m = self._measured(observation) if self._centre_m is None else self._centre_m
        centre_m = T[:3, :3] @ place_m + T[:3, 3]
        scale = self._side_m * camera.fx / centre_m[2] / NETWORK_SIZE
        down = -T[:2, 1] if np.hypot(*T[:2, 1]) > 0.2 else np.array([0.0, 1.0])
        down = down / np.hypot(*down)
        axes = scale * np.stack([[down[1], -down[0]], down], axis=1)
        origin = camera.project(centre_m[None])[0] - axes @ np.full(2, NETWORK_SIZE / 2)
        return np.concatenate([axes, origin[:, None]], axis=1)

    def __call__(self, observation: FaceObservation) -> NDArray[np.float32] | None:
        """[4, 256, 256] in [-1, 1]; None where no face is tracked."""
        if not observation.tracked:
            return None
        A, frame = self.frame_of_cut(observation), observation.frame
        rgb = cut_colors(frame.rgb, A)
        if frame.depth_m is None:
            depth_m = _lifted(observation, A)
        else:
            depth_m = cut_depth(frame.depth_m, A)
            behind_m = float(observation.T_camera_head[2, 3]) + BEHIND_FACE_M
            depth_m = _closed(np.where(depth_m < behind_m, depth_m, np.float32(0)))
            rgb = np.where(depth_m[..., None] > 0, rgb, np.float32(0))
        planes = np.empty((4, NETWORK_SIZE, NETWORK_SIZE), np.float32)
        planes[:3] = rgb.transpose(2, 0, 1) * np.float32(2 / 255)
        planes[:3] -= 1
        planes[3] = depth_channel(depth_m, float(observation.T_camera_head[2, 3]))
        return planes

    def _measured(self, observation: FaceObservation) -> NDArray[np.float64]:
        T, camera = observation.T_camera_head, observation.frame.intrinsics
        box, depth_m = face_box(observation), T[2, 3]
        middle = np.array([[box.x + box.width / 2, box.y + box.height / 2]])
        centre_m = camera.unproject(middle, np.array([depth_m]))[0]
        self._side_m = max(box.width, box.height) * depth_m / camera.fx
        place_m: NDArray[np.float64] = (centre_m - T[:3, 3]) @ T[:3, :3]
        self._centre_m = place_m
        return place_m


def _lifted(observation: FaceObservation, A: NDArray[np.float64]) -> NDArray[np.float32]:
    """The tracked face's surface, drawn upright and turned as the cut is."""
    side = float(np.hypot(*A[:, 0])) * NETWORK_SIZE
    left, top = A @ np.array([NETWORK_SIZE / 2, NETWORK_SIZE / 2, 1.0]) - side / 2
    view = observation.frame.intrinsics.crop(left, top, round(side), round(side))
    drawn = lift_depth(observation, None, view.resized(NETWORK_SIZE, NETWORK_SIZE))
    turn = A.copy()
    turn[:, 2] -= left, top
    return cut_depth(drawn, turn * (NETWORK_SIZE / round(side)))


def depth_channel(depth: NDArray[np.floating], origin: float, per_metre: float = 1.0) -> NDArray[np.float32]:
    """Depth [H, W] (0: nothing) → the network's channel: −1 NEAREST_M before the head's origin, 1 behind its face.

    Args:
        origin: depth of the head's origin, in the units of `depth`.
        per_metre: those units in one metre of a human head.
    """
    near, far = origin - NEAREST_M * per_metre, origin - FARTHEST_M * per_metre
    value = np.clip((depth - near) * (2 / (far - near)) - 1, -1, 1)
    return np.asarray(np.where(depth > 0, value, EMPTY), dtype=np.float32)


def cut_colors(rgb: NDArray[np.uint8], A: NDArray[np.float64]) -> NDArray[np.float32]:
    """[256, 256, 3] of a picture, averaged where it is finer than the cut; 0 beyond its edges.

    Args:
        A: [2, 3] from places in the cut (see `HeadCropper.frame_of_cut`) to places in the picture.
    """
    import cv2

    fine = min(_MOST_FINE, max(1, int(np.ceil(np.hypot(*A[:, 0]) / _FINE))))
    size = NETWORK_SIZE * fine
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(rgb, _between_indices(A, fine), (size, size), flags=flags)
    if fine > 1:
        cut = cv2.resize(cut, (NETWORK_SIZE, NETWORK_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cut, dtype=np.float32)


def cut_depth(depth_m: NDArray[np.float32], A: NDArray[np.float64]) -> NDArray[np.float32]:
    """[256, 256] of a depth picture by nearest neighbours; 0 beyond its edges."""
    import cv2

    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(depth_m, _between_indices(A, 1), (NETWORK_SIZE, NETWORK_SIZE), flags=flags))


def _between_indices(A: NDArray[np.float64], fine: int) -> NDArray[np.float64]:
    """A between indices of pixels, whose centres lie at +0.5, with `fine` pixels of the cut instead of one."""
    out = A.copy()
    out[:, :2] /= fine
    out[:, 2] += out[:, :2].sum(axis=1) / 2 - 0.5
    return out


def _closed(depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """With small holes filled by the mean of what is around them."""
    import cv2

    known = (depth_m > 0).astype(np.float32)
    count = cv2.boxFilter(known, -1, (_HOLE, _HOLE), normalize=False)
    around = cv2.boxFilter(depth_m, -1, (_HOLE, _HOLE), normalize=False) / np.maximum(count, 1)
    return np.asarray(np.where((known == 0) & (count >= _LEAST_AROUND), around, depth_m), dtype=np.float32)
