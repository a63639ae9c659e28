"""The 52 expression units by which faces are described: their names, as in ARKit, and their order in every array."""

import re
from typing import Final

# fmt: off
UNIT_NAMES: Final = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen",
    "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight",
    "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft",
    "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)
# fmt: on
"""In the order of every array of weights; "Left" is the person's own left. 0 is neutral, 1 the full unit."""

UNIT_COUNT: Final = len(UNIT_NAMES)

SCORE_NAMES: Final = ("_neutral", *UNIT_NAMES[:-1])
"""Of the face landmarker's 52 coefficients, in its order: it has one for the neutral face, and none for the tongue."""


def with_side_letter(unit: str) -> str:
    """A unit's name as many programs spell it: eyeBlink_L for eyeBlinkLeft; jawLeft and such are ways, not sides."""
    if unit in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return unit
    return re.sub("(L)eft$|(R)ight$", lambda side: f"_{side[1] or side[2]}", unit)
