"""Renders a training set with truth: drivers before a virtual RGBD camera, and other people's heads repeating them.

    python -m engine.training.flow.make_pairs --out pairs --people 200 --frames 30

Every person becomes one folder of `.npy` arrays (see `engine.training.flow.pairs`), whole or not at all; a run that
was interrupted goes on where it stopped.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.survey.face_finder import FaceFinder
from capture.face.head_crop import HeadCropper
from capture.synthetic.studio.artists import ARTISTS
from capture.synthetic.studio.clip_options import Split
from capture.synthetic.studio.clip_plan import ClipPlan
from capture.synthetic.studio.clip_studio import ClipStudio
from capture.synthetic.studio.people import random_person
from core.frame import FaceObservation
from engine.training.expression.expression_dataset import StillTracker, describing_units, make_plan
from engine.training.flow.avatar_shots import Actor, AvatarStage, as_prepared, averaged
from engine.training.flow.pairs import PairFolder, to_bytes, to_words
from engine.training.flow.spectacles import with_spectacles

_SIZE = 128
AVATARS_FROM = 500_000  # seeds: nobody is driver and avatar
_BENT_SHARE, _ACTED_SHARE = 0.25, 0.4
_LEAST_FRAMES = 0.5  # of those asked for, in which the tracker must have found the face


class DriverShots:
    """What the network sees of one driver: [T, 4, N, N] with the sensor's depth, the same without any, and weights."""

    def __init__(self) -> None:
        self.rgbd: list[NDArray[np.float32]] = []
        self.color_only: list[NDArray[np.float32]] = []
        self.weights: list[NDArray[np.float64]] = []
        self._croppers = HeadCropper(), HeadCropper()

    def add(self, looks: list[FaceObservation], weights: NDArray[np.float64]) -> None:
        """looks: at one frame without depth and with it."""
        color_only, rgbd = (cropper(look) for cropper, look in zip(self._croppers, looks, strict=True))
        assert rgbd is not None
        assert color_only is not None
        self.rgbd.append(averaged(rgbd, _SIZE))
        self.color_only.append(averaged(color_only, _SIZE))
        self.weights.append(weights)


def shoot_driver(studio: ClipStudio, plan: ClipPlan, tracker: StillTracker) -> DriverShots | None:
    """All tracked frames of a clip, frame 0 (the neutral) first; None where too few are."""
    shots = DriverShots()
    tracker.start()
    for shot in studio.shoot(plan):
        looks = tracker.track(shot.frame)
        if looks is not None:
            shots.add(looks, shot.weights)
        elif shot.number == 0:
            return None
    return shots if len(shots.weights) >= _LEAST_FRAMES * len(plan) else None


@dataclass(frozen=True, eq=False)
class Workshop:
    """What one process makes people with."""

    studio: ClipStudio
    tracker: StillTracker
    finder: FaceFinder


def make_person(
    folder: Path,
    number: int,
    frames: int,
    split: Split,
    workshop: Workshop,
    *,
    avatar: bool = True,
    artists: tuple[str, ...] = (),
) -> bool:
    """One driver, and an avatar that repeats them unless told otherwise. False where a face could not be found."""
    plan = make_plan(number, split, frames, _BENT_SHARE, _ACTED_SHARE, artists)
    driver = shoot_driver(workshop.studio, plan, workshop.tracker)
    if driver is None:
        return False
    described = np.clip(np.stack(driver.weights) @ describing_units(plan.person).T, 0, 1)
    arrays: dict[str, NDArray[Any]] | None = {}
    if avatar:
        arrays = shoot_avatar(number, split, described, workshop.finder, artists)
    if arrays is None:
        return False
    PairFolder.write(
        folder,
        driver=to_words(np.stack(driver.rgbd)),
        color_only=to_words(np.stack(driver.color_only)),
        weights=described.astype(np.float32),
        **arrays,
    )
    return True


def acted(number: int, split: Split, frames: int) -> NDArray[np.float64]:
    """[frames, 52] what the person of this number plays; the first is neutral."""
    weights = make_plan(number, split, frames, _BENT_SHARE, _ACTED_SHARE).weights
    return np.asarray(np.clip(weights, 0, 1))


def make_avatar(
    folder: Path,
    number: int,
    frames: int,
    split: Split,
    finder: FaceFinder,
    artists: tuple[str, ...],
    *,
    spectacled: bool = False,
) -> bool:
    """An avatar whom nobody drives. False where no face is found on it."""
    weights = acted(number, split, frames)
    arrays = shoot_avatar(number, split, weights, finder, artists, spectacled=spectacled)
    if arrays is not None:
        PairFolder.write(folder, weights=weights.astype(np.float32), **arrays)
    return arrays is not None


def shoot_avatar(
    number: int,
    split: Split,
    weights: NDArray[np.float64],
    finder: FaceFinder,
    artists: tuple[str, ...] = (),
    *,
    spectacled: bool = False,
) -> dict[str, NDArray[Any]] | None:
    """A random avatar with unit weights [T, 52]; None where no face is found on it."""
    rng = np.random.default_rng([number, 11])
    person = random_person(AVATARS_FROM + number, split, float(rng.choice([1.0, 1.6])), bust=True, artists=artists)
    try:
        actor: Actor = with_spectacles(person, finder, rng) if spectacled else person
        with AvatarStage(actor, as_prepared(finder, rng), _SIZE) as stage:
            return shoot_all(stage, weights)
    except ValueError:
        return None


def shoot_all(stage: AvatarStage, weights: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """The arrays of AVATAR_ARRAYS for unit weights [T, 52]."""
    shots = [stage.shoot(row) for row in weights]
    return {
        "source": to_words(stage.source[None]),
        "target": to_words(np.stack([shot.rgbd for shot in shots])),
        "offset": np.stack([shot.offset for shot in shots]).astype(np.float16),
        "known": to_bytes(np.stack([shot.known for shot in shots])),
    }


def wanted(arguments: argparse.Namespace) -> Iterator[tuple[int, Path]]:
    """The people that are still to be made by this process."""
    for number in range(arguments.first, arguments.first + arguments.people):
        folder = arguments.out / f"{arguments.split}-{number:06d}"
        if number % arguments.of == arguments.part and not folder.exists():
            yield number, folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first person")
    parser.add_argument("--frames", type=int, default=30, help="expressions of each person, the first one neutral")
    parser.add_argument("--drivers", action="store_true", help="drivers only, without avatars: for stage code")
    parser.add_argument("--avatars", action="store_true", help="avatars only: for stages moved by the true code")
    parser.add_argument("--spectacles", action="store_true", help="avatars wear some; with --avatars")
    parser.add_argument("--artists", nargs="+", choices=ARTISTS, default=[], help="move as one or a mixture of these")
    parser.add_argument("--split", choices=["train", "test"], default="train")
    parser.add_argument("--part", type=int, default=0, help="of several processes, this one's number from 0")
    parser.add_argument("--of", type=int, default=1, help="how many processes share the work")
    arguments = parser.parse_args()
    if arguments.drivers and arguments.avatars:
        parser.error("--drivers and --avatars leave nothing to make; leave out one or both")
    if arguments.spectacles and not arguments.avatars:
        parser.error("--spectacles are worn by avatars whom nobody drives; give --avatars, too")
    arguments.out.mkdir(parents=True, exist_ok=True)
    artists = tuple(arguments.artists)
    if arguments.avatars:
        with FaceFinder() as finder:
            for number, folder in wanted(arguments):
                made = make_avatar(
                    folder,
                    number,
                    arguments.frames,
                    arguments.split,
                    finder,
                    artists,
                    spectacled=arguments.spectacles,
                )
                _say(folder, made)
        return
    with ClipStudio() as studio, StillTracker() as tracker, FaceFinder() as finder:
        workshop = Workshop(studio, tracker, finder)
        for number, folder in wanted(arguments):
            made = make_person(
                folder,
                number,
                arguments.frames,
                arguments.split,
                workshop,
                avatar=not arguments.drivers,
                artists=artists,
            )
            _say(folder, made)


def _say(folder: Path, made: bool) -> None:
    print(f"{folder.name}: {'written' if made else 'no face found, left out'}", flush=True)


if __name__ == "__main__":
    main()
