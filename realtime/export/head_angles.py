"""A head's rotation as the three angles that tables and phone apps have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.rigid_motion import turns

Array = NDArray[np.float64]


def yaw_pitch_roll(T_neutral_head: Array) -> Array:
    """[T, 3] radians of rigid motions [T, 4, 4] in the neutral head's frame: yaw to the person's left, pitch up, roll
    towards the person's left shoulder. The head is rolled first, then pitched, then turned."""
    return np.array([turns(T[:3, :3]) for T in T_neutral_head]) * (1.0, -1.0, -1.0)
