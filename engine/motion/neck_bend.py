"""The neck bends, the shoulders stay: what the head's pose does to everything below the chin."""

import numpy as np
from numpy.typing import NDArray

from calib.rig.face_rig import NeckRig
from core.rigid_motion import rotation_vector

_LEAN = np.array([0.6, 0.15, 0.6])  # of the neck's length: how far its upper end may leave its place; beyond that the
# shoulders come along, since a driver who leans or steps aside does not stretch the neck


class NeckBend:
    """Lets the neck of one avatar follow its head. Owned by one thread.

    A pose is vertices and a rigid motion of all of them. What stays behind is therefore moved back beforehand: once the
    rigid motion is applied, shoulders stand where they stood, and whoever shows or exports a pose needs to know nothing
    of necks. Every vertex of the neck turns about the neck's lower end by its share of the head's rotation, as in
    `capture.synthetic.head.posing`.
    """

    def __init__(self, neck: NeckRig, rest: NDArray[np.float32]) -> None:
        """`rest` [R, 3] avatar units."""
        self._neck = neck
        self._still = np.flatnonzero(neck.share <= 0)
        self._bent = np.flatnonzero((neck.share > 0) & (neck.share < 1))
        self._share = neck.share[self._bent].astype(np.float32)
        self._still_rest = rest[self._still] - neck.base.astype(np.float32)
        self._reach = np.maximum(_LEAN * float(np.linalg.norm(neck.top - neck.base)), 1e-9)

    def apply(self, vertices: NDArray[np.float32], T_world_head: NDArray[np.float64]) -> None:
        """Move the vertices [R, 3] below the head so that `T_world_head` [4, 4] leads them to where they are to be."""
        if not len(self._still) + len(self._bent) or np.array_equal(T_world_head, np.eye(4)):
            return
        rotation, shift = T_world_head[:3, :3], T_world_head[:3, 3]
        base, top = self._neck.base, self._neck.top
        lean = rotation @ top + shift - top
        body = lean - self._reach * np.tanh(lean / self._reach)  # how far the shoulders come along
        carried = rotation @ base + shift - base - body  # how far the head would take the neck's lower end from them
        back, start = rotation.astype(np.float32), (base + body - shift).astype(np.float32)
        vertices[self._still] = (self._still_rest + start) @ back
        offset = vertices[self._bent] - base.astype(np.float32)
        offset = _turned(offset, rotation_vector(rotation), self._share)
        offset += self._share[:, None] * carried.astype(np.float32)
        vertices[self._bent] = (offset + start) @ back


def _turned(points: NDArray[np.float32], turn: NDArray[np.float64], share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points [N, 3] turned about one axis, each by its `share` [N] of a rotation vector [3] (Rodrigues)."""
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return points
    x, y, z = (turn / angle).astype(np.float32)
    across = points @ np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]], dtype=np.float32)
    along = np.outer(points @ np.array([x, y, z]), np.array([x, y, z]))
    sine, cosine = np.sin(angle * share)[:, None], np.cos(angle * share)[:, None]
    return np.asarray(points * cosine + across * sine + along * (1 - cosine), dtype=np.float32)
