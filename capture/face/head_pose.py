"""The rigid head pose: where the canonical face has to stand so that its stable points look as the landmarks do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.rigid_motion import fit_similarity, rotation_matrix

_FACING = np.diag([1.0, -1.0, -1.0])  # camera axes of a head that looks straight into the camera
_ITERATIONS = 5
_HUBER = 2.0  # residuals beyond so many times their median count less and less
_NEAREST_M = 0.02
_LEAST_SCALE = 1e-6


@dataclass(frozen=True, eq=False)
class HeadPose:
    """Camera from head: point_camera = rotation @ point_head + translation.

    Attributes:
        rotation: [3, 3] float64.
        translation: [3] float64, metres.
        error: robust mean distance between landmarks and posed face, relative to the face's distance.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    error: float

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Head points [N, 3] → camera points [N, 3]."""
        return points @ self.rotation.T + self.translation

    def matrix(self) -> NDArray[np.float64]:
        """T_camera_head [4, 4]."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.translation
        return matrix


@dataclass(frozen=True, eq=False)
class PoseTask:
    """What the pose is solved from: N stable points of the face and what is seen of them.

    Attributes:
        points: [N, 3] float64 head frame, metres.
        weights: [N] float64, not all zero.
        rays: [N, 2] float64 image positions as x/z and y/z.
        depth: [N] float64; metres along the camera's axis if `absolute`, else relative to the head and as a share of
            its distance (weak perspective).
        depth_weight: [N] float64 how much a depth error counts beside an equally large one across the picture.
        absolute: which of the two `depth` is.
    """

    points: NDArray[np.float64]
    weights: NDArray[np.float64]
    rays: NDArray[np.float64]
    depth: NDArray[np.float64]
    depth_weight: NDArray[np.float64]
    absolute: bool


def solve_head_pose(task: PoseTask, start: HeadPose | None = None) -> HeadPose:
    """Robust least squares of the reprojection and depth errors over the six parameters of the pose.

    Gauss-Newton with iteratively reweighted (Huber) residuals. Without `start` it begins with the closed-form
    similarity between the face and its weak-perspective picture, so that a frame's pose depends on that frame only.
    """
    pose = start or weak_perspective_pose(task)
    rotation, translation = pose.rotation, pose.translation
    robust = np.ones(len(task.points))
    error = 0.0
    for _ in range(_ITERATIONS):
        residuals, jacobian = _linearised(task, rotation, translation)  # [3, N], [3, N, 6]
        size = np.sqrt((residuals**2 * _channel_weights(task)).sum(axis=0))
        error = float(np.median(size))
        robust = np.minimum(1.0, _HUBER * error / np.maximum(size, 1e-12))
        weights = _channel_weights(task) * (task.weights * robust)
        step = _weighted_step(residuals, jacobian, weights)
        rotation = rotation_matrix(step[:3]) @ rotation
        translation = translation + step[3:]
        translation[2] = max(translation[2], _NEAREST_M)
    return HeadPose(rotation, translation, error)


def weak_perspective_pose(task: PoseTask) -> HeadPose:
    """Closed-form start: the similarity from face points to rays and relative depth, read as weak perspective."""
    relative = task.depth if not task.absolute else task.depth / _mean(task.depth, task.weights) - 1.0
    scale, rotation, offset = fit_similarity(
        task.points, np.column_stack([task.rays, relative]), task.weights, _LEAST_SCALE
    )
    distance = 1.0 / scale
    return HeadPose(rotation, np.array([offset[0] * distance, offset[1] * distance, distance]), 0.0)


def _channel_weights(task: PoseTask) -> NDArray[np.float64]:
    """[3, N] for the x, y and depth residuals."""
    ones = np.ones_like(task.depth_weight)
    return np.stack([ones, ones, task.depth_weight**2])


def _linearised(
    task: PoseTask, rotation: NDArray[np.float64], translation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Residuals [3, N] (x, y as rays; depth as a share of the distance) and their derivatives [3, N, 6] for a small
    rotation (applied on the left) and translation.
    """
    turned = task.points @ rotation.T
    x, y, z = (turned + translation).T
    z = np.maximum(z, _NEAREST_M)
    distance = translation[2]
    motion = np.zeros((3, len(z), 6))  # of the camera point
    motion[0, :, 1], motion[0, :, 2], motion[0, :, 3] = turned[:, 2], -turned[:, 1], 1.0
    motion[1, :, 0], motion[1, :, 2], motion[1, :, 4] = -turned[:, 2], turned[:, 0], 1.0
    motion[2, :, 0], motion[2, :, 1], motion[2, :, 5] = turned[:, 1], -turned[:, 0], 1.0
    jacobian = np.empty_like(motion)
    jacobian[0] = (motion[0] - (x / z)[:, None] * motion[2]) / z[:, None]
    jacobian[1] = (motion[1] - (y / z)[:, None] * motion[2]) / z[:, None]
    jacobian[2] = motion[2] / distance
    residuals = np.stack([task.rays[:, 0] - x / z, task.rays[:, 1] - y / z, np.zeros_like(z)])
    if task.absolute:
        residuals[2] = (task.depth - z) / distance
    else:  # only differences of depth are known: compare after taking the means away
        residuals[2] = task.depth - z / distance
        residuals[2] -= _mean(residuals[2], task.weights)
        jacobian[2] -= _mean(jacobian[2], task.weights)
    return residuals, jacobian


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean over the first axis."""
    return np.asarray(weights @ values / weights.sum())


def _weighted_step(
    residuals: NDArray[np.float64], jacobian: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    flat = jacobian.reshape(-1, 6)
    weighted = flat * weights.reshape(-1, 1)
    normal = weighted.T @ flat
    normal[np.diag_indices(6)] *= 1 + 1e-9
    return np.asarray(np.linalg.solve(normal, weighted.T @ residuals.reshape(-1)))
