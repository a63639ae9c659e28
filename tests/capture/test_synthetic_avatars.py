"""The avatars that come with the program: whole, small, and found by the face tracker."""

import numpy as np
import pytest

from capture.face.face_tracker import FaceTracker
from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path
from capture.synthetic.head.head_data import DATA_FOLDER
from core.camera import Intrinsics, look_at
from core.errors import InputError
from core.frame import RgbdFrame
from render.gl.backdrop import Backdrop
from render.gl.gl_context import create_context, release_context
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget
from render.gl.rgbd import RgbdCamera
from render.mesh.mesh_io import load_mesh

INNER_PARTS = {"eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue"}


def test_everything_shipped_stays_small():
    assert sum(path.stat().st_size for path in DATA_FOLDER.iterdir()) < 4.8e6


def test_provenance_is_beside_the_data():
    text = (DATA_FOLDER / "PROVENANCE.txt").read_text()
    assert "CC0" in text
    assert all(path.name in text for path in DATA_FOLDER.iterdir() if path.suffix != ".txt")


def test_there_are_three():
    assert BUILTIN_AVATARS == ("realistic", "stylized", "lowpoly")


def test_unknown_avatars_are_refused():
    with pytest.raises(InputError, match="realistic, stylized, lowpoly"):
        builtin_avatar_path("superman")


@pytest.mark.parametrize("name", BUILTIN_AVATARS)
def test_parts_scale_and_facing(name):
    mesh = load_mesh(builtin_avatar_path(name))
    assert {part.name for part in mesh.parts} >= {"skin", *INNER_PARTS}
    assert 0.25 < np.ptp(mesh.vertices[:, 1]) < 0.5  # metres
    middles = {
        p.name: mesh.vertices[mesh.faces[p.first_face : p.first_face + p.face_count]].mean(axis=(0, 1))
        for p in mesh.parts
    }
    assert middles["eye_left"][0] > 0.02 > -0.02 > middles["eye_right"][0]
    assert middles["eye_left"][1] > middles["teeth_upper"][1] > middles["teeth_lower"][1]
    assert middles["eye_left"][2] > middles["skin"][2]


@pytest.mark.parametrize("name", BUILTIN_AVATARS)
def test_skin_is_one_closed_surface(name):
    mesh = load_mesh(builtin_avatar_path(name))
    skin = next(part for part in mesh.parts if part.name == "skin")
    faces = mesh.faces[skin.first_face : skin.first_face + skin.face_count]
    _, place = np.unique(mesh.vertices, axis=0, return_inverse=True)
    corners = place.reshape(-1)[faces]
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_lowpoly_is_low():
    mesh = load_mesh(builtin_avatar_path("lowpoly"))
    assert 300 < len(mesh.faces) < 2500
    assert all("faceted" in material.name for material in mesh.materials)


@pytest.fixture(scope="module")
def tracker():
    with FaceTracker() as tracker:
        yield tracker


@pytest.mark.parametrize("name", BUILTIN_AVATARS)
def test_the_tracker_finds_the_face(name, tracker):
    frame = frontal_picture(name)
    tracker.track(frame)
    found = tracker.track(frame)
    assert found.tracked
    mesh = load_mesh(builtin_avatar_path(name))
    for iris, part in ((473, "eye_left"), (468, "eye_right")):
        piece = next(p for p in mesh.parts if p.name == part)
        corners = mesh.vertices[mesh.faces[piece.first_face : piece.first_face + piece.face_count]]
        pupil = corners.reshape(-1, 3)[corners.reshape(-1, 3)[:, 2].argmax()].astype(np.float64)
        at = T_CAMERA_WORLD[:3, :3] @ pupil + T_CAMERA_WORLD[:3, 3]
        assert np.linalg.norm(frame.intrinsics.project(at) - found.landmarks_px[iris]) < 5  # pixels of 256


T_CAMERA_WORLD = look_at((0.0, -0.02, 1.2), (0.0, -0.02, 0.0))


def frontal_picture(name: str) -> RgbdFrame:
    """The avatar from the front, 256x256, its face about 60 % of the height."""
    intrinsics = Intrinsics(880.0, 880.0, 128.0, 128.0, 256, 256)
    context = create_context(headless=True)
    try:
        target = RenderTarget(context, 256, 256, samples=4)
        renderer = MeshRenderer(context, load_mesh(builtin_avatar_path(name)))
        renderer.render(target, T_CAMERA_WORLD, intrinsics, backdrop=Backdrop(context))
        return RgbdFrame(target.rgb(), None, intrinsics, 0.0, 0)
    finally:
        release_context(context)


@pytest.mark.parametrize("name", BUILTIN_AVATARS)
def test_no_tooth_shows_between_closed_lips(name: str) -> None:
    mesh = load_mesh(builtin_avatar_path(name))
    teeth = np.zeros(len(mesh.faces), dtype=bool)
    for part in mesh.parts:
        teeth[part.first_face : part.first_face + part.face_count] = part.name.startswith("teeth")
    size, at = 512, mesh.vertices[mesh.faces[teeth]].mean(axis=(0, 1)).astype(np.float64)
    focal = size / 2 * 0.6 / 0.04  # four centimetres to either side from 0.6 m
    intrinsics = Intrinsics(focal, focal, size / 2, size / 2, size, size)
    with RgbdCamera(mesh) as camera:
        seen = camera.take(look_at(at + np.array([0, 0, 0.6]), at), intrinsics).face_id
    assert not teeth[seen[seen >= 0]].any()
