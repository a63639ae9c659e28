"""The face landmarker on still pictures, as avatar preparation needs it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from capture.face.networks.select import face_networks
from core.canonical_face import CanonicalFace, load_canonical_face
from core.closeable import Closeable
from core.errors import InputError

_LEAST_CONFIDENCE = 0.3  # painted and sculpted heads look less like faces than faces do


@dataclass(frozen=True, eq=False)
class FaceLookedFor:
    """A picture `rgb` [H, W, 3] uint8 in which a face was looked for, and its landmarks `points` [478, 2] in pixels, or
    None where none was found."""

    rgb: NDArray[np.uint8]
    points: NDArray[np.float64] | None


class NoFaceError(InputError):
    """A head shows no human face, or none that is sure. `seen`: pictures in which it was looked for."""

    def __init__(self, message: str, seen: tuple[FaceLookedFor, ...]) -> None:
        super().__init__(message)
        self.seen = seen


class Finder(Protocol):
    """What finds the face in a picture; see `FaceFinder`."""

    canonical: CanonicalFace

    def find(self, rgb: NDArray[np.uint8]) -> NDArray[np.float64] | None: ...


class FaceFinder(Closeable):
    """Finds one face per picture. A context manager: the landmarker must be closed."""

    def __init__(self, model_path: Path | None = None) -> None:
        path = find_face_model(model_path)
        self.canonical: CanonicalFace = load_canonical_face(path)
        self._network = face_networks(path).landmarks(video=False, scores=False, least_confidence=_LEAST_CONFIDENCE)

    def close(self) -> None:
        self._network.close()

    def find(self, rgb: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """[478, 3] landmarks of a picture [H, W, 3]: x, y in pixels, z in pixels towards the back; None: no face."""
        answer = self._network.run(rgb)
        if answer is None:
            return None
        height, width = rgb.shape[:2]
        return answer.points * (width, height, width)


class PatientFinder:
    """Finds faces that `FaceFinder` passes over: in pictures made brighter, with more contrast, smoother or smaller.

    Several times slower; for heads in which none was found. Used like a `FaceFinder`, which it borrows.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self.canonical = finder.canonical

    def find(self, rgb: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """As `FaceFinder.find`."""
        found = (self._finder.find(treat(rgb)) for treat in _TREATMENTS)
        return next((each for each in found if each is not None), None)


def _as_it_is(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return rgb


def _brighter(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Dark skin beside bright hair or eyes: most of the picture's range for what is not black."""
    shown = rgb.max(axis=-1) > 2
    most = float(np.quantile(rgb[shown].max(axis=-1), 0.8)) if shown.any() else 255.0
    return np.asarray(255 * np.clip(rgb / max(most, 1.0), 0, 1) ** 0.6, dtype=np.uint8)


def _evened(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Plain clay and drawn faces: contrast raised place by place (CLAHE)."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(3.0, (8, 8)).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), dtype=np.uint8)


def _smoothed(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Noisy scans and patterned skin: what is finer than a hundredth of the picture goes."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), max(len(rgb) / 120, 1.0)), dtype=np.uint8)


def _with_room(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Heads that fill the picture: the same with room to the right and below, so that pixels keep their numbers."""
    height, width = rgb.shape[:2]
    room = np.zeros((2 * height, 2 * width, 3), dtype=np.uint8)
    room[:height, :width] = rgb
    return room


_TREATMENTS: tuple[Callable[[NDArray[np.uint8]], NDArray[np.uint8]], ...] = (
    _as_it_is,
    _brighter,
    _evened,
    _smoothed,
    _with_room,
)
