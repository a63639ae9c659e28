"""The skeleton of engines that watch a face's landmarks and move an avatar's controllers.

    measure ─▶ [the engine: what the face does] ─▶ smooth ─▶ ease ─▶ [the engine: vertices] ─▶ bend the neck

An engine is a subclass with three methods: `_remember`, `_seen` and `_vertices`. All else is here: the neutral, the
head's pose, the gaze, smoothing, easing after losses, and for engines that move controllers what must close and the way
from there to vertices.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from calib.rig.face_rig import FaceRig
from capture.face.face_model_file import find_face_model
from core.canonical_face import load_canonical_face
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion, with_gaze
from core.frame import FaceObservation
from engine.motion.coefficients import Coefficients
from engine.motion.driver_face import DriverMotion, DriverNeutral, make_neutral, measure
from engine.motion.easing import Easing, State
from engine.motion.eyes import GAZE_FILTER, LID_FILTER, followed_gaze
from engine.motion.face_mapping import FaceMapping
from engine.motion.head_motion import SHIFT_FILTER, TURN_FILTER, T_world_head, head_motion
from engine.motion.neck_bend import NeckBend
from engine.motion.protocol import AvatarPose, DeferredPose, HeadPose, MotionEngine
from engine.motion.retarget import Retargeter
from engine.motion.smoothing import OneEuro
from render.skin.moving_skin import SkinPose

Array = NDArray[np.float64]
Own = TypeVar("Own")

_BLINKS = [UNIT_NAMES.index(name) for name in ("eyeBlinkRight", "eyeBlinkLeft")]  # picture-left eye first


@dataclass(frozen=True, eq=False)
class FaceState(State):
    """What a face does.

    Attributes:
        face: [N, D] the engine's own: displacements of landmarks or controllers, or weights of units.
        lids: [2, 2] for each eye how open, less 1 (0 as in neutral, -1 shut), and how far the lower lid is raised, in
            apertures.
        gaze: [2, 2] yaw and pitch of each eye in radians.
        turn: [1, 3] rotation vector of the head since the neutral.
        shift: [1, 3] of the head since the neutral, avatar units.
    """

    face: Array
    lids: Array
    gaze: Array
    turn: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class Driver(Generic[Own]):
    """Who drives: the neutral face, its proportions beside the avatar's, and what the engine itself keeps of it."""

    neutral: DriverNeutral
    mapping: FaceMapping
    own: Own


class LipsMeeting(Protocol):
    """Lips that meet: `engine.motion.contact` or `engine.motion.closing`."""

    def apply(self, moved: Array) -> object: ...


class FaceEngine(MotionEngine, Generic[Own]):
    """One driver's face on one avatar. Owned by one thread.

    Args:
        rig: the avatar's.
        head_pose: "follow" turns the avatar with the driver, "fixed" keeps it still; may be changed while running.
        face: [N, D] of zeros, in the shape of `FaceState.face`.
        face_filter: smooths that.
    """

    def __init__(
        self,
        rig: FaceRig,
        head_pose: HeadPose,
        face: Array,
        face_filter: OneEuro,
        lips: LipsMeeting,
    ) -> None:
        self.head_pose: HeadPose = head_pose
        self._rig = rig
        self._retargeter = Retargeter(rig)
        self._neck = NeckBend(rig.neck, rig.rest)
        self._lips = lips
        self._driver: Driver[Own] | None = None
        self._coefficients = Coefficients()
        self._trouble = ""  # an engine's own, see `AvatarPose.trouble`
        self._last: FaceObservation | None = None  # that was tracked
        others = (OneEuro(*given) for given in (LID_FILTER, GAZE_FILTER, TURN_FILTER, SHIFT_FILTER))
        self._filters = (face_filter, *others)  # in the order of a state's parts
        still = np.zeros((1, 3))
        self._easing = Easing(FaceState(face, np.zeros((2, 2)), np.zeros((2, 2)), still, still))

    @abstractmethod
    def _remember(self, neutral: FaceObservation) -> Own:
        """What this engine keeps of a tracked neutral beyond the face itself; handed to `_seen` within its driver."""

    @abstractmethod
    def _seen(self, observation: FaceObservation, motion: DriverMotion, driver: Driver[Own]) -> tuple[Array, Array]:
        """`face` and `lids` of the state, as a tracked observation shows them, not smoothed."""

    def _gaze(self, motion: DriverMotion, _face: Array) -> Array:
        """[2, 2] yaw and pitch of each eye in radians, as a tracked observation shows them, not smoothed."""
        return motion.gaze

    @abstractmethod
    def _vertices(self, shown: FaceState) -> NDArray[np.float32]:
        """[R, 3] the head in this state, avatar units, before neck and pose; a new array each time."""

    def _skin_pose(self, _shown: FaceState, _T: Array) -> SkinPose | None:
        """The state, and the neck's bend, as numbers; None where they cannot be told. An engine that tells them has
        `_vertices` called from any thread."""
        return None

    def _closing(self, shown: FaceState) -> Array | None:
        """[2, 2] for each eye how far it is closed, of what the controllers leave open, and how far the lower lid is
        raised, in apertures. Where controllers stay at rest, that is the state's. None: lids are left alone."""
        return shown.lids * [-1.0, 1.0]

    @property
    def calibrated(self) -> bool:
        return self._driver is not None

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take this observation as the driver's neutral face; the avatar eases over. ValueError if not tracked."""
        face = make_neutral(neutral)
        self._driver = Driver(face, FaceMapping(self._rig, face.landmarks), self._remember(neutral))
        self._easing.recalibrated()
        self._coefficients.calibrate(neutral)

    def animate(self, observation: FaceObservation) -> AvatarPose:
        """The pose that answers this observation. Before `calibrate`, and when the face is lost, it eases to rest."""
        driver = self._driver if observation.tracked else None
        tracked, time_s = driver is not None, observation.timestamp_s
        if driver is not None and self._easing.renewed and self._last is not None:
            # what eases is the difference between the neutrals, not what the face did since the frame before
            self._easing.step(self._live(self._last, driver), True, self._last.timestamp_s)
        self._last = observation if tracked else None
        live = self._easing.rest if driver is None else self._live(observation, driver)
        shown = self._easing.step(live, tracked, time_s)
        mapping = None if self._driver is None else self._driver.mapping
        weights = self._named(observation, shown, tracked)
        return self._posed(shown, weights, mapping, time_s, observation.frame.index, tracked)

    def _posed(
        self, shown: FaceState, weights: Array, mapping: FaceMapping | None, time_s: float, index: int, tracked: bool
    ) -> AvatarPose:
        """The state shown, and the same in the terms of other programs; `weights` as `_named`."""
        T = self._head(shown, mapping)
        T_neutral_head = np.eye(4)
        if mapping is not None and self.head_pose == "follow":  # told as of an average person, whom all programs know
            average = self._average_driver
            shift = T[:3, :3] @ average.origin + T[:3, 3] - average.origin
            T_neutral_head[:3, :3] = average.rotation.T @ T[:3, :3] @ average.rotation
            T_neutral_head[:3, 3] = shift @ average.rotation / average.scale
        motion = FaceMotion(with_gaze(weights, shown.gaze), shown.gaze.copy(), T_neutral_head)
        told = (T, time_s, index, tracked, self._trouble if tracked else "", motion)
        skin = self._skin_pose(shown, T) if self.defers else None
        if skin is None:
            return AvatarPose(self._bent(shown, T), *told)
        return DeferredPose(lambda: self._bent(shown, T), skin, *told)

    def _bent(self, shown: FaceState, T: Array) -> NDArray[np.float32]:
        """[R, 3] the head in this state, its neck bent for the pose `T` [4, 4]."""
        vertices = self._vertices(shown)
        self._neck.apply(vertices, T)
        return vertices

    @cached_property
    def _average_driver(self) -> FaceMapping:
        return FaceMapping(self._rig, load_canonical_face(find_face_model()).points)

    def _named(self, observation: FaceObservation, shown: FaceState, tracked: bool) -> Array:
        """[52] what the face does in units, of which the gaze may be left out."""
        weights = self._coefficients.step(observation, tracked)
        weights[_BLINKS] = np.clip(-shown.lids[:, 0], 0.0, 1.0)
        return weights

    def _live(self, observation: FaceObservation, driver: Driver[Own]) -> FaceState:
        """The smoothed state of a tracked frame."""
        if self._easing.starting:
            for each in self._filters:
                each.reset()
        motion = measure(observation, driver.neutral)
        face, lids = self._seen(observation, motion, driver)
        gaze = followed_gaze(motion, self._gaze(motion, face), self._easing.shown.gaze)
        turn, shift = head_motion(motion, driver.neutral.T_camera_head, driver.mapping)
        raw = FaceState(face, lids, gaze, turn, shift)
        time_s = observation.timestamp_s
        return raw.of(smooth(part, time_s) for smooth, part in zip(self._filters, raw.parts, strict=True))

    def _followed(self, moved: Array, shown: FaceState) -> NDArray[np.float32]:
        """[R, 3] the head whose controllers are displaced by `moved` [K, 3], which is changed; lips and lids close."""
        self._lips.apply(moved)
        return self._retargeter.vertices(moved, shown.gaze, lids=self._closing(shown))

    def _head(self, shown: FaceState, mapping: FaceMapping | None) -> Array:
        if self.head_pose == "fixed" or mapping is None:
            return np.eye(4)
        return T_world_head(shown.turn, shown.shift, mapping.origin)
