"""Renders a training set with truth: drivers before a virtual RGBD camera, and other people's heads repeating them.

    python -m engine.training.make_pairs --out pairs --people 200 --frames 30

Every person becomes one folder of `.npy` arrays (see `engine.training.pairs`), written whole or not at all; a run that
was interrupted goes on where it stopped.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.face_finder import FaceFinder
from capture.face_tracker import FaceTracker
from capture.frame import FaceObservation, RgbdFrame
from capture.head_crop import HeadCropper
from capture.synthetic.clip_plan import ClipPlan, plan_clip
from capture.synthetic.clip_studio import ClipStudio
from capture.synthetic.people import Split, random_person
from engine.training.avatar_shots import AvatarStage, averaged
from engine.training.pairs import PairFolder, to_bytes, to_words

_SIZE = 128
_CAMERA_PIXELS = 288
_AVATARS_FROM = 500_000  # seeds: nobody is driver and avatar
_BENT_SHARE = 0.5
_LEAST_FRAMES = 0.5  # of those asked for, in which the tracker must have found the face


class DriverShots:
    """What the network sees of one driver: [T, 4, N, N] with the sensor's depth, the same without any, and weights."""

    def __init__(self) -> None:
        self.rgbd: list[NDArray[np.float32]] = []
        self.color_only: list[NDArray[np.float32]] = []
        self.weights: list[NDArray[np.float64]] = []

    def add(self, cropper: HeadCropper, observation: FaceObservation, weights: NDArray[np.float64]) -> None:
        rgbd, color_only = cropper(observation), cropper(_without_depth(observation))
        assert rgbd is not None
        assert color_only is not None
        self.rgbd.append(averaged(rgbd, _SIZE))
        self.color_only.append(averaged(color_only, _SIZE))
        self.weights.append(weights)


def shoot_driver(studio: ClipStudio, plan: ClipPlan) -> DriverShots | None:
    """All tracked frames of a clip, frame 0 (the neutral) first; None where too few are."""
    shots, cropper = DriverShots(), HeadCropper()
    with FaceTracker() as tracker:
        for shot in studio.shoot(plan):
            observation = tracker.track(shot.frame)
            if shot.number == 0:
                observation = tracker.track(shot.frame)  # settled
                if not observation.tracked:
                    return None
            if observation.tracked:
                shots.add(cropper, observation, shot.weights)
    return shots if len(shots.weights) >= _LEAST_FRAMES * len(plan) else None


def make_person(folder: Path, number: int, frames: int, split: Split, studio: ClipStudio, finder: FaceFinder) -> bool:
    """One driver and one avatar that repeats them. False where a face could not be found."""
    rng = np.random.default_rng([number, 11])
    bent = bool(rng.random() < _BENT_SHARE)
    plan = plan_clip(number, frames=frames, split=split, kind="stills", size=_CAMERA_PIXELS, bent=bent)
    driver = shoot_driver(studio, plan)
    if driver is None:
        return False
    caricature = float(rng.choice([1.0, 1.6]))
    avatar = random_person(_AVATARS_FROM + number, split, caricature, bust=True)
    try:
        with AvatarStage(avatar, finder, rng, _SIZE) as stage:
            shots = [stage.shoot(weights) for weights in driver.weights]
            source = stage.source
    except ValueError:
        return False
    PairFolder.write(
        folder,
        driver=to_words(np.stack(driver.rgbd)),
        color_only=to_words(np.stack(driver.color_only)),
        weights=np.stack(driver.weights).astype(np.float32),
        source=to_words(source[None]),
        target=to_words(np.stack([shot.rgbd for shot in shots])),
        offset=np.stack([shot.offset for shot in shots]).astype(np.float16),
        known=to_bytes(np.stack([shot.known for shot in shots])),
    )
    return True


def _without_depth(observation: FaceObservation) -> FaceObservation:
    frame = observation.frame
    bare = RgbdFrame(frame.rgb, None, frame.intrinsics, frame.timestamp_s, frame.index)
    return FaceObservation(
        bare,
        observation.tracked,
        observation.confidence,
        observation.landmarks_px,
        observation.landmarks_m,
        observation.T_camera_head,
        observation.scores,
    )


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
    parser.add_argument("--split", choices=["train", "test"], default="train")
    parser.add_argument("--part", type=int, default=0, help="of several processes, this one's number from 0")
    parser.add_argument("--of", type=int, default=1, help="how many processes share the work")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with ClipStudio() as studio, FaceFinder() as finder:
        for number, folder in wanted(arguments):
            made = make_person(folder, number, arguments.frames, arguments.split, studio, finder)
            print(f"{folder.name}: {'written' if made else 'no face found, left out'}", flush=True)


if __name__ == "__main__":
    main()
