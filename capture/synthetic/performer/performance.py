"""A minute of acting: unit weights, head pose and breath of every frame, the same every time, seamless at its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.performer.script import EXPRESSIONS, GAZES, HEAD_MOVES, UTTERANCES, Expression
from capture.synthetic.performer.speech import Sound, sounds_of, speech_weights
from core.face_motion import GAZE_REACH_DEG

FPS = 30.0
SECONDS = 60.0
SEED = 20
QUIET_S = (1.15, 58.9)  # before and after, the face is exactly neutral
BLINK_S = (0.075, 0.035, 0.20)  # closing, closed, opening

Curve = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Performance:
    """T frames of acting.

    Attributes:
        times_s: [T] from 0, one per 1 / FPS.
        weights: [T, 52] unit weights, 0..1.
        head_deg: [T, 3] turn to the person's left, nod downwards, tilt to the person's left shoulder, degrees.
        breath: [T] 0..1 how far the chest has risen.
    """

    times_s: Curve
    weights: Curve
    head_deg: Curve
    breath: Curve


def make_performance(unit_names: tuple[str, ...]) -> Performance:
    """The built-in minute, for these 52 units."""
    rng = np.random.default_rng(SEED)
    times = np.arange(round(SECONDS * FPS)) / FPS
    spoken = [sounds_of(utterance, rng) for utterance in UTTERANCES]
    weights = np.zeros((len(times), len(unit_names)))
    for sounds in spoken:
        weights += speech_weights(sounds, times, unit_names)
    stress = [sound for sounds in spoken for sound in sounds if sound.stress]
    for expression in EXPRESSIONS:
        shape = envelope(times, expression)
        for name, amount in expression.units.items():
            weights[:, unit_names.index(name)] += amount * shape
    _add_brow_beats(weights, times, unit_names, stress)
    head = _head(times, stress, rng)
    gaze = _gaze(times, head, rng)
    _add_gaze(weights, gaze, unit_names)
    _add_blinks(weights, times, unit_names, rng)
    weights *= _curtain(times)[:, None]
    phase = 14 * times / SECONDS % 1  # fourteen breaths in the minute, in faster than out
    breath = np.where(phase < 0.4, min_jerk(phase / 0.4), 1 - min_jerk((phase - 0.4) / 0.6))
    return Performance(times, np.clip(weights, 0, 1), head, breath)


def envelope(times: Curve, expression: Expression) -> Curve:
    """[T] 0..1: rises, breathes a little while it holds, falls; minimum-jerk at both ends."""
    rise = min_jerk((times - expression.start_s) / expression.rise_s)
    fall = min_jerk((times - expression.end_s + expression.fall_s) / expression.fall_s)
    alive = 1 - 0.05 * (1 + np.sin(2 * np.pi * (0.6 * times + 0.37 * expression.start_s)))
    return np.asarray(rise * (1 - fall) * alive)


def min_jerk(value: Curve) -> Curve:
    """0 → 1 along the minimum-jerk curve of human movement (Flash and Hogan 1985)."""
    t = np.clip(value, 0, 1)
    return np.asarray(t**3 * (10 - 15 * t + 6 * t * t))


def _add_brow_beats(weights: Curve, times: Curve, unit_names: tuple[str, ...], stress: list[Sound]) -> None:
    """Brows go up on every few stressed syllables, as people underline words with them."""
    for number, sound in enumerate(stress):
        if number % 3:
            continue
        beat = np.exp(-0.5 * ((times - sound.centre_s + 0.03) / 0.14) ** 2) * 0.34 * sound.loudness
        weights[:, unit_names.index("browInnerUp")] += beat * (0.8 if number % 2 else 0.35)
        for side in ("Left", "Right"):
            weights[:, unit_names.index(f"browOuterUp{side}")] += beat * (1.0 if side == "Left" else 0.85)


def _head(times: Curve, stress: list[Sound], rng: np.random.Generator) -> Curve:
    """[T, 3] degrees: the moves of the script, nods on stressed syllables, and never quite still in between."""
    head = np.zeros((len(times), 3))
    for move in HEAD_MOVES:
        rise = min_jerk((times - move.start_s) / move.rise_s)
        fall = min_jerk((times - move.end_s + move.fall_s) / move.fall_s)
        head += np.outer(rise * (1 - fall), [move.turn_deg, move.nod_deg, move.tilt_deg])
    for sound in stress:
        since = (times - sound.centre_s + 0.06) / 0.16
        size = float(rng.uniform(1.0, 2.6)) * sound.loudness
        head[:, 1] += size * np.exp(-0.5 * since**2) - 0.35 * size * np.exp(-0.5 * (since - 2.2) ** 2)
        head[:, 0] += float(rng.normal(0, 0.8)) * np.exp(-0.5 * (since / 2) ** 2)
        head[:, 2] += float(rng.normal(0, 0.7)) * np.exp(-0.5 * (since / 2.5) ** 2)
    head += _drift(times, rng)
    return np.asarray(head * _curtain(times)[:, None])


def _drift(times: Curve, rng: np.random.Generator) -> Curve:
    """[T, 3] slow wandering of a living head, degrees, with the performance's length as its period."""
    drift = np.zeros((len(times), 3))
    for cycles in (5, 8, 13, 19, 31, 44):
        phase = rng.uniform(0, 2 * np.pi, 3)
        size = np.array([1.6, 0.9, 0.9]) / np.sqrt(cycles / 5)
        drift += size * np.sin(2 * np.pi * cycles * times[:, None] / SECONDS + phase)
    return drift


def _gaze(times: Curve, head: Curve, rng: np.random.Generator) -> Curve:
    """[T, 2] eyes in the head, degrees to the person's left and upwards.

    The eyes rest on the camera or on what the script says, against the head's own motion, and jump rather than glide:
    a saccade takes about 2.2 ms a degree and 20 ms more.
    """
    targets = [(0.0, 0.0, 0.0), *GAZES]
    time = 2.0
    while time < QUIET_S[1] - 1.5:  # small glances within the partner's face
        time += float(rng.gamma(4.0, 0.28))
        start, left, up = [target for target in sorted(targets) if target[0] <= time][-1]
        near_script = any(abs(time - at) < 0.35 for at, _, _ in GAZES)
        if not near_script and start <= time:
            base = [gaze for gaze in GAZES if gaze[0] <= time]
            left, up = (base[-1][1], base[-1][2]) if base else (0.0, 0.0)
            targets.append((time, left + float(rng.normal(0, 1.5)), up + float(rng.normal(0, 1.0))))
    targets.append((QUIET_S[1] - 1.0, 0.0, 0.0))
    world = np.zeros((len(times), 2))
    for (_, *before), (start, *after) in zip(sorted(targets)[:-1], sorted(targets)[1:], strict=True):
        jump = np.array(after) - np.array(before)
        duration = 0.020 + 0.0022 * float(np.hypot(*jump))
        world += np.outer(min_jerk((times - start) / duration), jump)
    eyes = world - np.stack([head[:, 0], -head[:, 1]], axis=1)
    return np.asarray(np.clip(eyes, [-24, -18], [24, 15]))


def _add_gaze(weights: Curve, gaze: Curve, unit_names: tuple[str, ...]) -> None:
    left, up = gaze.T
    ways = {
        "eyeLookOutLeft": left, "eyeLookInLeft": -left, "eyeLookInRight": left, "eyeLookOutRight": -left,
        "eyeLookUpLeft": up, "eyeLookUpRight": up, "eyeLookDownLeft": -up, "eyeLookDownRight": -up,
    }  # fmt: skip
    for name, angle in ways.items():
        way = name.removeprefix("eyeLook").removesuffix("Left").removesuffix("Right")
        weights[:, unit_names.index(name)] += np.maximum(angle, 0) / GAZE_REACH_DEG[way]


def _add_blinks(weights: Curve, times: Curve, unit_names: tuple[str, ...], rng: np.random.Generator) -> None:
    """A blink every three to four seconds, with the larger jumps of the eyes, sometimes two in a row."""
    starts = [start - 0.02 for start, left, up in GAZES if abs(left) + abs(up) > 9]
    time = 1.45
    while time < QUIET_S[1] - 0.6:
        if all(abs(time - start) > 0.9 for start in starts):
            starts.append(time)
            if rng.random() < 0.16:
                starts.append(time + 0.36)
        time += float(np.clip(rng.gamma(7.0, 0.5), 1.6, 6.0))
    for start in sorted(starts):
        depth, slower = float(rng.uniform(0.94, 1.0)), float(rng.uniform(0.9, 1.15))
        for side, lag in (("Left", 0.0), ("Right", 0.008)):
            column = unit_names.index(f"eyeBlink{side}")
            weights[:, column] = np.maximum(weights[:, column], depth * blink(times - start - lag, slower))


def blink(since: Curve, slower: float = 1.0) -> Curve:
    """[T] 0 open … 1 shut, `since` seconds after a blink began; `slower` stretches its opening."""
    closing, closed, opening = BLINK_S
    opened = np.clip((since - closing - closed) / (opening * slower), 0, 1)
    return np.asarray(min_jerk(since / closing) * (1 - min_jerk(opened**0.8)) ** 1.2)  # lids snap open and settle


def _curtain(times: Curve) -> Curve:
    """[T] 0 while the face is to be exactly neutral, at the start and at the end."""
    start, end = QUIET_S
    return min_jerk((times - start) / 0.5) * (1 - min_jerk((times - end + 0.7) / 0.7))
