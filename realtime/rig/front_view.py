"""Which triangles of a face somebody sees who looks at it from straight ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def seen_from_front(
    vertices: NDArray[np.floating], faces: NDArray[np.int64], asked: NDArray[np.int64], margin: float
) -> NDArray[np.bool_]:
    """[N] whether nothing lies before the middles of the triangles `asked` [N], as seen against the third axis.

    Args:
        vertices: [R, 3]; faces: [F, 3]; asked: rows of `faces`.
        margin: how far another triangle has to lie before a middle to hide it: neighbours in a fold do not.
    """
    corners = vertices[faces].astype(np.float64)
    low, high, front = corners[..., :2].min(axis=1), corners[..., :2].max(axis=1), corners[..., 2].max(axis=1)
    middles = corners[asked].mean(axis=1)
    seen = np.ones(len(asked), dtype=bool)
    for number, middle in enumerate(middles):
        over = ((low <= middle[:2]) & (middle[:2] <= high)).all(axis=1) & (front > middle[2] + margin)
        a, b, c = corners[over].transpose(1, 0, 2)
        one, other, to = b - a, c - a, middle - a
        area = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):  # triangles seen edge on hide nothing
            u = (to[:, 0] * other[:, 1] - to[:, 1] * other[:, 0]) / area
            v = (one[:, 0] * to[:, 1] - one[:, 1] * to[:, 0]) / area
            depth = a[:, 2] + u * one[:, 2] + v * other[:, 2]
            seen[number] = not ((u >= 0) & (v >= 0) & (u + v <= 1) & (depth > middle[2] + margin)).any()
    return seen
