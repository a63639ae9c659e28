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
        self._share = neck.share[self._bent, None]
        self._base = neck.base.astype(np.float32)
        self._still_rest = rest[self._still] - self._base
        self._reach = np.maximum(_LEAN * float(np.linalg.norm(neck.top - neck.base)), 1e-9)

    def apply(self, vertices: NDArray[np.float32], T_world_head: NDArray[np.float64]) -> None:
        """Move the vertices [R, 3] below the head so that `T_world_head` [4, 4] leads them to where they are to be."""
        if not len(self._still) + len(self._bent) or np.array_equal(T_world_head, np.eye(4)):
            return
        rotation = T_world_head[:3, :3]
        turn, carried, start = self.motion(T_world_head)
        vertices[self._still] = self._still_rest @ rotation.astype(np.float32) + start
        parts = (vertices[self._bent] - self._base) @ _turning(rotation)
        angle = float(np.linalg.norm(turn)) * self._share
        bent = parts[:, :3] + np.cos(angle) * parts[:, 3:6] + np.sin(angle) * parts[:, 6:]
        vertices[self._bent] = bent + self._share * carried + start

    def motion(self, T_world_head: NDArray[np.float64]) -> tuple[NDArray[np.float32], ...]:
        """What `T_world_head` [4, 4] comes to, each [3]: its turn as a rotation vector; how far the head would take the
        neck's lower end from the shoulders; and where that end is then, both before the head's motion."""
        rotation, shift = T_world_head[:3, :3], T_world_head[:3, 3]
        base, top = self._neck.base, self._neck.top
        lean = rotation @ top + shift - top
        body = lean - self._reach * np.tanh(lean / self._reach)  # how far the shoulders come along
        carried = rotation @ base + shift - base - body
        start = (base + body - shift).astype(np.float32) @ rotation.astype(np.float32)
        return rotation_vector(rotation).astype(np.float32), (carried @ rotation).astype(np.float32), start


def _turning(rotation: NDArray[np.float64]) -> NDArray[np.float32]:
    """[3, 9] three matrices: points times the first, plus cos(a) and sin(a) times that of the others, are turned by an
    angle a about the rotation's axis (Rodrigues), and then by the inverse of the rotation [3, 3]."""
    turn = rotation_vector(rotation)
    x, y, z = turn / max(float(np.linalg.norm(turn)), 1e-12)
    along = np.outer([x, y, z], [x, y, z])
    across = np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
    return np.hstack([along @ rotation, (np.eye(3) - along) @ rotation, across @ rotation]).astype(np.float32)
