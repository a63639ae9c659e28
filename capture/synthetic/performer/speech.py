"""Lips that talk: phonemes with durations become unit weights that flow into each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What the mouth does for each sound, at normal loudness. Names without Left/Right stand for both sides.
VISEMES: dict[str, dict[str, float]] = {
    "AA": {"jawOpen": 0.52, "mouthLowerDown": 0.22, "mouthUpperUp": 0.08},
    "AE": {"jawOpen": 0.42, "mouthStretch": 0.22, "mouthLowerDown": 0.28, "mouthUpperUp": 0.12},
    "AH": {"jawOpen": 0.30, "mouthLowerDown": 0.16},
    "AO": {"jawOpen": 0.40, "mouthFunnel": 0.42, "mouthPucker": 0.10},
    "AY": {"jawOpen": 0.46, "mouthLowerDown": 0.24, "mouthUpperUp": 0.10, "mouthSmile": 0.08},
    "EH": {"jawOpen": 0.29, "mouthStretch": 0.16, "mouthLowerDown": 0.25, "mouthUpperUp": 0.10},
    "ER": {"jawOpen": 0.18, "mouthFunnel": 0.32, "mouthPucker": 0.16},
    "EY": {"jawOpen": 0.21, "mouthStretch": 0.22, "mouthSmile": 0.18, "mouthLowerDown": 0.24, "mouthUpperUp": 0.12},
    "IH": {"jawOpen": 0.18, "mouthStretch": 0.12, "mouthLowerDown": 0.20},
    "IY": {"jawOpen": 0.12, "mouthStretch": 0.26, "mouthSmile": 0.24, "mouthLowerDown": 0.22, "mouthUpperUp": 0.10},
    "OW": {"jawOpen": 0.28, "mouthFunnel": 0.48, "mouthPucker": 0.28},
    "UH": {"jawOpen": 0.18, "mouthFunnel": 0.34, "mouthPucker": 0.26},
    "UW": {"jawOpen": 0.11, "mouthFunnel": 0.24, "mouthPucker": 0.66},
    "B": {"mouthPress": 0.32, "mouthRollLower": 0.12, "mouthRollUpper": 0.10},
    "CH": {"jawOpen": 0.09, "mouthFunnel": 0.52, "mouthUpperUp": 0.12, "mouthLowerDown": 0.18},
    "D": {"jawOpen": 0.12, "mouthLowerDown": 0.20, "mouthStretch": 0.08},
    "F": {"jawOpen": 0.07, "mouthRollLower": 0.40, "mouthUpperUp": 0.20},
    "HH": {"jawOpen": 0.20, "mouthLowerDown": 0.10},
    "K": {"jawOpen": 0.18, "mouthLowerDown": 0.14},
    "L": {"jawOpen": 0.20, "mouthLowerDown": 0.18, "tongueOut": 0.04},
    "M": {"mouthPress": 0.26, "mouthRollLower": 0.16, "mouthRollUpper": 0.12},
    "N": {"jawOpen": 0.12, "mouthLowerDown": 0.16},
    "R": {"jawOpen": 0.14, "mouthFunnel": 0.36, "mouthPucker": 0.14},
    "S": {"jawOpen": 0.06, "mouthStretch": 0.18, "mouthLowerDown": 0.26, "mouthUpperUp": 0.10},
    "SH": {"jawOpen": 0.08, "mouthFunnel": 0.55, "mouthUpperUp": 0.14, "mouthLowerDown": 0.16},
    "T": {"jawOpen": 0.10, "mouthLowerDown": 0.20, "mouthStretch": 0.10},
    "TH": {"jawOpen": 0.16, "mouthLowerDown": 0.16, "tongueOut": 0.22},
    "W": {"jawOpen": 0.08, "mouthPucker": 0.62, "mouthFunnel": 0.20},
    "_": {},
}
SAME_SHAPE = {
    "P": "B",
    "V": "F",
    "Z": "S",
    "JH": "CH",
    "G": "K",
    "NG": "K",
    "Y": "IY",
    "AW": "AA",
    "OY": "AO",
    "DH": "TH",
}
VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
# How firmly a sound holds its shape against its neighbours: lips must close for B, M and P whatever comes next.
FIRMNESS = {
    "B": 6.0,
    "M": 6.0,
    "P": 6.0,
    "F": 4.0,
    "V": 4.0,
    "W": 3.0,
    "UW": 2.2,
    "OW": 1.8,
    "SH": 2.2,
    "CH": 2.2,
    "_": 1.6,
}
BOTH_SIDES = ("mouthLowerDown", "mouthUpperUp", "mouthStretch", "mouthSmile", "mouthPress")
LOUD_UNITS = ("jawOpen", "mouthLowerDown", "mouthUpperUp")


@dataclass(frozen=True)
class Utterance:
    """Words as phonemes: sounds between spaces, `'` before a stressed vowel, `|` between words, `,` for a breath."""

    start_s: float
    phonemes: str
    loudness: float = 1.0
    tempo: float = 1.0


@dataclass(frozen=True)
class Sound:
    """One phoneme in time; `stress` 0..1."""

    name: str
    centre_s: float
    duration_s: float
    loudness: float
    stress: float


def sounds_of(utterance: Utterance, rng: np.random.Generator) -> list[Sound]:
    """Phonemes with durations: vowels longer than consonants, stressed ones longer still, the end drawn out."""
    tokens = utterance.phonemes.split()
    time, sounds = utterance.start_s, []
    for place, token in enumerate(tokens):
        stressed, name = token.startswith("'"), token.lstrip("'")
        if name == "|":
            time += 0.018 / utterance.tempo
            continue
        base = {",": 0.34}.get(name, 0.125 if name in VOWELS else 0.074)
        base *= 1.35 if stressed else 1.0
        base *= 1 + 0.35 * max(0, place - len(tokens) + 5) / 5
        duration = base * float(rng.uniform(0.86, 1.16)) / utterance.tempo
        loudness = utterance.loudness * (1.18 if stressed else 0.9) * float(rng.uniform(0.88, 1.12))
        sounds.append(Sound("_" if name == "," else name, time + duration / 2, duration, loudness, float(stressed)))
        time += duration
    edge = {"loudness": 0.0, "stress": 0.0}
    before = Sound("_", utterance.start_s - 0.11, 0.16, **edge)
    return [before, *sounds, Sound("_", time + 0.13, 0.2, **edge)]


def speech_weights(sounds: list[Sound], times: NDArray[np.float64], unit_names: tuple[str, ...]) -> NDArray[np.float64]:
    """[T, units] weights while these sounds are spoken, 0 elsewhere.

    Every sound pulls towards its shape with a strength that falls off around its centre, and the shapes are averaged
    by these strengths: the dominance functions of Cohen and Massaro, "Modeling coarticulation in synthetic visual
    speech" (1993).
    """
    shapes = np.stack([_shape(sound, unit_names) for sound in sounds])
    centre = np.array([sound.centre_s for sound in sounds])
    reach = np.array([max(0.42 * sound.duration_s, 0.024) for sound in sounds])
    firm = np.array([FIRMNESS.get(sound.name, 1.0) for sound in sounds])
    # A squared exponential keeps the speed of lips and jaw steady where the plain one would have kinks.
    strength = firm * np.exp(-0.5 * ((times[:, None] - centre) / reach) ** 2) + 1e-9
    weights = strength @ shapes / strength.sum(axis=1, keepdims=True)
    start, end = sounds[0].centre_s, sounds[-1].centre_s
    during = np.clip((times - start) / 0.1, 0, 1) * np.clip((end - times) / 0.12, 0, 1)
    return np.asarray(weights * (during * during * (3 - 2 * during))[:, None])


def _shape(sound: Sound, unit_names: tuple[str, ...]) -> NDArray[np.float64]:
    weights = np.zeros(len(unit_names))
    for unit, weight in VISEMES[SAME_SHAPE.get(sound.name, sound.name)].items():
        scale = 0.35 + 0.65 * sound.loudness if unit in LOUD_UNITS else 0.8 + 0.2 * sound.loudness
        for name in (f"{unit}Left", f"{unit}Right") if unit in BOTH_SIDES else (unit,):
            weights[unit_names.index(name)] = weight * scale
    return weights
