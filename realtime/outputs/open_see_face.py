"""Packets as OpenSeeFace's facetracker sends them (UDP, port 11573): 1785 bytes a face, little-endian.

Layout, from its `facetracker.py` and `Unity/OpenSee.cs`: f64 time, i32 id, f32 width and height of the picture, f32 how
open the right and the left eye are, u8 whether the face was found, f32 error of the fit, 4 f32 quaternion, 3 f32 Euler
angles in degrees, 3 f32 translation, 68 f32 confidences, 68 × 2 f32 points in the picture, 70 × 3 f32 points of the
head, 14 f32 features.

The pose is that of a camera whose axes are up, to the person's right, and away from the camera, with the face before it
at a negative distance: this is where OpenSeeFace's fit comes to rest (`cv2.solvePnP` begun from nothing), and what its
receivers undo. Its quaternion is the conjugate of the rotation's. The receivers were worked through by hand: with
`OpenSeeIKTarget.cs`, not mirrored, an avatar turns to its own left where the person does. A test holds them to it."""

import math
import struct
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_NAMES
from core.rigid_motion import quaternion, rotation_vector
from realtime.outputs.face_points import EYES, NOSE_TIP, POINTS, FacePoints
from realtime.outputs.moment import Moment

PORT: Final = 11573
SIZE: Final = 1785
WIDTH, HEIGHT = 640, 480
UNITS_PER_M: Final = 7.0  # OpenSeeFace's face is 0.63 wide between the outer corners of its eyes
DISTANCE_M: Final = 0.6  # between camera and face at rest

Array = NDArray[np.float64]

_HALF: Final = math.sqrt(0.5)
_FIT_ERROR: Final = 1.0  # of a good fit; receivers distrust large ones
# fmt: off
FEATURES: Final = (
    "eye_l", "eye_r", "eyebrow_steepness_l", "eyebrow_updown_l", "eyebrow_quirk_l", "eyebrow_steepness_r",
    "eyebrow_updown_r", "eyebrow_quirk_r", "mouth_corner_updown_l", "mouth_corner_inout_l", "mouth_corner_updown_r",
    "mouth_corner_inout_r", "mouth_open", "mouth_wide",
)
# fmt: on
"""In the order of the packet, each -1..1 about what is usual; steepness and quirk of brows are always 0."""


class OpenSeeFaceEncoder:
    """One packet a frame; without a face it says so and shows one at rest.

    Args:
        points: the landmarks that go with a motion.
    """

    def __init__(self, points: FacePoints) -> None:
        self._points = points
        self._clock_s = time.time() - time.monotonic()

    def packets(self, moment: Moment) -> list[bytes]:
        """One packet."""
        motion, weights = moment.motion, moment.motion.weights
        T = motion.T_neutral_head
        face = self._points.of(motion)
        tip = self._points.rest[NOSE_TIP]
        moved = face[:POINTS] @ T[:3, :3].T + (T[:3, 3] - tip)
        depth = DISTANCE_M - moved[:, 2]
        pixels = WIDTH * moved[:, :2] * (1.0, -1.0) / depth[:, None] + (WIDTH / 2, HEIGHT / 2)
        turn, angles = camera_turn(T[:3, :3])
        x, y, z = moved[NOSE_TIP].tolist()
        right_open, left_open = (1 - np.clip(weights[list(_BLINKS)], 0, 1)).tolist()
        head = struct.pack(
            "<diffffBf4f3f3f",
            moment.timestamp_s + self._clock_s, 0, WIDTH, HEIGHT, right_open, left_open, moment.tracked, _FIT_ERROR,
            *turn, *angles, UNITS_PER_M * y, -UNITS_PER_M * x, -UNITS_PER_M * (DISTANCE_M - z),
        )  # fmt: skip
        model = -UNITS_PER_M * (face - face[NOSE_TIP])
        features = np.clip(_FEATURES @ weights, -1.0, 1.0)
        numbers = np.concatenate([np.full(POINTS, float(moment.tracked)), pixels.ravel(), model.ravel(), features])
        return [head + numbers.astype("<f4").tobytes()]


def camera_turn(rotation: Array) -> tuple[tuple[float, float, float, float], tuple[float, float, float]]:
    """(quaternion x y z w, Euler angles in degrees) as OpenSeeFace has them of a head turned by `rotation` [3, 3]."""
    x, y, z, w = quaternion(rotation_vector(rotation))
    # Unity's rotation of the head (x, -y, -z, w), times that of a face that looks straight ahead (-½, -½, 0, 0)
    ux, uy, uz = x, -y, -z
    turned = (_HALF * (uz - w), _HALF * (-uz - w), _HALF * (uy - ux), _HALF * (ux + uy))
    raw = (-turned[1], -turned[0], turned[2], turned[3])
    return raw, _angles((-raw[0], -raw[1], -raw[2], raw[3]))


def _angles(turn: tuple[float, float, float, float]) -> tuple[float, float, float]:
    """Degrees about x, then y, then z of a unit quaternion: what `cv2.RQDecomp3x3` gives OpenSeeFace."""
    x, y, z, w = turn
    about_x = math.atan2(2 * (y * z + w * x), 1 - 2 * (x * x + y * y))
    about_y = math.asin(min(max(2 * (w * y - x * z), -1.0), 1.0))
    about_z = math.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))
    return math.degrees(about_x), math.degrees(about_y), math.degrees(about_z)


def _feature_rows() -> Array:
    """[14, 52] which features units make, linearly."""
    rows: dict[str, dict[str, float]] = {
        "mouth_open": {"jawOpen": 1.4, "mouthClose": -1.4},
        "mouth_wide": dict.fromkeys(("mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight"), 0.5)
        | {"mouthPucker": -1.0, "mouthFunnel": -0.6},
    }
    for side, name in (("l", "Left"), ("r", "Right")):
        rows[f"eye_{side}"] = {f"eyeWide{name}": 1.0, f"eyeBlink{name}": -1.0, f"eyeSquint{name}": -0.3}
        rows[f"eyebrow_updown_{side}"] = {f"browOuterUp{name}": 0.7, "browInnerUp": 0.5, f"browDown{name}": -1.0}
        rows[f"mouth_corner_updown_{side}"] = {f"mouthSmile{name}": 1.0, f"mouthFrown{name}": -1.0}
        rows[f"mouth_corner_inout_{side}"] = {f"mouthStretch{name}": 0.8, f"mouthSmile{name}": 0.6, "mouthPucker": -1.0}
    matrix = np.zeros((len(FEATURES), len(UNIT_NAMES)))
    for feature, units in rows.items():
        for unit, weight in units.items():
            matrix[FEATURES.index(feature), UNIT_NAMES.index(unit)] = weight
    return matrix


_FEATURES: Final = _feature_rows()
_BLINKS: Final = tuple(UNIT_NAMES.index(f"eyeBlink{side}") for side in EYES)
