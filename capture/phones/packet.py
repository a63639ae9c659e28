"""What a phone's packet says, whatever its protocol."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_COUNT
from core.face_motion import FaceMotion, gaze_of, with_gaze
from core.rigid_motion import turned

LARGEST_PACKET = 8192  # bytes; a face takes 300 to 1400
_WEIGHT_RANGE = (-1.0, 2.0)
_WIDEST_GAZE = 1.0  # radians


class DamagedPacketError(Exception):
    """A packet that is not of the protocol, or whose numbers cannot be a face's. One line: why."""


@dataclass(frozen=True, eq=False)
class FacePacket:
    """One packet of a phone.

    Attributes:
        weights: [52] in the order of `UNIT_NAMES`; units that the packet does not name are 0.
        head: yaw, pitch and roll in radians, to the person's left, down, and onto the right shoulder; see
            `core.rigid_motion.turns`.
        eyes: (yaw, pitch) of the person's right and left eye, as `head`; None where the packet has none.
        position_m: of the head, x to the person's left, y up, z towards the camera.
        tracked: whether the phone sees a face.
        sender: what the phone calls itself; empty where it does not.
        missing: names of units that were not in the packet.
    """

    weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(UNIT_COUNT))
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    eyes: tuple[tuple[float, float], tuple[float, float]] | None = None
    position_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tracked: bool = True
    sender: str = ""
    missing: tuple[str, ...] = ()

    def motion(self) -> FaceMotion:
        """Of the face; the head's pose is relative to the phone, as it was sent."""
        weights = np.clip(self.weights, *_WEIGHT_RANGE)
        gaze = gaze_of(weights)
        if self.eyes is not None and any(angle for eye in self.eyes for angle in eye):
            gaze = np.clip([(yaw, -pitch) for yaw, pitch in self.eyes], -_WIDEST_GAZE, _WIDEST_GAZE)
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = turned(*self.head), self.position_m
        return FaceMotion(with_gaze(weights, gaze), gaze, T)


def check_finite(numbers: Iterable[float], largest: float, what: str) -> None:
    """Raises DamagedPacketError unless all lie within ±largest."""
    for number in numbers:
        if not (math.isfinite(number) and abs(number) <= largest):
            raise DamagedPacketError(f"{what} of {number:g}, expected {largest:g} at most")
