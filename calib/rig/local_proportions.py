"""The template's units on a head of other proportions: where the head is smaller than the template, they move it less.

A unit was made on the template, and a doll's mouth of half the width cannot smile as many millimetres. How a head
differs from the template around a place is the gradient of the map from one to the other (Sumner and Popović,
"Deformation transfer for triangle meshes", SIGGRAPH 2004), here of least squares over the neighbours.
"""

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from capture.synthetic.head.head_data import HeadData, load_head_data
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
    moving, gradient, kept = _gradients()
    size = face_size(base, data) / face_size(data.vertices.astype(np.float64), data)
    bent = (gradient @ (base / size)).reshape(-1, 3, 3).transpose(0, 2, 1) + kept
    left, stretch, right = np.linalg.svd(bent)
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    shrunk = np.log(np.maximum(stretch, 1e-3)) + _LIKE_PEOPLE
    stretch = np.exp(np.clip(shrunk, np.log(_SMALLEST), 0.0))
    turn = Rotation.from_matrix(left @ right).as_rotvec()
    angle = np.linalg.norm(turn, axis=1, keepdims=True)
    turn *= np.maximum(angle - _TURNED_RAD, 0.0) / np.maximum(angle, 1e-12)
    here = Rotation.from_rotvec(turn).as_matrix() @ (right.transpose(0, 2, 1) * stretch[:, None]) @ right
    moved = units.copy()
    moved[:, moving] = (here @ units[:, moving].transpose(1, 2, 0)).transpose(2, 0, 1)
    return moved


@functools.cache
def _gradients() -> tuple[NDArray[np.int64], sparse.csr_matrix, Points]:
    """Vertices of the skin [N]; and what makes the transposed gradients [3N, 3] at them of another base mesh [V, 3]: a
    matrix [3N, V], and what is to be added [N, 3, 3]."""
    data = load_head_data()
    place, skin = data.vertices.astype(np.float64), _skin(data)
    asked = skin[::_EVERY]
    distance, near = cKDTree(place[asked]).query(place[skin], k=_NEIGHBOURS)
    weight = np.exp(-0.5 * (distance / _REACH_M) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    away = place[asked][near]
    away -= np.einsum("nk,nkd->nd", weight, away)[:, None]
    spread = np.einsum("nk,nki,nkj->nij", weight, away, away)
    hold = _HOLD * np.trace(spread, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    inverse = np.linalg.inv(spread + hold)
    share = np.einsum("nk,nki,nij->njk", weight, away, inverse)  # [N, 3, K], of sum 0 over neighbours
    columns = np.broadcast_to(asked[near][:, None], share.shape).ravel()
    rows = np.repeat(np.arange(3 * len(skin)), _NEIGHBOURS)
    matrix = sparse.csr_matrix((share.ravel(), (rows, columns)), shape=(3 * len(skin), len(place)))
    return skin, matrix, hold @ inverse


def _skin(data: HeadData) -> NDArray[np.int64]:
    """[N] vertices of the base mesh's skin."""
    return np.unique(data.parts["skin"]).astype(np.int64)
