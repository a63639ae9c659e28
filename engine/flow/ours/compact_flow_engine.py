"""The flow engine for networks that repeat the expression alone, such as this project's compact one.

    cut that stays on the head ─▶ live graph ─▶ flow and depth in the close-up ─▶ the avatar's own controllers
        ─▶ geodesic weights, jaw, eyeballs (`engine.motion.retarget`) ─▶ AvatarPose

Turn and place of the head, gaze, and whether lids are shut are the tracker's; all else in the face is what the network
sees.
"""

import logging

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.close_up import CloseUp
from capture.face.head_crop import HeadCropper
from core.frame import FaceObservation
from engine.flow.flow_guard import FlowGuard, GuardedMotion, controller_units
from engine.flow.flow_network import FlowNetwork
from engine.flow.ours.flow_following import FlowFollower, MotionPicture, flesh_side
from engine.motion.closing import LipClosing
from engine.motion.driver_face import DriverMotion
from engine.motion.face_engine import Driver, FaceEngine, FaceState
from engine.motion.lids import finished
from engine.motion.protocol import HeadPose
from engine.motion.smoothing import OneEuro

log = logging.getLogger(__name__)

_CONTROLLER_FILTER = (4.0, 30.0)  # hertz at rest, hertz per avatar unit a second
_SHUT_RANGE = (-0.3, 1.0)  # wide open … shut
_TRUSTED, _TRUSTED_AGAIN = 0.5, 0.6  # shares of the controllers
_FADE_S = 0.3
UNTRUSTED = "the network's flow does not fit this head: its expression is at rest"
"""What is told while too little of the flow is trusted; head, gaze and lids, which are the tracker's, go on."""

CodeOffset = NDArray[np.float32]
"""[1, M] what is added to motion codes, so that the driver's neutral has the code of the avatar's picture."""


class CompactFlowEngine(FaceEngine[CodeOffset]):
    """Drives one avatar through a network of this project. The state's `face` is the displacement of its K controllers.

    Args:
        avatar: prepared by `calib.avatar.prepare_avatar`.
        network: of this avatar, without head motion, see `engine.flow.flow_network`.
        head_pose: "follow" turns the avatar with the driver, "fixed" keeps it still; may be changed while running.
        guard: believe flow only as far as the avatar's skin can do what it says (`engine.flow.flow_guard`).
    """

    name = "flow"
    keeps_neutral = False  # its neutral is a picture, and none is kept

    def __init__(
        self, avatar: Avatar, network: FlowNetwork, head_pose: HeadPose = "follow", *, guard: bool = True
    ) -> None:
        self.backend, self._source_alpha = network.backend, network.source_alpha
        log.info("flow engine: %s", self.backend.why)
        self._avatar = avatar
        self._cropper = HeadCropper()
        self._follower: FlowFollower | None = None
        self._guarded = guard
        self._guard: FlowGuard | None = None  # made with the follower
        self._trusted = np.zeros(avatar.rig.controllers.rest.shape)  # the last motion that was
        self._belief, self._believed_s = 1.0, 0.0
        super().__init__(
            avatar.rig,
            head_pose,
            np.zeros(avatar.rig.controllers.rest.shape),
            OneEuro(*_CONTROLLER_FILTER),
            LipClosing(avatar.rig),
        )

    def _remember(self, neutral: FaceObservation) -> CodeOffset:
        self._cropper.reset()
        start = self.backend.run(self._crop(neutral), np.zeros_like(self._source_alpha)).alpha
        offset = self._source_alpha - start
        if self._follower is None:  # a neutral face shows the source's own code, whoever's it is
            self._follower = self._following(self._picture(neutral, offset))
            if self._guarded:
                controllers = self._avatar.rig.controllers
                units, told = controller_units(self._avatar.rig.basis), self._follower.followed
                self._guard = FlowGuard(controllers.rest, units, flesh_side(controllers), told)
        self._belief, self._believed_s, self._trouble = 1.0, neutral.timestamp_s, ""
        self._trusted = np.zeros_like(self._trusted)
        return offset

    def _seen(
        self, observation: FaceObservation, motion: DriverMotion, driver: Driver[CodeOffset]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        assert self._follower is not None
        moved, known = self._follower.displacement(self._picture(observation, driver.own))
        if self._guard is not None:
            moved = self._believed(self._guard(moved, known & self._follower.steady), observation.timestamp_s)
        shut = np.clip(1 - motion.lids[:, 0], *_SHUT_RANGE)
        return moved, np.stack([-shut, np.zeros(2)], axis=1)

    def _believed(self, motion: GuardedMotion, time_s: float) -> NDArray[np.float64]:
        """[K, 3] what is shown of a guarded motion: where too little is trusted, the last trusted one fades away."""
        trusted = motion.share >= (_TRUSTED_AGAIN if self._trouble else _TRUSTED)
        self._trouble = "" if trusted else UNTRUSTED
        step_s = min(max(time_s - self._believed_s, 0.0), _FADE_S)
        self._believed_s = time_s
        if trusted:
            self._trusted = motion.moved
        self._belief = float(np.clip(self._belief + (step_s if trusted else -step_s) / _FADE_S, 0.0, 1.0))
        return self._belief * self._trusted

    def _vertices(self, shown: FaceState) -> NDArray[np.float32]:
        return self._followed(shown.face.copy(), shown)

    def _closing(self, shown: FaceState) -> NDArray[np.float64]:
        """The flow moves lids itself; only the last of the way is finished."""
        return np.stack([finished(-shown.lids[:, 0]), np.zeros(2)], axis=1)

    def _picture(self, observation: FaceObservation, offset: CodeOffset) -> MotionPicture:
        fields = self.backend.run(self._crop(observation), offset)
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
