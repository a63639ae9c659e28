"""Mouths that open: of a made-up scan in one piece, of a mask, and of teeth in one piece. Nothing is drawn out."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from calib.avatar import Avatar
from calib.rig.expression_basis import ExpressionUnits
from calib.rig.face_rig import FaceRig
from calib.rigging.assemble import assemble
from calib.rigging.strain import POSES
from calib.rigging.template_head import load_template
from calib.survey.head_survey import HeadSurvey, survey_landmarked
from calib.survey.parts import Kind, recognise_parts
from calib.survey.piece_names import named_pieces
from calib.survey.placement import Placement
from calib.survey.views import Studio
from capture.face.face_model_file import find_face_model
from capture.synthetic.head.head_model import HeadModel
from core.camera import PUBLISHED_INTRINSICS, look_at
from core.canonical_face import load_canonical_face
from core.face_regions import LOWER_LIP, UPPER_LIP
from core.mesh import Material, Mesh, MeshPart
from engine.motion.closing import LipClosing
from engine.motion.retarget import Retargeter
from render.gl.rgbd import RgbdCamera

FACE_UNITS = 1.27  # avatar units from hairline to chin
MOST_GROWTH = 4.0
Prepared = tuple[Mesh, FaceRig, HeadSurvey]


def survey(mesh: Mesh, landmarks: np.ndarray) -> HeadSurvey:
    with Studio(mesh) as studio:
        return survey_landmarked(mesh, studio, Placement(np.eye(4), "y", "z", False, 0.0), landmarks)


def colored(vertices: np.ndarray, faces: np.ndarray, name: str = "head") -> Mesh:
    grey = (Material("grey", (0.7, 0.6, 0.55, 1.0)),)
    parts = (MeshPart(name, 0, len(faces), 0),)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), parts=parts, materials=grey)


@pytest.fixture(scope="module")
def scan() -> Prepared:
    """What a depth camera sees of the template head, with its noise: a closed mouth in one piece, nothing behind it."""
    template, model = load_template(), HeadModel()
    landmarks = template.landmarks @ model.base
    scale = FACE_UNITS / (landmarks[10, 1] - landmarks[152, 1])
    middle = landmarks[[10, 152]].mean(axis=0)
    head, landmarks = model.mesh(), (landmarks - middle) * scale
    placed = replace(head, vertices=((head.vertices - middle) * scale).astype(np.float32))
    T_camera_world, size = look_at((0.0, 0.0, 8.0)), 128
    intrinsics = PUBLISHED_INTRINSICS.resized(size, size)
    with RgbdCamera(placed) as camera:
        depth = camera.take(T_camera_world, intrinsics).depth.astype(np.float64)
    row, column = np.mgrid[:size, :size]
    points = intrinsics.unproject(np.stack([column, row], axis=-1) + 0.5, depth)
    points = (points - T_camera_world[:3, 3]) @ T_camera_world[:3, :3]
    points[..., 2] += np.random.default_rng(5).normal(0, 0.002, depth.shape)
    corner = np.arange(size * size).reshape(size, size)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    far = points.reshape(-1, 3)[faces][..., 2]
    faces = faces[(depth.reshape(-1)[faces] > 0).all(axis=1) & (np.ptp(far, axis=1) < 0.2)]
    used, faces = np.unique(faces, return_inverse=True)
    found = survey(colored(points.reshape(-1, 3)[used], faces.reshape(-1, 3)), landmarks)
    assert found.mouth.closed
    return *assemble(found), found


@pytest.fixture(scope="module")
def mask() -> Prepared:
    """The landmark mesh itself: lips a little apart, a membrane between them, and nothing behind."""
    face = load_canonical_face(find_face_model())
    scale = FACE_UNITS / (face.points[10, 1] - face.points[152, 1])
    points = (face.points - face.points[[10, 152]].mean(axis=0)) * scale
    found = survey(colored(points[:468], face.triangles), points)
    assert not found.mouth.closed
    return *assemble(found), found


def posed(rig: FaceRig, weights: dict[str, float]) -> np.ndarray:
    """Vertices as the expression engine makes them of unit weights."""
    units = ExpressionUnits(rig.basis)
    given = units.displacement(np.array([weights.get(name, 0.0) for name in units.names]))
    moved = given[1].astype(np.float64)
    LipClosing(rig).apply(moved)
    return Retargeter(rig).vertices(moved, np.zeros((2, 2)), given)


def growth(mesh: Mesh, rig: FaceRig, weights: dict[str, float]) -> float:
    """How many times its length the most drawn out edge around the mouth has; specks count as 0.05 mm."""
    rest, faces = mesh.vertices.astype(np.float64), mesh.faces
    middle = (rig.mouth.upper[0] + rig.mouth.upper[-1]) / 2
    near = np.linalg.norm(rest - middle, axis=1) < 1.3 * rig.mouth.width
    faces = faces[near[faces].all(axis=1)]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    shown = posed(rig, weights)
    before, after = (np.linalg.norm(p[edges[:, 0]] - p[edges[:, 1]], axis=1) for p in (rest, shown))
    return float((after / np.maximum(before, 1e-3 * rig.mouth.width)).max())


WIDE_OPEN = {"jawOpen": 1.0}
LAUGH = {"jawOpen": 0.5, "mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}


@pytest.mark.parametrize("pose", [WIDE_OPEN, LAUGH, *POSES[1:]], ids=lambda pose: "+".join(pose))
def test_no_edge_of_a_scanned_mouth_is_drawn_out(scan: Prepared, pose: dict[str, float]) -> None:
    assert growth(*scan[:2], pose) <= MOST_GROWTH


@pytest.mark.parametrize("pose", [WIDE_OPEN, LAUGH], ids=lambda pose: "+".join(pose))
def test_no_edge_of_a_mask_or_a_built_in_head_is_drawn_out(
    mask: Prepared, lowpoly: Avatar, pose: dict[str, float]
) -> None:
    assert growth(*mask[:2], pose) <= MOST_GROWTH
    assert growth(lowpoly.display_mesh, lowpoly.rig, pose) <= MOST_GROWTH


def test_a_scanned_mouth_opens_all_the_same(scan: Prepared) -> None:
    _, rig, _ = scan
    shown = posed(rig, WIDE_OPEN) - rig.rest
    tree = cKDTree(rig.rest)
    upper, lower = (
        shown[tree.query(rig.controllers.rest[list(chain[0][4:7])])[1], 1] for chain in (UPPER_LIP, LOWER_LIP)
    )
    assert (upper.mean() - lower.mean()) > 0.35 * rig.mouth.width


@pytest.mark.parametrize("head", ["scan", "mask"])
def test_what_opens_has_teeth_and_a_dark_inside(head: str, request: pytest.FixtureRequest) -> None:
    mesh, rig, found = request.getfixturevalue(head)
    names = {part.name for part in mesh.parts}
    assert {"mouth_lining", "teeth_upper", "teeth_lower", "tongue"} <= names
    kept = np.concatenate(
        [mesh.faces[p.first_face : p.first_face + p.face_count] for p in mesh.parts if p.name == "head"]
    )
    middle = mesh.vertices[kept].mean(axis=1)
    flat = found.mouth.flat(middle)
    upper, lower = found.mouth.rims_at(flat[:, 0])
    inside = (np.abs(flat[:, 0] - 0.5) < 0.4) & (flat[:, 1] < upper[:, 1] - 0.01) & (flat[:, 1] > lower[:, 1] + 0.01)
    assert not inside.any(), "nothing hangs between the lips"
    shown = posed(rig, WIDE_OPEN)
    teeth = {
        part.name: np.unique(mesh.faces[part.first_face : part.first_face + part.face_count])
        for part in mesh.parts
        if part.name.startswith("teeth")
    }
    moved = {name: (shown - rig.rest)[rows] for name, rows in teeth.items()}
    assert np.abs(moved["teeth_upper"][:, :2]).max() < 1e-4, "the upper row stays with the skull"
    assert moved["teeth_lower"][:, 1].min() < -0.3 * rig.mouth.width
    lowest = rig.rest[teeth["teeth_upper"], 1].min()
    assert lowest < rig.rest[teeth["teeth_lower"], 1].max(), "teeth that are shut meet"


def test_nothing_shines_through_lips_that_are_cut_apart(scan: Prepared) -> None:
    mesh, _, found = scan
    lining = next(part for part in mesh.parts if part.name == "mouth_lining")
    rows = np.unique(mesh.faces[lining.first_face : lining.first_face + lining.face_count])
    flat = found.mouth.flat(mesh.vertices[rows].astype(np.float64))
    line, front = (np.interp(flat[:, 0], *found.mouth.flat(found.mouth.upper).T[[0, axis]]) for axis in (1, 2))
    first = (np.abs(flat[:, 0] - 0.5) < 0.4) & (front - flat[:, 2] < 0.03)
    over, under = (flat[:, 1] - line)[first].max(), (flat[:, 1] - line)[first].min()
    assert over > 0.008
    assert under < -0.008


LANDMARKS = np.zeros((478, 3))
LANDMARKS[[61, 291], 0] = -0.25, 0.25
LANDMARKS[[2, 152], 1] = 0.2, -0.4
LANDMARKS[[33, 133], 0] = -0.4, -0.15
LANDMARKS[[362, 263], 0] = 0.15, 0.4
LANDMARKS[[33, 133, 362, 263], 1] = 0.5


def teeth_kinds(name: str, low: float, high: float, palate: tuple[float, float] | None = None) -> np.ndarray:
    """[N] Kind of a band of teeth from `low` to `high` (in mouth widths over the lips' line) named `name`, and of a
    wall deep behind it."""
    width = 0.5
    x, y = np.meshgrid(np.linspace(-0.2, 0.2, 9), np.linspace(low, high, 9) * width)
    points = [np.stack([x, y, np.full_like(x, -0.08)], axis=-1).reshape(-1, 3)]
    if palate is not None:
        x, y = np.meshgrid(np.linspace(-0.2, 0.2, 9), np.linspace(*palate, 9) * width)
        points.append(np.stack([x, y, np.full_like(x, -0.4)], axis=-1).reshape(-1, 3))
    vertices = np.concatenate(points)
    faces = np.stack(
        [np.arange(len(vertices) - 2), np.arange(1, len(vertices) - 1), np.arange(2, len(vertices))], axis=1
    )
    mesh = colored(vertices, faces, name)
    component = np.zeros(len(vertices), int)
    said = {number: meant for number, (meant, _) in named_pieces(mesh, component).items()}
    parts = recognise_parts(mesh, vertices, component, np.array([7]), said, LANDMARKS)
    return parts.kind


@pytest.mark.parametrize("name", ["h_TeethUp", "UpTeeth", "teeth_upper", "mesh"])
def test_an_upper_row_with_a_throat_behind_it_stays_one_piece(name: str) -> None:
    assert (teeth_kinds(name, -0.04, 0.3, palate=(-0.6, 0.6)) == Kind.UPPER_MOUTH).all()


@pytest.mark.parametrize("name", ["h_TeethDown", "TeethLower", "mesh"])
def test_a_lower_row_stays_one_piece(name: str) -> None:
    assert (teeth_kinds(name, -0.4, 0.08) == Kind.LOWER_MOUTH).all()


def test_teeth_of_both_jaws_in_one_piece_part_at_the_lips_line() -> None:
    kinds = teeth_kinds("teeth", -0.3, 0.3)
    assert set(kinds.tolist()) == {Kind.UPPER_MOUTH, Kind.LOWER_MOUTH}


def test_rows_in_one_piece_are_cut_apart_in_the_mesh(mask: Prepared) -> None:
    _, _, found = mask
    mouth, width = found.mouth, found.mouth.width
    x, y = np.meshgrid(np.linspace(-0.35, 0.35, 15), np.linspace(-0.3, 0.3, 15))
    band = mouth.centre + width * np.stack([x, y, np.full_like(x, -0.25)], axis=-1).reshape(-1, 3)
    corner = (np.arange(14)[:, None] * 15 + np.arange(14)).reshape(-1)
    quads = np.concatenate(
        [np.stack([corner, corner + 1, corner + 15], 1), np.stack([corner + 1, corner + 16, corner + 15], 1)]
    )
    first = len(found.mesh.vertices)
    both = replace(
        found.mesh,
        vertices=np.concatenate([found.mesh.vertices, band.astype(np.float32)]),
        faces=np.concatenate([found.mesh.faces, (quads + first).astype(np.int32)]),
        parts=(*found.mesh.parts, MeshPart("teeth", len(found.mesh.faces), len(quads), 0)),
    )
    again = survey(both, found.landmarks)
    assert again.parts.has(Kind.UPPER_MOUTH)
    assert again.parts.has(Kind.LOWER_MOUTH)
    mesh, rig = assemble(again)
    assert growth(mesh, rig, WIDE_OPEN) <= MOST_GROWTH
    shown = posed(rig, WIDE_OPEN)[first : first + len(band)]
    apart = (shown - band)[:, 1]
    assert apart[band[:, 1] > mouth.centre[1] + 0.05].min() > -0.02
    assert apart[band[:, 1] < mouth.centre[1] - 0.05].max() < -0.1


def test_lips_that_move_shut_press_on_each_other_and_resting_ones_stay(lowpoly: Avatar) -> None:
    """Between few vertices rims that only touch would gape in motion, and teeth would shine through."""
    rig = lowpoly.rig
    closing, units = LipClosing(rig), ExpressionUnits(rig.basis)
    rest = np.zeros_like(rig.controllers.rest)
    before = closing.opening(rest)
    closing.apply(rest)
    assert not rest.any()
    rolled = np.array([float(name.startswith("mouthRoll")) for name in units.names])
    moved = units.displacement(rolled)[1].astype(np.float64)
    closing.apply(moved)
    pressed = (before - closing.opening(moved))[4:-4] / rig.mouth.width
    assert np.quantile(pressed, 0.1) > 0.004
    assert pressed.min() > -0.003  # a tenth of a millimetre, where one of the few controllers rolls less than the next
    assert pressed.max() < 0.015, "they do not pass through each other"
