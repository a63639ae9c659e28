"""Turns a head on its neck while the shoulders stay, and lets the chest breathe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.geometry import smoothstep
from capture.synthetic.head.head_model import HeadModel
from core.rigid_motion import rotation_matrix, rotation_vector

Points = NDArray[np.float64]

# The head turns about the upper end of the spine, level with the ear lobes.
PIVOT_M = np.array([0.0, -0.045, -0.085])
NECK_M = (-0.170, -0.085)  # the skin follows the head fully above, the shoulders below
CHIN_M = -0.035  # what lies further to the front belongs to the head, although it hangs lower
BREATH_M = np.array([0.0, 0.0022, 0.0015])


class NeckPose:
    """For one head. `posed` takes about 1 ms."""

    def __init__(self, model: HeadModel) -> None:
        # On the template head, so that the neck of every identity bends in the same place.
        template = model.topology.matrix @ model.data.vertices.astype(np.float64)
        height = template[:, 1] + 0.9 * np.maximum(template[:, 2] - CHIN_M, 0)
        share = smoothstep(*NECK_M, height)
        skin = model.part("skin")
        share[: skin.start] = share[skin.stop :] = 1.0
        self._share = share
        self._neck = np.flatnonzero((share > 0) & (share < 1))
        self._head = np.flatnonzero(share >= 1)

    def posed(self, vertices: Points, head_deg: Points, breath: float = 0.0) -> Points:
        """[n, 3] vertices with the head turned; `head_deg` is turn, nod, tilt as in `Performance.head_deg`."""
        out = vertices + np.outer(1 - self._share, breath * BREATH_M)
        vector = head_rotation(head_deg)
        angle = float(np.linalg.norm(vector))
        if angle < 1e-9:
            return out
        out[self._head] = (out[self._head] - PIVOT_M) @ rotation_matrix(vector).T + PIVOT_M
        out[self._neck] = _twisted(out[self._neck] - PIVOT_M, vector / angle, angle * self._share[self._neck]) + PIVOT_M
        return out


def head_rotation(head_deg: Points) -> Points:
    """Rotation vector [3] in radians: first the tilt, then the nod, then the turn."""
    turn, nod, tilt = np.radians(head_deg)
    matrix = rotation_matrix(np.array([0, turn, 0])) @ rotation_matrix(np.array([nod, 0, 0]))
    matrix = matrix @ rotation_matrix(np.array([0, 0, -tilt]))
    return rotation_vector(matrix)


def T_world_head(head_deg: Points) -> Points:
    """[4, 4] rigid motion of the head itself, from its neutral."""
    transform = np.eye(4)
    transform[:3, :3] = rotation_matrix(head_rotation(head_deg))
    transform[:3, 3] = PIVOT_M - transform[:3, :3] @ PIVOT_M
    return transform


def _twisted(offset: Points, axis: Points, angle: Points) -> Points:
    """Rotate each of [n, 3] offsets about one axis by its own angle [n] (Rodrigues)."""
    sine, cosine = np.sin(angle)[:, None], np.cos(angle)[:, None]
    along = (offset @ axis)[:, None] * axis
    return np.asarray(offset * cosine + np.cross(axis, offset) * sine + along * (1 - cosine))
