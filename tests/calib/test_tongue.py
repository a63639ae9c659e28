"""Tongues that are pieces of their own: which piece it is, and that it stays whole when it is stuck out."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.rigging.tongue import find_tongue
from calib.survey.openings import Opening
from calib.survey.parts import Kind
from calib.survey.surface import face_normals

ALONG = np.linspace(0, 1, 33)
MOUTH = Opening(np.stack([ALONG, 0 * ALONG, 0 * ALONG], axis=1), np.stack([ALONG, 0 * ALONG, 0 * ALONG], axis=1),
                parted=True, closed=True, width=1.0, frame=np.eye(3), behind=1.0)  # fmt: skip


def block(breadth: float, height: float, length: float) -> NDArray[np.float64]:
    """[n, 3] a block in the middle of the mouth, behind the lips."""
    ways = (0.5 + np.linspace(-0.5, 0.5, 7) * breadth, -0.3 + np.linspace(0, 1, 7) * height, np.linspace(-1, 0, 9))
    along, up, depth = (each.ravel() for each in np.meshgrid(*ways, indexing="ij"))
    return np.stack([along, up, -0.2 + depth * length], axis=1)


@pytest.mark.parametrize(("size", "found"), [((0.5, 0.2, 0.5), True), ((0.18, 0.54, 0.31), False)])
def test_a_tooth_with_its_root_is_no_tongue(size: tuple[float, float, float], *, found: bool) -> None:
    points = block(*size)
    parts = SimpleNamespace(kind=np.full(len(points), Kind.LOWER_MOUTH), component=np.zeros(len(points), np.int64))
    tongue = find_tongue(SimpleNamespace(parts=parts, mouth=MOUTH, vertices=points))  # type: ignore[arg-type]
    assert len(tongue) == (len(points) if found else 0)


def test_nothing_of_the_underside_comes_through_a_tongue_of_few_triangles(lowpoly: Avatar) -> None:
    rig = lowpoly.rig
    tongue, up = rig.jaw.tongue, rig.mouth.frame[1]
    drawn = lowpoly.display_mesh.faces.astype(np.int64)
    faces = np.searchsorted(tongue, drawn[np.isin(drawn, tongue).all(axis=1)])
    rest = rig.rest[tongue].astype(np.float64)
    on_top = face_normals(rest, faces) @ up > 0.8
    underneath = np.setdiff1d(faces[face_normals(rest, faces) @ up < -0.8], faces[on_top])
    assert len(underneath) > 3
    flat = (rest + rig.jaw.tongue_out) @ rig.mouth.frame.T
    seen = flat[:, 2] > (rig.mouth.lower @ rig.mouth.frame[2]).max() - 0.8 * rig.mouth.width
    for vertex in underneath[seen[underneath]]:
        for corners in faces[on_top]:
            system = np.vstack([flat[corners][:, [0, 2]].T, np.ones(3)])
            share = np.linalg.solve(system, [*flat[vertex, [0, 2]], 1.0])
            if (share >= 0).all():
                assert flat[vertex, 1] < share @ flat[corners, 1]
