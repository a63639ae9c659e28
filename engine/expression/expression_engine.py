"""The engine that understands the face: a learned prior names what the driver does, the avatar does the same."""

import logging
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.rig.expression_basis import ExpressionUnits
from calib.rigging.morphs import MorphUnits
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.face_motion import FaceMotion, gaze_of, with_gaze
from core.frame import FaceObservation
from core.rigid_motion import rotation_vector
from engine.expression.expression_features import ExpressionNeutral
from engine.expression.expression_prior import ExpressionPrior
from engine.expression.seen_units import BLINKS, LID_RANGE, WEIGHT_RANGE, SeenUnits
from engine.expression.skin_numbers import SkinNumbers
from engine.expression.unit_skin import UnitSkin
from engine.motion.closing import LipClosing
from engine.motion.driver_face import DriverMotion
from engine.motion.face_engine import Driver, FaceEngine, FaceState
from engine.motion.face_mapping import FaceMapping
from engine.motion.lids import finished
from engine.motion.protocol import AvatarPose, HeadPose
from engine.motion.smoothing import OneEuro
from render.skin.moving_skin import SkinPose

log = logging.getLogger(__name__)

_HIDES = 0.85  # closed so far, lids hide an eye, which then looks ahead: corneas that look down bulge through thin lids
_LOOKS = np.array(
    [[UNIT_NAMES.index(f"eyeLook{way}{side}") for way in ("Up", "Down", "In", "Out")] for side in ("Right", "Left")]
)  # [2, 4], picture-left eye first
_UNIT_FILTER = (3.0, 40.0)  # hertz at rest, hertz per full unit a second


class ExpressionEngine(FaceEngine[ExpressionNeutral]):
    """Drives one avatar by expression units. The state's `face` is the weights of the 52 units.

    Args:
        avatar: prepared by `calib.avatar.prepare_avatar`.
        head_pose: "follow" turns the avatar with the driver, "fixed" keeps it still; may be changed while running.
        prior: what names the driver's expression; the shipped one when left out.
        units: what moves the head by units; those carried onto it by its preparation when left out.
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
        self._seen_units = SeenUnits(prior)
        self._units = units or ExpressionUnits(avatar.rig.basis)
        self._blinks = np.array(BLINKS)
        lips = LipClosing(avatar.rig)
        super().__init__(avatar.rig, head_pose, np.zeros((UNIT_COUNT, 1)), OneEuro(*_UNIT_FILTER), lips)
        self._skin = UnitSkin(avatar.rig, self._units, lips, self._retargeter)

    @property
    def unit_names(self) -> tuple[str, ...]:
        return self._units.names

    @property
    def unit_weights(self) -> NDArray[np.float64]:
        return self._easing.shown.face[:, 0]

    @property
    def gains(self) -> NDArray[np.float64]:
        return self._seen_units.gains

    @gains.setter
    def gains(self, gains: NDArray[np.float64]) -> None:
        if gains.shape != (UNIT_COUNT,) or not np.isfinite(gains).all():
            raise ValueError(f"expected {UNIT_COUNT} finite gains, got {gains}")
        self._seen_units.gains = gains

    def posed(self, weights: NDArray[np.float64], gaze: NDArray[np.float64]) -> NDArray[np.float32]:
        """[R, 3] the head as it looks with these weights [52] and this gaze [2, 2] (yaw and pitch of each eye in
        radians), as `animate` would show it: nobody drives, nothing is smoothed or eased."""
        face, shut = np.clip(weights, *WEIGHT_RANGE), np.clip(weights[self._blinks], *LID_RANGE)
        lids = np.stack([-shut, np.zeros(2)], axis=1)
        return self._vertices(replace(self._easing.rest, face=face[:, None], lids=lids, gaze=gaze))

    def follow(self, motion: FaceMotion, timestamp_s: float, index: int, tracked: bool = True) -> AvatarPose:
        """See `MotionEngine.follow`. The head moves as that of an average person would."""
        mapping = self._average_driver
        live = self._state_of(motion, mapping) if tracked else self._easing.rest
        shown = self._easing.step(live, tracked, timestamp_s)
        return self._posed(shown, self._shown_weights(shown), mapping, timestamp_s, index, tracked)

    def _state_of(self, motion: FaceMotion, mapping: FaceMapping) -> FaceState:
        weights, T = with_gaze(np.clip(motion.weights, *WEIGHT_RANGE), motion.gaze), motion.T_neutral_head
        lids = np.stack([-np.clip(weights[self._blinks], *LID_RANGE), np.zeros(2)], axis=1)
        turn = mapping.rotation @ rotation_vector(T[:3, :3])
        shift = mapping.scale * mapping.rotation @ T[:3, 3]
        return FaceState(weights[:, None], lids, motion.gaze, turn[None], shift[None])

    def _named(self, _observation: FaceObservation, shown: FaceState, _tracked: bool) -> NDArray[np.float64]:
        return self._shown_weights(shown)

    def _shown_weights(self, shown: FaceState) -> NDArray[np.float64]:
        """[52] with the lids as they are drawn: they are smoothed by a filter of their own."""
        weights = shown.face[:, 0].copy()
        weights[self._blinks] = -shown.lids[:, 0]
        return weights

    def _remember(self, neutral: FaceObservation) -> ExpressionNeutral:
        return ExpressionNeutral.of(neutral)

    def _seen(
        self, observation: FaceObservation, motion: DriverMotion, driver: Driver[ExpressionNeutral]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        units = self._seen_units(observation, driver.own, motion)
        return units[:, None], np.stack([-units[self._blinks], np.zeros(2)], axis=1)

    def _gaze(self, _motion: DriverMotion, face: NDArray[np.float64]) -> NDArray[np.float64]:
        """The prior's: where a depth camera looks, irises measured in space are much less certain, as eyes are wet."""
        return gaze_of(face[:, 0])

    def _vertices(self, shown: FaceState) -> NDArray[np.float32]:
        return self._skin.vertices(*self._of_skin(shown))

    def _of_skin(self, shown: FaceState) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
        """Weights [52], without blinks where these are another head's; gaze [2, 2] and lids as `UnitSkin.vertices`
        takes them. Behind lids that are shut, eyes look ahead. Shapes that do all alone get the gaze, and the last of a
        blink that trackers leave open, as weights."""
        weights = shown.face[:, 0].copy()
        if not self._units.shut_lids:
            weights[self._blinks] = 0.0
        if self._units.turn_eyes:
            weights, blinks = with_gaze(weights, shown.gaze), weights[self._blinks]
            weights[self._blinks] += (1 - blinks) * finished(blinks)
        closing, gaze = self._closing(shown), shown.gaze
        if closing is not None or self._units.turn_eyes:
            shut = -shown.lids[:, :1] if closing is None else closing[:, :1]
            seen = 1 - np.clip((shut - _HIDES) / (1 - _HIDES), 0, 1)
            weights[_LOOKS] *= seen
            gaze = gaze * seen
        return weights, gaze, closing

    def _skin_pose(self, shown: FaceState, T: NDArray[np.float64]) -> SkinPose | None:
        numbers = self._numbers
        return None if numbers is None else numbers.pose(*self._of_skin(shown), T)

    @cached_property
    def _numbers(self) -> SkinNumbers | None:
        try:
            return SkinNumbers(self._rig, self._skin, self._retargeter, self._neck)
        except ValueError as error:
            log.info("the vertices of this head are worked out on the processor: %s", error)
            return None

    def _closing(self, shown: FaceState) -> NDArray[np.float64] | None:
        """Lids are closed on the avatar's own eyeballs; shapes of the file's artist have the last of it finished, those
        of `vfa rig` stay as they are."""
        if self._units.complete:
            return None
        shut = -shown.lids[:, 0]
        return np.stack([finished(shut) if self._units.shut_lids else shut, np.zeros(2)], axis=1)
