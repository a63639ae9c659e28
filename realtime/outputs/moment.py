"""What is sent at one moment, and what turns it into packets."""

from dataclasses import dataclass, replace
from typing import Protocol

from core.face_motion import FaceMotion


@dataclass(frozen=True, eq=False)
class Moment:
    """What the avatar does in one frame.

    Attributes:
        motion: with gains, smoothed, as it is shown.
        timestamp_s: of the frame's capture, on the machine's monotonic clock.
        tracked: False where there is no face; the motion then eases to rest, or is there.
    """

    motion: FaceMotion
    timestamp_s: float
    tracked: bool

    def mirrored(self) -> "Moment":
        """As a mirror shows it."""
        return replace(self, motion=self.motion.mirrored())


class Encoder(Protocol):
    """Turns moments into the packets of one protocol. Owned by one thread; touches no socket."""

    def packets(self, moment: Moment) -> list[bytes]:
        """What is to be sent for this moment, in this order, each as one datagram or message."""
