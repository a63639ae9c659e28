"""Random acting: smooth performances and independent expressions, as unit weights and head turns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.performer import script
from capture.synthetic.performer.performance import blink, envelope, min_jerk
from capture.synthetic.performer.script import Expression
from capture.synthetic.performer.speech import BOTH_SIDES, VISEMES, Utterance, sounds_of, speech_weights
from core.face_motion import GAZE_REACH_DEG

Curve = NDArray[np.float64]

EXPRESSIONS = tuple(
    dict(units) for units in (
        script.SMILE, script.GRIN, script.GRIN | script.LAUGH, script.BROWS_UP, script.SURPRISE, script.FROWN,
        script.DISGUST, script.THINKING, script.KISS, script.OOH, script.PUFF, script.SMIRK, script.WINK, script.SAD,
    )
)  # fmt: skip
_VOWELS = ("AA", "AE", "AH", "AO", "AY", "EH", "ER", "EY", "IY", "OW", "UW")
_CONSONANTS = ("B", "D", "F", "K", "L", "M", "N", "P", "R", "S", "SH", "T", "TH", "V", "W")
# Units that no face does at once: the weaker gives way to the stronger.
_OPPOSED = (
    ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("mouthFunnel", "mouthRollLower"),
    ("mouthFunnel", "mouthRollUpper"), ("eyeWideLeft", "eyeBlinkLeft"), ("eyeWideRight", "eyeBlinkRight"),
    ("eyeWideLeft", "eyeSquintLeft"),
    ("eyeWideRight", "eyeSquintRight"), ("mouthSmileLeft", "mouthFrownLeft"),
    ("mouthSmileRight", "mouthFrownRight"),
    ("mouthPucker", "mouthStretchLeft"), ("mouthPucker", "mouthStretchRight"), ("mouthPucker", "mouthSmileLeft"),
    ("mouthPucker", "mouthSmileRight"), ("browDownLeft", "browOuterUpLeft"), ("browDownRight", "browOuterUpRight"),
)  # fmt: skip
_MOUTH_LIMIT = 2.4  # sum of mouth weights beyond which lips would run into each other
_NOT_ALONE = ("eyeLook", "eyeBlink", "tongueOut", "mouthClose")  # units that are drawn by rules of their own


def perform(
    rng: np.random.Generator, times: Curve, unit_names: tuple[str, ...], rest_s: float, pace: float = 1.0
) -> Curve:
    """[T, 52] weights of one random take: expressions that come and go, speech, blinks and glances.

    The face is neutral at the start for half a second, and for `rest_s` at the end. Expressions take a second or two;
    `pace` shortens them.
    """
    weights = np.zeros((len(times), len(unit_names)))
    end_s = float(times[-1]) - rest_s
    time = 0.55
    while time < end_s - 0.5:
        length = float(rng.uniform(0.8, 2.6)) / pace
        if rng.random() < 0.4:
            weights += speech_weights(sounds_of(_babble(rng, time, length), rng), times, unit_names)
            units = _mood(rng, unit_names)
        else:
            units = random_mix(rng, unit_names)
        rise, fall = float(rng.uniform(0.12, 0.45)), float(rng.uniform(0.15, 0.5))
        weights += np.outer(
            envelope(times, Expression(time, time + length, {}, rise, fall)), _vector(units, unit_names)
        )
        time += length * float(rng.uniform(0.55, 1.1))
    _add_glances(weights, times, unit_names, rng)
    curtain = min_jerk((times - 0.5) / 0.3) * (1 - min_jerk((times - end_s + 0.3) / 0.3))
    weights *= curtain[:, None]
    _add_blinks(weights, times, unit_names, rng, end_s)
    return np.stack([plausible(row, unit_names) for row in weights])


def stills(rng: np.random.Generator, count: int, unit_names: tuple[str, ...]) -> Curve:
    """[count, 52] expressions that have nothing to do with each other; the first is neutral."""
    rows = [np.zeros(len(unit_names))]
    for _ in range(count - 1):
        weights = _vector(random_mix(rng, unit_names), unit_names)
        if rng.random() < 0.25:
            both, depth = rng.random() < 0.8, float(rng.uniform(0.2, 1.0))
            for side in ("Left", "Right") if both else (str(rng.choice(["Left", "Right"])),):
                weights[unit_names.index(f"eyeBlink{side}")] = depth
        gaze = rng.normal(0, (8.0, 5.0)) if rng.random() < 0.7 else np.zeros(2)
        weights += gaze_weights(np.clip(gaze, [-22, -16], [22, 14])[None], unit_names)[0]
        rows.append(plausible(weights, unit_names))
    return np.stack(rows)


def random_mix(rng: np.random.Generator, unit_names: tuple[str, ...]) -> dict[str, float]:
    """Units of one expression: a well-known one, a sound with a mood, one unit, or up to six of any."""
    kind = rng.choice(["known", "sound", "one", "some", "none"], p=[0.27, 0.2, 0.18, 0.31, 0.04])
    if kind == "none":
        return {}
    if kind == "known":
        strength = float(rng.uniform(0.4, 1.05))
        known = EXPRESSIONS[rng.integers(0, len(EXPRESSIONS))]
        return {name: weight * strength * float(rng.uniform(0.75, 1.2)) for name, weight in known.items()}
    if kind == "sound":
        sound = VISEMES[str(rng.choice([name for name in VISEMES if name != "_"]))]
        strength = float(rng.uniform(0.7, 1.5))
        return _both_sides({name: weight * strength for name, weight in sound.items()}) | _mood(rng, unit_names)
    return _units(rng, unit_names, 1 if kind == "one" else int(rng.integers(2, 7)))


def plausible(weights: Curve, unit_names: tuple[str, ...]) -> Curve:
    """[52] the nearest weights that a face can do: within 0..1, nothing against its opposite, lips not overdone."""
    out = np.clip(weights, 0, 1)
    at = unit_names.index
    for one, other in _OPPOSED:
        weaker, stronger = sorted((at(one), at(other)), key=lambda index: float(out[index]))
        out[weaker] = max(0.0, min(out[weaker], 1.0 - out[stronger] * 1.5, out[stronger]))
    mouth = [index for index, name in enumerate(unit_names) if name.startswith("mouth") and name != "mouthClose"]
    out[mouth] *= min(1.0, _MOUTH_LIMIT / max(float(out[mouth].sum()), 1e-9))
    out[at("mouthClose")] = min(out[at("mouthClose")], out[at("jawOpen")])
    out[at("tongueOut")] = min(out[at("tongueOut")], 2.0 * out[at("jawOpen")])
    return np.asarray(out)


def gaze_weights(gaze_deg: Curve, unit_names: tuple[str, ...]) -> Curve:
    """[T, 52] weights that turn both eyes by [T, 2] degrees to the person's left and upwards."""
    left, up = gaze_deg.T
    ways = {
        "eyeLookOutLeft": left, "eyeLookInLeft": -left, "eyeLookInRight": left, "eyeLookOutRight": -left,
        "eyeLookUpLeft": up, "eyeLookUpRight": up, "eyeLookDownLeft": -up, "eyeLookDownRight": -up,
    }  # fmt: skip
    weights = np.zeros((len(gaze_deg), len(unit_names)))
    for name, angle in ways.items():
        way = name.removeprefix("eyeLook").removesuffix("Left").removesuffix("Right")
        weights[:, unit_names.index(name)] = np.maximum(angle, 0) / GAZE_REACH_DEG[way]
    return weights


def head_turns(rng: np.random.Generator, times: Curve, reach_deg: float, rest_s: float, tempo: float = 1.0) -> Curve:
    """[T, 3] turn, nod and tilt (as `Performance.head_deg`) wandering smoothly within about `reach_deg` (nods and tilts
    less), still at the start and for `rest_s` at the end."""
    reach = np.array([1.0, 0.55, 0.4]) * reach_deg
    wave = np.zeros((len(times), 3))
    for hertz in (0.13, 0.21, 0.34, 0.55):
        phase = rng.uniform(0, 2 * np.pi, 3)
        size = rng.normal(0, 0.5, 3) * (0.13 / hertz) ** 0.5
        wave += size * np.sin(2 * np.pi * hertz * tempo * times[:, None] + phase)
    wave = reach * np.tanh(wave)
    curtain = min_jerk((times - 0.4) / 0.6) * (1 - min_jerk((times - times[-1] + rest_s + 0.5) / 0.5))
    return np.asarray((wave - wave[0]) * (curtain if rest_s > 0 else min_jerk((times - 0.4) / 0.6))[:, None])


def _babble(rng: np.random.Generator, start_s: float, length_s: float) -> Utterance:
    """Syllables without meaning that take about `length_s`."""
    count = max(2, round(length_s / 0.22))
    stresses = ["'" if rng.random() < 0.4 else "" for _ in range(count)]
    tokens = [f"{rng.choice(_CONSONANTS)} {stress}{rng.choice(_VOWELS)}" for stress in stresses]
    return Utterance(start_s, " ".join(tokens), float(rng.uniform(0.7, 1.4)), float(rng.uniform(0.85, 1.2)))


def _mood(rng: np.random.Generator, unit_names: tuple[str, ...]) -> dict[str, float]:
    """What the upper face does meanwhile, often nothing."""
    upper = tuple(name for name in unit_names if name.startswith(("brow", "eyeWide", "eyeSquint", "cheekSquint")))
    return _units(rng, upper, int(rng.integers(1, 4))) if rng.random() < 0.6 else {}


def _units(rng: np.random.Generator, names: tuple[str, ...], count: int) -> dict[str, float]:
    """`count` random units, usually the same on both sides."""
    free = [name for name in names if not name.startswith(_NOT_ALONE)]
    stems = sorted({name.removesuffix("Left").removesuffix("Right") if _paired(name, names) else name for name in free})
    units: dict[str, float] = {}
    for stem in rng.choice(stems, size=min(count, len(stems)), replace=False):
        weight = float(rng.beta(1.6, 1.3))
        sides = [stem] if str(stem) in names else [f"{stem}Left", f"{stem}Right"]
        if len(sides) == 2 and rng.random() < 0.3:
            sides = [sides[int(rng.integers(0, 2))]]
        units |= {str(side): min(weight * float(rng.uniform(0.85, 1.15)), 1.0) for side in sides}
    return units


def _paired(name: str, names: tuple[str, ...]) -> bool:
    """Whether the unit exists for both sides and they may act together, unlike those that point aside."""
    stem = name.removesuffix("Left").removesuffix("Right")
    return stem not in ("jaw", "mouth", name) and f"{stem}Left" in names and f"{stem}Right" in names


def _both_sides(units: Mapping[str, float]) -> dict[str, float]:
    paired = {
        f"{name}{side}": weight for name, weight in units.items() if name in BOTH_SIDES for side in ("Left", "Right")
    }
    return paired | {name: weight for name, weight in units.items() if name not in BOTH_SIDES}


def _vector(units: Mapping[str, float], unit_names: tuple[str, ...]) -> Curve:
    return np.array([units.get(name, 0.0) for name in unit_names])


def _add_glances(weights: Curve, times: Curve, unit_names: tuple[str, ...], rng: np.random.Generator) -> None:
    """Eyes jump to a new place every second or so; a saccade takes about 2.2 ms a degree and 20 ms more."""
    gaze, before, time = np.zeros((len(times), 2)), np.zeros(2), 0.8
    while time < times[-1]:
        after = np.clip(rng.normal(0, (9.0, 5.5)), [-22, -16], [22, 14]) if rng.random() < 0.6 else np.zeros(2)
        duration = 0.020 + 0.0022 * float(np.hypot(*(after - before)))
        gaze += np.outer(min_jerk((times - time) / duration), after - before)
        before, time = after, time + float(rng.gamma(4.0, 0.28))
    weights += gaze_weights(gaze, unit_names)


def _add_blinks(
    weights: Curve, times: Curve, unit_names: tuple[str, ...], rng: np.random.Generator, end_s: float
) -> None:
    time = float(rng.uniform(0.7, 1.6))
    while time < end_s - 0.4:
        depth, slower = float(rng.uniform(0.94, 1.0)), float(rng.uniform(0.9, 1.3))
        for side, lag in (("Left", 0.0), ("Right", float(rng.uniform(0, 0.01)))):
            column = unit_names.index(f"eyeBlink{side}")
            weights[:, column] = np.maximum(weights[:, column], depth * blink(times - time - lag, slower))
        time += float(np.clip(rng.gamma(7.0, 0.35), 0.8, 5.0))
