"""Who is driven: bare heads of many kinds whose true motion is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from calib.avatar import Avatar, prepare_avatar
from capture.synthetic.head.geometry import smoothstep
from capture.synthetic.studio.people import Person, random_person
from core.mesh import Mesh
from render.mesh.mesh_save import save_ply
from tools.assets.characters import cartoon

Points = NDArray[np.float64]
Numbers = NDArray[np.int64]

FIRST_AVATAR = 5000  # seed within the test split
NECK_M = -0.112  # template height under which nothing is judged
SHOULDERS_M = -0.165  # template height under which remeshed heads are cut off


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Which of the E judged vertices are what. Template left is the person's own.

    Attributes:
        regions: "lips", "lids", "brows", "jaw", "cheeks" → [E] bool.
        upper_lip [25], lower_lip [15]: vertices along the line where the lips touch, from the right corner of the mouth
            to the left one.
        upper_lids, lower_lids: [2, 7] opposite each other along the margins of the left and the right eye.
    """

    regions: dict[str, NDArray[np.bool_]]
    upper_lip: Numbers
    lower_lip: Numbers
    upper_lids: Numbers
    lower_lids: Numbers


@dataclass(frozen=True, eq=False)
class Head:
    """A bare mesh and what it should do.

    Attributes:
        kind: of HEADS.
        mesh: as written to a file: no parts, no rig, in file units.
        truth: 52 unit weights → [V, 3] the same vertices, file coordinates.
        metres: per file unit.
        judged: [E] vertices that are compared: the face's skin.
        anatomy: of these.
        unit_names: of the 52 weights.
    """

    name: str
    kind: str
    mesh: Mesh
    truth: Callable[[Points], Points]
    metres: float
    judged: Numbers
    anatomy: Anatomy
    unit_names: tuple[str, ...]

    def rest_m(self) -> Points:
        """[E, 3] the judged vertices at rest, metres."""
        return self.mesh.vertices[self.judged].astype(np.float64) * self.metres

    def displacement_m(self, weights: Points) -> NDArray[np.float32]:
        """[T, E, 3] true displacements of the judged vertices for [T, 52] weights, metres."""
        rest = self.mesh.vertices[self.judged]
        moved = (self.truth(row)[self.judged] - rest for row in weights)
        return np.stack([(each * self.metres).astype(np.float32) for each in moved])

    def prepared(self, folder: Path, cache: Path) -> Avatar:
        """The avatar as `vfa prepare` makes it of the bare mesh; the file is written into `folder`."""
        path = folder / f"{self.name}.ply"
        save_ply(self.mesh, path)
        return prepare_avatar(path, cache_dir=cache)


HEADS = ("cc0", "remeshed", "warped", "stylised", "bent", "coarse", "exaggerated", "mixed")
"""Kinds of avatars: another CC0 person; its surface with other triangles, in centimetres; bent by a smooth non-linear
warp of space; cartoon proportions; units off the basis; a coarse mesh without shoulders; a caricature; warped, remeshed
and bent at once."""


def make_heads(count: int) -> Iterator[Head]:
    """The first `count` avatars, kinds in turn."""
    for number in range(count):
        yield make_head(number, HEADS[number % len(HEADS)])


def make_head(number: int, kind: str) -> Head:
    """Avatar `number` as one of HEADS."""
    person = random_person(
        FIRST_AVATAR + number,
        "test",
        2.0 if kind == "exaggerated" else 1.0,
        bent=kind in ("bent", "mixed"),
        bust=True,
        reshape=cartoon if kind == "stylised" else None,
    )
    surface = _remeshed(person) if kind in ("remeshed", "mixed", "coarse") else _as_it_is(person)
    if kind == "coarse":
        surface = _coarse(person)
    warp = SpaceWarp(np.random.default_rng([FIRST_AVATAR, number])) if kind in ("warped", "mixed") else None
    return _head(f"{kind}-{number}", kind, person, surface, warp, 0.01 if kind in ("remeshed", "mixed") else 1.0)


@dataclass(frozen=True, eq=False)
class _Surface:
    """Another mesh on a person: `matrix` [V, n] makes its vertices of the person's; `rim_of` [base vertices] numbers
    the base mesh's vertices in it, −1 where they are missing."""

    matrix: sp.csr_matrix
    faces: NDArray[np.int32]
    rim_of: Numbers


def _head(name: str, kind: str, person: Person, surface: _Surface, warp: SpaceWarp | None, metres: float) -> Head:
    matrix, mesh = surface.matrix, person.mesh()

    def truth(weights: Points) -> Points:
        points = np.asarray(matrix @ person.vertices(weights))
        return (points if warp is None else warp(points)) / metres

    assert mesh.vertex_colors is not None
    rest = truth(np.zeros(len(person.unit_names))).astype(np.float32)
    colors = np.clip(matrix @ mesh.vertex_colors, 0, 1).astype(np.float32)
    judged, anatomy = _anatomy(person, surface)
    bare = Mesh(rest, surface.faces, vertex_colors=colors)
    return Head(name, kind, bare, truth, metres, judged, anatomy, person.unit_names)


def _as_it_is(person: Person) -> _Surface:
    topology = person.model.topology
    faces = np.concatenate(list(topology.faces.values()))
    return _Surface(sp.identity(topology.vertex_count, format="csr"), faces, _rim_numbers(person))


def _rim_numbers(person: Person) -> Numbers:
    """[base vertices] number of each among the finished ones: the subdivided skin starts with those that it keeps."""
    data, topology = person.model.data, person.model.topology
    used = np.unique(data.parts["skin"][topology.kept_quads])
    number = np.full(len(data.vertices), -1, dtype=np.int64)
    number[used] = np.arange(len(used))
    return number


def _base_triangles(person: Person) -> NDArray[np.int64]:
    """The base mesh's quads of the skin above the shoulders, cut along the other diagonal than the fine mesh's."""
    data, topology = person.model.data, person.model.topology
    quads = _rim_numbers(person)[data.parts["skin"][topology.kept_quads]]
    height = person.model.skin_fields.position[quads].mean(axis=1)[:, 1]
    quads = quads[height > SHOULDERS_M]
    return np.concatenate([quads[:, [0, 1, 3]], quads[:, [1, 2, 3]]])


def _coarse(person: Person) -> _Surface:
    """The base mesh's own vertices only, half as many faces, no shoulders."""
    return _compact(person, _base_triangles(person), sp.identity(person.model.topology.vertex_count, format="csr"))


def _remeshed(person: Person) -> _Surface:
    """√3 subdivision (Kobbelt 2000) of the coarse triangles without its smoothing: a vertex in the middle of every
    triangle, and every old edge turned. No edge of the person's mesh remains but along the borders."""
    triangles, count = _base_triangles(person), person.model.topology.vertex_count
    middle = count + np.arange(len(triangles))
    rows = np.repeat(np.arange(len(triangles)), 3)
    centres = sp.csr_matrix((np.full(triangles.size, 1 / 3), (rows, triangles.ravel())), (len(triangles), count))
    at_edge: dict[tuple[int, int], int] = {}
    faces = []
    directed = [(a, b, c) for face, c in zip(triangles.tolist(), middle.tolist(), strict=True)
                for a, b in zip(face, face[1:] + face[:1], strict=True)]  # fmt: skip
    for a, b, centre in directed:
        at_edge[a, b] = centre
    for a, b, centre in directed:
        other = at_edge.get((b, a))
        faces.append((a, b, centre) if other is None else (a, other, centre))
    return _compact(person, np.array(faces), sp.vstack([sp.identity(count), centres]).tocsr())


def _compact(person: Person, skin: NDArray[np.int64], matrix: sp.csr_matrix) -> _Surface:
    """Skin faces over the rows of `matrix`, with the person's other parts, without unused vertices."""
    others = [triangles for name, triangles in person.model.topology.faces.items() if name != "skin"]
    faces = np.concatenate([skin, *others])
    used, corners = np.unique(faces, return_inverse=True)
    number = np.full(matrix.shape[0], -1, dtype=np.int64)
    number[used] = np.arange(len(used))
    base = _rim_numbers(person)
    rim_of = np.where(base >= 0, number[np.maximum(base, 0)], -1)
    return _Surface(matrix[used].tocsr(), corners.reshape(-1, 3).astype(np.int32), rim_of)


class SpaceWarp:
    """A smooth, non-linear map of space onto itself [n, 3] → [n, 3], metres: other proportions, and other motion."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._stretch = 1 + rng.uniform(-0.12, 0.12, 3)
        self._taper = rng.uniform(-0.18, 0.18)  # wider above than below, or the other way round
        self._shear = rng.uniform(-0.12, 0.12, 2)
        self._waves = rng.uniform(25.0, 45.0, (4, 3)) * rng.choice([-1, 1], (4, 3))
        self._phases = rng.uniform(0, 2 * np.pi, 4)
        self._sizes = rng.uniform(-0.0022, 0.0022, (4, 3))

    def __call__(self, points: Points) -> Points:
        x, y, z = points.T
        wide = 1 + self._taper * np.tanh(y / 0.10)
        out = np.stack([x * wide, y + self._shear[0] * z, z * wide + self._shear[1] * y], axis=1) * self._stretch
        return np.asarray(out + np.sin(points @ self._waves.T + self._phases) @ self._sizes)


def _anatomy(person: Person, surface: _Surface) -> tuple[Numbers, Anatomy]:
    """Judged vertices and what they are, by their place on the template head."""
    model = person.model
    skin, fields = model.part("skin"), model.skin_fields
    place, outside = np.full((model.topology.vertex_count, 3), -1.0), np.zeros(model.topology.vertex_count)
    lips = np.zeros(len(outside))
    place[skin], lips[skin] = fields.position, fields.lips
    outside[skin] = 1 - np.clip(fields.mouth_inside + fields.sockets, 0, 1)
    place, outside, lips = surface.matrix @ place, surface.matrix @ outside, surface.matrix @ lips
    rings, lids = surface.rim_of[model.data.lip_rings], [surface.rim_of[ring] for ring in model.data.lid_rings.values()]
    face = (outside > 0.6) & (place[:, 1] > NECK_M) & (place[:, 2] > -0.075)
    rims = np.concatenate([rings[1].ravel(), *(ring[1].ravel() for ring in lids)])
    judged = np.union1d(np.flatnonzero(face), rims)
    at = np.full(len(outside), -1, dtype=np.int64)
    at[judged] = np.arange(len(judged))
    around_eye = np.zeros(len(outside), dtype=bool)
    around_eye[np.concatenate([ring[1:5].ravel() for ring in lids])] = True
    regions = _regions(place[judged], lips[judged], around_eye[judged])
    lip = at[rings[1]]
    columns = np.arange(4, 11)  # of the upper lid; the lower lid runs back below it
    return judged, Anatomy(
        regions,
        lip[:25],
        lip[[0, *range(37, 23, -1)]],
        np.stack([at[ring[1]][columns] for ring in lids]),
        np.stack([at[ring[1]][27 - columns] for ring in lids]),
    )


def _regions(place: Points, lips: Points, around_eye: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    side, height, depth = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    front = smoothstep(-0.05, -0.02, depth) > 0.5
    is_lip = lips > 0.5
    return {
        "lips": is_lip,
        "lids": around_eye,
        "brows": front & (height > 0.008) & (height < 0.040) & (side < 0.060) & ~around_eye,
        "jaw": (height < -0.082) & ~is_lip,
        "cheeks": front
        & (side > 0.022)
        & (side < 0.065)
        & (height < -0.018)
        & (height > -0.065)
        & ~is_lip
        & ~around_eye,
    }
