"""What a face does in one frame, in the words that other programs know: 52 unit weights, the gaze, the head's pose.

This is what recordings keep, what is sent to other programs, and what a phone's own face tracking brings in.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_COUNT, UNIT_NAMES

Array = NDArray[np.float64]

GAZE_REACH_DEG: Final = {"Up": 16.6, "Down": 19.4, "In": 26.0, "Out": 25.5}
"""By how much an eye has turned where its unit of the gaze, such as eyeLookInLeft, has the weight 1."""

MOST_AT_REST: Final = 0.8
"""Of a unit: what a face shows of it at rest beyond that does not count as rest, or little of its range were left."""

_SIDES = ("Right", "Left")  # of the person: picture-left eye first
_OUTWARDS = (-1.0, 1.0)
_WAYS = [
    (f"eyeLook{way}{side}", eye, axis, sign, GAZE_REACH_DEG[way])
    for eye, side in enumerate(_SIDES)
    for way, axis, sign in (("Out", 0, _OUTWARDS[eye]), ("In", 0, -_OUTWARDS[eye]), ("Up", 1, 1.0), ("Down", 1, -1.0))
]
_GAZE_UNITS: Final = np.array([UNIT_NAMES.index(name) for name, *_ in _WAYS])
_EYE, _AXIS = (np.array([each[column] for each in _WAYS]) for column in (1, 2))
_RADIANS: Final = np.array([sign * np.radians(reach) for *_, sign, reach in _WAYS])  # of a whole unit

_OTHER_SIDES: Final = np.array(
    [UNIT_NAMES.index(re.sub("Left$|Right$", lambda side: _SIDES[side[0] == "Right"], name)) for name in UNIT_NAMES]
)
"""[52] for each unit the one that a mirror makes of it."""

_MIRRORED_SIGNS: Final = np.outer((-1.0, 1.0, 1.0, 1.0), (-1.0, 1.0, 1.0, 1.0))  # S T S, with S mirroring x


@dataclass(frozen=True, eq=False)
class FaceMotion:
    """What a face does, smoothed and eased as the avatar shows it. At rest every weight is 0 and the head is still.

    Attributes:
        weights: [52] float64 in the order of `core.expression_units.UNIT_NAMES`, 1 the full unit; may be a little
            below 0 or above 1. "Left" is the person's own left. The units of the gaze agree with `gaze`.
        gaze: [2, 2] float64 yaw (to picture-right, the person's left) and pitch (up) of each eye in radians,
            picture-left eye (the person's right) first.
        T_neutral_head: [4, 4] float64 the head's rigid motion since the neutral, in the neutral head's own frame: x to
            the person's left, y up, z out of the face; metres, of a head of average size and proportions, about the
            origin of the canonical face.
    """

    weights: Array
    gaze: Array
    T_neutral_head: Array

    @staticmethod
    def at_rest() -> "FaceMotion":
        """Of a neutral face."""
        return FaceMotion(np.zeros(UNIT_COUNT), np.zeros((2, 2)), np.eye(4))

    def mirrored(self) -> "FaceMotion":
        """As a mirror shows it: the person's left does what the right did."""
        return FaceMotion(*_mirrored(self))


@dataclass(frozen=True, eq=False)
class MotionFrame:
    """One frame of a source that brings motion and no picture, such as a phone that tracks the face itself.

    Attributes:
        motion: as the source names it. What its head's pose is relative to is up to the source.
        tracked: False where the source saw no face.
        timestamp_s, index: as of `core.frame.RgbdFrame`.
    """

    motion: FaceMotion
    tracked: bool
    timestamp_s: float
    index: int


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """T frames of `FaceMotion`, as a recording holds them.

    Attributes:
        timestamps_s: [T] float64 at capture, rising.
        tracked: [T] bool, whether there was a face; where not, the motion eases to rest.
        weights: [T, 52], gaze: [T, 2, 2], T_neutral_head: [T, 4, 4] float64 as in `FaceMotion`.
    """

    timestamps_s: Array
    tracked: NDArray[np.bool_]
    weights: Array
    gaze: Array
    T_neutral_head: Array

    def __post_init__(self) -> None:
        count = len(self.timestamps_s)
        expected = {
            "timestamps_s": (count,),
            "tracked": (count,),
            "weights": (count, UNIT_COUNT),
            "gaze": (count, 2, 2),
            "T_neutral_head": (count, 4, 4),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {getattr(self, name).shape}")

    def __len__(self) -> int:
        return len(self.timestamps_s)

    def __getitem__(self, frame: int) -> FaceMotion:
        return FaceMotion(self.weights[frame], self.gaze[frame], self.T_neutral_head[frame])

    def mirrored(self) -> "MotionTrack":
        """As a mirror shows it."""
        return MotionTrack(self.timestamps_s, self.tracked, *_mirrored(self))


def _mirrored(motion: FaceMotion | MotionTrack) -> tuple[Array, Array, Array]:
    """Weights, gaze and head pose of one frame or of all, with left and right exchanged."""
    gaze = motion.gaze[..., ::-1, :] * (-1.0, 1.0)
    return motion.weights[..., _OTHER_SIDES], gaze, motion.T_neutral_head * _MIRRORED_SIGNS


def above_rest(weights: Array, rest: Array) -> Array:
    """[52] what a face does beyond what it shows at rest, over what is left of each unit's range."""
    rest = np.minimum(np.maximum(rest, 0.0), MOST_AT_REST)
    return np.asarray((weights - rest) / (1 - rest))


def gaze_of(weights: Array) -> Array:
    """[2, 2] as `FaceMotion.gaze`, by the units of the gaze among `weights` [52]."""
    angles = np.zeros((2, 2))
    np.add.at(angles, (_EYE, _AXIS), _RADIANS * weights[_GAZE_UNITS])
    return angles


def with_gaze(weights: Array, gaze: Array) -> Array:
    """[..., 52] a copy of the weights whose units of the gaze say what `gaze` [..., 2, 2] says."""
    weights = weights.copy()
    weights[..., _GAZE_UNITS] = np.maximum(gaze[..., _EYE, _AXIS] / _RADIANS, 0.0)
    return weights
