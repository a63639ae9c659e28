"""Which shapes a rig gets, under which names, and what the face does in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from calib.rig.own_shapes import unit_of
from core.expression_units import UNIT_NAMES, with_side_letter

Naming = Literal["arkit", "pascal", "suffix", "vrm", "metahuman"]
"""arkit: jawOpen, eyeBlinkLeft; pascal: JawOpen, EyeBlinkLeft; suffix: jawOpen, eyeBlink_L; vrm: the presets of VRM;
metahuman: CTRL_expressions_jawOpen, CTRL_expressions_eyeBlinkL, the curves of MetaHumans."""

Place = Literal["Left", "Right", "Upper", "Lower"]
"""A part of the face: the person's own left and right; the upper and the lower lip with what lies above and below."""


@dataclass(frozen=True)
class Target:
    """One shape of a rig.

    Attributes:
        name: in the file.
        units: weights of ARKit units.
        over: weights of what the face does already where this shape is meant to be added.
        places: where it moves the face; everywhere where there are none. The shapes of all places add up to the whole.
    """

    name: str
    units: Mapping[str, float]
    over: Mapping[str, float] = field(default_factory=dict)
    places: tuple[Place, ...] = ()


_CORRECTIVE: Final = {"mouthClose": {"jawOpen": 1.0}, "tongueOut": {"jawOpen": 0.5}}
"""mouthClose shuts the lips of an open jaw; over a shut one there is nothing to shut. A tongue comes out between lips
that are apart."""


def _both(**units: float) -> dict[str, float]:
    """The units of both sides of the face."""
    return {f"{name}{side}": weight for name, weight in units.items() for side in ("Left", "Right")}


PRESETS: Final[dict[str, dict[str, float]]] = {
    "happy": _both(mouthSmile=0.9, cheekSquint=0.7, eyeSquint=0.3),
    "angry": _both(browDown=1.0, noseSneer=0.5, mouthFrown=0.5, eyeSquint=0.4, mouthPress=0.3),
    "sad": {"browInnerUp": 0.9, "mouthShrugLower": 0.4} | _both(mouthFrown=0.8, eyeSquint=0.2),
    "relaxed": _both(mouthSmile=0.5, eyeBlink=0.25),
    "surprised": {"browInnerUp": 0.8, "jawOpen": 0.35} | _both(browOuterUp=0.8, eyeWide=0.9),
    "aa": {"jawOpen": 0.6} | _both(mouthLowerDown=0.2),
    "ih": {"jawOpen": 0.2} | _both(mouthStretch=0.4, mouthUpperUp=0.2, mouthLowerDown=0.3),
    "ou": {"jawOpen": 0.2, "mouthPucker": 0.6, "mouthFunnel": 0.3},
    "ee": {"jawOpen": 0.15} | _both(mouthSmile=0.4, mouthStretch=0.3, mouthLowerDown=0.3),
    "oh": {"jawOpen": 0.4, "mouthFunnel": 0.7, "mouthPucker": 0.15},
    "blink": _both(eyeBlink=1.0),
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
    "lookUp": _both(eyeLookUp=1.0),
    "lookDown": _both(eyeLookDown=1.0),
    "lookLeft": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "lookRight": {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0},
}
"""Of VRM 1.0, composed of units; Left is the person's own left, as in VRM."""


def targets(naming: Naming) -> tuple[Target, ...]:
    """The shapes of a rig with those names."""
    if naming == "vrm":
        return tuple(Target(name, units) for name, units in PRESETS.items())
    if naming == "metahuman":
        return tuple(target for unit in UNIT_NAMES for target in _curves(unit))
    return tuple(Target(written(unit, naming), {unit: 1.0}, _CORRECTIVE.get(unit, {})) for unit in UNIT_NAMES)


_CURVE: Final = "CTRL_expressions_"
_CURVES: Final = {
    "browDown": "browDown", "browInnerUp": "browRaiseIn*", "browOuterUp": "browRaiseOuter", "cheekPuff":
    "mouthCheekBlow*", "cheekSquint": "eyeCheekRaise", "eyeBlink": "eyeBlink", "eyeLookDown": "eyeLookDown",
    "eyeLookUp": "eyeLookUp", "eyeSquint": "eyeSquintInner", "eyeWide": "eyeWiden", "jawForward": "jawFwd",
    "jawLeft": "jawLeft", "jawOpen": "jawOpen", "jawRight": "jawRight", "mouthClose": "mouthLipsTogether**",
    "mouthDimple": "mouthDimple", "mouthFrown": "mouthCornerDepress", "mouthFunnel": "mouthFunnel**",
    "mouthLeft": "mouthLeft", "mouthLowerDown": "mouthLowerLipDepress", "mouthPress": "mouthLipsPress",
    "mouthPucker": "mouthLipsPurse**", "mouthRight": "mouthRight", "mouthRollLower": "mouthLowerLipRollIn*",
    "mouthRollUpper": "mouthUpperLipRollIn*", "mouthShrugLower": "jawChinRaiseD*", "mouthShrugUpper": "jawChinRaiseU*",
    "mouthSmile": "mouthCornerPull", "mouthStretch": "mouthStretch", "mouthUpperUp": "mouthUpperLipRaise",
    "noseSneer": "noseWrinkle", "tongueOut": "tongueOut",
}  # fmt: skip
"""The curve of a MetaHuman's face that does what a unit does. A star: one for each side; two: and for each lip."""
_ACROSS: Final = {"eyeLookInLeft": "RightL", "eyeLookOutLeft": "LeftL", "eyeLookInRight": "LeftR",
                  "eyeLookOutRight": "RightR"}  # fmt: skip
_BOTH_SIDES: Final[tuple[tuple[str, Place], ...]] = (("L", "Left"), ("R", "Right"))
_BOTH_LIPS: Final[tuple[tuple[str, Place], ...]] = (("U", "Upper"), ("D", "Lower"))


def _curves(unit: str) -> list[Target]:
    """The shapes of a unit under the names of a MetaHuman's curves."""
    over = _CORRECTIVE.get(unit, {})
    if unit in _ACROSS:
        return [Target(f"{_CURVE}eyeLook{_ACROSS[unit]}", {unit: 1.0}, over)]
    if unit in _CURVES and not _CURVES[unit].endswith("*"):
        return [Target(_CURVE + _CURVES[unit], {unit: 1.0}, over)]
    if unit not in _CURVES:
        stem = unit.removesuffix("Left").removesuffix("Right")
        return [Target(f"{_CURVE}{_CURVES[stem]}{'L' if unit.endswith('Left') else 'R'}", {unit: 1.0}, over)]
    stem = _CURVE + _CURVES[unit].rstrip("*")
    lips = _BOTH_LIPS if _CURVES[unit].endswith("**") else (("", None),)
    return [
        Target(stem + lip + side, {unit: 1.0}, over, tuple(each for each in (there, where) if each is not None))
        for lip, where in lips
        for side, there in _BOTH_SIDES
    ]


def holds_units(naming: Naming) -> bool:
    """Whether shapes with those names are the 52 units, which a driver's weights can move."""
    return {unit_of(target.name) for target in targets(naming)} >= set(UNIT_NAMES)


def written(unit: str, naming: Naming) -> str:
    """An ARKit unit's name as a file has it."""
    if naming == "pascal":
        return unit[0].upper() + unit[1:]
    return with_side_letter(unit) if naming == "suffix" else unit
