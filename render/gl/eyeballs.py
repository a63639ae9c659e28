"""Eyeballs as they are lit: wet balls, whatever their mesh is.

An iris may be a flat disc or a dish behind a cornea that no file models. Lit by its own normals, such a disc flares up
white as a whole as soon as it faces the half vector of the light. Here every eyeball is lit as a sphere, so that
its highlight is a small round spot that stays with the light while the eye turns under it. The shadow of lids and
sockets, baked at rest, likewise stays with the head instead of turning with the eye.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from core.sphere import Sphere, fit_sphere
from render.mesh.mesh_layout import weld_positions

_ROUND = 0.12  # of the radius: pieces that stray less from a sphere, on average, are round
_MOST_RADIUS = 0.8  # of the extent: of flatter pieces too little is seen to tell the ball
_FLAT_DEPTH = 0.55  # of the extent: how far behind its front the middle of a flat eye is taken to be
_GRID, SHADE_RIM = 97, 1.4  # of the picture that shadow is kept in
_BLUR, _SOFT = 6, 4.0  # vertices averaged there, and blur over that in its pixels


class Eyeballs:
    """The eyeballs among the faces of a mesh that shows no others, at rest.

    Attributes:
        vertices: [N] mesh vertices that belong to one; of_vertex: [N] to which.
        centres: [N, 3] float32 the middle of the ball of each.
    """

    def __init__(self, rest: NDArray[np.float32], faces: NDArray[np.int32]) -> None:
        """`rest` [V, 3]; `faces` [F, 3] those that look like eyes, the face looking along +z."""
        self.vertices = np.unique(faces).astype(np.int64)
        self.of_vertex = _clusters(rest, faces)[self.vertices]
        balls = [_ball(rest[self.vertices[self.of_vertex == n]].astype(np.float64)) for n in range(self.count)]
        centres = np.array([ball.centre for ball in balls]).reshape(-1, 3).astype(np.float32)
        self.centres = centres[self.of_vertex]

    @property
    def count(self) -> int:
        """How many balls there are."""
        return int(self.of_vertex.max(initial=-1)) + 1

    def normals(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """[N, 3] outwards from each ball's middle, not of unit length, for the mesh's vertices [V, 3]."""
        return np.asarray(vertices[self.vertices] - self.centres)


class EyeShade:
    """Shadow on eyeballs, which stays where it is while they turn: kept by direction, in a stereographic picture of the
    half that looks forwards and a little more.

    Attributes:
        pictures: [balls, 97, 97] float32.
    """

    def __init__(self, balls: Eyeballs, rest: NDArray[np.float32], openness: NDArray[np.float32]) -> None:
        """`rest` [V, 3] and what its vertices see of their surroundings [V]."""
        self._balls = balls
        self.pictures = np.ones((balls.count, _GRID, _GRID), dtype=np.float32)
        axis = np.linspace(-SHADE_RIM, SHADE_RIM, _GRID)
        picture = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        at = _stereographic(balls.normals(rest))
        for ball in range(balls.count):
            own = np.flatnonzero(balls.of_vertex == ball)
            near = cKDTree(at[own]).query(picture, k=min(_BLUR, len(own)))[1]
            shade = openness[balls.vertices[own]][near].reshape(len(picture), -1).mean(axis=1)
            self.pictures[ball] = gaussian_filter(shade.reshape(_GRID, _GRID), _SOFT)

    def openness(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """[N] for the mesh's vertices [V, 3]: by the direction in which each vertex of a ball lies now."""
        place = (_stereographic(self._balls.normals(vertices)) + SHADE_RIM) * ((_GRID - 1) / (2 * SHADE_RIM))
        column, row = np.clip(np.rint(place), 0, _GRID - 1).astype(np.intp).T
        return np.asarray(self.pictures[self._balls.of_vertex, row, column])


def _stereographic(outward: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, 2] places of directions [N, 3] in a picture whose middle is straight ahead, +z; its rim is at `SHADE_RIM`."""
    unit = outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-12)
    return np.asarray(unit[:, :2] / (1 + np.maximum(unit[:, 2:], -0.5)))


def _clusters(rest: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.int64]:
    """[V] number of the eye each vertex belongs to, -1 for others: pieces that reach into each other are one eye."""
    if not len(faces):
        return np.full(len(rest), -1, dtype=np.int64)
    place = weld_positions(rest)
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    joins = np.concatenate([place[ends], np.stack([place[faces[:, 0]], place[faces[:, 0]]], axis=1)])
    count = int(place.max(initial=-1)) + 1
    graph = sparse.coo_matrix((np.ones(len(joins)), (joins[:, 0], joins[:, 1])), shape=(count, count))
    piece = connected_components(graph, directed=False)[1][place]
    used = np.unique(faces)
    names, own = np.unique(piece[used], return_inverse=True)
    own = own.reshape(-1)
    low, high = (np.stack([pick(rest[used[own == n]], axis=0) for n in range(len(names))]) for pick in (np.min, np.max))
    middle, half = (low + high) / 2, (high - low) / 2
    near = (np.abs(middle[:, None] - middle) < np.maximum(half[:, None], half)).all(axis=2)
    eye = connected_components(sparse.csr_matrix(near), directed=False)[1]
    result = np.full(len(rest), -1, dtype=np.int64)
    result[used] = eye[own]
    return result


def _ball(points: NDArray[np.float64]) -> Sphere:
    """The ball under points [N, 3] of one eye; of a flat eye one that is a little less wide than the eye itself."""
    extent = float(np.ptp(points, axis=0).max())
    ball = fit_sphere(points)
    stray = np.abs(np.linalg.norm(points - ball.centre, axis=1) - ball.radius).mean()
    if ball.radius < _MOST_RADIUS * extent and stray < _ROUND * ball.radius:
        return ball
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    middle[2] = points[:, 2].max() - _FLAT_DEPTH * extent
    return Sphere(middle, _FLAT_DEPTH * extent)
