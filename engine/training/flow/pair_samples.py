"""Rendered pairs as training samples: the same number always gives the same sample, whoever asks."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.face.head_crop import EMPTY
from capture.synthetic.head.head_data import load_head_data
from core.errors import InputError
from engine.training.flow.pairs import PairFolder, from_bytes, from_words, pair_folders
from engine.training.flow.sample_options import SampleOptions
from engine.training.loop.jitter import Jitter, Picture, draw_jitter, mirrored, softened
from engine.training.loop.names import StageName

FRAMES_OF_ONE = 4  # in a sample of the code stage
_COLOR_ONLY = 0.35  # share of drivers before a camera without depth
_MOVING = 1.5  # how much more a pixel counts for each pixel it moves, up to
_MOST_MOVING = 3.0
_LEAST_IMPORTANCE = 0.3  # of the average
_INNER = ("eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")


class PairSamples:
    """Samples of a folder made by `make_pairs`, for one stage.

    Args:
        options: only what is drawn and how it is varied counts here; not varied, samples are as they were rendered.
        drivers: whether drivers' pictures are wanted; networks moved by the true code need none.

    Raises InputError where there are none.
    """

    def __init__(
        self, root: Path, stage: StageName, options: SampleOptions | None = None, *, drivers: bool = True
    ) -> None:
        everybody = pair_folders(root)
        self._wants_drivers = drivers or stage == "code"
        self.people = [person for person in everybody if stage == "code" or person.has_avatar]
        if not self.people:
            raise InputError(
                f"{root}: holds drivers only, stage {stage} needs avatars; run make_pairs without --drivers"
            )
        if self._wants_drivers:
            self.people = [person for person in self.people if person.has_driver]
        if not self.people:
            raise InputError(
                f"{root}: holds no pairs of driver and avatar; give --truth-code, or run make_pairs without --avatars"
            )
        options = options or SampleOptions()
        self._stage, self._seed, self._augment = stage, options.seed, options.augment
        self.image_size = self.people[0].side
        if other := next((person for person in self.people if person.side != self.image_size), None):
            raise InputError(f"{other.folder}: pictures of {other.side}, others have {self.image_size}; keep one size")
        self._mirror = mirrored_units()

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Arrays of one sample, as `stages.Batch` names them."""
        rng = np.random.default_rng([self._seed, number])
        person = self.people[int(rng.integers(len(self.people)))]
        if self._stage == "code":
            # Some frames of one person, the neutral among them, before one camera.
            chosen = [0, *(1 + rng.permutation(person.frames - 1)[: FRAMES_OF_ONE - 1]).tolist()]
            pictures, flip = self._drivers(rng, person, chosen)
            units = [self._units(person.weights[index], flip) for index in chosen]
            return {"frames": np.stack(pictures), "units": np.stack(units)}
        return self._pictures(rng, person, int(rng.integers(person.frames)))

    def _pictures(self, rng: np.random.Generator, person: PairFolder, frame: int) -> dict[str, NDArray[Any]]:
        drivers: dict[str, NDArray[Any]] = {}
        if self._wants_drivers:
            (driving, start), flip = self._drivers(rng, person, [frame, 0])
            drivers = {"driving": driving, "start": start}
        else:
            flip = bool(self._augment and rng.random() < 0.5)
        source, target, offset, shown = self._avatar(rng, person, frame, flip)
        moving = np.abs(offset).sum(axis=-1) * 128
        return drivers | {
            "source": source,
            "target": target,
            "offset": offset,
            "known": shown * (1 + np.minimum(_MOVING * moving, _MOST_MOVING)).astype(np.float32),
            "shown": shown,
            "code": self._units(person.weights[frame], flip),
        }

    def _drivers(self, rng: np.random.Generator, person: PairFolder, frames: list[int]) -> tuple[list[Picture], bool]:
        """Frames of a driver as one camera sees them, and whether in a mirror."""
        name = "color_only" if rng.random() < _COLOR_ONLY else "driver"
        pictures = [from_words(np.array(person[name][index])) for index in frames]
        if not self._augment:
            return pictures, False
        jitter = draw_jitter(rng, self.image_size)
        varied = [jitter.apply(picture, rng, 0.5, empty_depth=EMPTY) for picture in pictures]
        return [mirrored(picture, jitter.mirrored) for picture in varied], jitter.mirrored

    def _avatar(
        self, rng: np.random.Generator, person: PairFolder, frame: int, flip: bool
    ) -> tuple[Picture, Picture, Picture, Picture]:
        source, target = from_words(np.array(person["source"][0])), from_words(np.array(person["target"][frame]))
        offset = person.offset(frame)
        shown = from_bytes(np.array(person["known"][frame]))
        if self._augment:
            jitter = draw_jitter(rng, self.image_size, strength=0.5)
            still = Jitter(jitter.gain, jitter.offset, 0.0, np.eye(2, 3), False)
            source, target = (
                mirrored(still.apply(picture, rng, empty_depth=EMPTY), flip) for picture in (source, target)
            )
            source = softened(source, rng)
            shown = shown[:, ::-1] if flip else shown
            offset = offset[:, ::-1] * np.array([-1, 1], np.float32) if flip else offset
        return source, target, np.ascontiguousarray(offset), np.ascontiguousarray(shown, dtype=np.float32)

    def _units(self, weights: Picture, flip: bool) -> Picture:
        return weights[self._mirror] if flip else weights.copy()


def mirrored_units() -> NDArray[np.int64]:
    """[52] the unit of the other side, for each unit; itself for those in the middle."""
    names = load_head_data().names("unit")
    return np.array([names.index(_other_side(name)) for name in names])


def unit_importance() -> NDArray[np.float32]:
    """[52] root mean square displacement of the skin by each unit, relative to their average; gaze counts little."""
    data = load_head_data()
    skin = np.setdiff1d(np.arange(len(data.vertices)), np.concatenate([data.part_vertices(name) for name in _INNER]))
    reach = np.array([np.sqrt(np.square(data.dense(f"unit/{name}")[skin]).sum()) for name in data.names("unit")])
    return np.asarray(np.maximum(reach / reach.mean(), _LEAST_IMPORTANCE), dtype=np.float32)


def _other_side(name: str) -> str:
    for own, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(own):
            return name.removesuffix(own) + other
    return name
