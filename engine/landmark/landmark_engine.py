"""The engine without a network: face landmarks relative to the driver's neutral move the avatar's own landmarks."""

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from core.face_regions import BROWS, CHIN, FACE_LANDMARKS, FACE_OVAL, LOWER_LIP, NOSE_BRIDGE, UPPER_LIP, mask
from core.frame import FaceObservation
from engine.motion.contact import LidContact, LipContact
from engine.motion.driver_face import DriverNeutral, make_neutral, measure
from engine.motion.easing import Easing, State
from engine.motion.eyes import GAZE_FILTER, LID_FILTER, followed_gaze
from engine.motion.face_mapping import FaceMapping
from engine.motion.head_motion import SHIFT_FILTER, TURN_FILTER, T_world_head, head_motion
from engine.motion.protocol import AvatarPose, ControllerMotion, HeadPose
from engine.motion.retarget import Retargeter
from engine.motion.smoothing import OneEuro

_LANDMARK_FILTER = (2.2, 14.0)  # hertz at rest, hertz per avatar unit a second
_MAX_DISPLACEMENT = 0.55  # avatar units: nothing in a face moves farther
_GROUPS = (sum(UPPER_LIP + LOWER_LIP, ()) + CHIN, BROWS[0], BROWS[1], NOSE_BRIDGE, FACE_OVAL)


def _at_rest() -> State:
    """Displacement of the landmarks [468, 3], lids [2, 2] (openness − 1, raise of the lower lid), gaze [2, 2], turn and
    shift of the head [1, 3]."""
    return np.zeros((FACE_LANDMARKS, 3)), np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((1, 3)), np.zeros((1, 3))


class LandmarkEngine:
    """Drives one avatar by landmark geometry. Implements `engine.motion.protocol.MotionEngine`; owned by one thread.

    Args:
        avatar: prepared by `calib.avatar.prepare_avatar`.
        head_pose: "follow" turns the avatar with the driver, "fixed" keeps it still; may be changed while running.
        gain: how strongly the expression is repeated; lids are not affected.
    """

    name = "landmark"

    def __init__(self, avatar: Avatar, head_pose: HeadPose = "follow", *, gain: float = 1.0) -> None:
        if not 0 <= gain <= 3:
            raise ValueError(f"expected a gain between 0 and 3, got {gain}")
        self.head_pose: HeadPose = head_pose
        self._rig = avatar.rig
        self._gain = gain
        self._retargeter = Retargeter(avatar.rig)
        self._lids = [LidContact(avatar.rig, eye) for eye in range(2)]
        self._lips = LipContact(avatar.rig)
        self._neutral: DriverNeutral | None = None
        self._mapping: FaceMapping | None = None
        self._filters = [
            OneEuro(*_LANDMARK_FILTER, groups=_filter_groups()),
            OneEuro(*LID_FILTER),
            OneEuro(*GAZE_FILTER),
            OneEuro(*TURN_FILTER),
            OneEuro(*SHIFT_FILTER),
        ]
        self._easing = Easing(_at_rest())

    @property
    def calibrated(self) -> bool:
        return self._neutral is not None

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take this observation as the driver's neutral face; the avatar eases over. ValueError if not tracked."""
        self._neutral = make_neutral(neutral)
        self._mapping = FaceMapping(self._rig, self._neutral.landmarks)
        self._easing.recalibrated()

    def animate(self, observation: FaceObservation) -> AvatarPose:
        """The pose that answers this observation. Before `calibrate`, and when the face is lost, it eases to rest."""
        tracked = observation.tracked and self._neutral is not None
        live = self._live(observation) if tracked else self._easing.rest
        shown = self._easing.step(live, tracked, observation.timestamp_s)
        vertices = self._retargeter.vertices(self._constrained(shown), shown[2])
        return AvatarPose(vertices, self._head(shown), observation.timestamp_s, observation.frame.index, tracked)

    def controller_motion(self, pose_tracked: bool = True) -> ControllerMotion:
        """What the last `animate` did, as displacements of the 468 landmark controllers."""
        shown = self._easing.shown
        displacement = self._constrained(shown)[:FACE_LANDMARKS].astype(np.float32)
        tracked = np.full(FACE_LANDMARKS, pose_tracked)
        return ControllerMotion(displacement, tracked, self._head(shown), shown[2].astype(np.float32))

    def _live(self, observation: FaceObservation) -> State:
        """The smoothed state of a tracked frame."""
        assert self._neutral is not None
        assert self._mapping is not None
        if self._easing.starting:
            for each in self._filters:
                each.reset()
        motion = measure(observation, self._neutral)
        displacement = _limited(self._gain * self._mapping(motion.displacement))
        gaze = followed_gaze(motion, self._easing.shown[2])
        turn, shift = head_motion(motion, self._neutral.T_camera_head, self._mapping)
        raw = displacement, motion.lids - [1.0, 0.0], gaze, turn, shift
        return tuple(each(value, observation.timestamp_s) for each, value in zip(self._filters, raw, strict=True))

    def _constrained(self, state: State) -> NDArray[np.float64]:
        """[K, 3] displacement of all controllers, with what must close closed."""
        displacement, lids = state[:2]
        moved = np.zeros((len(self._rig.controllers.rest), 3))
        moved[:FACE_LANDMARKS] = displacement
        self._lips.apply(moved)
        for lid, (openness, raised) in zip(self._lids, lids, strict=True):
            lid.apply(moved, float(openness) + 1.0, float(raised))
        return moved

    def _head(self, state: State) -> NDArray[np.float64]:
        if self.head_pose == "fixed" or self._mapping is None:
            return np.eye(4)
        return T_world_head(state[3], state[4], self._mapping.origin)


def _filter_groups() -> NDArray[np.int64]:
    """[468] landmarks that move together share one smoothing."""
    groups = np.zeros(FACE_LANDMARKS, dtype=np.int64)
    for number, chain in enumerate(_GROUPS, start=1):
        groups[mask(chain)] = number
    return groups


def _limited(displacement: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements no longer than anything in a face moves: guards against wild landmarks."""
    length = np.sqrt(np.einsum("nd,nd->n", displacement, displacement))
    return np.asarray(displacement * np.minimum(1.0, _MAX_DISPLACEMENT / np.maximum(length, 1e-9))[:, None])
