"""What pieces of a head are taken for: a made-up head for each mistake there was."""

from collections.abc import Callable

import numpy as np
import pytest

from calib.survey.parts import Kind, Parts, recognise_parts, skin_pieces
from calib.survey.piece_names import meaning, named_pieces
from calib.survey.surface import make_surface
from capture.face.face_model_file import find_face_model
from core.canonical_face import load_canonical_face
from core.face_regions import LOWER_LIDS, UPPER_LIDS
from core.mesh import Material, Mesh, MeshPart

Piece = tuple[str, np.ndarray, np.ndarray]
EYE_WIDTH = 0.2


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """[478, 3] the average face in avatar units."""
    points = load_canonical_face(find_face_model()).points
    return np.asarray((points - points[:468].mean(axis=0)) * 1.27 / np.ptp(points[[10, 152], 1]))


@pytest.fixture(scope="module")
def face(landmarks: np.ndarray) -> Piece:
    return "face", landmarks[:468], load_canonical_face(find_face_model()).triangles


def grid(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A surface through points [R, C, 3]: vertices and faces."""
    rows, columns = points.shape[:2]
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    a, b, c, d = corner, corner + 1, corner + columns, corner + columns + 1
    return points.reshape(-1, 3), np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])


def ball(centre: np.ndarray, radii: tuple[float, float, float], reach: float = np.pi - 0.1) -> tuple[np.ndarray, ...]:
    polar, around = np.meshgrid(np.linspace(0.02, reach, 13), np.linspace(0, 2 * np.pi, 25), indexing="ij")
    shell = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    return grid(centre + shell * radii)


def head(*pieces: Piece) -> Mesh:
    vertices, faces, parts, count, first = [], [], [], 0, 0
    for name, points, corners in pieces:
        parts.append(MeshPart(name, first, len(corners), 0))
        vertices.append(points)
        faces.append(corners + count)
        count, first = count + len(points), first + len(corners)
    joined = np.concatenate(faces).astype(np.int32)
    return Mesh(np.concatenate(vertices).astype(np.float32), joined, parts=tuple(parts), materials=(Material("m"),))


def told(mesh: Mesh, landmarks: np.ndarray) -> tuple[Parts, Callable[[int], set[int]]]:
    """The parts of a head whose first piece is its skin, and the kinds of the vertices of piece number n."""
    surface = make_surface(mesh.vertices, mesh.faces)
    component = surface.components()[surface.point_of_vertex]
    names = named_pieces(mesh, component)
    seen = np.zeros(int(component.max()) + 1, dtype=np.int64)
    seen[component[0]] = 400
    skin, said = skin_pieces(names, seen)
    found = recognise_parts(mesh, mesh.vertices.astype(float), component, skin, said, landmarks)
    return found, lambda n: set(
        found.kind[np.unique(mesh.faces[mesh.parts[n].first_face :][: mesh.parts[n].face_count])].tolist()
    )


def eye_centre(landmarks: np.ndarray, eye: int) -> np.ndarray:
    return np.asarray(landmarks[[*UPPER_LIDS[eye], *LOWER_LIDS[eye]]].mean(axis=0) - [0, 0, 0.55 * EYE_WIDTH])


def eyeballs(landmarks: np.ndarray, radii: tuple[float, float, float]) -> list[Piece]:
    return [(f"piece{eye}", *ball(eye_centre(landmarks, eye), radii)) for eye in range(2)]


def lash_card(landmarks: np.ndarray, eye: int, out: float = 0.09) -> Piece:
    """A strip along the upper lid, wider than the eye and bent like a ball."""
    chain = landmarks[list(UPPER_LIDS[eye])]
    middle = chain.mean(axis=0)
    chain = middle + (chain - middle) * [1.5, 1.2, 1.0]
    return "cards", *grid(chain + np.array([[0, 0, 0], [0, 0.02, out / 2], [0, 0.05, out]])[:, None])


def test_lash_cards_wider_than_the_eyes_are_no_eyeballs(landmarks: np.ndarray, face: Piece) -> None:
    balls = eyeballs(landmarks, (0.12, 0.12, 0.12))
    mesh = head(face, *balls, lash_card(landmarks, 0), lash_card(landmarks, 1))
    found, kinds = told(mesh, landmarks)
    assert [kinds(1), kinds(2)] == [{Kind.EYE_LEFT}, {Kind.EYE_RIGHT}]
    assert not (kinds(3) | kinds(4)) & {Kind.EYE_LEFT, Kind.EYE_RIGHT}
    for eye in range(2):
        fitted = found.eyeballs[eye]
        assert fitted is not None
        np.testing.assert_allclose(fitted.centre, eye_centre(landmarks, eye), atol=0.01)


def test_almond_eyeballs_are_eyeballs(landmarks: np.ndarray, face: Piece) -> None:
    """Squeezed to two thirds from front to back, as game heads have them."""
    found, kinds = told(head(face, *eyeballs(landmarks, (0.14, 0.10, 0.085))), landmarks)
    assert [kinds(1), kinds(2)] == [{Kind.EYE_LEFT}, {Kind.EYE_RIGHT}]
    assert all(each is not None and 0.07 < each.radius < 0.2 for each in found.eyeballs)


def drawn_eye(landmarks: np.ndarray, eye: int) -> list[Piece]:
    """As drawn faces have them: a flat white that looks a little aside, and a disc before it."""
    middle = landmarks[[*UPPER_LIDS[eye], *LOWER_LIDS[eye]]].mean(axis=0) - [0, 0, 0.04]
    aside = 0.3 * (1 if eye else -1)
    x, y = np.meshgrid(np.linspace(-0.12, 0.12, 9), np.linspace(0.09, -0.09, 7))
    white = middle + np.stack([x, y, -aside * x - 0.5 * (x**2 + y**2)], axis=-1)
    out, around = np.meshgrid(np.linspace(0.001, 0.05, 4), np.linspace(0, 2 * np.pi, 17), indexing="ij")
    x, y = out * np.cos(around), out * np.sin(around)
    iris = middle + np.stack([x, y, 0.01 - aside * x], axis=-1)
    return [("Object_1", *grid(white)), ("Object_2", *grid(iris))]


def test_flat_whites_stay_and_their_irises_turn(landmarks: np.ndarray, face: Piece) -> None:
    brow = landmarks[list(UPPER_LIDS[0])] + [0, 0.12, 0.0]
    floating = ("Object_3", *grid(brow + np.array([[0, 0, 0.03], [0, 0.02, 0.03]])[:, None]))
    mesh = head(face, *drawn_eye(landmarks, 0), *drawn_eye(landmarks, 1), lash_card(landmarks, 0), floating)
    found, kinds = told(mesh, landmarks)
    assert [kinds(1), kinds(3)] == [{Kind.STILL}, {Kind.STILL}]
    assert [kinds(2), kinds(4)] == [{Kind.EYE_LEFT}, {Kind.EYE_RIGHT}]
    assert not (kinds(5) | kinds(6)) & {Kind.EYE_LEFT, Kind.EYE_RIGHT}
    width = float(np.linalg.norm(landmarks[UPPER_LIDS[0][-1]] - landmarks[UPPER_LIDS[0][0]]))
    for eye, fitted in enumerate(found.eyeballs):
        assert fitted is not None
        assert fitted.radius > 1.25 * width
        iris = mesh.vertices[np.unique(mesh.faces[mesh.parts[2 + 2 * eye].first_face :][: mesh.parts[2].face_count])]
        aside = iris.mean(axis=0) - fitted.centre
        assert np.sign(aside[0]) == (1 if eye else -1), "irises slide on whites that look aside"


def test_a_flat_white_with_a_painted_iris_is_an_eye(landmarks: np.ndarray, face: Piece) -> None:
    mesh = head(face, drawn_eye(landmarks, 0)[0], drawn_eye(landmarks, 1)[0])
    assert [told(mesh, landmarks)[1](n) for n in (1, 2)] == [{Kind.EYE_LEFT}, {Kind.EYE_RIGHT}]


def test_a_pair_of_equal_size_is_preferred(landmarks: np.ndarray, face: Piece) -> None:
    """Beside one eyeball lies a larger shell that would fit as well."""
    shell = ("piece", *ball(eye_centre(landmarks, 0) - [0, 0, 0.04], (0.2, 0.2, 0.2)))
    mesh = head(face, shell, *eyeballs(landmarks, (0.12, 0.12, 0.12)))
    found, _ = told(mesh, landmarks)
    left, right = found.eyeballs
    assert left is not None
    assert right is not None
    assert left.radius == pytest.approx(right.radius, rel=0.05)


def glasses(landmarks: np.ndarray, name: str) -> list[Piece]:
    """Two lenses before the eyes, a bridge and two temples: pieces that touch."""
    lenses = [eye_centre(landmarks, eye) + np.array([0, 0, 0.28]) for eye in range(2)]
    made = [(name, *ball(lens, (0.17, 0.15, 0.01), np.pi / 2)) for lens in lenses]
    high = np.array([0, 0.02, 0])
    inner = [lens + np.array([side * 0.17, 0, 0]) for lens, side in zip(lenses, (1.0, -1.0), strict=True)]
    rods = [
        (lens + np.array([side * 0.17, 0, 0]), np.array([0, 0, -0.6]))
        for lens, side in zip(lenses, (-1.0, 1.0), strict=True)
    ]
    for start, along in [*rods, (inner[0], inner[1] - inner[0])]:
        rod = np.stack([start, start + high, start + along, start + along + high])
        made.append((name, *grid(rod.reshape(2, 2, 3))))
    return made


@pytest.mark.parametrize("name", ["Sunglasses_01", "piece"])
def test_glasses_are_one_rigid_thing_named_or_not(landmarks: np.ndarray, face: Piece, name: str) -> None:
    mesh = head(face, *glasses(landmarks, name), *eyeballs(landmarks, (0.12, 0.12, 0.12)))
    found, kinds = told(mesh, landmarks)
    assert set.union(*(kinds(n) for n in range(1, 6))) == {Kind.RIGID}
    assert len(np.unique(found.whole[found.kind == Kind.RIGID])) == 1, "frame and lenses do not move apart"
    assert [kinds(6), kinds(7)] == [{Kind.EYE_LEFT}, {Kind.EYE_RIGHT}]


def test_gums_and_tongue_of_one_piece_part_along_the_surface(landmarks: np.ndarray, face: Piece) -> None:
    """From the upper gums over palate and throat to a tongue that rises above the line of the lips and lower gums."""
    width = abs(float(landmarks[291, 0] - landmarks[61, 0]))
    lips = landmarks[[13, 14]].mean(axis=0) - [0, 0, 0.3 * width]
    profile = [(0.3, 0), (0.2, -0.02), (0.25, -0.3), (0.3, -0.6), (0.2, -0.9), (-0.1, -1.0), (-0.2, -0.8)]
    tongue = [(0.0, -0.7), (0.05, -0.5), (0.05, -0.4), (-0.1, -0.32), (-0.25, -0.3)]
    curve = np.array([*profile, *tongue, (-0.25, -0.1), (-0.2, -0.02), (-0.3, 0)]) * width
    rows = [lips + np.array([x, high, deep]) for high, deep in curve for x in np.linspace(-0.3, 0.3, 7) * width]
    mouth = ("M_GumsTongue", *grid(np.reshape(rows, (len(curve), 7, 3))))
    found, kinds = told(head(face, mouth), landmarks)
    assert kinds(1) == {Kind.UPPER_MOUTH, Kind.LOWER_MOUTH}
    kind = found.kind[len(face[1]) :].reshape(len(curve), 7)
    assert (kind[:4] == Kind.UPPER_MOUTH).all(), "upper gums and palate stay with the skull"
    assert (kind[len(profile) :] == Kind.LOWER_MOUTH).all(), "the whole tongue goes with the jaw"


def test_landmarks_do_not_make_a_named_thing_skin() -> None:
    seen = np.array([300, 90, 40])
    skin, said = skin_pieces({1: ("still", "Fringe"), 2: ("rigid", "glasses")}, seen)
    assert skin.tolist() == [0]
    assert said == {1: "still", 2: "rigid"}


def test_a_name_that_everything_has_says_nothing() -> None:
    names = {0: ("rigid", "man_with_glasses"), 1: ("rigid", "man_with_glasses")}
    skin, said = skin_pieces(names, np.array([300, 4]))
    assert skin.tolist() == [0]
    assert said == {}


def test_what_lies_before_skin_is_none() -> None:
    skin, _ = skin_pieces({}, np.array([300, 90, 60]), np.array([False, True, False]))
    assert skin.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("h_TeethUp", "upper"),
        ("h_TeethDown", "lower"),
        ("UpperTeeth.001", "upper"),
        ("gums_lower", "lower"),
        ("N00_000_00_FaceEyeline_00_FACE", "follower"),
        ("N00_000_00_EyeWhite_00_EYE (Instance)", "eye"),
        ("N00_000_Hair_00_HAIR", "still"),
        ("Eyelashes", "follower"),
        ("eyelid_left", None),
        ("eyebrows", "follower"),
        ("eyeglasses", "rigid"),
        ("GlassLens", "rigid"),
        ("BaseballCap", "still"),
        ("capsule", None),
        ("bangs", "still"),
        ("Beard_Long", "follower"),
        ("facial_hair", "follower"),
        ("Tongue", "tongue"),
        ("M_GumsTongue", "teeth"),
        ("tongue_and_teeth", "teeth"),
        ("identity", None),
        ("splash", None),
    ],
)
def test_names_in_artists_words(name: str, said: str | None) -> None:
    assert meaning(name) == said


def test_scraps_of_a_scan_are_no_accessories(landmarks: np.ndarray, face: Piece) -> None:
    scrap = ("scrap", *grid(np.array([[[0.3, 0.1, 0.4], [0.32, 0.1, 0.4]], [[0.3, 0.12, 0.4], [0.32, 0.12, 0.4]]])))
    found, _ = told(head(face, scrap), landmarks)
    assert found.has(Kind.RIGID)
    assert not found.has(Kind.RIGID, least=30)
    assert told(head(face, *glasses(landmarks, "piece")), landmarks)[0].has(Kind.RIGID, least=30)


def test_names_of_a_few_faces_say_nothing_of_the_whole(face: Piece) -> None:
    """A scalp painted with a material called hair is still the head."""
    mesh = head(face)
    parts = (MeshPart("head", 0, 700, 0), MeshPart("hair", 700, len(mesh.faces) - 700, 0))
    painted = Mesh(mesh.vertices, mesh.faces, parts=parts)
    assert named_pieces(painted, np.zeros(len(mesh.vertices), dtype=np.int64)) == {}
