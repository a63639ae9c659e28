"""Who names the motion code of this project's networks: their own encoder, or the expression prior.

Either way the driver's neutral has the code of the avatar's picture, and a driver who does nothing shows it as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from capture.face.head_crop import HeadCropper
from core.frame import FaceObservation
from engine.expression.expression_features import ExpressionNeutral
from engine.expression.seen_units import BLINKS, SeenUnits
from engine.flow.flow_network import FlowNetwork
from engine.motion.driver_face import DriverMotion
from engine.motion.smoothing import OneEuro

UNIT_FILTER = (3.0, 40.0)  # hertz at rest, hertz per full unit a second: as the expression engine smooths units
_PLAYED = (-0.1, 1.2)  # units as the network's training had them, and a little more

Units = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CodedFrame:
    """What the live graph is given for one frame.

    Attributes:
        driving: [1, 4, N, N] the driver's cut; empty for graphs that look at none.
        offset: [1, M] of the motion code.
        units: [52] weights as somebody named them (the code is smoothed), None where the encoder alone saw the driver.
            Blinks among them are not in the code: lids are shut on the avatar's own eyeballs, which flow does not know.
    """

    driving: NDArray[np.float32]
    offset: NDArray[np.float32]
    units: NDArray[np.float64] | None = None


class MotionCode(Protocol):
    """The code of one driver's frames, relative to their neutral."""

    def __call__(self, observation: FaceObservation, motion: DriverMotion, /) -> CodedFrame:
        """Of a tracked frame; `motion` as measured against the same neutral."""

    @property
    def at_rest(self) -> CodedFrame:
        """Of the neutral itself."""


class SeenByEncoder:
    """The network's encoder looks at a cut that stays on the head."""

    def __init__(self, network: FlowNetwork) -> None:
        self._run, self._source_alpha = network.backend.run, network.source_alpha
        self._cropper = HeadCropper()

    def relative_to(self, neutral: FaceObservation) -> MotionCode:
        """Forgets whoever was cut out before."""
        self._cropper.reset()
        start = self._crop(neutral)
        alpha = self._run(start, np.zeros_like(self._source_alpha)).alpha
        return _OfEncoder(self._crop, CodedFrame(start, self._source_alpha - alpha))

    def _crop(self, observation: FaceObservation) -> NDArray[np.float32]:
        crop = self._cropper(observation)
        assert crop is not None  # tracked
        return np.ascontiguousarray(crop[None])


class _OfEncoder:
    def __init__(self, crop: Callable[[FaceObservation], NDArray[np.float32]], at_rest: CodedFrame) -> None:
        self._crop, self.at_rest = crop, at_rest

    def __call__(self, observation: FaceObservation, _motion: DriverMotion) -> CodedFrame:
        return CodedFrame(self._crop(observation), self.at_rest.offset)


class SeenByPrior:
    """The expression prior names the units, which are the code; the graph, a coded one, looks at no picture."""

    def __init__(self, source_alpha: NDArray[np.float32]) -> None:
        self._seen = SeenUnits()
        self.at_rest = CodedFrame(np.zeros((1, 4, 1, 1), np.float32), np.zeros_like(source_alpha))

    def relative_to(self, neutral: FaceObservation) -> MotionCode:
        return _OfPrior(self, ExpressionNeutral.of(neutral))

    def units(self, observation: FaceObservation, neutral: ExpressionNeutral, motion: DriverMotion) -> Units:
        """[52] weights of a tracked frame."""
        return self._seen(observation, neutral, motion)

    def frame(self, units: Units) -> CodedFrame:
        """Of unit weights [52]."""
        played = np.clip(units, *_PLAYED)
        played[BLINKS] = 0.0
        return CodedFrame(self.at_rest.driving, played[None].astype(np.float32), units)


class _OfPrior:
    """What follows from the code alone is as calm as the code is: so this is smoothed, and not what it moves. A lid
    that sinks with the gaze goes a hundredth of an avatar unit, too slow for a filter of controllers to open up."""

    def __init__(self, prior: SeenByPrior, neutral: ExpressionNeutral) -> None:
        self._prior, self._neutral, self.at_rest = prior, neutral, prior.at_rest
        self._smooth = OneEuro(*UNIT_FILTER)

    def __call__(self, observation: FaceObservation, motion: DriverMotion) -> CodedFrame:
        named = self._prior.units(observation, self._neutral, motion)
        calm = self._smooth(named[:, None], observation.timestamp_s)[:, 0]
        return replace(self._prior.frame(calm), units=named)
