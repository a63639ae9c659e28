"""The built-in head bent onto an avatar's: first as a person it could be, then freely, smoothly and all the way.

Non-rigid iterative closest points with a statistical prior, as in Amberg et al., "Optimal step nonrigid ICP" (CVPR
2007) and Blanz et al., "A statistical method for robust 3D surface reconstruction" (3DPVT 2004). The rims of lips and
lids are drawn to the avatar's own, so that thin parts end up on their right side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from calib.rigging.template_head import TemplateHead
from calib.survey.closest import closest_on_faces
from calib.survey.head_survey import HeadSurvey
from calib.survey.parts import Kind
from calib.survey.surface import directed_edges, face_normals, point_normals, undirected
from core.face_regions import FACE_LANDMARKS
from core.rigid_motion import fit_similarity

Points = NDArray[np.float64]

_PERSON_ROUNDS, _RIMS_FROM, _SURFACE_FROM = 12, 2, 3
_REACH_M = ((6, 0.020), (_PERSON_ROUNDS, 0.008))  # until that round, surfaces farther than this hardly attract
_LEAST_SPREAD_M = 0.001
_PERSON_SIGMA = (2.9, 0.0008, 0.0024)  # landmarks in spreads, rims and surface in metres: what a person explains
_FREE_ROUNDS = ((30.0, 1.0, 0.010), (10.0, 0.5, 0.010), (3.0, 0.3, 0.005), (1.0, 0.2, 0.005), (1.0, 0.2, 0.005))
_FREE_SIGMA = (2.6, 0.0004, 0.0007)
_STIFFNESS_M, _HOLD_M = 0.0003, 0.020
_CORNERS_LOOSER = 2.0
_AGREE = 0.5  # cosine between the normals of surfaces that are each other's
_CARRIED_BY = 12  # skin vertices that carry eyes, teeth and tongue along


@dataclass(frozen=True, eq=False)
class TemplateFit:
    """The template on one avatar.

    Attributes:
        base: [V, 3] float64 base mesh in metres, as large as the person the avatar resembles.
        scale, rotation, shift: avatar units → template metres: `scale · rotation @ p + shift`.
        error_m: mean distance between the two faces along the normals.
    """

    base: Points
    scale: float
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    error_m: float

    def to_template(self, points: Points) -> Points:
        """[N, 3] avatar units → metres."""
        return np.asarray(self.scale * points @ self.rotation.T + self.shift)

    def to_avatar(self, points: Points) -> Points:
        """[N, 3] metres → avatar units."""
        return np.asarray((points - self.shift) @ self.rotation / self.scale)


def fit_template(template: TemplateHead, survey: HeadSurvey) -> TemplateFit:
    """Bend the template onto a surveyed head. Takes two to three seconds."""
    with threadpool_limits(1):
        return _Fitting(template, survey).run()


class _Fitting:
    def __init__(self, template: TemplateHead, survey: HeadSurvey) -> None:
        self._template, self._survey = template, survey
        self._faces = survey.mesh.faces.astype(np.int64)
        skin = survey.parts.kind[self._faces[:, 0]] == Kind.SKIN
        self._seen = np.flatnonzero(skin & survey.visible)
        self._normals = face_normals(survey.vertices, self._faces)
        self._landmarks = survey.landmarks[:FACE_LANDMARKS]
        self._read = template.landmarks[:FACE_LANDMARKS]
        self._spread = np.maximum(template.landmark_spread_m[:FACE_LANDMARKS], _LEAST_SPREAD_M)
        self._directions_read = np.stack([self._read @ direction for direction in template.directions])  # [C, 468, 3]
        self._rim_vertices, self._rim_sigma = self._rims()
        self._move(template.mean, np.ones(FACE_LANDMARKS))

    def run(self) -> TemplateFit:
        person = self._template.mean
        for number in range(_PERSON_ROUNDS):
            reach = next(reach for until, reach in _REACH_M if number < until)
            person = self._person(person, number, reach)
        base = person
        for stiffness, hold, reach in _FREE_ROUNDS:
            base = self._freed(person, base, stiffness, hold, reach)
        target, normal, weight = self._surface(base, self._template.face, reach)
        off = np.abs(np.einsum("nd,nd->n", base[self._template.face] - target, normal))
        return TemplateFit(base, self._scale, self._rotation, self._shift, float(np.average(off, weights=weight)))

    def _move(self, base: Points, weight: NDArray[np.float64], source: Points | None = None) -> None:
        """Lay the avatar over the template: by its landmarks, or by points [N, 3] that belong to `base` [N, 3]."""
        target = self._read @ base if source is None else base
        source = self._landmarks if source is None else source
        self._scale, self._rotation, self._shift = fit_similarity(source, target, weight)

    def _placed(self, points: Points) -> Points:
        return np.asarray(self._scale * points @ self._rotation.T + self._shift)

    def _person(self, base: Points, number: int, reach: float) -> Points:
        """A likelier person for what lies where, and the avatar laid over it."""
        template = self._template
        count = len(template.directions)
        of_landmark, of_rim, of_surface = _PERSON_SIGMA
        weight = 1 / (of_landmark * self._spread)
        wanted = self._placed(self._landmarks) - self._read @ template.mean
        rows = [(self._directions_read * weight[:, None]).reshape(count, -1).T]
        values = [(wanted * weight[:, None]).ravel()]
        if number >= _RIMS_FROM:
            vertices, weight = self._rim_vertices, self._rim_sigma / self._rim_sigma.min() * of_rim
            wanted = self._on_rims(base) - template.mean[vertices]
            rows.append((template.directions[:, vertices] / weight[:, None]).reshape(count, -1).T)
            values.append((wanted / weight[:, None]).ravel())
        if number >= _SURFACE_FROM:
            face = template.face
            target, normal, trust = self._surface(base, face, reach)
            weight = np.sqrt(trust) / of_surface
            rows.append(np.einsum("cnd,nd->nc", template.directions[:, face], normal) * weight[:, None])
            values.append(np.einsum("nd,nd->n", target - template.mean[face], normal) * weight)
        system, right = np.concatenate(rows), np.concatenate(values)
        share = np.linalg.solve(system.T @ system + np.eye(count), system.T @ right)
        person = template.mean + np.tensordot(share, template.directions, axes=1)
        self._lay_over(person, number, reach)
        return np.asarray(person)

    def _lay_over(self, person: Points, number: int, reach: float) -> None:
        trust = (_LEAST_SPREAD_M / self._spread) ** 2
        if number < _SURFACE_FROM:
            self._move(person, trust)
            return
        face = self._template.face
        target, normal, near = self._surface(person, face, reach)
        onto = target + np.einsum("nd,nd->n", person[face] - target, normal)[:, None] * normal
        rims = self._on_rims(person)
        places = np.concatenate([target, rims])
        source = np.concatenate([self._landmarks, (places - self._shift) @ self._rotation / self._scale])
        base = np.concatenate([self._read @ person, onto, person[self._rim_vertices]])
        self._move(base, np.concatenate([trust, 0.5 * near, np.full(len(rims), 2.0)]), source)

    def _freed(self, person: Points, base: Points, stiffness: float, hold: float, reach: float) -> Points:
        """`person` bent smoothly towards what lies where, seen from the last result `base`."""
        template = self._template
        of_landmark, of_rim, of_surface = _FREE_SIGMA
        skin = template.skin()
        number = np.full(len(base), -1)
        number[skin] = np.arange(len(skin))
        bending = umbrella(number[template.faces], len(skin))
        target, normal, trust = self._surface(base, template.head, reach)
        weight = trust / of_surface**2
        rims, rim_weight = number[self._rim_vertices], (of_rim * self._rim_sigma / self._rim_sigma.min()) ** -2.0
        read, landmark_weight = self._read[:, skin], 1 / (of_landmark * self._spread) ** 2
        free = (bending.T @ bending) * (stiffness / _STIFFNESS_M**2)
        free += sparse.diags(np.full(len(skin), hold / _HOLD_M**2) + np.bincount(rims, rim_weight, len(skin)))
        free += read.T @ sparse.diags(landmark_weight) @ read
        system = sparse.kron(free, sparse.identity(3)) + _along(normal, weight, number[template.head], len(skin))
        off = np.einsum("nd,nd->n", target - person[template.head], normal) * weight
        right = np.zeros((len(skin), 3))
        np.add.at(right, number[template.head], off[:, None] * normal)
        np.add.at(right, rims, rim_weight[:, None] * (self._on_rims(base) - person[self._rim_vertices]))
        right += read.T @ (landmark_weight[:, None] * (self._placed(self._landmarks) - self._read @ person))
        solver = splu(
            system.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        return _carried(person, skin, solver.solve(right.ravel()).reshape(-1, 3))

    def _rims(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Base vertices [N] of all rims, in the order of `_on_rims`, and how exactly they are drawn to it."""
        template = self._template
        chains = [*template.lids[0], *template.lids[1], *template.lips]
        sigma = np.ones(sum(len(chain) for chain in chains) + 2)
        sigma[-2:] = _CORNERS_LOOSER
        return np.concatenate([*chains, template.mouth_corners]).astype(np.int64), sigma

    def _on_rims(self, base: Points) -> Points:
        """[N, 3] the places on the avatar's rims nearest to those of the template, metres."""
        template, survey = self._template, self._survey
        lines = [rim for eye in survey.eyes for rim in (eye.upper, eye.lower)] + [
            survey.mouth.upper,
            survey.mouth.lower,
        ]
        chains = [*template.lids[0], *template.lids[1], *template.lips]
        near = [_nearest_on_line(base[chain], self._placed(line)) for chain, line in zip(chains, lines, strict=True)]
        return np.concatenate([*near, self._placed(survey.mouth.upper[[0, -1]])])

    def _surface(
        self, base: Points, vertices: NDArray[np.int64], reach: float
    ) -> tuple[Points, Points, NDArray[np.float64]]:
        """For base vertices [N]: nearest places on the avatar's skin, normals there, and how far to trust them."""
        points = self._placed(self._survey.vertices)
        face, bary, distance = closest_on_faces(base[vertices], points, self._faces, self._seen)
        place = np.einsum("nc,ncd->nd", bary, points[self._faces[face]])
        normal = self._normals[face] @ self._rotation.T
        own = point_normals(base, self._template.faces)[vertices]
        trust = np.exp(-((distance / reach) ** 2)) * (np.einsum("nd,nd->n", normal, own) > _AGREE)
        off = base[vertices] - place
        aside = np.linalg.norm(off - np.einsum("nd,nd->n", off, normal)[:, None] * normal, axis=1)
        return place, normal, trust * (aside < 0.3 * distance + 0.0015)  # what lies beyond a border has no partner


def _nearest_on_line(points: Points, line: Points) -> Points:
    """[N, 3] the nearest places on a polyline [L, 3]."""
    start, along = line[:-1], np.diff(line, axis=0)
    share = np.einsum("nld,ld->nl", points[:, None] - start, along) / np.maximum((along**2).sum(axis=1), 1e-18)
    place = start + np.clip(share, 0, 1)[..., None] * along
    nearest = ((points[:, None] - place) ** 2).sum(axis=2).argmin(axis=1)
    return np.asarray(place[np.arange(len(points)), nearest])


def umbrella(faces: NDArray[np.int64], count: int) -> sparse.csr_matrix:
    """[N, N] difference between each vertex and the mean of its neighbours."""
    edges = undirected(directed_edges(faces))[0]
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    graph = (graph + graph.T).tocsr()
    degree = np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1)
    return (sparse.identity(count) - sparse.diags(1 / degree) @ graph).tocsr()


def _along(normal: Points, weight: NDArray[np.float64], rows: NDArray[np.int64], count: int) -> sparse.csc_matrix:
    """[3N, 3N] quadratic form of offsets along normals [M, 3] at vertices `rows` [M]."""
    blocks = np.einsum("mi,mj,m->mij", normal, normal, weight)
    place = rows[:, None] * 3 + np.arange(3)
    one, other = np.broadcast_arrays(place[:, :, None], place[:, None, :])
    return sparse.csc_matrix((blocks.ravel(), (one.ravel(), other.ravel())), shape=(3 * count, 3 * count))


def _carried(person: Points, skin: NDArray[np.int64], offset: Points) -> Points:
    """The skin moved by `offset` [S, 3], and everything else by what moves the skin around it."""
    base = person.copy()
    base[skin] += offset
    rest = np.setdiff1d(np.arange(len(person)), skin)
    distance, near = cKDTree(person[skin]).query(person[rest], k=_CARRIED_BY)
    share = 1 / (distance + 0.001) ** 2
    base[rest] += np.einsum("nk,nkd->nd", share / share.sum(axis=1, keepdims=True), offset[near])
    return base
