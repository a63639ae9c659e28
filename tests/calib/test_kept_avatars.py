"""Avatars and rigs kept from an earlier start: a damaged one is never shown, it is made anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calib import avatar as avatar_module
from calib.avatar import Avatar, _load, _save, prepare_avatar
from calib.published.published_rig import SeenHead, own_rig, published_rig
from core.cache_folder import reading

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def entry(lowpoly: Avatar, tmp_path: Path) -> Path:
    path = tmp_path / "entry.npz"
    _save(path, lowpoly)
    return path


def read(path: Path, avatar: Avatar) -> Avatar | None:
    with reading(path, "the prepared avatar"):
        return _load(path, avatar.name, avatar.file_mesh, avatar.content_key)
    return None


def change(path: Path, **changes: Callable[[Any], Any] | None) -> None:
    """The same file with other arrays; None takes one away."""
    with np.load(path, allow_pickle=False) as file:
        arrays: Arrays = {name: file[name] for name in file.files}
    for name, changed in changes.items():
        old = arrays.pop(name)
        if changed is not None:
            arrays[name] = changed(old.copy())
    np.savez(path, **arrays)  # type: ignore[arg-type]


def put(value: float, at: int = 0) -> Callable[[Any], Any]:
    def changed(array: Any) -> Any:
        array.reshape(-1)[at] = value
        return array

    return changed


def test_what_was_prepared_comes_back(lowpoly: Avatar, entry: Path) -> None:
    found = read(entry, lowpoly)
    assert found is not None
    np.testing.assert_array_equal(found.display_mesh.vertices, lowpoly.display_mesh.vertices)
    assert (found.rig.weights != lowpoly.rig.weights).nnz == 0
    assert found.rig.mouth.closed is lowpoly.rig.mouth.closed
    assert found.rig.eyes[1].width == lowpoly.rig.eyes[1].width
    assert found.display_mesh.parts == lowpoly.display_mesh.parts


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("mesh_faces", put(1 << 20)),
        ("mesh_faces", put(-1)),
        ("mesh_vertices", put(np.nan)),
        ("mesh_vertices", put(5.0)),  # finite, but not where the file's vertex lies
        ("mesh_vertices", lambda a: a.astype(np.float64)),
        ("mesh_vertex_colors", lambda a: a[:-1]),
        ("T_world_file", put(0.0)),
        ("T_camera_world", put(2.0)),
        ("source_depth", put(-1.0)),
        ("source_rgb", lambda a: a[:128]),
        ("landmarks", put(np.inf)),
        ("rig_rest", put(np.nan)),
        ("rig_rest", lambda a: a[:-3]),
        ("rig_weights_indices", put(100_000)),
        ("rig_weights_indptr", put(-5, 1)),
        ("rig_weights_data", put(np.nan)),
        ("rig_controllers_role", put(99)),
        ("rig_controllers_rest", lambda a: a[:3]),
        ("rig_eye0_ball", put(1 << 40)),
        ("rig_eye1_width", put(0.0)),
        ("rig_mouth_upper", lambda a: a[:10]),
        ("rig_jaw_vertices", put(-1)),
        ("rig_basis_columns", put(1 << 40)),
        ("rig_basis_corrections_indices", put(-2)),
        ("rig_basis_base", put(np.nan)),
        ("text", None),
        ("text", lambda _: np.array("[1]")),
        ("text", lambda a: np.array(str(a).replace('["skin", 0,', '["skin", 7,'))),
        ("text", lambda a: np.array(str(a).replace('"added": []', '"added": ["nothing_known"]'))),
        ("text", lambda _: np.array(3.0)),
    ],
)
def test_a_damaged_avatar_is_not_accepted(
    name: str, damage: Callable[[Any], Any] | None, lowpoly: Avatar, entry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(entry, **{name: damage})
    assert read(entry, lowpoly) is None
    assert caplog.text.count("made anew") == 1


def test_a_damaged_avatar_is_prepared_again(
    lowpoly: Avatar, lowpoly_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = []
    monkeypatch.setattr(avatar_module, "_prepare", lambda *_: prepared.append(1) or lowpoly)
    prepare_avatar(lowpoly_path, cache_dir=tmp_path)
    prepare_avatar(lowpoly_path, cache_dir=tmp_path)
    assert len(prepared) == 1
    change(next(tmp_path.iterdir()), mesh_faces=put(1 << 20))
    prepare_avatar(lowpoly_path, cache_dir=tmp_path)
    assert len(prepared) == 2
    prepare_avatar(lowpoly_path, cache_dir=tmp_path)
    assert len(prepared) == 2, "the entry was mended"


def test_an_avatar_that_cannot_be_kept_is_used(
    lowpoly: Avatar, lowpoly_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avatar_module, "_prepare", lambda *_: lowpoly)
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert prepare_avatar(lowpoly_path, cache_dir=tmp_path / "cache").content_key == lowpoly.content_key


@pytest.fixture
def head(lowpoly: Avatar) -> SeenHead:
    return SeenHead(
        lowpoly.display_mesh.vertices,
        lowpoly.display_mesh.faces,
        lowpoly.landmarks,
        lowpoly.source_depth,
        lowpoly.intrinsics,
        lowpoly.T_camera_world,
    )


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("pixels", put(300)),
        ("pixels", lambda a: a.astype(np.int32)),
        ("depth", put(np.nan)),
        ("depth", put(0.0)),
        ("upper_lip", None),
        ("weights_indices", put(1 << 20)),
        ("weights_data", put(np.nan)),
        ("smoothing_indptr", lambda a: a[:-1]),
        ("smoothing_indptr", put(7, -1)),
    ],
)
def test_a_damaged_rig_is_solved_again(
    name: str, damage: Callable[[Any], Any] | None, head: SeenHead, lowpoly: Avatar, tmp_path: Path
) -> None:
    def rig() -> Any:
        return own_rig(head, lowpoly.controllers.rest, lowpoly.weights, cache_dir=tmp_path)

    first = rig()
    path = next(tmp_path.iterdir())
    whole = path.read_bytes()
    change(path, **{name: damage})
    assert path.read_bytes() != whole
    again = rig()
    assert (again.weights != first.weights).nnz == 0
    np.testing.assert_array_equal(again.controllers.pixels, first.controllers.pixels)
    with np.load(path) as mended:
        assert name in mended.files
        assert (rig().smoothing != first.smoothing).nnz == 0


def test_a_rig_is_read_back_without_solving(
    head: SeenHead, lowpoly: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = own_rig(head, lowpoly.controllers.rest, lowpoly.weights, cache_dir=tmp_path)
    monkeypatch.setattr("calib.published.published_rig.smoothing_weights", lambda *_, **__: pytest.fail("solved again"))
    again = own_rig(head, lowpoly.controllers.rest, lowpoly.weights, cache_dir=tmp_path)
    assert (again.weights != first.weights).nnz == 0


def test_a_rig_that_cannot_be_kept_is_used(head: SeenHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "calib.published.published_rig.controlling_weights", lambda *_, **__: "weights"
    )  # these take seconds
    monkeypatch.setattr("calib.published.published_rig.smoothing_weights", lambda *_, **__: "smoothing")
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert published_rig(head, cache_dir=tmp_path / "cache").smoothing == "smoothing"
