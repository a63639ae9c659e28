"""What the face landmarker's networks are asked and what they answer, whoever runs them."""

from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

TrackerName = Literal["auto", "native", "openvino", "mediapipe"]

LEAST_CONFIDENCE = 0.5


class NetworkAnswer(NamedTuple):
    """points: [478, 3] float64, x to the right in picture widths, y down in picture heights, z away from the camera in
    picture widths; scores: [52] float32 coefficients, 0..1, or [0] where they were not asked for."""

    points: NDArray[np.float64]
    scores: NDArray[np.float32]


class DetectedFace(NamedTuple):
    """box: x, y, width, height in pixels, of forehead to chin; score: 0..1."""

    box: tuple[float, float, float, float]
    score: float


class LandmarkNetwork(Protocol):
    """One face landmarker. Owned by one thread at a time; a context manager."""

    def run(self, rgb: NDArray[np.uint8], time_ms: int = 0) -> NetworkAnswer | None:
        """The face in `rgb` [H, W, 3], or None. `time_ms` has to increase from picture to picture of a video, whose
        pictures have one size until `forget`."""

    def forget(self, time_ms: int) -> None:
        """Drop the face that is followed: the next picture is searched. `time_ms` has to increase as for `run`."""

    def close(self) -> None:
        """Let go of the model. May be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class DetectionNetwork(Protocol):
    """All faces of a picture, without landmarks. It sees 128×128 pixels of whatever it is given, so faces smaller than
    an eighth of the picture are not found. Owned by one thread at a time; a context manager."""

    def run(self, rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """The faces in `rgb` [H, W, 3], the surest first."""

    def close(self) -> None:
        """Let go of the model. May be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class FaceNetworks(Protocol):
    """The networks of one model file, ready to be run.

    Attributes:
        name: of what runs them.
        why: the same, why it was chosen, and how it has proven itself, in one line.
    """

    @property
    def name(self) -> str: ...

    @property
    def why(self) -> str: ...

    def landmarks(self, *, video: bool, scores: bool, least_confidence: float = LEAST_CONFIDENCE) -> LandmarkNetwork:
        """A landmarker.

        Args:
            video: follow one face through pictures whose times increase; otherwise each picture stands for itself.
            scores: also estimate the 52 coefficients.
            least_confidence: of a detection and of the presence of a face, 0..1.

        Raises InputError where it cannot be made.
        """

    def detector(self, least_confidence: float = LEAST_CONFIDENCE) -> DetectionNetwork:
        """A detector of faces. Raises InputError where it cannot be made."""
