"""The engine without a network: face landmarks relative to the driver's neutral move the avatar's own landmarks."""

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from core.face_regions import BROWS, CHIN, FACE_LANDMARKS, FACE_OVAL, LOWER_LIP, NOSE_BRIDGE, UPPER_LIP, mask
from core.frame import FaceObservation
from engine.motion.contact import LipContact, close_fully, lids_between_corners
from engine.motion.driver_face import DriverMotion
from engine.motion.face_engine import Driver, FaceEngine, FaceState
from engine.motion.protocol import HeadPose
from engine.motion.smoothing import OneEuro

_LANDMARK_FILTER = (2.2, 14.0)  # hertz at rest, hertz per avatar unit a second
_MAX_DISPLACEMENT = 0.55  # avatar units: nothing in a face moves farther
_GROUPS = (sum(UPPER_LIP + LOWER_LIP, ()) + CHIN, BROWS[0], BROWS[1], NOSE_BRIDGE, FACE_OVAL)


class LandmarkEngine(FaceEngine[None]):
    """Drives one avatar by landmark geometry. The state's `face` is the displacement of its 468 landmarks.

    Args:
        avatar: prepared by `calib.avatar.prepare_avatar`.
        head_pose: "follow" turns the avatar with the driver, "fixed" keeps it still; may be changed while running.
    """

    name = "landmark"

    def __init__(self, avatar: Avatar, head_pose: HeadPose = "follow") -> None:
        rig = avatar.rig
        groups = np.zeros(FACE_LANDMARKS, dtype=np.int64)
        for number, chain in enumerate(_GROUPS, start=1):
            groups[mask(chain)] = number
        super().__init__(
            rig,
            head_pose,
            np.zeros((FACE_LANDMARKS, 3)),
            OneEuro(*_LANDMARK_FILTER, groups=groups),
            LipContact(rig),
        )

    def _remember(self, neutral: FaceObservation) -> None:
        """Nothing beyond the face itself."""

    def _seen(
        self, _observation: FaceObservation, motion: DriverMotion, driver: Driver[None]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        moved = driver.mapping(motion.displacement)
        length = np.sqrt(np.einsum("nd,nd->n", moved, moved))[:, None]
        return moved * np.minimum(1.0, _MAX_DISPLACEMENT / np.maximum(length, 1e-9)), motion.lids - [1.0, 0.0]

    def _vertices(self, shown: FaceState) -> NDArray[np.float32]:
        moved = np.zeros(self._rig.controllers.rest.shape)
        moved[:FACE_LANDMARKS] = shown.face
        for eye in range(2):
            lids_between_corners(self._rig, eye, moved)
        return self._followed(moved, shown)

    def _closing(self, shown: FaceState) -> NDArray[np.float64]:
        openness = np.array([close_fully(1 + shut) for shut in shown.lids[:, 0].tolist()])
        return np.stack([1 - openness, shown.lids[:, 1]], axis=1)
