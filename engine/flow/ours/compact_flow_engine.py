"""The flow engine for networks that repeat the expression alone, such as this project's compact one.

    motion code ─▶ live graph ─▶ flow and depth in the close-up ─▶ the avatar's own controllers
        ─▶ geodesic weights, jaw, eyeballs (`engine.motion.retarget`) ─▶ AvatarPose

What the driver does, the motion code, is named by the network's encoder, which sees a cut that stays on the head, or
by the expression prior, since the code has one number for each unit (`ours.motion_code`). Turn and place of the head,
gaze, and whether lids are shut are the tracker's; all else in the face is what the network makes of the code.
"""

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.close_up import CloseUp
from core.face_motion import gaze_of
from core.frame import FaceObservation
from engine.expression.seen_units import BLINKS
from engine.flow.edge_limit import EdgeLimit
from engine.flow.flow_guard import FlowGuard, GuardedMotion, controller_units
from engine.flow.flow_network import FlowNetwork
from engine.flow.ours.flow_following import FlowFollower, MotionPicture, flesh_side
from engine.flow.ours.motion_code import CodedFrame, MotionCode, SeenByEncoder, SeenByPrior
from engine.motion.closing import LipClosing
from engine.motion.driver_face import DriverMotion
from engine.motion.face_engine import Driver, FaceEngine, FaceState
from engine.motion.lids import finished
from engine.motion.protocol import HeadPose
from engine.motion.smoothing import OneEuro

log = logging.getLogger(__name__)

_CONTROLLER_FILTER = (4.0, 30.0)  # hertz at rest, hertz per avatar unit a second
_CODED_FILTER = (30.0, 30.0)  # where the code has been smoothed
_SHUT_RANGE = (-0.3, 1.0)  # wide open … shut
_TRUSTED, _TRUSTED_AGAIN = 0.5, 0.6  # shares of the controllers
_FADE_S = 0.3
UNTRUSTED = "the network's flow does not fit this head: its expression is at rest"
"""What is told while too little of the flow is trusted; head, gaze and lids, which are the tracker's, go on."""
BY_UNITS = "the network's flow does not fit this head: its units alone move it"
"""The same where the prior names the code: what it names goes on, too."""


class CompactFlowEngine(FaceEngine[MotionCode]):
    """Drives one avatar through a network of this project. The state's `face` is the displacement of its K controllers.

    Args:
        avatar: prepared by `calib.avatar.prepare_avatar`.
        network: of this avatar, without head motion, see `engine.flow.flow_network`; one that is coded has its motion
            code from the expression prior.
        head_pose: "follow" turns the avatar with the driver, "fixed" keeps it still; may be changed while running.
        guard: believe flow only as far as the avatar's skin can do what it says (`engine.flow.flow_guard`).
    """

    name = "flow"
    keeps_neutral = False  # its neutral is a picture, and none is kept

    def __init__(
        self, avatar: Avatar, network: FlowNetwork, head_pose: HeadPose = "follow", *, guard: bool = True
    ) -> None:
        self.backend = network.backend
        by = "the expression prior" if network.coded else "its encoder"
        log.info("flow engine: %s; its motion code comes from %s", self.backend.why, by)
        self._avatar = avatar
        self._code = SeenByPrior(network.source_alpha) if network.coded else SeenByEncoder(network)
        self._lids_by_flow = not network.coded
        self._units: NDArray[np.float64] | None = None  # that the driver was last seen to do
        self._follower: FlowFollower | None = None
        self._guarded = guard
        self._guard: FlowGuard | None = None  # made with the follower, as is what comes after it
        self._edges: EdgeLimit | None = None
        self._trusted = np.zeros(avatar.rig.controllers.rest.shape)  # the last motion that was
        self._belief, self._believed_s = 1.0, 0.0
        super().__init__(
            avatar.rig,
            head_pose,
            np.zeros(avatar.rig.controllers.rest.shape),
            OneEuro(*(_CODED_FILTER if network.coded else _CONTROLLER_FILTER)),
            LipClosing(avatar.rig),
        )

    def _remember(self, neutral: FaceObservation) -> MotionCode:
        code = self._code.relative_to(neutral)
        if self._follower is None:
            self._follow_from(code.at_rest)
        self._belief, self._believed_s, self._trouble = 1.0, neutral.timestamp_s, ""
        self._trusted = np.zeros_like(self._trusted)
        return code

    def posed(self, weights: NDArray[np.float64], gaze: NDArray[np.float64]) -> NDArray[np.float32]:
        """[R, 3] the head as it looks with these unit weights [52] and this gaze [2, 2] (yaw and pitch of each eye in
        radians): nobody drives, nothing is smoothed or eased. Raises ValueError unless the network is a coded one."""
        if not isinstance(self._code, SeenByPrior):
            raise ValueError("expected a coded network, got one that has to see the driver")
        if self._follower is None:
            self._follow_from(self._code.at_rest)
        moved, _ = self._moved(self._code.frame(weights))
        lids = np.stack([-np.clip(weights[BLINKS], *_SHUT_RANGE), np.zeros(2)], axis=1)
        return self._vertices(replace(self._easing.rest, face=moved, lids=lids, gaze=gaze))

    def _follow_from(self, at_rest: CodedFrame) -> None:
        """A neutral face shows the source's own code, whoever's it is."""
        avatar = self._avatar
        close_up = CloseUp.of(avatar.intrinsics, avatar.T_camera_world)
        _, shown = close_up.cut(avatar.source_rgb, avatar.source_depth)
        self._follower = FlowFollower(
            avatar.rig.controllers, close_up, avatar.T_camera_world, shown, self._picture(at_rest)
        )
        if self._guarded:
            controllers = self._avatar.rig.controllers
            units, told = controller_units(self._avatar.rig.basis), self._follower.followed
            self._guard = FlowGuard(controllers.rest, units, flesh_side(controllers), told)
            self._edges = EdgeLimit(self._avatar.rig, self._avatar.display_mesh.faces, self._retargeter)

    def _moved(self, coded: CodedFrame) -> tuple[NDArray[np.float64], GuardedMotion | None]:
        """[K, 3] what the network says of all controllers, guarded where that is asked for."""
        assert self._follower is not None
        moved, known = self._follower.displacement(self._picture(coded))
        if self._guard is None:
            return moved, None
        named = None if coded.units is None else coded.offset[0]  # as the code has them: without blinks
        guarded = self._guard(moved, known & self._follower.steady, named)
        return guarded.moved, guarded

    def _seen(
        self, observation: FaceObservation, motion: DriverMotion, driver: Driver[MotionCode]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        coded = driver.own(observation, motion)
        moved, guarded = self._moved(coded)
        if guarded is not None:
            moved = self._believed(guarded, observation.timestamp_s)
        self._units = coded.units
        closed = 1 - motion.lids[:, 0] if self._units is None else self._units[BLINKS]
        shut = np.clip(closed, *_SHUT_RANGE)
        return moved, np.stack([-shut, np.zeros(2)], axis=1)

    def _believed(self, motion: GuardedMotion, time_s: float) -> NDArray[np.float64]:
        """[K, 3] what is shown of a guarded motion: where too little is trusted, the last trusted one fades away, into
        what the named units do, or into rest."""
        trusted = motion.share >= (_TRUSTED_AGAIN if self._trouble else _TRUSTED)
        without = BY_UNITS if motion.named is not None else UNTRUSTED
        self._trouble = "" if trusted else without
        step_s = min(max(time_s - self._believed_s, 0.0), _FADE_S)
        self._believed_s = time_s
        if trusted:
            self._trusted = motion.moved
        self._belief = float(np.clip(self._belief + (step_s if trusted else -step_s) / _FADE_S, 0.0, 1.0))
        shown = self._belief * self._trusted
        return shown if motion.named is None else shown + (1 - self._belief) * motion.named

    def _vertices(self, shown: FaceState) -> NDArray[np.float32]:
        vertices = self._followed(shown.face.copy(), shown)
        if self._edges is not None:
            self._edges.apply(vertices)
        return vertices

    def _gaze(self, motion: DriverMotion, face: NDArray[np.float64]) -> NDArray[np.float64]:
        return super()._gaze(motion, face) if self._units is None else gaze_of(self._units)

    def _closing(self, shown: FaceState) -> NDArray[np.float64]:
        """Where the encoder sees blinks, flow moves lids itself, and only the last of the way is finished."""
        shut = -shown.lids[:, 0]
        return np.stack([finished(shut) if self._lids_by_flow else shut, np.zeros(2)], axis=1)

    def _picture(self, coded: CodedFrame) -> MotionPicture:
        fields = self.backend.run(coded.driving, coded.offset)
        assert fields.mask is not None  # networks without head motion tell
        return MotionPicture(fields.flow, fields.depth, fields.mask)
