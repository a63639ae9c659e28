"""How a head stands: stated, guessed, refused."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from calib.avatar_picture import save_looked_for
from calib.survey.extent import check_extent
from calib.survey.face_finder import FaceFinder, FaceLookedFor, NoFaceError
from calib.survey.head_survey import survey_head
from calib.survey.landmarks import find_landmarks
from calib.survey.placement import AXES, FACE_HEIGHT, Placement, axis_rotation, check_axes
from calib.survey.placing import no_face, place
from calib.survey.views import Studio, View
from capture.synthetic import builtin_avatar_path
from core.camera import Intrinsics
from core.errors import InputError
from core.face_regions import ALL_LANDMARKS
from core.mesh import Material, Mesh, MeshPart
from core.rigid_motion import fit_similarity
from render.mesh.mesh_io import load_mesh


@pytest.fixture(scope="module")
def finder():  # type: ignore[no-untyped-def]
    with FaceFinder() as found:
        yield found


def turned(mesh: Mesh, up: str, front: str, scale: float) -> Mesh:
    """The head as a file in which `up` and `front` point up and out of its face."""
    return replace(mesh, vertices=(scale * mesh.vertices @ axis_rotation(up, front) + [3, -7, 11]).astype(np.float32))


@pytest.mark.parametrize(("up", "front", "scale"), [("y", "z", 1.0), ("z", "-y", 250.0), ("-x", "y", 1e-3)])
def test_scale_and_axes_are_guessed(finder: FaceFinder, lowpoly_path: Path, up: str, front: str, scale: float) -> None:
    mesh = turned(load_mesh(lowpoly_path), up, front, scale)
    with Studio(mesh) as studio:
        placement, found = place("head", mesh.vertices.astype(float), studio.look, finder)
    assert (placement.up, placement.front, placement.guessed) == (up, front, True)
    assert f"up {up}, facing {front}" in placement.describe()
    oval_height = np.ptp(found.landmarks[[10, 152], 1])
    assert oval_height == pytest.approx(FACE_HEIGHT, rel=0.05)
    linear = placement.T_world_file[:3, :3]
    size = np.cbrt(np.linalg.det(linear))
    np.testing.assert_allclose(linear / size, axis_rotation(up, front), atol=1e-6)


@pytest.fixture(scope="module")
def janus() -> Mesh:
    """A head with a rather flat face in front (+z) and a lifelike one behind (-z)."""
    front, back = (load_mesh(builtin_avatar_path("lowpoly")) for _ in range(2))
    ahead = front.vertices.astype(float) * [1, 1, 0.78]
    behind = back.vertices.astype(float) * [-1, 1, -1]
    ahead[:, 2] += 0.35 * (np.ptp(behind[:, 2]) + np.ptp(ahead[:, 2]))
    count = len(ahead)
    return replace(
        front,
        vertices=np.concatenate([ahead, behind]).astype(np.float32),
        faces=np.concatenate([front.faces, back.faces + count]),
        vertex_colors=None if front.vertex_colors is None else np.tile(front.vertex_colors, (2, 1)),
        uvs=None, faces_uv=None, materials=(Material(),),
        parts=(MeshPart("both", 0, 2 * len(front.faces), 0),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "clearly", "front"), [("head.obj", 9.0, "-z"), ("head.glb", 9.0, "z"), ("head.glb", None, "-z")]
)
def test_the_usual_way_of_a_format_comes_before_faces_that_are_not_clear(
    name: str, clearly: float | None, front: str, janus: Mesh, finder: FaceFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if clearly is not None:
        monkeypatch.setattr("calib.survey.placing._CLEARLY_A_FACE", clearly)
    with Studio(janus) as studio:
        placement, _ = place(name, janus.vertices.astype(float), studio.look, finder)
    assert (placement.up, placement.front) == ("y", front)


def refused(front: str) -> NoFaceError:
    return NoFaceError(f"no sure face towards {front}", ())


@pytest.mark.parametrize(
    ("name", "sure", "told"),
    [("head.glb", "-z", None), ("head.glb", None, "towards z"), ("head.obj", None, "towards -z")],
)
def test_where_a_face_proves_none_the_next_is_looked_at(
    name: str, sure: str | None, told: str | None, janus: Mesh, finder: FaceFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where none is one, the view is shown in which the head usually stands."""

    def survey(_name: str, _mesh: Mesh, _studio: Studio, _finder: FaceFinder, placement: Placement) -> Placement:
        if placement.front != sure:
            raise refused(placement.front)
        return placement

    monkeypatch.setattr("calib.survey.placing._CLEARLY_A_FACE", 9.0)
    monkeypatch.setattr("calib.survey.head_survey.survey_placed", survey)
    with Studio(janus) as studio:
        if told is None:
            assert survey_head(name, janus, studio, finder).front == sure  # type: ignore[attr-defined]
            return
        with pytest.raises(NoFaceError, match=told):
            survey_head(name, janus, studio, finder)


def test_stated_axes_are_taken(finder: FaceFinder, lowpoly_path: Path) -> None:
    mesh = turned(load_mesh(lowpoly_path), "z", "x", 2.0)
    with Studio(mesh) as studio:
        placement, _ = place("head", mesh.vertices.astype(float), studio.look, finder, up="z", front="x")
        assert not placement.guessed
        with pytest.raises(InputError, match="no face"):
            place("head", mesh.vertices.astype(float), studio.look, finder, up="-z", front="-x")


@pytest.mark.parametrize(
    ("stated", "told"),
    [(False, "; state --up and --front, give"), (True, "; look whether it stands as --up and --front")],
)
def test_a_face_that_every_view_shows_elsewhere_is_refused_for_that(stated: bool, told: str) -> None:
    """Not for having been found in five of five views."""
    rng = np.random.default_rng(0)

    def look(T_camera_world: np.ndarray, intrinsics: Intrinsics) -> View:
        shape = (intrinsics.height, intrinsics.width)
        depth = np.full(shape, 8.0, np.float32)
        return View(np.zeros((*shape, 3), np.uint8), depth, np.zeros(shape, np.int32), T_camera_world, intrinsics)

    finder = SimpleNamespace(find=lambda _rgb: rng.uniform(100, 600, (ALL_LANDMARKS, 3)))
    with pytest.raises(InputError) as refusal:
        find_landmarks("cow.obj", look, finder, axes_stated=stated)  # type: ignore[arg-type]
    assert told in str(refusal.value)
    assert isinstance(refusal.value, NoFaceError)
    assert len(refusal.value.seen) == 5
    assert all(each.points is not None and each.points.shape == (ALL_LANDMARKS, 2) for each in refusal.value.seen)
    assert "5 of 5" not in str(refusal.value)
    assert "apart from view to view" in str(refusal.value)


@pytest.mark.parametrize(("up", "front"), [("w", None), (None, "up"), ("y", "-y"), ("x", "x")])
def test_impossible_axes_are_refused_in_one_line(up: str | None, front: str | None) -> None:
    with pytest.raises(InputError) as refusal:
        check_axes(up, front)
    assert "\n" not in str(refusal.value)
    assert "expected" in str(refusal.value)


def test_axis_rotations_are_rotations() -> None:
    for up in AXES:
        for front in AXES:
            if up[-1] != front[-1]:
                rotation = axis_rotation(up, front)
                np.testing.assert_allclose(rotation @ rotation.T, np.eye(3))
                assert np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize("flat", [0, 1, 2])
def test_a_flat_mesh_shows_no_face(flat: int, finder: FaceFinder, sheet: Mesh) -> None:
    vertices = np.roll(sheet.vertices, flat, axis=1)  # flat along z, x, y
    with Studio(replace(sheet, vertices=vertices)) as studio, pytest.raises(InputError, match="no face"):
        place("flat", vertices.astype(float), studio.look, finder, up="y", front="z")


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("far", [1e20, -3e38, 1e6])
def test_a_stray_vertex_is_named(far: float, used: bool, sheet: Mesh) -> None:
    mesh = replace(sheet, vertices=np.concatenate([sheet.vertices, np.float32([[0, far, 0]])]))
    if used:
        mesh = replace(mesh, faces=np.concatenate([mesh.faces, np.int32([[0, 1, len(sheet.vertices)]])]))
    with pytest.raises(InputError, match=f"vertex {len(sheet.vertices)} .*remove it") as caught:
        check_extent("head.obj", mesh)
    assert "\n" not in str(caught.value)
    check_extent("head.obj", sheet)
    check_extent("head.obj", replace(sheet, vertices=sheet.vertices * np.float32(1e20)))


def test_a_mesh_in_one_point_is_refused(sheet: Mesh) -> None:
    with pytest.raises(InputError, match="at one point"):
        check_extent("head.obj", replace(sheet, vertices=0 * sheet.vertices + 1))


def test_similarity_is_recovered() -> None:
    rng = np.random.default_rng(1)
    source = rng.normal(size=(20, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    scale, found, shift = fit_similarity(source, 2.5 * source @ rotation.T + [1, 2, 3])
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-9)


def test_dark_skin_beside_white_is_found_with_patience(finder: FaceFinder, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = load_mesh(builtin_avatar_path("stylized"))
    skin, *rest = (replace(material, texture=None) for material in mesh.materials)
    dark = (replace(skin, base_color=(0.03, 0.03, 0.03, 1.0)), *(replace(m, base_color=(1, 1, 1, 1)) for m in rest))
    with Studio(replace(mesh, materials=dark)) as studio:
        placement, _ = place("dark", mesh.vertices.astype(float), studio.look, finder, "y", "z")
        assert (placement.up, placement.front) == ("y", "z")
        monkeypatch.setattr("calib.survey.placing.PatientFinder", lambda hasty: hasty)
        with pytest.raises(InputError):
            place("dark", mesh.vertices.astype(float), studio.look, finder, "y", "z")


def test_patience_is_not_spent_on_a_head_that_is_found_at_once(
    finder: FaceFinder, lowpoly_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_finder: FaceFinder) -> None:
        raise AssertionError("not needed")

    monkeypatch.setattr("calib.survey.placing.PatientFinder", never)
    mesh = load_mesh(lowpoly_path)
    with Studio(mesh) as studio:
        place("head", mesh.vertices.astype(float), studio.look, finder)


def test_no_face_at_all_names_the_way_out(finder: FaceFinder, sheet: Mesh) -> None:
    with Studio(sheet) as studio, pytest.raises(NoFaceError, match=r"--place-landmarks FILE\.json") as refusal:
        place("sheet.obj", sheet.vertices.astype(float), studio.look, finder, "y", "z")
    assert "\n" not in str(refusal.value)
    (seen,) = refusal.value.seen  # stated axes: it can stand one way only
    assert seen.points is None
    assert (seen.rgb > 0).any(axis=2).mean() > 0.2, "shows the sheet"


@pytest.mark.parametrize(
    ("up", "front", "told"),
    [
        (None, None, "found no face from any side; state how it stands with --up and --front, give"),
        (None, "-z", "found no face seen from -z, as --front says; leave --front out, give"),
        ("z", None, "found no face with z upwards, as --up says; leave --up out, give"),
        ("y", "-z", "found no face seen from -z with y upwards, as --front and --up say; leave both out, give"),
    ],
)
def test_a_refusal_says_from_where_a_face_was_looked_for(
    finder: FaceFinder, sheet: Mesh, up: str | None, front: str | None, told: str
) -> None:
    with Studio(sheet) as studio:
        refusal = no_face("sheet.glb", sheet.vertices.astype(float), studio.look, finder, up, front)
    assert told in str(refusal)


def test_what_was_looked_at_is_drawn(tmp_path: Path) -> None:
    grey = np.full((100, 100, 3), 90, np.uint8)
    marked = FaceLookedFor(grey, np.full((ALL_LANDMARKS, 2), 50.0))
    save_looked_for((FaceLookedFor(grey, None), marked), tmp_path / "seen.png")
    picture = cv2.imread(str(tmp_path / "seen.png"))
    assert picture is not None
    size = len(picture)
    assert picture.shape == (size, 3 * size, 3)
    red = (picture[..., 2] > 200) & (picture[..., 0] < 120)
    assert red[:, :size].any(), "the first says that it shows no face"
    assert red[size // 2, size + size // 2], "the second has its landmarks"
    assert not red[: size // 2 - 5, size : 2 * size].any()
