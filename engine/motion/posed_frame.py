"""A driver's frame, the avatar's answer to it, and what the engine had been told of the driver by then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.face_motion import FaceMotion, MotionFrame
from core.frame import FaceObservation, RgbdFrame
from engine.motion.protocol import AvatarPose


@dataclass(frozen=True, eq=False)
class Calibration:
    """What an engine had been told of the driver when it answered a frame.

    Attributes:
        neutral: the driver's neutral face; None where there was none yet.
        gains: [52] float64, or [0] of engines without units.
        head_follows: whether the avatar turned with the driver.
    """

    neutral: FaceObservation | None
    gains: NDArray[np.float64]
    head_follows: bool


UNTOLD = Calibration(None, np.ones(0), head_follows=True)


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """A driver's frame and the avatar's answer to it.

    Attributes:
        observation: what the tracker saw, with the frame itself.
        pose: what the engine made of it.
        calibration: what held meanwhile.
        silence: no frame came; it is the one before, as if its face had been lost.
    """

    observation: FaceObservation
    pose: AvatarPose
    calibration: Calibration = UNTOLD
    silence: bool = False

    @property
    def frame(self) -> RgbdFrame:
        return self.observation.frame

    def without_pictures(self) -> PosedFrame:
        """The same, holding on to no picture of the frame: many of them may wait for a disk."""
        return replace(self, observation=replace(self.observation, frame=self.frame.without_pictures()))


@dataclass(frozen=True, eq=False)
class FollowedFrame:
    """A frame that brought its motion, and the avatar's answer to it.

    Attributes:
        motion: what the engine was given: the frame's against the driver's rest.
        head_follows: whether the avatar turned with the driver.
    """

    frame: MotionFrame
    pose: AvatarPose
    motion: FaceMotion
    head_follows: bool = True


AnyPosed: TypeAlias = PosedFrame | FollowedFrame
