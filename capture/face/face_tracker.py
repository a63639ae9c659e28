"""Face tracking: one frame in, landmarks in pixels and metres, head pose and coefficients out."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capture.face.depth_sampling import depth_measured
from capture.face.face_landmarker import Landmarker
from capture.face.face_lifting import FaceLifter
from capture.face.face_model_file import find_face_model
from capture.face.networks.answers import TrackerName
from capture.face.networks.select import face_networks
from core.canonical_face import load_canonical_face
from core.closeable import Closeable
from core.expression_units import SCORE_NAMES
from core.face_regions import ALL_LANDMARKS
from core.frame import FaceObservation, RgbdFrame
from core.spans import span

_SIDEWAYS_FRAMES = 30

log = logging.getLogger(__name__)


class FaceTracker(Closeable):
    """Follows one face of a stream of frames, of several the larger one that moves. Owned by one thread; a context
    manager.

    Frames may have any size, and timestamps may jump or run backwards (a loop, a seek). The size of the person's face
    is learned from the first frames with depth; apart from that a frame's result depends on the tracker's own
    following only.

    Args:
        model_path: the face landmarker bundle; found as `capture.face.face_model_file` says by default.
        tracker: who runs its networks; see `capture.face.networks.select`.

    Attributes:
        tracker: who runs them.
        tracker_why: the same, and why, in one line.

    Raises InputError where there is no usable model.
    """

    def __init__(self, model_path: Path | None = None, tracker: TrackerName = "auto") -> None:
        path = find_face_model(model_path)
        networks = face_networks(path, tracker)
        self.tracker, self.tracker_why = networks.name, networks.why
        log.info("tracker: %s", self.tracker_why)
        self._lifter = FaceLifter(load_canonical_face(path))
        self._landmarker = Landmarker(networks)
        self._sideways: int | None = 0  # frames so far; None once the face stood upright, or it was told

    def close(self) -> None:
        """Let go of the model. May be called twice."""
        self._landmarker.close()

    def follow_next(self) -> None:
        """Follow another face, if there is one, from the next frame on: from left to right. From any thread."""
        self._landmarker.follow_next()

    def track(self, frame: RgbdFrame) -> FaceObservation:
        """The face of `frame`; `tracked` is False where there is none."""
        found = self._landmarker.detect(frame.rgb, frame.timestamp_s)
        if found is None:
            return untracked(frame)
        with span("lift"):
            lifted = self._lifter.lift(found, frame.intrinsics, frame.depth_m)
        self._notice_roll(lifted.T_camera_head)
        px = found.px.astype(np.float32)
        return FaceObservation(
            frame,
            True,
            lifted.confidence,
            px,
            lifted.landmarks_m,
            lifted.T_camera_head,
            found.scores,
            depth_measured(frame.depth_m, px, lifted.landmarks_m),
        )

    def _notice_roll(self, T_camera_head: NDArray[np.float64]) -> None:
        """Tell when the face has been lying on its side, or upside down, from the start."""
        if self._sideways is None:
            return
        up = T_camera_head[:2, 1]  # of the head, in the picture; upright is (0, -1)
        quarters = round(float(np.degrees(np.arctan2(up[0], -up[1]))) / 90) % 4
        self._sideways = self._sideways + 1 if quarters else None
        if self._sideways == _SIDEWAYS_FRAMES:
            log.warning("the face does not stand upright: --rotate %d turns the pictures", 360 - 90 * quarters)
            self._sideways = None


def untracked(frame: RgbdFrame) -> FaceObservation:
    """The observation of a frame without a face."""
    flat = np.zeros((ALL_LANDMARKS, 2), np.float32)
    solid = np.zeros((ALL_LANDMARKS, 3), np.float32)
    return FaceObservation(frame, False, 0.0, flat, solid, np.eye(4), np.zeros(len(SCORE_NAMES), np.float32))
