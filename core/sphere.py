"""A sphere, and the one that lies nearest to given points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sphere:
    """`centre` [3] and `radius`, in the units of the points it was made of."""

    centre: NDArray[np.float64]
    radius: float


def fit_sphere(points: NDArray[np.float64]) -> Sphere:
    """Least-squares sphere through points [N, 3] (algebraic, so it needs no start)."""
    middle = points.mean(axis=0)
    local = points - middle
    design = np.column_stack([2 * local, np.ones(len(local))])
    solution, *_ = np.linalg.lstsq(design, (local**2).sum(axis=1), rcond=None)
    centre = solution[:3]
    return Sphere(centre + middle, float(np.sqrt(max(solution[3] + centre @ centre, 0.0))))
