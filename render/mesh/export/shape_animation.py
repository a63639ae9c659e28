"""How much of each shape a mesh takes on over time, and how it moves as a whole: what animated files get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ShapeAnimation:
    """An animation of one head.

    Attributes:
        times_s: [T] float64, rising, from 0.
        names: of the M shapes, as the file has them.
        weights: [T, M].
        T_file_head: [T, 4, 4] rigid motion of the whole head in the coordinates of its file, applied after the shapes;
            None where it stands still.
    """

    times_s: Array
    names: tuple[str, ...]
    weights: NDArray[np.floating]
    T_file_head: Array | None


def turns_and_shifts(T: Array, linear: Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rigid motions [T, 4, 4] as quaternions [T, 4] (x, y, z, w; neighbours on the same half of the sphere, so that
    what interpolates between them takes the short way) and translations [T, 3], in the coordinates that `linear`
    [3, 3], a rotation with a scale, leads to."""
    turned = linear @ T[:, :3, :3] @ np.linalg.inv(linear)
    quaternions = Rotation.from_matrix(turned).as_quat()
    against = np.cumprod(np.where(np.einsum("td,td->t", quaternions[1:], quaternions[:-1]) < 0, -1.0, 1.0))
    quaternions[1:] *= against[:, None]
    return quaternions.astype(np.float32), (T[:, :3, 3] @ linear.T).astype(np.float32)
