"""The engine without a network: face landmarks relative to the driver's neutral move the avatar's own landmarks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.face_regions import BROWS, CHIN, FACE_LANDMARKS, FACE_OVAL, LOWER_LIP, NOSE_BRIDGE, UPPER_LIP, mask
from capture.frame import FaceObservation
from engine.contact import LidContact, LipContact
from engine.driver_face import DriverMotion, DriverNeutral, make_neutral, measure
from engine.face_mapping import FaceMapping
from engine.motion import AvatarPose, ControllerMotion, HeadPose
from engine.retarget import Retargeter
from engine.smoothing import OneEuro
from render.rigid_motion import rotation_matrix, rotation_vector

_LOST_S, _RESUME_S, _RECALIBRATE_S = 0.35, 0.15, 0.3  # time constants of easing
_LANDMARK_FILTER = (2.2, 14.0)  # hertz at rest, hertz per avatar unit a second
_LID_FILTER = (4.0, 5.0)  # hertz at rest, hertz per full blink a second
_GAZE_FILTER = (2.0, 6.0)
_TURN_FILTER = (2.0, 5.0)
_SHIFT_FILTER = (1.5, 8.0)
_GAZE_HELD_BELOW = 0.4  # openness under which the iris cannot be seen
_MAX_GAZE_RAD = (0.6, 0.45)
_FARTHEST = (0.7, 0.6, 1.5)  # avatar units the head may leave its place, approached softly
_MAX_DISPLACEMENT = 0.55  # avatar units: nothing in a face moves farther
_GROUPS = (
    tuple(chain) for chain in (sum(UPPER_LIP + LOWER_LIP, ()) + CHIN, BROWS[0], BROWS[1], NOSE_BRIDGE, FACE_OVAL)
)


@dataclass(frozen=True, eq=False)
class _State:
    """Everything that is smoothed and eased, all zero at neutral."""

    displacement: NDArray[np.float64]  # [468, 3] avatar units
    lids: NDArray[np.float64]  # [2, 2] openness − 1, raise of the lower lid
    gaze: NDArray[np.float64]  # [2, 2]
    turn: NDArray[np.float64]  # [1, 3] rotation vector
    shift: NDArray[np.float64]  # [1, 3] avatar units

    def fields(self) -> tuple[NDArray[np.float64], ...]:
        return self.displacement, self.lids, self.gaze, self.turn, self.shift

    def plus(self, other: "_State", share: float) -> "_State":
        return _State(*(own + share * extra for own, extra in zip(self.fields(), other.fields(), strict=True)))


def _at_rest() -> _State:
    return _State(np.zeros((FACE_LANDMARKS, 3)), np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((1, 3)), np.zeros((1, 3)))


class LandmarkEngine:
    """Drives one avatar by landmark geometry. Implements `engine.motion.MotionEngine`; owned by one thread.

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
            OneEuro(*_LID_FILTER),
            OneEuro(*_GAZE_FILTER),
            OneEuro(*_TURN_FILTER),
            OneEuro(*_SHIFT_FILTER),
        ]
        self._shown = _at_rest()
        self._offset = _at_rest()
        self._ease_s = _RESUME_S
        self._restarted: float | None = None
        self._was_tracked = False
        self._time_s: float | None = None

    @property
    def calibrated(self) -> bool:
        return self._neutral is not None

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take this observation as the driver's neutral face; the avatar eases over. ValueError if not tracked."""
        self._neutral = make_neutral(neutral)
        self._mapping = FaceMapping(self._rig, self._neutral.landmarks)
        self._restarted = _RECALIBRATE_S

    def animate(self, observation: FaceObservation) -> AvatarPose:
        """The pose that answers this observation. Before `calibrate`, and when the face is lost, it eases to rest."""
        tracked = observation.tracked and self._neutral is not None
        live = self._live(observation) if tracked else _at_rest()
        self._shown = self._eased(live, tracked, observation.timestamp_s)
        vertices = self._retargeter.vertices(self._constrained(self._shown), self._shown.gaze)
        return AvatarPose(
            vertices, self._head_motion(self._shown), observation.timestamp_s, observation.frame.index, tracked
        )

    def controller_motion(self, pose_tracked: bool = True) -> ControllerMotion:
        """What the last `animate` did, as displacements of the 468 landmark controllers."""
        displacement = self._constrained(self._shown)[:FACE_LANDMARKS].astype(np.float32)
        tracked = np.full(FACE_LANDMARKS, pose_tracked)
        return ControllerMotion(
            displacement, tracked, self._head_motion(self._shown), self._shown.gaze.astype(np.float32)
        )

    def _live(self, observation: FaceObservation) -> _State:
        """The smoothed state of a tracked frame."""
        assert self._neutral is not None
        assert self._mapping is not None
        if not self._was_tracked or self._restarted is not None:
            for each in self._filters:
                each.reset()
        motion = measure(observation, self._neutral)
        displacement = _limited(self._gain * self._mapping(motion.displacement))
        gaze = np.clip(motion.gaze, [-limit for limit in _MAX_GAZE_RAD], _MAX_GAZE_RAD)
        gaze = np.where(motion.lids[:, :1] > _GAZE_HELD_BELOW, gaze.mean(axis=0), self._shown.gaze)
        turn, shift = self._head(motion)
        raw = _State(displacement, motion.lids - [1.0, 0.0], gaze, turn[None], shift[None])
        time_s = observation.timestamp_s
        smooth = (each(value, time_s) for each, value in zip(self._filters, raw.fields(), strict=True))
        return _State(*smooth)

    def _eased(self, live: _State, tracked: bool, time_s: float) -> _State:
        """`live`, reached without a jump after a loss, a return or a new neutral."""
        step_s = 0.0 if self._time_s is None else max(time_s - self._time_s, 0.0)
        self._time_s = time_s
        self._offset = self._offset.plus(self._offset, float(np.exp(-step_s / self._ease_s)) - 1.0)
        if tracked != self._was_tracked or (tracked and self._restarted is not None):
            first = self._restarted if tracked else None
            self._ease_s = first or (_RESUME_S if tracked else _LOST_S)
            self._offset = self._shown.plus(live, -1.0)
        if tracked:
            self._restarted = None
        self._was_tracked = tracked
        return live.plus(self._offset, 1.0)

    def _constrained(self, state: _State) -> NDArray[np.float64]:
        """[K, 3] displacement of all controllers, with what must close closed."""
        moved = np.zeros((len(self._rig.controllers.rest), 3))
        moved[:FACE_LANDMARKS] = state.displacement
        self._lips.apply(moved)
        for lid, (openness, raised) in zip(self._lids, state.lids, strict=True):
            lid.apply(moved, float(openness) + 1.0, float(raised))
        return moved

    def _head(self, motion: DriverMotion) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotation vector [3] and shift [3] of the head since the neutral, in the avatar's world."""
        assert self._neutral is not None
        assert self._mapping is not None
        now, before = motion.T_camera_head, self._neutral.T_camera_head
        flip = np.diag([1.0, -1.0, -1.0])  # camera axes to those of the avatar's world
        turn = flip @ now[:3, :3] @ before[:3, :3].T @ flip
        shift = flip @ (now[:3, 3] - before[:3, 3]) * self._mapping.scale
        farthest = np.array(_FARTHEST)
        return rotation_vector(turn), farthest * np.tanh(shift / farthest)

    def _head_motion(self, state: _State) -> NDArray[np.float64]:
        T = np.eye(4)
        if self.head_pose == "follow" and self._mapping is not None:
            origin = self._mapping.origin
            T[:3, :3] = rotation_matrix(state.turn[0])
            T[:3, 3] = origin - T[:3, :3] @ origin + state.shift[0]
        return T


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
