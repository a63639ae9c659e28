"""What a driver does, in the weights of the 52 units: what the prior names, put right by what can be measured.

Shared by the expression engine, which plays the units, and the flow engine, whose motion code they can be.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.frame import FaceObservation
from engine.expression.expression_features import ExpressionNeutral
from engine.expression.expression_prior import ExpressionPrior
from engine.motion.contact import smoothstep
from engine.motion.driver_face import DriverMotion

WEIGHT_RANGE: Final = (-0.3, 1.5)
"""Of a full unit: more is a mistake of the prior rather than a face."""
LID_RANGE: Final = (-0.3, 1.0)
"""Wide open … shut."""
_DISAGREEMENT = 0.15  # by which the one that says less is heard
_SNAP = (0.6, 0.86)  # trackers miss the last of a quick blink: lids so far down are on their way to shut
_WINKING, _APART = 0.2, 0.35  # by which eyes differ that wink, and share of what is more that the tracker evens out
_LOOKING_DOWN = 0.4  # by which lids of eyes that look fully down seem closed
_WIDER = 0.5  # share of the opening by which eyes that are as wide as they get stand wider
_LOOKS = [number for number, name in enumerate(UNIT_NAMES) if name.startswith("eyeLook")]
_ONE_WAY = [k for k, name in enumerate(UNIT_NAMES) if not name.startswith(("eyeLook", "eyeBlink"))]
_LEAST = 0.1  # of a full unit: what the prior says of units that rest stays below that, and jaws would wander with it
_FAINT = [k for k in _ONE_WAY if not UNIT_NAMES[k].startswith("eye")]
_LOOKS_FARTHER = 1.2  # than the prior says, who errs on the side of the middle
_LIPS_SHUT, _LIPS_OPEN = 0.02, 0.05  # mouth widths: seen apart by so little they are shut, by so much as the prior says


def _rows(*names: str) -> list[int]:
    return [UNIT_NAMES.index(name) for name in names]


BLINKS: Final = _rows("eyeBlinkRight", "eyeBlinkLeft")
"""Picture-left eye first."""
_LOOKS_DOWN = _rows("eyeLookDownRight", "eyeLookDownLeft")
_WIDE = _rows("eyeWideRight", "eyeWideLeft")
_PARTS_LIPS = _rows("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthFunnel")
_JAW_OPEN, _MOUTH_CLOSE = _rows("jawOpen", "mouthClose")

Array = NDArray[np.float64]


class SeenUnits:
    """Names the units of one observation after another. No state from frame to frame.

    Attributes:
        gains: [52] by which each unit is multiplied.

    `prior`: the shipped one when left out.
    """

    def __init__(self, prior: ExpressionPrior | None = None) -> None:
        self._prior = prior or ExpressionPrior.load()
        self.gains: Array = np.ones(UNIT_COUNT)

    def __call__(self, observation: FaceObservation, neutral: ExpressionNeutral, motion: DriverMotion) -> Array:
        """[52] weights, in the order of `UNIT_NAMES`.

        Units go one way, and what is named faintly is left out: no face does all of them a little.
        Eyelids are measured as well as named by the prior: what both say counts, and blinks are finished. Lids that
        follow a gaze downwards are not on their way to shut: the avatar's follow its own. Eyes that are named wide are
        not opened a second time because they are measured so. Trackers think that eyes do alike: of a wink they show
        three quarters, and a quarter of it in the other eye.
        """
        units = self.gains * self._prior.estimate(observation, neutral, motion)
        units[_LOOKS] *= _LOOKS_FARTHER
        units = np.clip(units, *WEIGHT_RANGE)
        units[_ONE_WAY] = np.maximum(units[_ONE_WAY], 0.0)
        units[_FAINT] *= smoothstep(units[_FAINT] / _LEAST)
        measured, named = np.clip(_apart(1 - motion.lids[:, 0]), *LID_RANGE), units[BLINKS]
        measured = np.where(measured < 0, np.minimum(measured + _WIDER * np.clip(units[_WIDE], 0, 1), 0), measured)
        measured -= _LOOKING_DOWN * np.clip(units[_LOOKS_DOWN], 0, 1) * (1 - measured)
        shut = _shut(measured, named)
        _shut_lips(units, float(1 - smoothstep((motion.lips_apart - _LIPS_SHUT) / (_LIPS_OPEN - _LIPS_SHUT))))
        blinks = (measured + named) / 2
        units[BLINKS] = blinks + np.interp(shut, _SNAP, (0.0, 1.0)) * np.maximum(1 - blinks, 0)
        return np.asarray(units)


def _shut_lips(units: Array, shut: float) -> None:
    """Take back what parts lips that are seen to be shut: teeth that nobody bares are a worse mistake than a smile
    a little too small."""
    units[_PARTS_LIPS] *= 1 - shut * (units[_PARTS_LIPS] > 0)
    opened = max(float(units[_JAW_OPEN]), 0.0)
    units[_MOUTH_CLOSE] += shut * max(opened - float(units[_MOUTH_CLOSE]), 0.0)


def _apart(closed: Array) -> Array:
    """[2] how far lids are closed, of what is measured of both eyes [2] that a tracker draws together."""
    beyond = closed - closed[::-1]
    return closed + _APART * np.sign(beyond) * np.maximum(np.abs(beyond) - _WINKING, 0)


def _shut(measured: Array, named: Array) -> Array:
    """[2] how far lids are shut, from what was measured between them and from the blinks that the prior names."""
    most, middle = np.maximum(measured, named), (measured + named) / 2
    return np.minimum(np.maximum(middle, most - _DISAGREEMENT), 1.0)
