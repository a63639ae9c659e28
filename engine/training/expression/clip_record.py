"""What the expression prior is trained on: what the tracker saw of synthetic people, one file for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.array_checks import expect
from core.camera import Intrinsics
from core.errors import InputError
from core.expression_units import SCORE_NAMES, UNIT_COUNT
from core.face_regions import ALL_LANDMARKS
from core.frame import FaceObservation, RgbdFrame
from core.untrusted import read_arrays
from core.whole_file import whole_file

COMMAND: Final = "python -m engine.training.expression.expression_dataset"
VIEWS: Final = ("colour", "sensor")  # every frame is seen without depth and with the clip's depth sensor
_LARGEST_RECORD = 1 << 28
_LARGEST_NUMBER = 1e4  # metres, shares of a unit: no face comes near it
_RECORD: dict[str, tuple[Any, ...]] = {
    "landmarks": (np.float32, len(VIEWS), ALL_LANDMARKS, 3),
    "T_camera_head": (np.float64, len(VIEWS), 4, 4),
    "scores": (np.float32, len(SCORE_NAMES)),
    "measured": (np.bool_, len(VIEWS)),
    "units": (np.float32, UNIT_COUNT),
}
"""Types and shapes of a record's arrays, frames aside."""


@dataclass(frozen=True, eq=False)
class ClipRecord:
    """What the tracker saw of one person, and what the person did. V views: see VIEWS.

    Attributes:
        landmarks: [T, V, 478, 3] float32 metres in the head frame.
        T_camera_head: [T, V, 4, 4] float64.
        scores: [T, 52] float32 coefficients of the tracker.
        measured: [T, V] whether the landmarks rest on depth.
        units: [T, 52] float32 unit weights that describe the face best; above 1 where a bent unit does more.
        sensor: the clip's depth sensor.
    """

    landmarks: NDArray[np.float32]
    T_camera_head: NDArray[np.float64]
    scores: NDArray[np.float32]
    measured: NDArray[np.bool_]
    units: NDArray[np.float32]
    sensor: str

    def save(self, path: Path) -> None:
        """Write to a file that is there only when it is whole."""
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name), kind) for name, (kind, *_) in _RECORD.items()}
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(file, sensor=np.array(self.sensor), **arrays)

    @staticmethod
    def load(path: Path) -> "ClipRecord":
        """Raises InputError where the file is no such record."""
        try:
            fields = read_arrays(path, _LARGEST_RECORD, [*_RECORD, "sensor"])
            frames = len(fields["units"])
            arrays = {name: expect(fields, name, kind, frames, *shape) for name, (kind, *shape) in _RECORD.items()}
            if wrong := [name for name, array in arrays.items() if not (np.abs(array) < _LARGEST_NUMBER).all()]:
                raise ValueError(f"expected numbers below {_LARGEST_NUMBER:g} in {', '.join(wrong)}")
            if not frames or fields["sensor"].dtype.kind != "U" or fields["sensor"].shape:
                raise ValueError("expected frames, and the name of a sensor")
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"{path}: no recorded clip ({error}); delete it, and make it again with {COMMAND}"
            ) from None
        return ClipRecord(**arrays, sensor=str(fields["sensor"]))

    def observation(self, frame: int, view: int) -> FaceObservation:
        """One look as the engine would get it, but without the picture."""
        T = self.T_camera_head[frame, view]
        camera = (self.landmarks[frame, view].astype(np.float64) @ T[:3, :3].T + T[:3, 3]).astype(np.float32)
        flat, measured = np.zeros((ALL_LANDMARKS, 2), np.float32), bool(self.measured[frame, view])
        none = RgbdFrame(np.zeros((1, 1, 3), np.uint8), None, Intrinsics(1, 1, 0, 0, 1, 1), float(frame), frame)
        return FaceObservation(none, True, 1.0, flat, camera, T, self.scores[frame], measured)


def load_records(folder: Path) -> list[ClipRecord]:
    """All clips of a folder, by seed. Raises InputError where there is none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InputError(f"{folder}: expected clips, found none; make them with  {COMMAND} --out {folder.parent}")
    return [ClipRecord.load(file) for file in files]
