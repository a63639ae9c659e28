"""A head's rotation as the three angles that tables and phone apps have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


def yaw_pitch_roll(T_neutral_head: Array) -> Array:
    """[T, 3] radians of rigid motions [T, 4, 4] in the neutral head's frame: yaw to the person's left, pitch up, roll
    towards the person's left shoulder. The head is rolled first, then pitched, then turned."""
    # about y (left is x), about x (up is against it), about z (x leads to y: the left side goes up)
    angles = Rotation.from_matrix(T_neutral_head[:, :3, :3]).as_euler("YXZ")
    return np.asarray(angles * [1.0, -1.0, -1.0])
