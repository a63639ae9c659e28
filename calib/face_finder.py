"""The face landmarker on still pictures, as avatar preparation needs it."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from calib.face_regions import ALL_LANDMARKS
from capture.canonical_face import CanonicalFace, load_canonical_face
from capture.face_model_file import find_face_model


class FaceFinder:
    """Finds one face per picture. A context manager: the landmarker must be closed."""

    def __init__(self, model_path: Path | None = None) -> None:
        from mediapipe import Image, ImageFormat
        from mediapipe.tasks.python import BaseOptions, vision

        path = find_face_model(model_path)
        self.canonical: CanonicalFace = load_canonical_face(path)
        self._image, self._format = Image, ImageFormat.SRGB
        self._landmarker: Any = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)),
                running_mode=vision.RunningMode.IMAGE,
                min_face_detection_confidence=0.3,
                min_face_presence_confidence=0.3,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landmarker.close()

    def find(self, rgb: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """[478, 3] landmarks of a picture [H, W, 3]: x, y in pixels, z in pixels towards the back; None: no face."""
        picture = self._image(image_format=self._format, data=np.ascontiguousarray(rgb))
        faces = self._landmarker.detect(picture).face_landmarks
        if not faces:
            return None
        height, width = rgb.shape[:2]
        points = np.array([(point.x * width, point.y * height, point.z * width) for point in faces[0]])
        assert points.shape == (ALL_LANDMARKS, 3)
        return points
