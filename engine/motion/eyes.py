"""Where the driver looks, as engines follow it: both eyes together, within what eyes can do, held while shut."""

import numpy as np
from numpy.typing import NDArray

from engine.motion.driver_face import DriverMotion

LID_FILTER = (4.0, 5.0)  # hertz at rest, hertz per full blink a second
GAZE_FILTER = (2.0, 6.0)  # hertz at rest, hertz per radian a second
_HELD_BELOW = 0.4  # openness under which the iris cannot be seen
_MOST_RAD = np.array([0.6, 0.45])


def followed_gaze(motion: DriverMotion, seen: NDArray[np.float64], shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, 2] yaw and pitch of each eye in radians, as `seen` [2, 2] says; eyes that are nearly shut keep what they have
    `shown` [2, 2]."""
    gaze = np.clip(seen, -_MOST_RAD, _MOST_RAD).mean(axis=0)
    return np.where(motion.lids[:, :1] > _HELD_BELOW, gaze, shown)
