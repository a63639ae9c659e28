"""Artists' heads made what their artist did not make: coarse, as games have them, or stylised, as cartoons are.

The artist's shapes go along: a coarse head keeps some of the vertices, each with its own displacements; a stylised one
is bent in space, at rest and with every shape at weight 1. So the truth is still that artist's, on proportions and
meshes of which no template of human heads knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.geometry import smoothstep
from core.errors import InputError
from core.mesh import Material, Mesh, MeshPart
from core.sphere import fit_sphere
from render.mesh.mesh_layout import weld_positions
from render.mesh.mesh_simplify import simplify
from tools.assets.decimate import decimate
from tools.rigs.rig import EYES, MOUTH, PIECES, SKIN, ArtistRig, Points

_STEPS = 6
_LOWEST_M, _WIDEST_M = -0.26, 0.16  # below and beside lies no part of a head
_SHARE = {SKIN: 0.80, EYES: 0.12, MOUTH: 0.08}  # of a coarse head's vertices
_FEW = 4000  # faces: no quick way is needed
_SHARP = 0.4  # difference of colours that matters as much
_FIRST = 5.0  # times as many faces are left by the quick way, which knows nothing of what bends
_DETAIL_M = 0.01
_BENDS = 30.0  # times as much does it cost to take a vertex away where the face bends most


@dataclass(frozen=True)
class Style:
    """Proportions of a stylised head, lengths in distances between the eyes.

    Attributes:
        eyes: how much larger about their middles [3], the skin around them going along.
        skull: how much larger above the mouth.
        nose, mouth: how much smaller, and wider where negative.
        chin: how much narrower, and lifted: the share of the way to the mouth.
        neck: how much thinner.
    """

    eyes: tuple[float, float, float]
    skull: float
    nose: float
    mouth: float
    chin: tuple[float, float]
    neck: float


STYLES = {
    "cartoon": Style((0.40, 0.50, 0.36), 0.10, 0.35, 0.0, (0.13, 0.10), 0.25),
    "doll": Style((0.60, 0.75, 0.50), 0.22, 0.55, 0.25, (0.25, 0.20), 0.35),
    "toon": Style((0.30, 0.85, 0.36), 0.05, -0.35, -0.30, (-0.10, 0.0), 0.15),
}
"""Large eyes and a small nose, as in animated films; the same and more, with a small mouth; eyes higher than wide, a
large nose and a wide mouth."""


def reshaped(rig: ArtistRig, how: str) -> ArtistRig:
    """A rig by the end of its name: one of STYLES, or "coarse" with the number of vertices ("coarse1500").

    Raises InputError for any other.
    """
    if how in STYLES:
        return stylised(rig, how)
    if how.startswith("coarse") and how[6:].isdecimal() and int(how[6:]) >= 200:
        return coarse(rig, int(how[6:]))
    raise InputError(f"{rig.name}+{how}: expected {', '.join(STYLES)}, or coarse with 200 vertices or more: coarse1500")


def stylised(rig: ArtistRig, style: str) -> ArtistRig:
    """The rig in the proportions of one of STYLES."""
    bend = _bend(rig, STYLES[style])
    rest = bend(rig.mesh.vertices.astype(np.float64))
    units = {
        unit: (bend(rig.mesh.vertices.astype(np.float64) + moved) - rest).astype(np.float32)
        for unit, moved in rig.units.items()
    }
    mesh = replace(rig.mesh, vertices=rest.astype(np.float32))
    return ArtistRig(f"{rig.name}+{style}", rig.basis, mesh, units, rig.piece)


def _bend(rig: ArtistRig, style: Style) -> Callable[[Points], Points]:
    """A smooth map of space that gives the rig's head these proportions; metres, the rig's frame. It goes there in
    small steps, each of which sees where the last has led, so that nothing folds over."""
    anchors = _anchors(rig)
    apart = float(np.linalg.norm(anchors[0] - anchors[1]))
    on_the_way = []
    for _ in range(_STEPS):
        on_the_way.append(anchors)
        anchors = _step(anchors, anchors, apart, style)

    def bend(points: Points) -> Points:
        for at in on_the_way:
            points = _step(points, at, apart, style)
        return points

    return bend


def _anchors(rig: ArtistRig) -> Points:
    """[4, 3] middles of the left and the right eyeball, tip of the nose, middle of the mouth."""
    at, skin = rig.mesh.vertices.astype(np.float64), rig.piece == SKIN
    eyes = [fit_sphere(at[(rig.piece == EYES) & (np.sign(at[:, 0]) == side)]).centre for side in (1, -1)]
    apart = float(np.linalg.norm(eyes[0] - eyes[1]))
    level = at[:, 1] / apart
    nose = at[skin & (np.abs(at[:, 0]) < 0.15 * apart) & (level < -0.2) & (level > -1.2)]
    pucker = np.square(rig.units["mouthPucker"], dtype=np.float64).sum(axis=1) * skin
    return np.stack([*eyes, nose[nose[:, 2].argmax()], np.average(at, axis=0, weights=pucker)])


def _step(points: Points, anchors: Points, apart: float, style: Style) -> Points:
    """One of `_STEPS` steps of points [N, 3] towards the style."""
    *eyes, tip, mouth = anchors
    x, y, z = points.T / apart
    moved = style.skull * smoothstep(-0.6, 1.6, y)[:, None] * points
    below = smoothstep(-0.4, -1.7, y) * smoothstep(-1.8, -0.1, z)
    moved[:, 0] -= style.chin[0] * below * points[:, 0]
    moved[:, 1] += style.chin[1] * (mouth[1] - points[:, 1]) * smoothstep(mouth[1] / apart, -2.2, y)
    moved[:, [0, 2]] -= style.neck * smoothstep(-1.3, -2.1, y)[:, None] * (points[:, [0, 2]] - [0.0, -1.1 * apart])
    for share, centre, reach in ((style.nose, tip - [0, 0, 0.3 * apart], 0.85), (style.mouth, mouth, 1.0)):
        near = 1 - smoothstep(0.1, reach, np.linalg.norm(points - centre, axis=1) / apart)
        moved -= share * near[:, None] * (points - centre)
    for centre in eyes:
        own = smoothstep(-0.05, 0.40, np.sign(centre[0]) * x)
        near = 1 - smoothstep(0.20, 1.05, np.linalg.norm((points - centre) / apart * [1.0, 1.0, 0.7], axis=1))
        moved += (near * own)[:, None] * (points - centre) * style.eyes
    return np.asarray(points + moved / _STEPS)


def coarse(rig: ArtistRig, vertices: int) -> ArtistRig:
    """The rig's head with about this many vertices, painted by the vertex, without lashes and tears.

    Most are left where the face bends, as artists of coarse heads have them (`tools.assets.decimate`). Eyes that have a
    texture keep it, and their vertices.
    """
    mesh, colors = rig.mesh, colors_at_vertices(rig.mesh)
    place = weld_positions(mesh.vertices)
    stands_for = np.unique(place, return_index=True)[1]
    bending = 1 + _BENDS * _bending(rig, place, len(stands_for))
    faces: list[NDArray[np.int64]] = []
    faces_uv: list[NDArray[np.int64]] = []
    parts, looks = [], [Material("painted", (1.0, 1.0, 1.0, 1.0))]
    for which, share in _SHARE.items():
        there = _of_head(rig, which)
        look = mesh.materials[_part_of(mesh, int(there[0])).material]
        own, number = mesh.faces[there].astype(np.int64), 0
        if which == EYES and look.texture is not None and mesh.faces_uv is not None:
            number, looks = len(looks), [*looks, look]
            faces_uv.append(mesh.faces_uv[there].astype(np.int64))
        else:
            matters = 1 + _BENDS * _contrast(colors, own)[stands_for] if which == EYES else bending
            own = stands_for[_fewer(mesh.vertices[stands_for], place[own], int(2 * vertices * share), matters)]
            faces_uv.append(np.full_like(own, -1))
        parts.append(MeshPart(PIECES[which], sum(len(each) for each in faces), len(own), number))
        faces.append(own)
    kept, numbered = np.unique(np.concatenate(faces), return_inverse=True)
    textured = len(looks) > 1
    slim = Mesh(
        mesh.vertices[kept], numbered.reshape(-1, 3).astype(np.int32), mesh.uvs if textured else None,
        np.concatenate(faces_uv).astype(np.int32) if textured else None, colors[kept],
        parts=tuple(parts), materials=tuple(looks),
    )  # fmt: skip
    units = {unit: moved[kept] for unit, moved in rig.units.items()}
    return ArtistRig(f"{rig.name}+coarse{vertices}", rig.basis, slim, units, rig.piece[kept])


def _of_head(rig: ArtistRig, which: int) -> NDArray[np.int64]:
    """Faces of one of PIECES that are of the head. ICT's irises lie behind painted scleras: those are left out."""
    corners = rig.mesh.vertices[rig.mesh.faces]
    there = (rig.piece[rig.mesh.faces[:, 0]] == which) & (corners[:, :, 1].min(axis=1) > _LOWEST_M)
    for part in rig.mesh.parts:
        if part.name.startswith("M_Iris"):
            there[part.first_face : part.first_face + part.face_count] = False
    return np.flatnonzero(there & (np.abs(corners[:, :, 0]).max(axis=1) < _WIDEST_M))


def _part_of(mesh: Mesh, face: int) -> MeshPart:
    return next(part for part in mesh.parts if part.first_face <= face < part.first_face + part.face_count)


def _contrast(colors: NDArray[np.float32], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """[V] 0 to 1: how differently the ends of edges of these faces are painted: no iris is to be lost."""
    ends = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    own = np.zeros(len(colors))
    apart = np.abs(colors[ends[:, 0]] - colors[ends[:, 1]]).max(axis=1)
    np.maximum.at(own, ends.ravel(), np.repeat(apart, 2))
    return np.asarray(np.clip(own / _SHARP, 0, 1))


def _bending(rig: ArtistRig, place: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """[P] 0 to 1: how differently the ends of edges at each place move, of all units the most."""
    ends = np.unique(np.sort(place[rig.mesh.faces][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    most = np.zeros(len(ends))
    for moved in rig.units.values():
        at = np.zeros((count, 3), dtype=np.float32)
        at[place] = moved
        most = np.maximum(most, np.linalg.norm(at[ends[:, 0]] - at[ends[:, 1]], axis=1))
    own = np.zeros(count)
    np.maximum.at(own, ends.ravel(), np.repeat(most, 2))
    return np.asarray(np.clip(own / np.quantile(own[own > 1e-5], 0.95), 0, 1))


def _fewer(
    where: NDArray[np.float32], faces: NDArray[np.int64], target: int, matters: NDArray[np.float64]
) -> NDArray[np.int64]:
    """About `target` of these triangles over some of their vertices."""
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    used, numbered = np.unique(faces, return_inverse=True)
    corners, at = numbered.reshape(-1, 3).astype(np.int32), where[used].astype(np.float64)
    if len(corners) > max(_FIRST * target, _FEW):
        nobody = np.zeros(len(corners), dtype=np.int64)
        corners, _ = simplify(at, np.arange(len(at)), corners, nobody, int(_FIRST * target), _DETAIL_M)
    corners = decimate(at, corners, target, matters[used], np.zeros(len(at), dtype=bool))
    return np.asarray(used[corners])


def colors_at_vertices(mesh: Mesh) -> NDArray[np.float32]:
    """[V, 3] sRGB: vertex colours, and those of textures where there are any."""
    white = np.ones((len(mesh.vertices), 3), dtype=np.float32)
    colors = (white if mesh.vertex_colors is None else mesh.vertex_colors).copy()
    for part in mesh.parts:
        texture = mesh.materials[part.material].texture
        if texture is None or mesh.uvs is None or mesh.faces_uv is None:
            continue
        rows = slice(part.first_face, part.first_face + part.face_count)
        u, v = mesh.uvs[mesh.faces_uv[rows].reshape(-1)].T % 1.0
        height, width = texture.shape[:2]
        line, column = np.minimum((1 - v) * height, height - 1), np.minimum(u * width, width - 1)
        colors[mesh.faces[rows].reshape(-1)] = texture[line.astype(np.int64), column.astype(np.int64), :3] / np.float32(
            255
        )
    return colors
