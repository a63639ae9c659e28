"""Training sets with truth, as `engine.training.flow.make_pairs` writes them: one folder of arrays per person.

| array | shape, type | what |
|---|---|---|
| driver | [T, 4, N, N] int16 | the driver's crops, colour and the sensor's depth; frame 0 is neutral |
| color_only | [T, 4, N, N] int16 | the same frames from a camera without depth |
| weights | [T, 52] float32 | units of each frame |
| source | [1, 4, N, N] int16 | the neutral avatar |
| target | [T, 4, N, N] int16 | the avatar with the driver's units |
| offset | [T, N, N, 2] float16 | its backward flow, less the identity |
| known | [T, N, N] uint8 | where that flow is known |

int16 stands for [-1, 1], uint8 for [0, 1]. Drivers without an avatar (for the code stage) lack the last four, avatars
without a driver (for stages moved by the true code) the first two.
"""

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.expression_units import UNIT_COUNT
from core.untrusted import mapped_array

DRIVER_ARRAYS = ("driver", "color_only")
AVATAR_ARRAYS = ("source", "target", "offset", "known")
_LAYOUT: dict[str, tuple[Any, ...]] = {
    "driver": (np.int16, "T", 4, "N", "N"),
    "color_only": (np.int16, "T", 4, "N", "N"),
    "weights": (np.float32, "T", UNIT_COUNT),
    "source": (np.int16, 1, 4, "N", "N"),
    "target": (np.int16, "T", 4, "N", "N"),
    "offset": (np.float16, "T", "N", "N", 2),
    "known": (np.uint8, "T", "N", "N"),
}
_WORD, _BYTE = 32767, 255


def to_words(values: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.rint(np.clip(values, -1, 1) * _WORD).astype(np.int16)


def from_words(words: NDArray[np.int16]) -> NDArray[np.float32]:
    return words.astype(np.float32) * np.float32(1 / _WORD)


def to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(values, 0, 1) * _BYTE).astype(np.uint8)


def from_bytes(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    return values.astype(np.float32) * np.float32(1 / _BYTE)


class PairFolder:
    """The arrays of one person, mapped into memory when they are asked for.

    Attributes:
        frames: how many.
        has_driver, has_avatar: which of both are there, at least one of them.

    Raises InputError where the folder is not whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        there = {path.stem for path in folder.glob("*.npy")}
        self.has_avatar = bool(there & set(AVATAR_ARRAYS))
        self.has_driver = bool(there & set(DRIVER_ARRAYS)) or not self.has_avatar
        drivers, avatars = DRIVER_ARRAYS if self.has_driver else (), AVATAR_ARRAYS if self.has_avatar else ()
        wanted = ("weights", *drivers, *avatars)
        missing = [name for name in wanted if name not in there]
        if missing:
            raise InputError(f"{folder}: lacks {', '.join(missing)}; delete it and run make_pairs again")
        shape = self["driver" if self.has_driver else "target"].shape
        if len(shape) != 4 or shape[0] < 2 or shape[3] < 1:
            raise InputError(
                f"{folder}: expected at least two frames of pictures, got {shape}; delete it, make it again"
            )
        self.frames, self.side = shape[0], shape[3]
        for name in wanted:
            self._check(name, self[name])

    def _check(self, name: str, array: NDArray[Any]) -> None:
        kind, *sides = _LAYOUT[name]
        lengths = {"T": self.frames, "N": self.side}
        shape = tuple(lengths.get(side, side) for side in sides)
        if array.dtype != kind or array.shape != shape:
            raise InputError(
                f"{self.folder}: expected {name} of shape {shape} and type {np.dtype(kind)}, "
                f"got {array.shape} and {array.dtype}; delete it and run make_pairs again"
            )

    def __getitem__(self, name: str) -> NDArray[Any]:
        return mapped_array(self.folder / f"{name}.npy")

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """[T, 52]. Raises InputError where one is not finite."""
        weights = np.array(self["weights"])
        if not np.isfinite(weights).all():
            raise InputError(f"{self.folder}: some weights are not finite; delete it and run make_pairs again")
        return weights

    def offset(self, frame: int) -> NDArray[np.float32]:
        """[N, N, 2] of one frame. Raises InputError where it is not finite."""
        offset = np.array(self["offset"][frame]).astype(np.float32)
        if not np.isfinite(offset).all():
            raise InputError(f"{self.folder}: flow of frame {frame} is not finite; delete it and run make_pairs again")
        return offset

    @staticmethod
    def write(folder: Path, **arrays: NDArray[Any]) -> None:
        """Make the folder, whole or not at all."""
        rest = set(arrays) - {"weights"}
        assert rest in ({*DRIVER_ARRAYS}, {*AVATAR_ARRAYS}, {*DRIVER_ARRAYS, *AVATAR_ARRAYS})
        partial = folder.with_name(folder.name + ".partial-0")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array)
        partial.rename(folder)


def pair_folders(root: Path) -> list[PairFolder]:
    """All people of a training set, by name. Raises InputError where there is none."""
    folders = sorted({path.parent for path in root.glob("*/*.npy") if ".partial" not in path.parent.name})
    if not folders:
        raise InputError(f"{root}: expected people made by engine.training.flow.make_pairs, found none; run it first")
    return [PairFolder(folder) for folder in folders]
