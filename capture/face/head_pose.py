"""The rigid head pose: where the canonical face has to stand so that its stable points look as the landmarks do."""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.face.lifting_kernels import MOST_POINTS, Task, compiled_kernels
from core.native.compiled_library import pointer
from core.rigid_motion import fit_similarity, rotation_matrix, solve_normal

_FACING = np.diag([1.0, -1.0, -1.0])  # camera axes of a head that looks straight into the camera
_ITERATIONS = 5
_SETTLED = 2e-5  # radians and metres: the next step would be a tenth of that
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
    kernels = compiled_kernels()
    if kernels is not None and len(task.points) <= MOST_POINTS:
        return _solved(kernels, task, pose)
    return _refined(task, pose)


def _solved(kernels: ctypes.CDLL, task: PoseTask, start: HeadPose) -> HeadPose:
    """`_refined`, compiled."""
    held = [task.points, task.weights, task.rays, task.depth, task.depth_weight]
    held = [np.ascontiguousarray(each, np.float64) for each in held]
    rotation, translation = start.rotation.astype(np.float64, order="C"), start.translation.astype(np.float64)
    error = ctypes.c_double()
    given = Task(
        *(len(task.points), task.absolute, _ITERATIONS),
        *(_NEAREST_M, _HUBER, _SETTLED),
        *(pointer(each) for each in held),
    )
    if not kernels.solve_pose(ctypes.byref(given), pointer(rotation), pointer(translation), ctypes.byref(error)):
        raise np.linalg.LinAlgError("expected landmarks that determine a pose")
    return HeadPose(rotation, translation, error.value)


def _refined(task: PoseTask, start: HeadPose) -> HeadPose:
    rotation, translation = start.rotation, start.translation
    linearised = _Linearised(task)
    trust = np.ones((3, 1, len(task.points)))
    trust[2, 0] = task.depth_weight**2
    across, deep = trust[0, 0], trust[2, 0]
    error = 0.0
    for _ in range(_ITERATIONS):
        residuals, jacobian = linearised.at(rotation, translation)  # [3, N], [6, 3, N]
        square = residuals * residuals
        square[2] *= deep
        size = np.sqrt(np.add.reduce(square))
        error = _median(size)
        robust = np.minimum(across, _HUBER * error / np.maximum(size, 1e-12)) * task.weights
        step = _weighted_step(residuals, jacobian, trust[:, 0] * robust)
        rotation = rotation_matrix(step[:3]) @ rotation
        translation = translation + step[3:]
        translation[2] = max(translation[2], _NEAREST_M)
        if max(map(abs, step.tolist())) < _SETTLED:
            break
    return HeadPose(rotation, translation, error)


def weak_perspective_pose(task: PoseTask) -> HeadPose:
    """Closed-form start: the similarity from face points to rays and relative depth, read as weak perspective."""
    relative = task.depth if not task.absolute else task.depth / _mean(task.depth, task.weights) - 1.0
    scale, rotation, offset = fit_similarity(
        task.points, np.column_stack([task.rays, relative]), task.weights, _LEAST_SCALE
    )
    distance = 1.0 / scale
    return HeadPose(rotation, np.array([offset[0] * distance, offset[1] * distance, distance]), 0.0)


class _Linearised:
    """Residuals of a task and their derivatives, in arrays that are filled again and again.

    `at` gives residuals [3, N] (x, y as rays; depth as a share of the distance) and their derivatives [6, 3, N] for a
    small rotation (applied on the left) and translation.
    """

    def __init__(self, task: PoseTask) -> None:
        self._points, self._rays = task.points.T.copy(), task.rays.T.copy()
        self._depth, self._absolute = task.depth, task.absolute
        self._share = task.weights / task.weights.sum()
        self._jacobian = np.zeros((6, 3, len(task.points)))
        self._residuals = np.empty((3, len(task.points)))

    def at(
        self, rotation: NDArray[np.float64], translation: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        turned = rotation @ self._points
        z = np.maximum(turned[2] + translation[2], _NEAREST_M)
        inverse, distance = 1.0 / z, float(translation[2])
        near = turned * inverse
        place = near[:2] + translation[:2, None] * inverse
        outer = place[:, None] * near[:2]  # [2, 2, N]
        jacobian, residuals = self._jacobian, self._residuals
        np.negative(outer[:, 1], out=jacobian[0, :2])
        jacobian[0, 1] -= near[2]
        jacobian[1, :2] = outer[:, 0]
        jacobian[1, 0] += near[2]
        np.negative(near[1], out=jacobian[2, 0])
        jacobian[2, 1] = near[0]
        jacobian[3, 0] = jacobian[4, 1] = inverse
        np.multiply(place, -inverse, out=jacobian[5, :2])
        np.multiply(turned[1], 1.0 / distance, out=jacobian[0, 2])
        np.multiply(turned[0], -1.0 / distance, out=jacobian[1, 2])
        np.subtract(self._rays, place, out=residuals[:2])
        if self._absolute:
            residuals[2] = (self._depth - z) / distance
            jacobian[5, 2] = 1.0 / distance
        else:  # only differences of depth are known: compare after taking the means away
            residuals[2] = self._depth - z / distance
            residuals[2] -= self._share @ residuals[2]
            jacobian[:2, 2] -= (jacobian[:2, 2] @ self._share)[:, None]
        return residuals, jacobian


def _median(values: NDArray[np.float64]) -> float:
    """As `numpy.median`, without its checks."""
    middle = len(values) // 2
    ordered = np.sort(values)
    return float(ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean over the first axis."""
    return np.asarray(weights @ values / weights.sum())


def _weighted_step(
    residuals: NDArray[np.float64], jacobian: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    flat = jacobian.reshape(6, -1)
    weighted = flat * weights.reshape(-1)
    normal = weighted @ flat.T
    normal.reshape(-1)[::7] *= 1 + 1e-9
    return solve_normal(normal, weighted @ residuals.reshape(-1))
