"""Everything that happens in a ground-truth clip, decided by a seed: who, what, where the camera is, which light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.posing import T_world_head
from capture.synthetic.performer.acting import head_turns, perform, stills
from capture.synthetic.studio.clip_options import SENSORS, ClipKind, ClipOptions, LightName, SensorName
from capture.synthetic.studio.people import Person, random_person
from core.camera import Intrinsics, look_at

Points = NDArray[np.float64]

FACE_M = np.array([0.0, -0.020, 0.0])  # middle of the head in the head's frame
FACE_HEIGHT_M = 0.23  # from the chin to the crown
DISTANCE_M = (0.4, 1.0)
_STREAM = {"train": 303, "test": 404}


@dataclass(frozen=True, eq=False)
class Lighting:
    """Light in the camera's frame (x right, y down, z forward), linear RGB intensities.

    Attributes:
        directions: [L, 3] unit vectors towards the lamps; colors: [L, 3].
        sky, ground: [3] light from above and from below, as from walls and ceiling.
        noise: standard deviation of the colour camera's noise, in 8-bit steps.
    """

    directions: Points
    colors: Points
    sky: Points
    ground: Points
    noise: float


@dataclass(frozen=True, eq=False)
class ClipPlan:
    """One clip, ready to be shot. `T_camera_head` is that of the `HeadModel`'s frame.

    Attributes:
        seed, kind, person, sensor, fps: as asked for, or drawn.
        times_s: [T] from 0.
        weights: [T, 52] unit weights of `person.unit_names`; frame 0 is neutral.
        head_deg: [T, 3] turn of the head on the neck, as in `capture.synthetic.head.posing`.
        shift_m: [T, 3] where the whole body sways to.
        T_camera_body: [4, 4] camera from the frame the head rests in.
        intrinsics: of colour and depth, which are aligned.
        light, background [H, W, 3] uint8 and background_m (depth of the wall, metres).
    """

    seed: int
    kind: ClipKind
    person: Person
    sensor: SensorName
    fps: float
    times_s: Points
    weights: Points
    head_deg: Points
    shift_m: Points
    T_camera_body: Points
    intrinsics: Intrinsics
    light: Lighting
    background: NDArray[np.uint8]
    background_m: float

    def __len__(self) -> int:
        return len(self.times_s)

    def T_camera_head(self, frame: int) -> Points:
        """[4, 4] the rigid head pose of a frame."""
        T = T_world_head(self.head_deg[frame])
        T[:3, 3] += self.shift_m[frame]
        return np.asarray(self.T_camera_body @ T)


def plan_clip(
    seed: int,
    options: ClipOptions,
    *,
    person: Person | None = None,
    weights: Points | None = None,
    rest_s: float = 0.0,
    pace: float = 1.0,
) -> ClipPlan:
    """The clip with this number; the same arguments give the same clip.

    Args:
        person: random where None.
        weights: [frames, 52] instead of random acting.
        rest_s: so long at the end, face and head are still.
        pace: of a performance; 2 has twice as many expressions.

    Raises ValueError for weights of another shape.
    """
    rng = np.random.default_rng([_STREAM[options.split], seed])
    strength = float(rng.choice([1.0, 1.0, 1.6])) if options.exaggeration is None else options.exaggeration
    who = person or random_person(seed, options.split, strength, bent=options.bent)
    times = np.arange(options.frames) / options.fps
    reach = float(rng.uniform(4.0, 22.0)) if options.max_turn_deg is None else options.max_turn_deg
    drawn_sensor = SENSORS[rng.choice(len(SENSORS))]
    width, height = options.size
    intrinsics, T_camera_body = _camera(rng, width, height)
    if options.kind == "stills":
        acting = stills(rng, options.frames, who.unit_names)
    else:
        acting = perform(rng, times, who.unit_names, rest_s, pace)
    if weights is not None and np.shape(weights) != acting.shape:
        raise ValueError(f"expected weights of shape {acting.shape}, got {np.shape(weights)}")
    tempo = 4.0 if options.kind == "stills" else 1.0
    head = head_turns(rng, times, reach, rest_s, tempo)
    sway = head_turns(rng, times, 0.012, rest_s, tempo)
    wall_m = float(rng.uniform(0.8, 2.5)) + float(np.linalg.norm(T_camera_body[:3, 3]))
    return ClipPlan(
        seed=seed,
        kind=options.kind,
        person=who,
        sensor=drawn_sensor if options.sensor == "random" else options.sensor,
        fps=options.fps,
        times_s=times,
        weights=acting if weights is None else np.asarray(weights, dtype=np.float64),
        head_deg=head,
        shift_m=sway,
        T_camera_body=T_camera_body,
        intrinsics=intrinsics,
        light=random_light(rng, options.light),
        background=random_background(rng, width, height),
        background_m=wall_m,
    )


def _camera(rng: np.random.Generator, width: int, height: int) -> tuple[Intrinsics, Points]:
    """A camera 0.4–1 m before the face, somewhat off its axis, that shows a window of a larger picture."""
    distance = float(rng.uniform(*DISTANCE_M))
    azimuth, elevation = np.radians(rng.normal(0, 6.0)), np.radians(np.clip(rng.normal(0, 7.0), -15, 15))
    away = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    focal = float(rng.uniform(0.56, 0.78)) * min(width, height) * distance / FACE_HEIGHT_M
    cx, cy = width * float(rng.uniform(0.1, 0.9)), height * float(rng.uniform(0.1, 0.9))
    view = look_at(FACE_M + distance * away, FACE_M)
    aim = np.array([width * rng.uniform(0.45, 0.55) - cx, height * rng.uniform(0.47, 0.54) - cy]) / focal
    view[:2, 3] += aim * distance
    return Intrinsics(focal, focal, cx, cy, width, height), view


def random_light(rng: np.random.Generator, name: LightName) -> Lighting:
    """Lamps and walls of a room."""
    if name == "random":
        name = str(rng.choice(["soft", "side", "dim"], p=[0.5, 0.35, 0.15]))  # type: ignore[assignment]
    tint = _tint(rng)
    sky = (0.42 if name != "side" else 0.20) * rng.uniform(0.8, 1.2) * _tint(rng)
    ground = sky * rng.uniform(0.35, 0.7)
    side = 0.9 if name == "side" else 0.35
    key = np.array([rng.choice([-1, 1]) * rng.uniform(0.4, 1.0) * side, -rng.uniform(0.2, 0.8), -rng.uniform(0.3, 0.9)])
    fill = np.array([-key[0], -rng.uniform(0, 0.5), -0.8])
    rim = np.array([rng.uniform(-1, 1), -0.4, 0.8])
    strengths = np.array([rng.uniform(0.45, 0.75), rng.uniform(0.05, 0.25), rng.uniform(0.0, 0.3)])
    level = float(rng.uniform(0.30, 0.5)) if name == "dim" else float(rng.uniform(0.8, 1.15))
    directions = np.stack([key, fill, rim])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    colors = strengths[:, None] * np.stack([tint, _tint(rng), _tint(rng)]) * level
    noise = float(rng.uniform(2.5, 6.0) if name == "dim" else rng.uniform(0.5, 3.0))
    return Lighting(directions, colors, sky * level, ground * level, noise)


def _tint(rng: np.random.Generator) -> Points:
    """[3] a colour of light between that of a lamp and that of the sky, of unit brightness."""
    warm = float(rng.uniform(-1, 1))
    color = np.array([1 + 0.14 * warm, 1.0, 1 - 0.16 * warm])
    return np.asarray(color / color.mean())


def random_background(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """[height, width, 3] an out-of-focus room: a wall with a gradient, furniture and lamps as soft patches."""
    low = 48
    base, other = rng.uniform(0.1, 0.75, 3) * 0.5 + rng.uniform(0.05, 0.45), rng.uniform(0.1, 0.8, 3)
    y, x = np.mgrid[0:low, 0:low] / low
    ramp = np.clip(0.5 + (x - 0.5) * rng.uniform(-1, 1) + (y - 0.5) * rng.uniform(-1, 1), 0, 1)[..., None]
    picture = (base + 0.35 * ramp * (other - base)).astype(np.float32)
    for _ in range(int(rng.integers(2, 9))):
        left, top = rng.integers(-8, low, 2).tolist()
        wide, tall = rng.integers(3, 26, 2).tolist()
        color = tuple(float(value) for value in 0.5 * rng.uniform(0.03, 0.9) + 0.5 * rng.uniform(0.03, 0.9, 3))
        if rng.random() < 0.3:
            cv2.ellipse(picture, (left, top), (wide // 2 + 1, tall // 2 + 1), 0, 0, 360, color, -1)
        else:
            cv2.rectangle(picture, (left, top), (left + wide, top + tall), color, -1)
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.01, 0.03)) * width)
    return np.asarray(np.clip(picture * 255, 0, 255), dtype=np.uint8)
