"""Whether the pictures of a live camera are any good: damage and standstill that last are a state of the device."""

from __future__ import annotations

import logging

from capture.cameras.device import DamagedStreamError, DeviceError, FrozenError
from capture.cameras.freeze import FreezeDetector
from core.errors import SourceError
from core.frame import RgbdFrame

log = logging.getLogger(__name__)

DAMAGED_S, DAMAGED_PICTURES = 2.0, 5  # nothing but damage for so long, and so many pictures: a state
REFUSED_PICTURES = 10  # in a row of one size that no camera has, and never a good one: a mistake
REOPEN_S = (2.0, 60.0)  # first and longest time after opening anew until that is tried again; doubles in between


class PictureWatch:
    """Judges every picture of one device. Belongs to the reader's thread, but for `connected` and `reason_to_reopen`.

    Attributes:
        damaged: pictures that could not be used.
        freezes: times that the camera has frozen.
        fault: what is wrong with the pictures, once that has lasted; None while they are good.
    """

    def __init__(self, name: str) -> None:
        self.damaged = self.freezes = 0
        self.fault: DeviceError | None = None
        self._name = name
        self._freeze = FreezeDetector()
        self._bad_since_s: float | None = None
        self._bad = 0  # in a row
        self._refused, self._refused_as = 0, ""  # in a row, and what was said
        self._good = False  # whether there ever was a good one
        self._told = False  # of damage in this connection
        self._patience_s = 0.0

    def admit(self, frame: RgbdFrame, arrival_s: float) -> bool:
        """Whether a sound frame is to be handed out: not when it is one more of a camera that has frozen."""
        self._bad_since_s, self._bad, self._good = None, 0, True
        if not self._freeze.sees_frozen(frame, arrival_s):
            self.fault, self._patience_s = None, 0.0
            return True
        if not isinstance(self.fault, FrozenError):
            self.freezes += 1
            self.fault = FrozenError(
                f"{self._name}: sends one and the same picture, without the noise every camera has; it is opened "
                "anew, or plug it in again"
            )
        return False

    def refuse(self, error: SourceError, arrival_s: float) -> None:
        """Count a picture of a size that no camera has. Raises `error` when all are, and are the same."""
        self._refused = self._refused + 1 if str(error) == self._refused_as else 1
        self._refused_as = str(error)
        if self._refused >= REFUSED_PICTURES and not self._good:
            raise error
        self._count(str(error), arrival_s)

    def drop(self, reason: str, arrival_s: float) -> None:
        """Count a picture that cannot be used; told once per connection."""
        self._refused_as = ""
        self._count(reason, arrival_s)

    def _count(self, reason: str, arrival_s: float) -> None:
        self.damaged += 1
        self._bad += 1
        if not self._told:
            log.warning("%s: a picture was dropped (%s); further ones are only counted", self._name, reason)
            self._told = True
        if self._bad_since_s is None:
            self._bad_since_s = arrival_s
        if self._bad >= DAMAGED_PICTURES and arrival_s - self._bad_since_s >= DAMAGED_S:
            self.fault = DamagedStreamError(
                f"{self._name}: every picture is damaged ({reason}); it is opened anew, or check its cable and settings"
            )

    # --- device thread --------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """The device was opened."""
        self._told = False

    def reason_to_reopen(self, streaming_s: float) -> DeviceError | None:
        """The fault over which to open the device anew, `streaming_s` after the first picture of this connection.

        A device that does the same again is left longer and longer: its pictures may come right by themselves.
        """
        fault = self.fault
        if fault is None or streaming_s < self._patience_s:
            return None
        first_s, longest_s = REOPEN_S
        self._patience_s = min(max(first_s, 2 * self._patience_s), longest_s)
        return fault
