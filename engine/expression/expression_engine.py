"""The engine that understands the face: a learned prior names what the driver does, the avatar does the same."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.rig.expression_basis import ExpressionUnits
from calib.rigging.morphs import MorphUnits
from core.face_regions import FACE_LANDMARKS
from core.frame import FaceObservation
from engine.expression.expression_features import ExpressionNeutral
from engine.expression.expression_prior import UNIT_COUNT, ExpressionPrior
from engine.motion.closing import LidClosing, LipClosing
from engine.motion.driver_face import measure
from engine.motion.easing import Easing, State
from engine.motion.eyes import GAZE_FILTER, LID_FILTER, followed_gaze
from engine.motion.face_mapping import FaceMapping
from engine.motion.head_motion import SHIFT_FILTER, TURN_FILTER, T_world_head, head_motion
from engine.motion.protocol import AvatarPose, ControllerMotion, HeadPose
from engine.motion.retarget import Retargeter
from engine.motion.smoothing import OneEuro

_UNIT_FILTER = (3.0, 40.0)  # hertz at rest, hertz per full unit a second
_WEIGHT_RANGE = (-0.3, 1.5)  # of a full unit: more is a mistake of the prior rather than a face
_LID_RANGE = (-0.3, 1.0)  # wide open … shut
_DISAGREEMENT = 0.15  # by which the one that says less is heard
_SNAP = (0.7, 0.9)  # trackers miss the last of a quick blink: lids so far down are on their way to shut
_BLINKS = ("eyeBlinkRight", "eyeBlinkLeft")  # picture-left eye first


@dataclass(frozen=True, eq=False)
class _Driver:
    """Who drives: the neutral face, and its proportions beside the avatar's."""

    neutral: ExpressionNeutral
    mapping: FaceMapping


class ExpressionEngine:
    """Drives one avatar by expression units. Implements `engine.motion.protocol.MotionEngine`; owned by one thread.

    Args:
        avatar: prepared by `calib.avatar.prepare_avatar`.
        head_pose: "follow" turns the avatar with the driver, "fixed" keeps it still; may be changed while running.
        prior: what names the driver's expression; the shipped one when left out.
        units: what moves the head by units; those carried onto it by its preparation when left out.

    Attributes:
        gains: [52] by which the driver's units are multiplied, 1 unless a personal profile says otherwise.
    """

    name = "expression"

    def __init__(
        self,
        avatar: Avatar,
        head_pose: HeadPose = "follow",
        *,
        prior: ExpressionPrior | None = None,
        units: ExpressionUnits | MorphUnits | None = None,
    ) -> None:
        self.head_pose: HeadPose = head_pose
        self.gains = np.ones(UNIT_COUNT)
        self._prior = prior or ExpressionPrior.load()
        self._rig = avatar.rig
        self._units = units or ExpressionUnits(avatar.rig.basis)
        self._blinks = np.array([self._units.names.index(name) for name in _BLINKS])
        self._retargeter = Retargeter(avatar.rig)
        self._lids = [LidClosing(avatar.rig, eye) for eye in range(2)]
        self._lips = LipClosing(avatar.rig)
        self._driver: _Driver | None = None
        self._filters = [
            OneEuro(*_UNIT_FILTER),
            OneEuro(*LID_FILTER),
            OneEuro(*GAZE_FILTER),
            OneEuro(*TURN_FILTER),
            OneEuro(*SHIFT_FILTER),
        ]
        self._easing = Easing(
            (np.zeros((UNIT_COUNT, 1)), np.zeros((2, 1)), np.zeros((2, 2)), np.zeros((1, 3)), np.zeros((1, 3)))
        )
        self._moved = np.zeros((len(avatar.rig.controllers.rest), 3))

    @property
    def calibrated(self) -> bool:
        return self._driver is not None

    @property
    def unit_names(self) -> tuple[str, ...]:
        """[52] of the units, in the order of `gains` and `unit_weights`."""
        return self._units.names

    @property
    def unit_weights(self) -> NDArray[np.float64]:
        """[52] what the avatar does now, in units."""
        return self._easing.shown[0][:, 0]

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take this observation as the driver's neutral face; the avatar eases over. ValueError if not tracked."""
        own = ExpressionNeutral.of(neutral)
        self._driver = _Driver(own, FaceMapping(self._rig, own.face.landmarks))
        self._easing.recalibrated()

    def animate(self, observation: FaceObservation) -> AvatarPose:
        """The pose that answers this observation. Before `calibrate`, and when the face is lost, it eases to rest."""
        tracked = observation.tracked and self._driver is not None
        live = self._live(observation) if tracked else self._easing.rest
        shown = self._easing.step(live, tracked, observation.timestamp_s)
        units = self._units.displacement(shown[0][:, 0])
        self._moved = self._closed(units[1].astype(np.float64), shown)
        vertices = self._retargeter.vertices(self._moved, shown[2], units)
        return AvatarPose(vertices, self._head(shown), observation.timestamp_s, observation.frame.index, tracked)

    def controller_motion(self, pose_tracked: bool = True) -> ControllerMotion:
        """What the last `animate` did, as displacements of the 468 landmark controllers."""
        shown = self._easing.shown
        displacement = self._moved[:FACE_LANDMARKS].astype(np.float32)
        tracked = np.full(FACE_LANDMARKS, pose_tracked)
        return ControllerMotion(displacement, tracked, self._head(shown), shown[2].astype(np.float32))

    def _live(self, observation: FaceObservation) -> State:
        """The smoothed state of a tracked frame: units, how far lids are shut, gaze, turn and shift of the head."""
        assert self._driver is not None
        if self._easing.starting:
            for each in self._filters:
                each.reset()
        neutral = self._driver.neutral
        motion = measure(observation, neutral.face)
        units = np.clip(self.gains * self._prior.estimate(observation, neutral, motion), *_WEIGHT_RANGE)
        measured, named = np.clip(1 - motion.lids[:, 0], *_LID_RANGE), units[self._blinks]
        shut = _shut(measured, named)
        blinks = (measured + named) / 2
        units[self._blinks] = blinks + np.interp(shut, _SNAP, (0.0, 1.0)) * np.maximum(1 - blinks, 0)
        gaze = followed_gaze(motion, self._easing.shown[2])
        turn, shift = head_motion(motion, neutral.face.T_camera_head, self._driver.mapping)
        raw = units[:, None], shut[:, None], gaze, turn, shift
        return tuple(each(value, observation.timestamp_s) for each, value in zip(self._filters, raw, strict=True))

    def _closed(self, moved: NDArray[np.float64], state: State) -> NDArray[np.float64]:
        """[K, 3] displacement of all controllers, with what must close closed."""
        self._lips.apply(moved)
        for lid, shut in zip(self._lids, state[1][:, 0], strict=True):
            lid.apply(moved, 1.0 - float(shut))
        return moved

    def _head(self, state: State) -> NDArray[np.float64]:
        if self.head_pose == "fixed" or self._driver is None:
            return np.eye(4)
        return T_world_head(state[3], state[4], self._driver.mapping.origin)


def _shut(measured: NDArray[np.float64], named: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2] how far lids are shut, from what was measured between them and from the blinks that the prior names."""
    most, middle = np.maximum(measured, named), (measured + named) / 2
    return np.minimum(np.maximum(middle, most - _DISAGREEMENT), 1.0)
