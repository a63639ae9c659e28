"""Controllers of an avatar: the points of its surface that are moved; everything else follows them by weights."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.array_checks import expect
from core.face_regions import CHIN, FACE_LANDMARKS, FACE_OVAL, SIDES, TEMPLES_AND_EARS


class Role(IntEnum):
    """What moves a controller."""

    LANDMARK = 0  # the driver's landmark of that number
    JAW = 1  # the jaw, as one piece
    UPPER_LID = 2  # the rim of a lid, at its place along the eye
    LOWER_LID = 3
    UPPER_EYE = 4  # rim of what shows between lids in one piece with it: where the upper lid uncovers more of it
    LOWER_EYE = 5
    EYE_CORNER = 6  # the same, with the corners of the eye
    IRIS = 7  # the gaze
    UPPER_LIP = 8  # the rim of a lip, at its place along the mouth
    LOWER_LIP = 9


_TYPES = {"rest": np.float64, "gain": np.float64, "role": np.int64, "eye": np.int64, "along": np.float64}


@dataclass(frozen=True, eq=False)
class Controllers:
    """K points of an avatar that are moved.

    Attributes:
        rest: [K, 3] float64 avatar units; the first 468 are the face landmarks in their usual order.
        gain: [K] how far a controller repeats what its landmark does: 1 in the face, 0 where it merges with the skull.
        role: [K] what moves it.
        eye: [K] the eye it belongs to (0 picture-left, 1 picture-right), -1 where none.
        along: [K] its place along that eye's opening, or the mouth's, 0 to 1 from picture-left to picture-right.
    """

    rest: NDArray[np.float64]
    gain: NDArray[np.float64]
    role: NDArray[np.int64]
    eye: NDArray[np.int64]
    along: NDArray[np.float64]

    def of(self, role: Role, eye: int = -1) -> NDArray[np.int64]:
        """Numbers of the controllers with that role (of that eye)."""
        return np.flatnonzero((self.role == role) & (self.eye == eye))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for `numpy.savez`; `from_arrays` is the inverse."""
        return {f"controllers_{name}": getattr(self, name).astype(kind) for name, kind in _TYPES.items()}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]]) -> "Controllers":
        """Raises KeyError or ValueError where the arrays are not those of controllers."""
        count = len(expect(arrays, "controllers_rest", np.float64, None, 3))
        if count < FACE_LANDMARKS:
            raise ValueError(f"expected at least {FACE_LANDMARKS} controllers, got {count}")
        expect(arrays, "controllers_role", np.int64, count, below=len(Role))
        expect(arrays, "controllers_eye", np.int64, count, least=-1, below=2)
        for name in ("gain", "along"):
            expect(arrays, f"controllers_{name}", np.float64, count)
        return Controllers(*(arrays[f"controllers_{name}"] for name in _TYPES))

    def joined(
        self, rest: NDArray[np.float64], role: Role, eye: int = -1, along: NDArray[np.float64] | None = None
    ) -> "Controllers":
        """With more of one role at the end."""
        count = len(rest)
        return Controllers(
            np.concatenate([self.rest, rest]),
            np.concatenate([self.gain, np.ones(count)]),
            np.concatenate([self.role, np.full(count, role)]),
            np.concatenate([self.eye, np.full(count, eye)]),
            np.concatenate([self.along, np.zeros(count) if along is None else along]),
        )


def landmark_controllers(rest: NDArray[np.float64], steady_sides: bool = False) -> Controllers:
    """The 468 face landmarks at rest [468, 3]; for `steady_sides` see `landmark_gain`."""
    nothing = np.zeros(FACE_LANDMARKS, dtype=np.int64)
    gain = landmark_gain(steady_sides)
    return Controllers(rest, gain, nothing + Role.LANDMARK, nothing - 1, np.zeros(FACE_LANDMARKS))


def landmark_gain(steady_sides: bool = False) -> NDArray[np.float64]:
    """[468] 1 in the face; less along the hairline and before the ears, where landmarks are noise more than motion.

    `steady_sides`: less before that already, for heads whose sides are no human's and show that noise.
    """
    gain = np.ones(FACE_LANDMARKS)
    if steady_sides:
        for side, share in zip(SIDES, (0.25, 0.6), strict=True):
            gain[list(side)] = share
    rim = np.array(FACE_OVAL)
    gain[rim] = 0.15
    gain[list(TEMPLES_AND_EARS)] = 0.0
    jawline = (361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132)
    gain[list(jawline)] = np.sin(np.linspace(0, np.pi, len(jawline))).clip(0.2, 0.75) / 0.75
    gain[list(CHIN)] = 1.0
    return gain
