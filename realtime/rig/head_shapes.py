"""The shapes of a prepared head, as a live session shows each of them alone, in the coordinates of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calib.avatar import Avatar
from calib.rigging.morphs import own_units
from core.face_motion import gaze_of
from core.mesh import Material, Mesh, MeshPart
from engine.expression.expression_engine import ExpressionEngine
from realtime.rig.face_places import place_shares
from realtime.rig.naming import Target
from render.mesh.export.rigged_mesh import RiggedMesh, Shape
from render.mesh.mesh_layout import weld_positions

_LEAST = 1e-5  # of the head's size: displacements below it are left out
_STANDS_M = 5e-4  # a head that its engine shows at rest no farther from where the file has it, rests as in the file
UNITS_PER_METRE = 7.8  # avatar units: of heads as large as people's
_SAME_BORDER = 0.02  # avatar units: a thirtieth of a mouth
_CUT = 2e-4  # avatar units between the two sides of a cut, at most
_ELSEWHERE = 1e-4  # avatar units: vertices nearer to where the file has them are there
_SIDES = ("Right", "Left")  # the person's own; picture-left eye first


@dataclass(frozen=True, eq=False)
class HeadShapes:
    """A head and its shapes.

    Attributes:
        avatar: the head.
        targets: what the shapes are.
        neutral: [R, 3] float32 avatar units: the vertices of `avatar.display_mesh` at rest.
        posed: [M, R, 3] float32 the same in each shape; where a shape is meant to be added to another, so is it here.
        rigged: what goes into files.
        vertex: the vertex of `avatar.display_mesh` behind each of `rigged.mesh`; None where a coarse mesh is drawn.
        own_eyes: something else turns the eyeballs: shapes of the gaze move the lids alone.
    """

    avatar: Avatar
    targets: tuple[Target, ...]
    neutral: NDArray[np.float32]
    posed: NDArray[np.float32]
    rigged: RiggedMesh
    vertex: NDArray[np.int64] | None
    own_eyes: bool = False

    def under(self, target: Target) -> NDArray[np.float32]:
        """[R, 3] what the face does already where this shape is meant to be added, as far as shapes say so."""
        moved = np.zeros_like(self.neutral)
        for other, posed in zip(self.targets, self.posed, strict=True):
            unit = next(iter(other.units)) if len(other.units) == 1 else ""
            if unit in target.over:
                moved += target.over[unit] * (posed - self.neutral)
        return moved

    def whole(self, target: Target) -> NDArray[np.float32]:
        """[R, 3] what a shape does together with those of the other places of the face."""
        same = [posed - self.neutral for other, posed in zip(self.targets, self.posed, strict=True)
                if other is target or (target.places and other.units == target.units)]  # fmt: skip
        return np.asarray(np.sum(same, axis=0))

    def spread(self, moved: NDArray[np.float32]) -> NDArray[np.float32]:
        """Displacements [R, 3] of what is drawn → of the vertices of `rigged.mesh`, both in avatar units."""
        if self.vertex is not None:
            return moved[self.vertex]
        bound = self.avatar.binding
        assert bound is not None, "otherwise there is a drawn vertex behind each"
        return np.concatenate([bound.spread(moved), moved[_added_vertices(self.avatar)]])


def head_shapes(
    avatar: Avatar,
    targets: tuple[Target, ...],
    tell: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    own_eyes: bool = False,
) -> HeadShapes:
    """Work out a head's shapes with the engine that drives it live. `tell` hears how many are done, of how many.

    Args:
        own_eyes: the file turns its eyeballs by bones or nodes; shapes of the gaze then move the lids alone.
    """
    engine = ExpressionEngine(avatar, units=own_units(avatar))
    neutral = _stood(avatar, _posed(engine, {}))
    posed = np.empty((len(targets), *neutral.shape), dtype=np.float32)
    shares = place_shares(avatar.rig) if any(target.places for target in targets) else {}
    for number, target in enumerate(targets):
        tell(number, len(targets))
        without = _posed(engine, target.over)
        moved = _posed(engine, {**target.over, **target.units}) - without
        for place in target.places:
            moved *= shares[place][:, None]
        posed[number] = neutral + moved
        if own_eyes:
            balls = np.concatenate([eye.ball for eye in avatar.rig.eyes])
            posed[number, balls] = neutral[balls]
    return HeadShapes(avatar, targets, neutral, posed, *_rigged(avatar, targets, neutral, posed), own_eyes)


def taking(shapes: HeadShapes, rigged: RiggedMesh) -> HeadShapes:
    """The same head with other shapes for its files; what is shown and measured of it follows. Drawn vertices that the
    files have not, go along with the nearest that they have."""
    if shapes.vertex is None:
        return replace(shapes, rigged=rigged)
    posed = shapes.posed.copy()
    T = shapes.avatar.T_world_file[:3, :3].T.astype(np.float32)
    nearest = cKDTree(shapes.neutral[shapes.vertex]).query(shapes.neutral)[1]
    nearest[shapes.vertex] = np.arange(len(shapes.vertex))
    count = len(shapes.vertex)
    for number, (own, other) in enumerate(zip(shapes.rigged.shapes, rigged.shapes, strict=True)):
        if own is not other:
            posed[number] += ((other.dense(count) - own.dense(count)) @ T)[nearest]
    return replace(shapes, posed=posed, rigged=rigged)


def _stood(avatar: Avatar, at_rest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vertices at rest: where the file has them, unless the engine shows them elsewhere, as it opens eyes that are shut
    in the file."""
    moved = np.linalg.norm(at_rest - avatar.rig.rest, axis=1)
    if moved.max(initial=0.0) < _STANDS_M * UNITS_PER_METRE:
        return avatar.rig.rest.copy()
    return np.where((moved > _ELSEWHERE)[:, None], at_rest, avatar.rig.rest)


def _posed(engine: ExpressionEngine, units: Mapping[str, float]) -> NDArray[np.float32]:
    weights = np.array([units.get(name, 0.0) for name in engine.unit_names])
    return engine.posed(weights, gaze_of(weights))


def _rigged(
    avatar: Avatar, targets: tuple[Target, ...], neutral: NDArray[np.float32], posed: NDArray[np.float32]
) -> tuple[RiggedMesh, NDArray[np.int64] | None]:
    """What goes into files, and the drawn vertex behind each of its vertices (None where there is none)."""
    file = avatar.file_mesh
    linear = np.linalg.inv(avatar.T_world_file)[:3, :3].astype(np.float32)
    size = float(np.linalg.norm(np.ptp(avatar.landmarks, axis=0)))
    least = _LEAST * size * float(np.cbrt(np.linalg.det(linear.astype(np.float64))))
    T_metres_file = np.diag([1 / UNITS_PER_METRE] * 3 + [1.0]) @ avatar.T_world_file
    altered = altered_parts(avatar, neutral)
    if avatar.binding is not None and not altered:
        return _spread(avatar, targets, neutral, posed, least, T_metres_file), None
    if avatar.binding is not None:
        mesh, vertex = replace(avatar.display_mesh, parts=_parts(avatar.display_mesh)), np.arange(len(neutral))
    else:
        mesh, vertex = _with_own_triangles(avatar, altered)
    vertices = _to_file(avatar, neutral)[vertex]
    if avatar.binding is None:
        own = len(file.vertices)
        stays = (neutral == avatar.rig.rest)[:own].all(axis=1)[:, None]
        vertices[:own] = np.where(stays, file.vertices, vertices[:own])
    shapes = tuple(
        Shape.of(target.name, (each - neutral)[vertex] @ linear.T, least)
        for target, each in zip(targets, posed, strict=True)
    )
    mesh = replace(mesh, vertices=vertices, materials=_seen_inside(avatar))
    firsts = tuple(part.first_face for part in _parts(file))
    rigged = RiggedMesh(mesh, file.vertices, file.faces, firsts, shapes, frozenset(altered), least, T_metres_file)
    return rigged, vertex


def _with_own_triangles(avatar: Avatar, altered: set[int]) -> tuple[Mesh, NDArray[np.int64]]:
    """The drawn mesh with the file's own triangles in the parts that can take their shapes as they are, without the
    vertices that are needless then; and the drawn vertex behind each vertex, the file's first."""
    file, drawn = avatar.file_mesh, avatar.display_mesh
    faces, faces_uv, parts, first = [], [], [], 0
    for number, part in enumerate(_parts(drawn)):
        kept = number < len(_parts(file)) and number not in altered
        source, run = (file, _parts(file)[number]) if kept else (drawn, part)
        which = slice(run.first_face, run.first_face + run.face_count)
        faces.append(source.faces[which])
        if drawn.faces_uv is not None:
            own = source.faces_uv
            faces_uv.append(np.zeros_like(source.faces[which]) if own is None else own[which])
        parts.append(replace(part, first_face=first, face_count=run.face_count))
        first += run.face_count
    every = np.concatenate(faces)
    count = len(file.vertices)
    used = np.unique(every)
    vertex = np.concatenate([np.arange(count), used[used >= count]])
    number_of = np.full(len(drawn.vertices), -1, dtype=np.int32)
    number_of[vertex] = np.arange(len(vertex), dtype=np.int32)
    mesh = replace(
        drawn,
        vertices=drawn.vertices[vertex],
        faces=number_of[every],
        faces_uv=np.concatenate(faces_uv) if faces_uv else None,
        vertex_colors=None if drawn.vertex_colors is None else drawn.vertex_colors[vertex],
        parts=tuple(parts),
        morphs=None,
    )
    return mesh, vertex


def _spread(
    avatar: Avatar,
    targets: tuple[Target, ...],
    neutral: NDArray[np.float32],
    posed: NDArray[np.float32],
    least: float,
    T_metres_file: NDArray[np.float64],
) -> RiggedMesh:
    """A file of too many triangles to be worked out: its vertices follow the coarse ones, what was added comes after
    them."""
    file, drawn, bound = avatar.file_mesh, avatar.display_mesh, avatar.binding
    assert bound is not None
    linear = np.linalg.inv(avatar.T_world_file)[:3, :3].astype(np.float32)
    parts = _parts(file)
    pieces = _parts(drawn)[len(parts) :]
    first = _first_added(avatar)
    used = _added_vertices(avatar)
    faces = np.searchsorted(used, drawn.faces[first:])
    extra = _to_file(avatar, neutral)[used]
    drawn = replace(drawn, materials=_seen_inside(avatar))
    mesh = _appended(file, drawn, first, extra, faces.reshape(-1, 3).astype(np.int32), pieces)
    shapes = []
    for target, each in zip(targets, posed, strict=True):
        moved = each - neutral
        both = np.concatenate([bound.spread(moved), moved[used]]) @ linear.T
        shapes.append(Shape.of(target.name, both, least))
    firsts = tuple(part.first_face for part in parts)
    return RiggedMesh(mesh, file.vertices, file.faces, firsts, tuple(shapes), frozenset(), least, T_metres_file)


def _first_added(avatar: Avatar) -> int:
    """The first drawn face that is not the file's."""
    pieces = _parts(avatar.display_mesh)[len(_parts(avatar.file_mesh)) :]
    return pieces[0].first_face if pieces else len(avatar.display_mesh.faces)


def _added_vertices(avatar: Avatar) -> NDArray[np.int32]:
    """The drawn vertices of those faces, rising."""
    return np.unique(avatar.display_mesh.faces[_first_added(avatar) :])


def _appended(
    file: Mesh,
    drawn: Mesh,
    first: int,
    extra: NDArray[np.float32],
    faces: NDArray[np.int32],
    pieces: tuple[MeshPart, ...],
) -> Mesh:
    """The file's mesh with the faces of `drawn` from `first` on after its own."""
    uvs = faces_uv = None
    if drawn.uvs is not None and drawn.faces_uv is not None and len(faces):
        own_uvs = np.zeros((1, 2), dtype=np.float32) if file.uvs is None else file.uvs
        own_faces_uv = np.zeros_like(file.faces) if file.faces_uv is None else file.faces_uv
        kept, corners = np.unique(drawn.faces_uv[first:], return_inverse=True)
        uvs = np.concatenate([own_uvs, drawn.uvs[kept]])
        faces_uv = np.concatenate([own_faces_uv, corners.reshape(-1, 3).astype(np.int32) + len(own_uvs)])
    else:
        uvs, faces_uv = file.uvs, file.faces_uv
    colors = file.vertex_colors
    if colors is not None:
        colors = np.concatenate([colors, np.ones_like(extra)])
    shift = len(file.faces) - first
    parts = (*_parts(file), *(replace(piece, first_face=piece.first_face + shift) for piece in pieces))
    vertices = np.concatenate([file.vertices, extra])
    every = np.concatenate([file.faces, faces + np.int32(len(file.vertices))])
    return Mesh(vertices, every, uvs, faces_uv, colors, parts, drawn.materials)


def _seen_inside(avatar: Avatar) -> tuple[Material, ...]:
    """Materials of the drawn mesh; other programs leave out the backs of faces, and the inside of a mouth is seen from
    both sides."""
    own, every = avatar.file_mesh.materials, avatar.display_mesh.materials
    return (*own, *(replace(material, double_sided=True) for material in every[len(own) :]))


def _to_file(avatar: Avatar, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    """All vertices [R, 3] in avatar units → the file's coordinates."""
    T = np.linalg.inv(avatar.T_world_file)
    return np.asarray(vertices.astype(np.float64) @ T[:3, :3].T + T[:3, 3], dtype=np.float32)


def _parts(mesh: Mesh) -> tuple[MeshPart, ...]:
    return mesh.parts or (MeshPart("mesh", 0, len(mesh.faces), 0),)


def altered_parts(avatar: Avatar, neutral: NDArray[np.float32]) -> set[int]:
    """Numbers of the file's parts that cannot take their shapes as they are: the preparation has cut them open or
    taken something away from them, or they stand elsewhere at rest. Parts in which edges were only halved can: their
    own vertices move as they do in the finer mesh.

    What is cut has a longer border, what lacks something another one; halving edges leaves it as long as it was.
    """
    file, drawn = _parts(avatar.file_mesh), _parts(avatar.display_mesh)
    if avatar.binding is not None:
        return _cut_while_coarse(avatar, drawn[len(file) - 1])
    rest, own = avatar.rig.rest, len(avatar.file_mesh.vertices)
    elsewhere = (neutral != rest).any(axis=1)
    found = set()
    for number, (before, after) in enumerate(zip(file, drawn, strict=False)):
        old = avatar.file_mesh.faces[before.first_face : before.first_face + before.face_count]
        new = avatar.display_mesh.faces[after.first_face : after.first_face + after.face_count]
        cut = not np.array_equal(old, new) and abs(_border(rest[:own], old) - _border(rest, new)) > _SAME_BORDER
        if cut or elsewhere[old].any():
            found.add(number)
    return found


def _cut_while_coarse(avatar: Avatar, last: MeshPart) -> set[int]:
    """The same where a coarse mesh was worked out, `last` being the last of its parts: all of it is altered where cuts
    have left new vertices in pairs."""
    assert avatar.binding is not None, "the mesh is a coarse one"
    used = np.unique(avatar.display_mesh.faces[: last.first_face + last.face_count])
    new = used[used >= len(avatar.binding.representative)]
    pairs = cKDTree(avatar.rig.rest[new]).query_pairs(_CUT) if len(new) else set()
    return set(range(len(_parts(avatar.file_mesh)))) if pairs else set()


def _border(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> float:
    """Length of the edges that belong to one face only."""
    if not len(faces):
        return 0.0
    place = weld_positions(vertices)[faces]
    ends = np.sort(np.concatenate([place[:, [0, 1]], place[:, [1, 2]], place[:, [2, 0]]]), axis=1)
    corners = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, first, count = np.unique(ends, axis=0, return_index=True, return_counts=True)
    alone = corners[first[count == 1]]
    return float(np.linalg.norm(vertices[alone[:, 0]] - vertices[alone[:, 1]], axis=1).sum())
