"""What the driver's face does, measured against the same person's neutral face and free of head motion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.face_regions import FACE_LANDMARKS, IRISES, LOWER_LIDS, RIGID, UPPER_LIDS
from core.frame import FaceObservation

_RIGID_POINTS = np.array([index for _, chain in RIGID for index in chain])
_RIGID_TRUST = np.array([weight for weight, chain in RIGID for _ in chain])
_OUTLIER_M = 0.0015  # a point this far from where the neutral has it counts half
_ROUNDS = 3
_LID_MIDDLE = slice(2, 7)  # columns of a lid chain that tell how far it is open
_CLOSED_LIDS = 0.03  # aperture over width that tracked lids keep when they are shut
_EYEBALL_RADIUS = 0.40  # of the eye's width
_WIDE_OPEN = 1.7
_UPPER_RIM, _LOWER_RIM, _MOUTH_ENDS = [82, 13, 312], [87, 14, 317], [61, 291]  # the lips' inner middle, their corners


@dataclass(frozen=True, eq=False)
class DriverNeutral:
    """A person's neutral face.

    Attributes:
        landmarks: [478, 3] float64 metres, head frame.
        T_camera_head: [4, 4] pose it was seen in.
        aperture: [2] open distance of the lids over the eye's width, picture-left first.
        lower_lid: [2] height of the lower lid over the line between the corners, over the eye's width.
        gaze: [2, 2] offset of the iris from the middle between the corners, along and up, in eye widths.
    """

    landmarks: NDArray[np.float64]
    T_camera_head: NDArray[np.float64]
    aperture: NDArray[np.float64]
    lower_lid: NDArray[np.float64]
    gaze: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DriverMotion:
    """One frame of a driver, relative to the neutral.

    Attributes:
        displacement: [468, 3] float64 metres, head frame.
        lids: [2, 2] for each eye: how open (1 as in neutral, 0 shut), and how far the lower lid is raised, in neutral
            apertures.
        gaze: [2, 2] yaw (to picture-right) and pitch (up) of each eye in radians.
        T_camera_head: [4, 4] pose, refined against the neutral.
        lips_apart: how far the middle of the lips stands apart, over the mouth's width; up to 0.02 where they are shut.
    """

    displacement: NDArray[np.float64]
    lids: NDArray[np.float64]
    gaze: NDArray[np.float64]
    T_camera_head: NDArray[np.float64]
    lips_apart: float


def make_neutral(observation: FaceObservation) -> DriverNeutral:
    """Raises ValueError if the face is not tracked."""
    if not observation.tracked:
        raise ValueError(f"frame {observation.frame.index} has no face to take as neutral")
    landmarks = observation.landmarks_head_m().astype(np.float64)
    aperture, lower, gaze = _eyes(landmarks)
    return DriverNeutral(landmarks, observation.T_camera_head.copy(), aperture, lower, gaze)


def measure(observation: FaceObservation, neutral: DriverNeutral) -> DriverMotion:
    """Compare a tracked observation with the neutral.

    The tracker fits an average face; against the person's own neutral the rigid pose comes out steadier, so that
    talking does not nod the head and turning it does not bend the face.
    """
    landmarks = observation.landmarks_head_m().astype(np.float64)
    rotation, shift = _rigid_fit(landmarks[_RIGID_POINTS], neutral.landmarks[_RIGID_POINTS])
    landmarks = landmarks @ rotation.T + shift
    T_refined = np.eye(4)
    T_refined[:3, :3], T_refined[:3, 3] = rotation.T, -rotation.T @ shift
    aperture, lower, gaze = _eyes(landmarks)
    shut = np.minimum(_CLOSED_LIDS, 0.5 * neutral.aperture)
    range_ = np.maximum(neutral.aperture - shut, 0.02)
    open_ = np.clip((aperture - shut) / range_, 0.0, _WIDE_OPEN)
    raised = np.clip((lower - neutral.lower_lid) / np.maximum(neutral.aperture, 0.05), -0.4, 0.8)
    turn = np.arcsin(np.clip((gaze - neutral.gaze) / _EYEBALL_RADIUS, -0.8, 0.8))
    displacement = (landmarks - neutral.landmarks)[:FACE_LANDMARKS]
    lids, T_camera_head = np.stack([open_, raised], axis=1), observation.T_camera_head @ T_refined
    return DriverMotion(displacement, lids, turn, T_camera_head, _lips_apart(landmarks))


def _rigid_fit(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation [3, 3] and shift [3] that lay `source` onto `target` [N, 3], outliers counting less (Kabsch, IRLS)."""
    weight = _RIGID_TRUST
    rotation, shift = np.eye(3), np.zeros(3)
    for _ in range(_ROUNDS):
        share = weight / weight.sum()
        middle_source, middle_target = share @ source, share @ target
        covariance = ((target - middle_target) * share[:, None]).T @ (source - middle_source)
        u, _, vt = np.linalg.svd(covariance)
        rotation = (u * np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])) @ vt
        shift = middle_target - rotation @ middle_source
        off = source @ rotation.T + shift - target
        weight = _RIGID_TRUST / (1.0 + np.einsum("nd,nd->n", off, off) / _OUTLIER_M**2)
    return rotation, shift


def _lips_apart(landmarks: NDArray[np.float64]) -> float:
    """As `DriverMotion.lips_apart`. Depth tells nothing of it: cameras see the teeth, or nothing, between lips."""
    gap = np.linalg.norm((landmarks[_UPPER_RIM] - landmarks[_LOWER_RIM])[:, :2], axis=1).mean()
    width = np.linalg.norm((landmarks[_MOUTH_ENDS[0]] - landmarks[_MOUTH_ENDS[1]])[:2])
    return float(gap / max(width, 1e-6))


def _eyes(
    landmarks: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Aperture [2], height of the lower lid [2] and iris offset [2, 2] of both eyes, all in eye widths."""
    aperture, lower, gaze = np.empty(2), np.empty(2), np.empty((2, 2))
    for eye in range(2):
        top, bottom = landmarks[list(UPPER_LIDS[eye])], landmarks[list(LOWER_LIDS[eye])]
        along = top[-1] - top[0]
        width = float(np.linalg.norm(along))
        along = along / max(width, 1e-6)
        up = np.cross(np.array([0.0, 0.0, 1.0]), along)
        middle = (top[0] + top[-1]) / 2
        aperture[eye] = ((top - bottom)[_LID_MIDDLE] @ up).mean() / width
        lower[eye] = ((bottom - middle)[_LID_MIDDLE] @ up).mean() / width
        iris = landmarks[list(IRISES[eye])].mean(axis=0) - middle
        gaze[eye] = iris @ along / width, iris @ up / width
    return aperture, lower, gaze
