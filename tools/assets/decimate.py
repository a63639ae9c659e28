"""Fewer triangles by half-edge collapses under quadric error (generator only).

One by one, the cheapest first and its mirror image with it: slow, and what makes the built-in head what it is.
`render.mesh.mesh_simplify` collapses many at a time, which is another mesh, in the time a user waits.
"""

from __future__ import annotations

import heapq
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
_FLIP = 0.25  # cosine: a face may not turn further than this while an edge collapses


def decimate(
    vertices: Points,
    faces: NDArray[np.int32],
    target_faces: int,
    importance: Points,
    fixed: NDArray[np.bool_],
    mirror: NDArray[np.int64] | None = None,
) -> NDArray[np.int32]:
    """Triangles [≤ about target_faces, 3] over a subset of the same vertices.

    Garland and Heckbert, "Surface simplification using quadric error metrics" (1997), with the edge's far end as the
    only new place, so that every kept vertex keeps its number and attributes. `importance` [V] multiplies what
    removing a vertex costs; `fixed` [V] vertices stay; `mirror` [V] is each vertex's twin, collapsed along with it.
    """
    return _Decimation(vertices, faces, importance, fixed).run(target_faces, mirror)


class _Decimation:
    def __init__(
        self, vertices: Points, faces: NDArray[np.int32], importance: Points, fixed: NDArray[np.bool_]
    ) -> None:
        self._vertices, self._importance, self._fixed = vertices, importance, fixed
        self._faces: dict[int, tuple[int, int, int]] = dict(enumerate(map(tuple, faces.tolist())))
        self._at: dict[int, set[int]] = defaultdict(set)
        for number, face in self._faces.items():
            for vertex in face:
                self._at[vertex].add(number)
        self._quadrics = self._initial_quadrics(faces)
        self._version: dict[int, int] = defaultdict(int)
        self._heap: list[tuple[float, int, int, int, int]] = []
        for vertex in list(self._at):
            self._push_around(vertex)

    def run(self, target_faces: int, mirror: NDArray[np.int64] | None) -> NDArray[np.int32]:
        while len(self._faces) > target_faces and self._heap:
            _, gone, kept, version_gone, version_kept = heapq.heappop(self._heap)
            current = (self._version[gone], self._version[kept])
            if (version_gone, version_kept) != current or not self._at[gone] or not self._allowed(gone, kept):
                continue
            if mirror is None:
                self._collapse(gone, kept)
                continue
            twin, twin_kept = int(mirror[gone]), int(mirror[kept])
            if twin == gone and twin_kept != kept:
                continue  # a vertex on the plane of symmetry may only move within it
            self._collapse(gone, kept)
            if twin == gone or self._fixed[twin]:
                continue
            if self._at[twin] and self._at[twin_kept] and self._allowed(twin, twin_kept):
                self._collapse(twin, twin_kept)
        return np.array(list(self._faces.values()), dtype=np.int32)

    def _initial_quadrics(self, faces: NDArray[np.int32]) -> Points:
        a, b, c = (self._vertices[faces[:, corner]] for corner in range(3))
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal, axis=1, keepdims=True)
        normal /= np.maximum(area, 1e-20)
        plane = np.concatenate([normal, -(normal * a).sum(axis=1, keepdims=True)], axis=1)
        quadric = plane[:, :, None] * plane[:, None, :] * area[:, :, None]
        total = np.zeros((len(self._vertices), 4, 4))
        for corner in range(3):
            np.add.at(total, faces[:, corner], quadric)
        return total

    def _neighbours(self, vertex: int) -> set[int]:
        return {other for face in self._at[vertex] for other in self._faces[face]} - {vertex}

    def _push_around(self, vertex: int) -> None:
        for other in self._neighbours(vertex):
            self._push(vertex, other)
            self._push(other, vertex)

    def _push(self, gone: int, kept: int) -> None:
        if self._fixed[gone]:
            return
        place = np.append(self._vertices[kept], 1.0)
        error = float(place @ (self._quadrics[gone] + self._quadrics[kept]) @ place)
        length = float(((self._vertices[gone] - self._vertices[kept]) ** 2).sum())
        cost = (max(error, 0.0) + 1e-4 * length**2) * self._importance[gone]
        heapq.heappush(self._heap, (cost, gone, kept, self._version[gone], self._version[kept]))

    def _allowed(self, gone: int, kept: int) -> bool:
        shared = self._at[gone] & self._at[kept]
        opposite = {vertex for face in shared for vertex in self._faces[face]} - {gone, kept}
        if len(shared) != 2 or self._neighbours(gone) & self._neighbours(kept) != opposite:
            return False
        for face in self._at[gone] - shared:
            before = self._normal(self._faces[face])
            after = self._normal(tuple(kept if vertex == gone else vertex for vertex in self._faces[face]))
            if before @ after < _FLIP:
                return False
        return True

    def _normal(self, face: tuple[int, ...]) -> Points:
        a, b, c = self._vertices[list(face)]
        normal = np.cross(b - a, c - a)
        return np.asarray(normal / max(float(np.linalg.norm(normal)), 1e-20))

    def _collapse(self, gone: int, kept: int) -> None:
        for face in list(self._at[gone]):
            corners = self._faces[face]
            if kept in corners:
                for vertex in corners:
                    self._at[vertex].discard(face)
                del self._faces[face]
            else:
                self._faces[face] = tuple(kept if vertex == gone else vertex for vertex in corners)  # type: ignore[assignment]
                self._at[kept].add(face)
        self._at[gone].clear()
        self._quadrics[kept] += self._quadrics[gone]
        self._version[gone] += 1
        self._version[kept] += 1
        self._push_around(kept)
