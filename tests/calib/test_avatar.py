"""A prepared avatar: its cache, its meshes, and real scans opened where they are one piece."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tyro

from calib.avatar import Avatar, default_cache_dir, prepare_avatar
from calib.preparation_options import PreparationOptions
from core.camera import look_at
from core.errors import InputError
from core.face_regions import FACE_LANDMARKS, lower_lip_mask
from core.mesh import Mesh
from engine.motion.contact import LipContact
from engine.motion.retarget import Retargeter
from realtime.avatar_choice import prepared_avatar
from realtime.config import LiveOptions
from render.mesh.mesh_io import load_mesh
from render.mesh.mesh_save import save_ply


class NotCachedError(Exception):
    """Raised where an avatar would be prepared that has to come from the cache."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys under which nothing was in the cache; preparing then ends in `NotCachedError`."""
    keys: list[str] = []

    def refuse(_name: str, _mesh: Mesh, key: str, *_: object) -> Avatar:
        keys.append(key)
        raise NotCachedError

    monkeypatch.setattr("calib.avatar._prepare", refuse)
    return keys


def test_a_damaged_cache_file_is_made_anew_the_same(lowpoly: Avatar, lowpoly_path: Path, tmp_path: Path) -> None:
    place = tmp_path / f"{lowpoly.content_key}.npz"
    kept = default_cache_dir() / place.name
    place.write_bytes(kept.read_bytes()[:1000])
    again = prepare_avatar(lowpoly_path, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == [place], "nothing half-written is left"
    np.testing.assert_array_equal(again.landmarks, lowpoly.landmarks)
    with np.load(place, allow_pickle=False) as made, np.load(kept, allow_pickle=False) as first:
        assert set(made.files) == set(first.files) >= {"rig_rest"}
        for name in made.files:
            np.testing.assert_array_equal(made[name], first[name], err_msg=name)


def test_a_cached_avatar_is_the_same_and_not_prepared_again(
    lowpoly: Avatar, lowpoly_path: Path, asked: list[str]
) -> None:
    avatar = prepare_avatar(lowpoly_path)
    assert not asked
    assert avatar.content_key == lowpoly.content_key
    np.testing.assert_array_equal(avatar.display_mesh.vertices, lowpoly.display_mesh.vertices)
    np.testing.assert_array_equal(avatar.weights.toarray(), lowpoly.weights.toarray())
    assert [m.name for m in avatar.display_mesh.materials[: len(avatar.file_mesh.materials)]] == [
        m.name for m in avatar.file_mesh.materials
    ]


def test_the_key_follows_content_and_options(
    lowpoly: Avatar, lowpoly_path: Path, tmp_path: Path, asked: list[str]
) -> None:
    mesh = load_mesh(lowpoly_path)
    moved = tmp_path / "moved.ply"
    save_ply(replace(mesh, vertices=mesh.vertices + np.float32(0.01)), moved)
    with pytest.raises(NotCachedError):
        prepare_avatar(lowpoly_path, PreparationOptions(front="x"))
    with pytest.raises(NotCachedError):
        prepare_avatar(moved)
    assert len({lowpoly.content_key, *asked}) == 3


def test_the_source_picture_is_seen_as_published(lowpoly: Avatar) -> None:
    assert lowpoly.source_rgb.shape == (256, 256, 3)
    np.testing.assert_allclose(lowpoly.T_camera_world, look_at((0.0, 0.0, 8.0)))


def test_where_it_is_looked_at_from_is_no_part_of_a_prepared_head(
    lowpoly: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that key P printed costs no preparation: with it the head comes from the cache as without."""
    monkeypatch.setattr("calib.avatar._prepare", lambda *_: pytest.fail("prepared anew"))
    options = tyro.cli(
        LiveOptions, args=["--avatar", "lowpoly", "--eye", "2", "0", "7", "--translation", "0", "1", "0"]
    )
    assert prepared_avatar(options).content_key == lowpoly.content_key
    np.testing.assert_array_equal(options.window.camera().eye, [2, 0, 7])


def test_file_vertices_come_first_and_weights_cover_all(lowpoly: Avatar) -> None:
    count = len(lowpoly.file_mesh.vertices)
    placed = lowpoly.file_mesh.vertices @ lowpoly.T_world_file[:3, :3].T + lowpoly.T_world_file[:3, 3]
    np.testing.assert_allclose(lowpoly.display_mesh.vertices[:count], placed, atol=1e-5)
    assert lowpoly.weights.shape == (len(lowpoly.display_mesh.vertices), len(lowpoly.controllers.rest))
    assert np.isfinite(lowpoly.weights.data).all()
    assert lowpoly.display_mesh.faces.max() < len(lowpoly.display_mesh.vertices)
    assert sum(part.face_count for part in lowpoly.display_mesh.parts) == len(lowpoly.display_mesh.faces)


def test_the_back_of_the_head_stays(lowpoly: Avatar) -> None:
    moved = np.ones(len(lowpoly.controllers.rest))
    reach = np.abs(lowpoly.weights @ moved)
    rest = lowpoly.display_mesh.vertices
    back = rest[:, 2] < rest[:, 2].min() + 0.25 * np.ptp(rest[:, 2])
    assert back.any()
    assert reach[back].max() == 0


def test_what_is_no_head_is_refused_in_one_line(tmp_path: Path) -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    save_ply(Mesh(points, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], dtype=np.int32)), tmp_path / "t.ply")
    with pytest.raises(InputError) as refusal:
        prepare_avatar(tmp_path / "t.ply", cache_dir=tmp_path / "cache")
    assert "\n" not in str(refusal.value)
    assert "t.ply" in str(refusal.value)
    assert not list(tmp_path.glob("cache/*"))


@pytest.fixture(scope="module")
def scan(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    """A head whose lips and eyes are one piece with the skin."""
    return prepare_avatar(shared_data / "heads" / "menpo_james.obj", cache_dir=tmp_path_factory.mktemp("scan"))


def pose(avatar: Avatar, jaw: float, openness: float) -> np.ndarray:
    """Vertices with the lower lip and chin let down by `jaw` and the lids so far open."""
    rig = avatar.rig
    moved = np.zeros((len(rig.controllers.rest), 3))
    rest = rig.controllers.rest[:FACE_LANDMARKS]
    low = lower_lip_mask() | (rest[:, 1] < rest[[61, 291], 1].min() - 0.03)
    beside = np.abs(rest[low, 0] - rest[[13, 14], 0].mean()) / (0.5 * rig.mouth.width)
    moved[:FACE_LANDMARKS][low, 1] = -jaw * np.clip(1 - beside**2, 0, 1)
    LipContact(rig).apply(moved)
    return Retargeter(rig).vertices(moved, np.zeros((2, 2)), lids=np.array([[1 - openness, 0.0]] * 2))


def test_lips_in_one_piece_open(scan: Avatar) -> None:
    assert "lips in one piece" in scan.description
    names = [part.name for part in scan.display_mesh.parts]
    assert {"mouth_lining", "teeth_upper", "teeth_lower", "tongue"} <= set(names)
    opened, rest = pose(scan, 0.15, 1.0), scan.display_mesh.vertices
    skin = scan.display_mesh.faces[: scan.display_mesh.parts[0].face_count]

    def longest(vertices: np.ndarray) -> np.ndarray:
        corners = vertices[skin]
        return np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)

    assert (longest(opened) - longest(rest)).max() < 0.05, "no drawn face bridges the open mouth"
    assert opened[:, 1].min() <= rest[:, 1].min()


def rim_gap(avatar: Avatar, vertices: np.ndarray, eye: int) -> np.ndarray:
    """[33] how far the rims of the lids stand apart, in widths of the eye."""
    lids, own = avatar.rig.lids[eye], avatar.rig.eyes[eye]
    ends = vertices[lids.rims[:2]]
    upper, lower = ends[:, :, 0] + lids.rim_share[:2, :, None] * (ends[:, :, 1] - ends[:, :, 0])
    return np.asarray((upper - lower) @ own.frame[1]) / own.width


def test_lids_in_one_piece_close_over_the_eye(scan: Avatar) -> None:
    assert "eyes in one piece" in scan.description
    closed = pose(scan, 0.0, 0.0)
    for number in range(2):
        assert rim_gap(scan, closed, number).max() < 0.02
    assert np.isfinite(closed).all()


def test_shut_eyes_of_a_scan_are_opened(shared_data: Path, tmp_path: Path) -> None:
    avatar = prepare_avatar(shared_data / "heads" / "LeePerrySmith_decoded.glb", cache_dir=tmp_path)
    assert "eyes shut" in avatar.description
    assert {"eye_left", "eye_right"} <= {part.name for part in avatar.display_mesh.parts}
    rest = avatar.display_mesh.vertices
    opened, shut = pose(avatar, 0.0, 1.0), pose(avatar, 0.0, 0.0)
    eye = avatar.rig.eyes[0]
    near = np.linalg.norm(rest - eye.upper[len(eye.upper) // 2], axis=1) < 0.05 * eye.width
    assert ((opened - shut)[near] @ eye.frame[1]).max() > 0.2 * eye.width
    assert np.abs((shut - rest)[near]).max() < 0.06 * eye.width, "shut is how the file has them"
