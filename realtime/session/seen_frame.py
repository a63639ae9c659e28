"""Frames that bring along what a tracker saw in them, and the tracker that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.closeable import Closeable
from core.errors import InputError
from core.frame import FaceObservation, RgbdFrame
from engine.motion.posed_frame import Calibration
from realtime.session.observation_records import Kind, observation_of


@dataclass(frozen=True, eq=False)
class SeenFrame(RgbdFrame):
    """A frame of a session that is played again.

    Attributes:
        record: [] `observation_records.OBSERVATION`, what was seen.
        calibration: what the engine was told of the driver by then.
        pictured: whether the frame's picture was kept; it is black otherwise.
    """

    record: NDArray[Any]
    calibration: Calibration
    pictured: bool

    @property
    def silent(self) -> bool:
        """Whether no frame came: it is the one before, as if its face had been lost."""
        return bool(self.record["kind"] == Kind.SILENCE)

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        return self.rgb if self.pictured else None


class SeenTracker(Closeable):
    """Sees in each `SeenFrame` what was seen in it before, at no cost."""

    tracker = "session"
    tracker_why = "session: the faces are known, they were tracked when it was recorded (--retrack tracks them anew)"

    def track(self, frame: RgbdFrame) -> FaceObservation:
        """Raises InputError for frames in which nobody looked for a face."""
        if not isinstance(frame, SeenFrame):
            raise InputError("the session's motion came from a phone, there is no face to take as neutral in it")
        return observation_of(frame.record, frame)

    def follow_next(self) -> None:
        """There is one face: the one that was followed."""

    def close(self) -> None:
        """Nothing is held."""
