"""The engine that understands the face: a learned prior names what the driver does, the avatar does the same."""

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.rig.expression_basis import ExpressionUnits
from calib.rigging.morphs import MorphUnits
from capture.face.face_model_file import find_face_model
from core.canonical_face import load_canonical_face
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.face_motion import FaceMotion, gaze_of, with_gaze
from core.frame import FaceObservation
from core.rigid_motion import rotation_vector
from engine.expression.expression_features import ExpressionNeutral
from engine.expression.expression_prior import ExpressionPrior
from engine.expression.unit_skin import UnitSkin
from engine.motion.closing import LipClosing
from engine.motion.contact import smoothstep
from engine.motion.driver_face import DriverMotion
from engine.motion.face_engine import Driver, FaceEngine, FaceState
from engine.motion.face_mapping import FaceMapping
from engine.motion.lids import finished
from engine.motion.protocol import AvatarPose, HeadPose
from engine.motion.smoothing import OneEuro

_UNIT_FILTER = (3.0, 40.0)  # hertz at rest, hertz per full unit a second
_WEIGHT_RANGE = (-0.3, 1.5)  # of a full unit: more is a mistake of the prior rather than a face
_LID_RANGE = (-0.3, 1.0)  # wide open … shut
_DISAGREEMENT = 0.15  # by which the one that says less is heard
_SNAP = (0.7, 0.9)  # trackers miss the last of a quick blink: lids so far down are on their way to shut
_LOOKING_DOWN = 0.4  # by which lids of eyes that look fully down seem closed
_LOOKS_DOWN = ("eyeLookDownRight", "eyeLookDownLeft")
_LOOKS = [number for number, name in enumerate(UNIT_NAMES) if name.startswith("eyeLook")]
_LOOKS_FARTHER = 1.2  # than the prior says, who errs on the side of the middle
_BLINKS = ("eyeBlinkRight", "eyeBlinkLeft")  # picture-left eye first
_PARTS_LIPS = ("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthFunnel")
_LIPS_SHUT, _LIPS_OPEN = 0.02, 0.05  # mouth widths: seen apart by so little they are shut, by so much as the prior says


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
        self._gains = np.ones(UNIT_COUNT)
        self._prior = prior or ExpressionPrior.load()
        self._units = units or ExpressionUnits(avatar.rig.basis)
        self._blinks, self._looks_down = (
            np.array([self._units.names.index(name) for name in names]) for names in (_BLINKS, _LOOKS_DOWN)
        )
        self._parts_lips = np.array([self._units.names.index(name) for name in _PARTS_LIPS])
        self._jaw_open, self._mouth_close = (self._units.names.index(name) for name in ("jawOpen", "mouthClose"))
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
        return self._gains

    @gains.setter
    def gains(self, gains: NDArray[np.float64]) -> None:
        if gains.shape != (UNIT_COUNT,) or not np.isfinite(gains).all():
            raise ValueError(f"expected {UNIT_COUNT} finite gains, got {gains}")
        self._gains = gains

    def posed(self, weights: NDArray[np.float64], gaze: NDArray[np.float64]) -> NDArray[np.float32]:
        """[R, 3] the head as it looks with these weights [52] and this gaze [2, 2] (yaw and pitch of each eye in
        radians), as `animate` would show it: nobody drives, nothing is smoothed or eased."""
        face, shut = np.clip(weights, *_WEIGHT_RANGE), np.clip(weights[self._blinks], *_LID_RANGE)
        lids = np.stack([-shut, np.zeros(2)], axis=1)
        return self._vertices(replace(self._easing.rest, face=face[:, None], lids=lids, gaze=gaze))

    def follow(self, motion: FaceMotion, timestamp_s: float, index: int, tracked: bool = True) -> AvatarPose:
        """See `MotionEngine.follow`. The head moves as that of an average person would."""
        mapping = self._average_driver
        live = self._state_of(motion, mapping) if tracked else self._easing.rest
        shown = self._easing.step(live, tracked, timestamp_s)
        return self._posed(shown, self._shown_weights(shown), mapping, timestamp_s, index, tracked)

    @cached_property
    def _average_driver(self) -> FaceMapping:
        return FaceMapping(self._rig, load_canonical_face(find_face_model()).points)

    def _state_of(self, motion: FaceMotion, mapping: FaceMapping) -> FaceState:
        weights, T = with_gaze(np.clip(motion.weights, *_WEIGHT_RANGE), motion.gaze), motion.T_neutral_head
        lids = np.stack([-np.clip(weights[self._blinks], *_LID_RANGE), np.zeros(2)], axis=1)
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
        """Eyelids are measured as well as named by the prior: what both say counts, and blinks are finished. Lids that
        follow a gaze downwards are not on their way to shut: the avatar's follow its own."""
        units = self._gains * self._prior.estimate(observation, driver.own, motion)
        units[_LOOKS] *= _LOOKS_FARTHER
        units = np.clip(units, *_WEIGHT_RANGE)
        measured, named = np.clip(1 - motion.lids[:, 0], *_LID_RANGE), units[self._blinks]
        measured -= _LOOKING_DOWN * np.clip(units[self._looks_down], 0, 1) * (1 - measured)
        shut = _shut(measured, named)
        self._shut_lips(units, float(1 - smoothstep((motion.lips_apart - _LIPS_SHUT) / (_LIPS_OPEN - _LIPS_SHUT))))
        blinks = (measured + named) / 2
        units[self._blinks] = blinks + np.interp(shut, _SNAP, (0.0, 1.0)) * np.maximum(1 - blinks, 0)
        return units[:, None], np.stack([-units[self._blinks], np.zeros(2)], axis=1)

    def _gaze(self, _motion: DriverMotion, face: NDArray[np.float64]) -> NDArray[np.float64]:
        """The prior's: where a depth camera looks, irises measured in space are much less certain, as eyes are wet."""
        return gaze_of(face[:, 0])

    def _shut_lips(self, units: NDArray[np.float64], shut: float) -> None:
        """Take back what parts lips that are seen to be shut: teeth that nobody bares are a worse mistake than a smile
        a little too small."""
        units[self._parts_lips] *= 1 - shut * (units[self._parts_lips] > 0)
        opened = max(float(units[self._jaw_open]), 0.0)
        units[self._mouth_close] += shut * max(opened - float(units[self._mouth_close]), 0.0)

    def _vertices(self, shown: FaceState) -> NDArray[np.float32]:
        weights = shown.face[:, 0].copy()
        if not self._units.shut_lids:
            weights[self._blinks] = 0.0
        return self._skin.vertices(weights, shown.gaze, self._closing(shown))

    def _closing(self, shown: FaceState) -> NDArray[np.float64] | None:
        """Lids are closed on the avatar's own eyeballs; shapes of the file's artist have the last of it finished, those
        of `vfa rig` stay as they are."""
        if self._units.complete:
            return None
        shut = -shown.lids[:, 0]
        return np.stack([finished(shut) if self._units.shut_lids else shut, np.zeros(2)], axis=1)


def _shut(measured: NDArray[np.float64], named: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2] how far lids are shut, from what was measured between them and from the blinks that the prior names."""
    most, middle = np.maximum(measured, named), (measured + named) / 2
    return np.minimum(np.maximum(middle, most - _DISAGREEMENT), 1.0)
