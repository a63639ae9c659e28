"""What an engine produces, and the protocol all engines share."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.frame import FaceObservation

HeadPose = Literal["follow", "fixed"]
"""follow: the avatar turns with the driver; fixed: only the expression is repeated."""


@dataclass(frozen=True, eq=False)
class ControllerMotion:
    """Where the avatar's K controllers go in one frame, in avatar units and the avatar's world axes.

    Attributes:
        displacement: [K, 3] float32 from each controller's rest position.
        tracked: [K] bool; an untracked controller pulls nothing.
        T_world_head: [4, 4] float64 rigid head motion relative to the neutral.
        gaze: [2, 2] float32 yaw and pitch in radians (avatar's image-left eye first), or None where not known.
    """

    displacement: NDArray[np.float32]
    tracked: NDArray[np.bool_]
    T_world_head: NDArray[np.float64]
    gaze: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class AvatarPose:
    """The avatar's answer to one frame.

    Attributes:
        vertices: [R, 3] float32 deformed vertices in avatar units, before the head pose: the V vertices of the
            user's file first, in file order, then those the preparation added (such as the mouth lining).
        T_world_head: [4, 4] float64 rigid motion of the whole head in the avatar's world; identity at neutral.
        timestamp_s: capture time of the frame it answers.
        index: index of that frame.
        tracked: False when the frame had no face; the pose is then eased towards neutral.
    """

    vertices: NDArray[np.float32]
    T_world_head: NDArray[np.float64]
    timestamp_s: float
    index: int
    tracked: bool


class MotionEngine(Protocol):
    """Turns observations of one driver into poses of one avatar. Not thread-safe: owned by the worker thread."""

    name: str
    head_pose: HeadPose  # may be set from any thread; holds from the next frame on

    @property
    def calibrated(self) -> bool:
        """Whether a neutral is known."""

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take this observation as the driver's neutral face. Raises ValueError if it is not tracked."""

    def animate(self, observation: FaceObservation) -> AvatarPose:
        """The pose that answers this observation. Before `calibrate`, and when the face is lost, it eases to rest."""
