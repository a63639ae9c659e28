"""Who drives: people nobody has trained on, performing before simulated cameras, tracked."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import capture
from capture.face.face_tracker import FaceTracker
from capture.synthetic.studio.clip_options import ClipOptions, LightName, SensorName
from capture.synthetic.studio.clip_plan import ClipPlan, plan_clip
from capture.synthetic.studio.clip_studio import ClipStudio
from capture.synthetic.studio.people import Person, random_person
from core.frame import FaceObservation

Points = NDArray[np.float64]

FPS = 30.0
REST_S = 1.2  # stillness at the end of every clip
PACE = 2.0  # many short expressions tell more than few long ones
NEUTRAL_FRAME = 12  # as `vfa animate --neutral-frame 12`: the face rests for the first half second
PICTURE = 320
FIRST_DRIVER = 7000  # seed within the test split


@dataclass(frozen=True)
class Condition:
    """How a driver is filmed. `sensor` "webcam" has no depth."""

    sensor: SensorName | str = "kinect"
    turn_deg: float = 10.0
    light: LightName = "soft"

    def label(self) -> str:
        return f"{self.sensor}, turns {self.turn_deg:g}°, {self.light} light"


@dataclass(frozen=True, eq=False)
class Driver:
    """One performance under one condition, tracked.

    Attributes:
        weights: [T, 52] what was played; times_s: [T].
        observations: T of them.
    """

    name: str
    condition: Condition
    weights: Points
    times_s: Points
    observations: list[FaceObservation]


def kept_film(
    number: int, frames: int, condition: Condition, make_studio: Callable[[], ClipStudio], folder: Path | None
) -> Driver:
    """`film`, or what was kept of it in `folder` while nothing in capture/ has changed since."""
    if folder is None:
        with make_studio() as studio:
            return film(number, frames, condition, studio)
    digest = hashlib.blake2b(repr((number, frames, condition, PICTURE, PACE, REST_S)).encode(), digest_size=12)
    for path in sorted(Path(capture.__path__[0]).rglob("*.py")):
        digest.update(path.read_bytes())
    place = folder / f"film-{digest.hexdigest()}.pickle"
    if place.is_file():
        kept: Driver = pickle.loads(place.read_bytes())
        return kept
    driver = kept_film(number, frames, condition, make_studio, None)
    folder.mkdir(parents=True, exist_ok=True)
    place.write_bytes(pickle.dumps(driver, protocol=5))
    return driver


def film(number: int, frames: int, condition: Condition, studio: ClipStudio) -> Driver:
    """Test person `number` performs; the acting does not depend on the condition."""
    person = random_person(FIRST_DRIVER + number, "test", bent=number % 2 == 1)
    plan = driver_plan(number, frames, condition, person)
    observations = []
    with FaceTracker() as tracker:
        for shot in studio.shoot(plan):
            frame = shot.frame if condition.sensor != "webcam" else replace(shot.frame, depth_m=None)
            observations.append(tracker.track(frame))
    return Driver(person.name, condition, plan.weights, plan.times_s, observations)


def driver_plan(number: int, frames: int, condition: Condition, person: Person) -> ClipPlan:
    """What `film` shoots."""
    options = ClipOptions(
        split="test",
        frames=frames,
        fps=FPS,
        size=(PICTURE, PICTURE),
        sensor="ideal" if condition.sensor == "webcam" else condition.sensor,  # type: ignore[arg-type]
        max_turn_deg=condition.turn_deg,
        light=condition.light,
    )
    return plan_clip(FIRST_DRIVER + number, options, person=person, rest_s=REST_S, pace=PACE)
