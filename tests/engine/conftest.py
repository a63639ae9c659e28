"""A driver made of the canonical face, posed and deformed at will."""

from collections.abc import Callable

import numpy as np
import pytest

from calib.avatar import Avatar
from capture.face.face_model_file import find_face_model
from core.camera import Intrinsics
from core.canonical_face import load_canonical_face
from core.expression_units import SCORE_NAMES
from core.frame import FaceObservation, RgbdFrame

MakeObservation = Callable[..., FaceObservation]


@pytest.fixture(scope="session")
def face_points() -> np.ndarray:
    """[478, 3] an average face at rest with its lips closed, metres, head frame."""
    points = load_canonical_face(find_face_model()).points.copy()
    upper = [191, 80, 81, 82, 13, 312, 311, 310, 415]
    lower = [95, 88, 178, 87, 14, 317, 402, 318, 324]
    middle = (points[upper, 1] + points[lower, 1]) / 2
    points[upper, 1], points[lower, 1] = middle + 1e-4, middle - 1e-4
    return points


@pytest.fixture(scope="session")
def observe() -> MakeObservation:
    """(points [478, 3], time_s, rotation, shift, tracked) → an observation of them half a metre before the camera."""

    def make(
        points: np.ndarray,
        time_s: float = 0.0,
        rotation: np.ndarray | None = None,
        shift: tuple[float, float, float] = (0, 0, 0),
        tracked: bool = True,
    ) -> FaceObservation:
        pose = np.eye(4)
        pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ (np.eye(3) if rotation is None else rotation)
        pose[:3, 3] = np.array([0, 0, 0.5]) + shift
        camera = points @ pose[:3, :3].T + pose[:3, 3]
        frame = RgbdFrame(np.zeros((4, 4, 3), np.uint8), None, Intrinsics(4, 4, 2, 2, 4, 4), time_s, round(time_s * 30))
        pixels = np.zeros((478, 2), np.float32)
        scores = np.zeros(len(SCORE_NAMES), np.float32)
        return FaceObservation(frame, tracked, 1.0, pixels, camera.astype(np.float32), pose, scores)

    return make


@pytest.fixture(scope="session")
def prepared(lowpoly: Avatar) -> Avatar:
    return lowpoly
