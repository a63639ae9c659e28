"""The flow engine for networks that repeat the expression alone, such as this project's compact one.

    cut that stays on the head ─▶ live graph ─▶ flow and depth in the close-up ─▶ the avatar's own controllers
        ─▶ geodesic weights, jaw, eyeballs (`engine.motion.retarget`) ─▶ AvatarPose

Turn and place of the head, gaze, and whether lids are shut are the tracker's; all else in the face is what the network
sees.
"""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.close_up import CloseUp
from capture.face.head_crop import HeadCropper
from core.face_regions import FACE_LANDMARKS
from core.frame import FaceObservation
from engine.flow.flow_network import FlowNetwork
from engine.flow.ours.flow_following import FlowFollower, MotionPicture
from engine.motion.closing import LidClosing, LipClosing
from engine.motion.driver_face import DriverNeutral, make_neutral, measure
from engine.motion.easing import Easing, State
from engine.motion.eyes import GAZE_FILTER, LID_FILTER, followed_gaze
from engine.motion.face_mapping import FaceMapping
from engine.motion.head_motion import SHIFT_FILTER, TURN_FILTER, T_world_head, head_motion
from engine.motion.protocol import AvatarPose, ControllerMotion, HeadPose
from engine.motion.retarget import Retargeter
from engine.motion.smoothing import OneEuro

log = logging.getLogger(__name__)

_CONTROLLER_FILTER = (4.0, 30.0)  # hertz at rest, hertz per avatar unit a second
_SHUT_RANGE = (-0.3, 1.0)  # wide open … shut


@dataclass(frozen=True, eq=False)
class _Driver:
    """Who drives: the neutral face, what to add to codes relative to it, and its proportions beside the avatar's."""

    neutral: DriverNeutral
    offset: NDArray[np.float32]
    mapping: FaceMapping


class CompactFlowEngine:
    """Drives one avatar through a network of this project. Implements `engine.motion.protocol.MotionEngine`."""

    name = "flow"

    def __init__(self, avatar: Avatar, network: FlowNetwork, head_pose: HeadPose = "follow") -> None:
        self.head_pose: HeadPose = head_pose
        self.backend, self._source_alpha = network.backend, network.source_alpha
        log.info("flow engine: %s", self.backend.why)
        self._avatar, self._rig = avatar, avatar.rig
        self._cropper = HeadCropper()
        self._retargeter = Retargeter(avatar.rig)
        self._lids = [LidClosing(avatar.rig, eye) for eye in range(2)]
        self._lips = LipClosing(avatar.rig)
        self._follower: FlowFollower | None = None
        self._driver: _Driver | None = None
        self._filters = [
            OneEuro(*_CONTROLLER_FILTER),
            OneEuro(*LID_FILTER),
            OneEuro(*GAZE_FILTER),
            OneEuro(*TURN_FILTER),
            OneEuro(*SHIFT_FILTER),
        ]
        controllers = len(avatar.rig.controllers.rest)
        self._moved, self._followed = np.zeros((controllers, 3)), np.zeros(controllers, bool)
        self._easing = Easing(
            (np.zeros((controllers, 3)), np.zeros((2, 1)), np.zeros((2, 2)), np.zeros((1, 3)), np.zeros((1, 3)))
        )

    @property
    def calibrated(self) -> bool:
        return self._driver is not None

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take this observation as the driver's neutral face; the avatar eases over. ValueError if not tracked."""
        own = make_neutral(neutral)
        self._cropper.reset()
        start = self.backend.run(self._crop(neutral), np.zeros_like(self._source_alpha)).alpha
        self._driver = _Driver(own, self._source_alpha - start, FaceMapping(self._rig, own.landmarks))
        if self._follower is None:  # a neutral face shows the source's own code, whoever's it is
            self._follower = self._following(self._seen(neutral, self._driver))
        self._easing.recalibrated()

    def animate(self, observation: FaceObservation) -> AvatarPose:
        """The pose that answers this observation. Before `calibrate`, and when the face is lost, it eases to rest."""
        tracked = observation.tracked and self._driver is not None
        live = self._live(observation) if tracked else self._easing.rest
        shown = self._easing.step(live, tracked, observation.timestamp_s)
        self._moved = shown[0].copy()
        self._lips.apply(self._moved)
        for lid, shut in zip(self._lids, shown[1][:, 0], strict=True):
            lid.apply(self._moved, 1.0 - float(shut))
        vertices = self._retargeter.vertices(self._moved, shown[2])
        return AvatarPose(vertices, self._head(shown), observation.timestamp_s, observation.frame.index, tracked)

    def controller_motion(self) -> ControllerMotion:
        """What the last `animate` did, as displacements of the 468 landmark controllers; those that flow itself says
        are tracked."""
        shown = self._easing.shown
        displacement = self._moved[:FACE_LANDMARKS].astype(np.float32)
        tracked = self._followed[:FACE_LANDMARKS]
        return ControllerMotion(displacement, tracked, self._head(shown), shown[2].astype(np.float32))

    def _live(self, observation: FaceObservation) -> State:
        """The smoothed state of a tracked frame: controllers, how far lids are shut, gaze, turn and shift of the
        head."""
        assert self._driver is not None
        assert self._follower is not None
        if self._easing.starting:
            for each in self._filters:
                each.reset()
        driver = self._driver
        moved, self._followed = self._follower.displacement(self._seen(observation, driver))
        motion = measure(observation, driver.neutral)
        shut = np.clip(1 - motion.lids[:, :1], *_SHUT_RANGE)
        gaze = followed_gaze(motion, self._easing.shown[2])
        turn, shift = head_motion(motion, driver.neutral.T_camera_head, driver.mapping)
        raw = moved, shut, gaze, turn, shift
        return tuple(each(value, observation.timestamp_s) for each, value in zip(self._filters, raw, strict=True))

    def _seen(self, observation: FaceObservation, driver: _Driver) -> MotionPicture:
        fields = self.backend.run(self._crop(observation), driver.offset)
        assert fields.mask is not None  # networks without head motion tell
        return MotionPicture(fields.flow, fields.depth, fields.mask)

    def _crop(self, observation: FaceObservation) -> NDArray[np.float32]:
        crop = self._cropper(observation)
        assert crop is not None  # tracked
        return np.ascontiguousarray(crop[None])

    def _following(self, rest: MotionPicture) -> FlowFollower:
        avatar = self._avatar
        close_up = CloseUp.of(avatar.intrinsics, avatar.T_camera_world)
        _, shown = close_up.cut(avatar.source_rgb, avatar.source_depth)
        return FlowFollower(avatar.rig.controllers, close_up, avatar.T_camera_world, shown, rest)

    def _head(self, state: State) -> NDArray[np.float64]:
        if self.head_pose == "fixed" or self._driver is None:
            return np.eye(4)
        return T_world_head(state[3], state[4], self._driver.mapping.origin)
