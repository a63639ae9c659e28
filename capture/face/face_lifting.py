"""From landmarks in a picture to landmarks in metres and a rigid head pose, with a depth camera or without.

Without depth the face is taken to be of average size: pose and distance follow from the picture, and every landmark
gets the depth of the posed canonical face plus what the tracker says it deviates by. With depth the same shape is
scaled to the person and then corrected by what the sensor reads on sure skin (`capture.face.depth_sampling`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.face.depth_sampling import DepthSampler
from capture.face.face_landmarker import FaceLandmarks
from capture.face.head_pose import HeadPose, PoseTask, solve_head_pose
from core.camera import Intrinsics
from core.canonical_face import CanonicalFace
from core.rigid_motion import solve_normal

_TRACKER_DEPTH_WEIGHT = 0.5  # the tracker's relative depth beside its image positions, for the pose
_SENSOR_DEPTH_WEIGHT = 1.5
_SHAPE_PRIOR = 1e-3  # holds the depth correction where a face is seen so that it is badly determined
_SCALE_MEMORY = 90  # frames with depth after which the person's size is held
_SCALE_RANGE = (0.6, 1.6)  # people's faces, beside the average; outside it the depth is not that of the face
_LEAST_DEPTH_SHARE = 0.15


@dataclass(frozen=True, eq=False)
class LiftedFace:
    """
    Attributes:
        landmarks_m: [478, 3] float32 camera frame.
        T_camera_head: [4, 4] float64.
        confidence: 0..1.
    """

    landmarks_m: NDArray[np.float32]
    T_camera_head: NDArray[np.float64]
    confidence: float


class FaceLifter:
    """Lifts the landmarks of one person. Remembers nothing between frames but the size of the face."""

    def __init__(self, face: CanonicalFace) -> None:
        self._face = face
        self._stable = np.flatnonzero(face.stable_weights)
        self._sampler = DepthSampler(face)
        self._scale = 1.0
        self._scale_frames = 0

    def lift(self, found: FaceLandmarks, intrinsics: Intrinsics, depth_m: NDArray[np.float32] | None) -> LiftedFace:
        """Landmarks of a picture taken with `intrinsics`; `depth_m` [H, W] is aligned to it, or None."""
        centre, focal = (intrinsics.cx, intrinsics.cy), (intrinsics.fx, intrinsics.fy)
        rays = (found.px - centre) / focal
        stable = self._stable
        task = PoseTask(
            self._face.points[stable],
            self._face.stable_weights[stable],
            rays[stable],
            found.z_px[stable] / intrinsics.fx,
            np.full(len(stable), _TRACKER_DEPTH_WEIGHT),
            absolute=False,
        )
        pose = solve_head_pose(task)
        depth = self._shape_depth(rays, found.z_px / intrinsics.fx, pose)
        share = 1.0
        if depth_m is not None:
            pose, depth, share = self._measured(found.px, rays, pose, depth, depth_m, intrinsics.fx)
        landmarks_m = np.column_stack([rays, np.ones(len(rays))]) * depth[:, None]
        return LiftedFace(landmarks_m.astype(np.float32), pose.matrix(), _confidence(pose, share))

    def _shape_depth(self, rays: NDArray[np.float64], z: NDArray[np.float64], pose: HeadPose) -> NDArray[np.float64]:
        """[478] depth of every landmark of an average-sized face in `pose`.

        The tracker's relative depth is taken through the affine map (tilt, scale, offset) that lays its stable points
        onto the posed canonical face: that removes its drift with the head's turn (on `head_turns` stable points then
        keep within 0.4 mm instead of 1.5) and leaves what expressions change.
        """
        distance = pose.translation[2]
        relative = z * distance
        across = rays * distance
        design = np.column_stack([np.ones(len(z)), across, relative])
        stable, weights = self._stable, self._face.stable_weights[self._stable]
        design[:, 1:] -= weights @ design[stable, 1:] / weights.sum()
        missing = pose.apply(self._face.points[stable])[:, 2] - relative[stable]
        weighted = design[stable] * weights[:, None]
        normal = weighted.T @ design[stable]
        spread = 0.05**2 * weights.sum()  # of a face, in square metres: makes the prior independent of units
        normal[range(1, 4), range(1, 4)] += _SHAPE_PRIOR * spread
        return np.asarray(relative + design @ solve_normal(normal, weighted.T @ missing))

    def _measured(
        self,
        px: NDArray[np.float64],
        rays: NDArray[np.float64],
        pose: HeadPose,
        depth: NDArray[np.float64],
        depth_m: NDArray[np.float32],
        focal: float,
    ) -> tuple[HeadPose, NDArray[np.float64], float]:
        """Scale the average face to the person, correct it by the sensor, and pose it again.

        Returns the pose, the depth of every landmark and the share of stable landmarks that have a reading.
        """
        ratio = self._sampler.distance_ratio(depth_m, px, depth)
        if ratio is not None and _SCALE_RANGE[0] < ratio < _SCALE_RANGE[1]:
            self._scale_frames = min(self._scale_frames + 1, _SCALE_MEMORY)
            self._scale += (ratio - self._scale) / self._scale_frames
            reading = self._sampler.correct(depth_m, px, depth * ratio, focal)
            share = float(reading.trust[self._stable].mean())
            if share >= _LEAST_DEPTH_SHARE:
                return self._absolute_pose(rays, reading.depth, reading.trust, pose, ratio), reading.depth, share
        scaled = HeadPose(pose.rotation, pose.translation * self._scale, pose.error)
        return scaled, depth * self._scale, 0.0

    def _absolute_pose(
        self,
        rays: NDArray[np.float64],
        depth: NDArray[np.float64],
        trust: NDArray[np.float64],
        start: HeadPose,
        ratio: float,
    ) -> HeadPose:
        stable = self._stable
        task = PoseTask(
            self._face.points[stable] * self._scale,
            self._face.stable_weights[stable],
            rays[stable],
            depth[stable],
            _SENSOR_DEPTH_WEIGHT * np.maximum(trust[stable], 0.1),
            absolute=True,
        )
        return solve_head_pose(task, HeadPose(start.rotation, start.translation * ratio, start.error))


def _confidence(pose: HeadPose, depth_share: float) -> float:
    """1 for a face seen well from the front, less when it is turned away, fits badly or lacks depth."""
    facing = -float(pose.rotation[2, 2])  # cosine of the angle between the face and the camera
    turned = np.clip((facing - 0.2) / 0.5, 0.0, 1.0)
    fit = np.clip(1.5 - pose.error * pose.translation[2] / 0.012, 0.0, 1.0)  # residuals beyond a centimetre
    return float(turned * fit * (0.5 + 0.5 * depth_share))
