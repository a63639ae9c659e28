"""What the expression prior looks at: one frame against the same person's neutral face, as numbers without units.

Lengths are divided by the size of the person's face, so that children, caricatures and cameras without depth (which
take every face to be of average size) give the same numbers for the same expression.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.expression_units import SCORE_NAMES
from core.face_regions import FACE_LANDMARKS, UPPER_LIDS, UPPER_LIP
from core.frame import FaceObservation
from core.rigid_motion import rotation_vector
from engine.motion.driver_face import DriverMotion, DriverNeutral, make_neutral, measure

_FACING = np.diag([1.0, -1.0, -1.0])  # camera axes of a head that looks straight into the camera

SECTIONS: Final[dict[str, int]] = {
    "displacement": 3 * FACE_LANDMARKS,
    "lids": 4,
    "gaze": 4,
    "scores": len(SCORE_NAMES) - 1,
    "pose": 6,
    "depth": 2,
    "shape": 3 * FACE_LANDMARKS,
}
"""Name → length of the parts of a feature vector, in order."""

FEATURE_COUNT: Final = sum(SECTIONS.values())


@dataclass(frozen=True, eq=False)
class ExpressionNeutral:
    """A person's neutral face, as the expression prior compares with it.

    Attributes:
        face: landmarks, lids and gaze at rest; also what `engine.motion.driver_face.measure` takes.
        size_m: of the face, see `face_size`.
        scores: [52] float64 the tracker's coefficients at rest.
        shape: [1404] float64 landmarks over the face's size, from the middle between the eyes.
        turn: [3] rotation vector in which it was seen; zero when looking straight into the camera.
        has_depth: whether a depth camera measured it.
    """

    face: DriverNeutral
    size_m: float
    scores: NDArray[np.float64]
    shape: NDArray[np.float64]
    turn: NDArray[np.float64]
    has_depth: bool

    @staticmethod
    def of(observation: FaceObservation) -> "ExpressionNeutral":
        """Take this observation as neutral. Raises ValueError if no face is tracked."""
        face = make_neutral(observation)
        size_m = face_size(face.landmarks)
        shape = (face.landmarks[:FACE_LANDMARKS] - _eye_centres(face.landmarks).mean(axis=0)) / size_m
        turn = _turn(observation.T_camera_head)
        scores = observation.scores.astype(np.float64)
        return ExpressionNeutral(face, size_m, scores, shape.ravel(), turn, observation.depth_measured)


def features(
    observation: FaceObservation,
    neutral: ExpressionNeutral,
    motion: DriverMotion | None = None,
) -> NDArray[np.float64]:
    """[FEATURE_COUNT] a tracked observation against the neutral, in the order of SECTIONS.

    Args:
        motion: what `engine.motion.driver_face.measure(observation, neutral.face)` gave, where it is known already.
    """
    if motion is None:
        motion = measure(observation, neutral.face)
    return np.concatenate(
        [
            (motion.displacement / neutral.size_m).ravel(),
            (motion.lids - [1.0, 0.0]).ravel(),
            motion.gaze.ravel(),
            observation.scores[1:] - neutral.scores[1:],
            _turn(motion.T_camera_head),
            neutral.turn,
            [float(observation.depth_measured), float(neutral.has_depth)],
            neutral.shape,
        ]
    )


def section(name: str) -> slice:
    """Where a part lies within a feature vector."""
    names = list(SECTIONS)
    start = sum(SECTIONS[before] for before in names[: names.index(name)])
    return slice(start, start + SECTIONS[name])


def face_size(landmarks: NDArray[np.float64]) -> float:
    """Distance between the eyes plus half of that from the eyes to the upper lip, of landmarks [478, 3].

    The measure by which `capture.synthetic.head.head_model` scales its expression units from person to person.
    """
    eyes = _eye_centres(landmarks)
    mouth = landmarks[list(UPPER_LIP[0])].mean(axis=0)
    return float(np.linalg.norm(eyes[1] - eyes[0]) + np.linalg.norm(mouth - eyes.mean(axis=0)) / 2)


def _eye_centres(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    corners = [[lids[0], lids[-1]] for lids in UPPER_LIDS]
    return np.asarray(landmarks[corners].mean(axis=1))


def _turn(T_camera_head: NDArray[np.float64]) -> NDArray[np.float64]:
    return rotation_vector(_FACING @ T_camera_head[:3, :3])
