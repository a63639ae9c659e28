"""The flow engine: the published network's backward flow and depth move the avatar's controllers.

    crop ─▶ live graph (any backend) ─▶ flow and depth ─▶ controllers ─▶ blend and smooth ─▶ AvatarPose

Motion is relative to the driver's calibrated neutral, as published (`start`). Networks that leave the head's motion to
the tracker are driven by `engine.flow.ours.compact_flow_engine`; `realtime.engines` chooses.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from calib.close_up import Pictured
from calib.published.published_rig import PublishedRig, SeenHead, own_rig, published_rig
from calib.published.published_weights import NEIGHBOURS
from calib.rig.controllers import Controllers
from calib.rig.face_rig import FaceRig
from capture.face.preprocess import NetworkCropper
from core.face_motion import FaceMotion, gaze_of
from core.frame import FaceObservation
from core.mesh import Mesh
from core.rigid_motion import fit_similarity, rotation_matrix, rotation_vector
from engine.flow.backends.compiled import MotionFields
from engine.flow.flow_guard import FlowGuard, vertex_units
from engine.flow.flow_network import FlowNetwork
from engine.flow.published.flow_options import FlowOptions, RigOptions
from engine.flow.published.flow_tracking import FlowControllers, FlowTracker
from engine.flow.published.published_retarget import PUBLISHED_ROUNDS, PUBLISHED_SMOOTHING, PublishedRetarget
from engine.motion.coefficients import Coefficients
from engine.motion.easing import Easing, State
from engine.motion.neck_bend import NeckBend
from engine.motion.protocol import AvatarPose, HeadPose, MotionEngine

log = logging.getLogger(__name__)

_EYES_APART_M = 0.089  # between the outer corners of an average adult's eyes


class FlowAvatar(Pictured, Protocol):
    """What the flow engine needs of a prepared avatar (`calib.avatar.Avatar` has it all)."""

    @property
    def content_key(self) -> str: ...
    @property
    def display_mesh(self) -> Mesh: ...
    @property
    def landmarks(self) -> NDArray[np.float32]: ...
    @property
    def controllers(self) -> Controllers: ...  # these two for `RigOptions.weights` "geodesic" only
    @property
    def weights(self) -> csr_matrix: ...
    @property
    def rig(self) -> FaceRig: ...  # for `FlowOptions.guard` only


@dataclass(frozen=True, eq=False)
class FlowState(State):
    """Displacement of the vertices [V, 3], and the head's rotation vector [3] and shift [3], avatar units."""

    delta: NDArray[np.float64]
    turn: NDArray[np.float64]
    shift: NDArray[np.float64]


class FlowEngine(MotionEngine):
    """Drives one avatar through a network checkpoint.

    Attributes:
        code: [1, M] the motion code that the avatar was last given; None while it follows no face.
    """

    name = "flow"
    keeps_neutral = False  # its neutral is a picture, and none is kept

    def __init__(
        self,
        avatar: FlowAvatar,
        network: FlowNetwork,
        options: FlowOptions | None = None,
        head_pose: HeadPose = "follow",
        neck: NeckBend | None = None,
    ) -> None:
        """`neck` bends with the head; the mesh turns as a whole, as published, where left out. Raises InputError for an
        avatar that cannot be used."""
        options = options or FlowOptions()
        self.head_pose: HeadPose = head_pose
        self._neck = neck
        self.quirks = options.quirks(released=network.released)
        self.backend, self._source_alpha = network.backend, network.source_alpha
        log.info("flow engine: %s", self.backend.why)
        self._offset: NDArray[np.float32] | None = None
        self.code: NDArray[np.float32] | None = None
        self._cropper = NetworkCropper(self.quirks.driving_channel_order)
        self._rest = np.asarray(avatar.display_mesh.vertices, np.float32)
        self._prepare_controllers(avatar, options)
        self._easing = Easing(FlowState(np.zeros(self._rest.shape), np.zeros(3), np.zeros(3)))
        self._coefficients = Coefficients()
        corners = avatar.landmarks[[33, 263]]
        self._units_per_metre = float(np.linalg.norm(corners[1] - corners[0])) / _EYES_APART_M
        self._moved = False  # since the first neutral

    def _prepare_controllers(self, avatar: FlowAvatar, options: FlowOptions) -> None:
        depth, camera = avatar.source_depth, avatar.intrinsics
        rig = flow_rig(avatar, options)
        shown = depth[depth > 0]
        span = float(shown.min()), float(shown.max())
        controllers = rig.controllers
        at = FlowControllers(controllers.pixels, controllers.depth, span, camera, avatar.T_camera_world)
        self._tracker = FlowTracker(at, self.quirks.unprojection)
        amount = PUBLISHED_SMOOTHING if options.smoothing is None else options.smoothing
        rounds = PUBLISHED_ROUNDS if options.smoothing_rounds is None else options.smoothing_rounds
        self._retarget = PublishedRetarget(rig.weights, rig.smoothing, amount=amount, rounds=rounds)
        centres = controllers.pixels.astype(np.float64) + 0.5
        points = camera.unproject(centres, controllers.depth)
        rotation, translation = avatar.T_camera_world[:3, :3], avatar.T_camera_world[:3, 3]
        self._controllers_at = (points - translation) @ rotation  # [K, 3] world
        self._guard: FlowGuard | None = None
        if options.guard == "on":
            nearest = cKDTree(self._rest).query(self._controllers_at)[1]
            units, told = vertex_units(avatar.rig.basis, nearest), np.ones(len(nearest), bool)
            self._guard = FlowGuard(self._controllers_at, units, np.zeros(len(nearest), np.int64), told)
        self._unbound = np.flatnonzero(np.diff(rig.weights.indptr) == 0)  # eyes, teeth: parts without a controller

    @property
    def calibrated(self) -> bool:
        return self._offset is not None

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take this face as the neutral; the crop is cut where it stands from now on. Raises ValueError untracked."""
        if not neutral.tracked:
            raise ValueError("expected a tracked face as the neutral")
        self._cropper.reset()
        self._easing.recalibrated()
        self._coefficients.calibrate(neutral)
        self._offset = self._source_alpha - self._run(neutral, np.zeros_like(self._source_alpha)).alpha

    def animate(self, observation: FaceObservation) -> AvatarPose:
        tracked, now_s = observation.tracked and self._offset is not None, observation.timestamp_s
        if not tracked:
            self.code = None
            state = self._easing.step(self._easing.rest, tracked=False, time_s=now_s)
        elif self._moved:
            state = self._easing.step(self._live(observation), tracked=True, time_s=now_s)
        else:  # exact from the first frame on, as published: at rest before, and now near the neutral
            state, self._moved = self._easing.begin(self._live(observation), now_s), True
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = rotation_matrix(state.turn), state.shift
        vertices = self._rest + state.delta.astype(np.float32)
        if self._neck is not None:
            self._neck.apply(vertices, T)
        weights = self._coefficients.step(observation, tracked)
        motion = FaceMotion(weights, gaze_of(weights), self._T_neutral_head(T))
        return AvatarPose(vertices, T, now_s, observation.frame.index, tracked, motion=motion)

    def _T_neutral_head(self, T_world_head: NDArray[np.float64]) -> NDArray[np.float64]:
        """The head's motion [4, 4] about the middle of the face, metres: an avatar faces along +z of its world."""
        centre, T = self._controllers_at.mean(axis=0), T_world_head.copy()
        T[:3, 3] = (T[:3, :3] @ centre + T[:3, 3] - centre) / self._units_per_metre
        return T

    def _live(self, observation: FaceObservation) -> FlowState:
        assert self._offset is not None
        fields = self._run(observation, self._offset)
        self.code = fields.alpha + self._offset
        delta, T = self._pose(*self._tracker.track(fields.flow, fields.depth))
        return FlowState(delta.astype(np.float64), rotation_vector(T[:3, :3]), T[:3, 3].copy())

    def _run(self, observation: FaceObservation, offset: NDArray[np.float32]) -> MotionFields:
        crop = self._cropper(observation)
        assert crop is not None  # tracked
        return self.backend.run(np.ascontiguousarray(crop[None]), np.ascontiguousarray(offset))

    def _pose(
        self, displacement: NDArray[np.float64], tracked: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Vertex displacement [V, 3] and head pose [4, 4]."""
        T = rigid_fit(self._controllers_at[tracked], displacement[tracked])
        apart = self.quirks.rigid == "apart" or self.head_pose == "fixed"
        if apart:
            moved = self._controllers_at + displacement
            displacement = (moved - T[:3, 3]) @ T[:3, :3] - self._controllers_at
            if self._guard is not None:
                displacement, tracked = self._guard(displacement, tracked).moved, np.ones_like(tracked)
        delta = self._retarget.vertices_delta(displacement, tracked)
        if not apart:
            loose = self._rest[self._unbound]
            delta[self._unbound] = loose @ T[:3, :3].T.astype(np.float32) + T[:3, 3].astype(np.float32) - loose
        return delta, T if apart and self.head_pose == "follow" else np.eye(4)


def flow_rig(avatar: FlowAvatar, options: RigOptions) -> PublishedRig:
    """Controllers and weights in the way that is asked for, solved or read back from an earlier start."""
    head = SeenHead(
        np.asarray(avatar.display_mesh.vertices, np.float32),
        avatar.display_mesh.faces,
        avatar.landmarks,
        avatar.source_depth,
        avatar.intrinsics,
        avatar.T_camera_world,
    )
    k = options.weights_k or NEIGHBOURS
    if options.weights == "geodesic":
        return own_rig(head, avatar.controllers.rest, avatar.weights, k=k, cache_dir=options.cache_dir)
    return published_rig(head, k=k, cache_dir=options.cache_dir)


def rigid_fit(points: NDArray[np.float64], displacement: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] rotation and translation that best explain where points [n, 3] went (Kabsch 1976); identity for n < 3."""
    T = np.eye(4)
    if len(points) < 3:
        return T
    moved = points + displacement
    centre, new_centre = points.mean(axis=0), moved.mean(axis=0)
    _, T[:3, :3], _ = fit_similarity(points, moved)
    T[:3, 3] = new_centre - T[:3, :3] @ centre
    return T
