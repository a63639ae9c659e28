"""The template's units on a head of other proportions: where the head is smaller than the template, they move it less.

A unit was made on the template, and a doll's mouth of half the width cannot smile as many millimetres. How a head
differs from the template around a place is the gradient of the map from one to the other (Sumner and Popović,
"Deformation transfer for triangle meshes", SIGGRAPH 2004), here of least squares over the neighbours.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.head.head_model import face_size

Points = NDArray[np.float64]

_REACH_M = 0.016  # standard deviation of the neighbours' weights
_EVERY, _NEIGHBOURS = 3, 54  # one of so many vertices tells how the skin lies; so many of these at a place
_HOLD = 0.1  # of the neighbours' spread: across a surface nothing tells how a head differs
_LIKE_PEOPLE = 0.12  # logarithm of a size, within which people differ and move alike
_SMALLEST = 1 / 3
_TURNED_RAD = 0.2  # the same for directions


def in_proportion(units: Points, base: Points) -> Points:
    """[52, V, 3] the template's units, brought to the size of a whole head, as they move its base mesh [V, 3], metres.

    Where and along which axis the head is smaller than people are, units are; nowhere are they larger: eyes twice as
    high are not pushed up twice as far by a smile. They turn as the surface is turned.
    """
    data = load_head_data()
    template = data.vertices.astype(np.float64)
    skin = np.unique(data.parts["skin"]).astype(np.int64)
    bent = _gradients(template, base * (face_size(template, data) / face_size(base, data)), skin)
    left, stretch, right = np.linalg.svd(bent)
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    shrunk = np.log(np.maximum(stretch, 1e-3)) + _LIKE_PEOPLE
    stretch = np.exp(np.clip(shrunk, np.log(_SMALLEST), 0.0))
    turn = Rotation.from_matrix(left @ right).as_rotvec()
    angle = np.linalg.norm(turn, axis=1, keepdims=True)
    turn *= np.maximum(angle - _TURNED_RAD, 0.0) / np.maximum(angle, 1e-12)
    here = Rotation.from_rotvec(turn).as_matrix() @ (right.transpose(0, 2, 1) * stretch[:, None]) @ right
    moved = units.copy()
    moved[:, skin] = (here @ units[:, skin].transpose(1, 2, 0)).transpose(2, 0, 1)
    return moved


def _gradients(template: Points, base: Points, skin: NDArray[np.int64]) -> Points:
    """[N, 3, 3] gradients at the vertices `skin` [N] of the map from one base mesh [V, 3] to another."""
    asked = skin[::_EVERY]
    distance, near = cKDTree(template[asked]).query(template[skin], k=_NEIGHBOURS)
    weight = np.exp(-0.5 * (distance / _REACH_M) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    away = template[asked][near]
    away -= weight[:, None] @ away  # from their middle
    weighed = weight[:, None] * away.transpose(0, 2, 1)  # [N, 3, K], of sum 0 over neighbours
    spread = weighed @ away
    hold = _HOLD * np.trace(spread, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    return np.asarray(np.linalg.solve(spread + hold, weighed @ base[asked][near] + hold).transpose(0, 2, 1))
