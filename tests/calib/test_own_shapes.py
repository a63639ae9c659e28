"""Heads that bring ARKit's shapes along: when these move them, and when they are bare meshes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calib.avatar import Avatar, _content_key
from calib.head_file import _moving, load_head
from calib.preparation_options import MorphsUse, PreparationOptions
from calib.rig.own_shapes import units_among
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.mesh import MorphTargets
from realtime.config import MotionOptions
from realtime.engines import make_engine
from render.mesh.export.gltf_new import new_gltf
from render.mesh.export.rigged_mesh import RiggedMesh, Shape
from render.mesh.mesh_io import load_mesh
from tests.fakes.shaped_head import write_shaped_head


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head with all 52 shapes."""
    path = tmp_path_factory.mktemp("shaped") / "head.glb"
    write_shaped_head(path)
    return path


def taken(path: Path, morphs: MorphsUse = "auto") -> MorphTargets | None:
    return load_head(path, PreparationOptions(morphs=morphs)).morphs


def test_nearly_all_shapes_are_used_unless_that_is_declined(shaped: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="calib.head_file"):
        morphs = taken(shaped)
    assert morphs is not None
    assert morphs.names == UNIT_NAMES
    assert "moved by its own 52 ARKit shapes; --morphs off moves it as a bare mesh" in caplog.text
    assert taken(shaped, "off") is None
    assert taken(shaped, "on") is not None


@pytest.mark.parametrize(
    ("count", "still", "used"),
    [(45, 0, True), (44, 0, False), (51, 7, False), (51, 6, True)],
)
def test_shapes_that_move_something_are_counted(
    count: int, still: int, used: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needed = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")
    others = [unit for unit in UNIT_NAMES if unit not in (*needed, "tongueOut")]
    units = (*needed, *others[: count - len(needed)], "tongueOut")
    write_shaped_head(tmp_path / "head.glb", units, still=others[:still])
    with caplog.at_level("INFO", logger="calib.head_file"):
        assert (taken(tmp_path / "head.glb") is not None) == used
    moving = count + 1 - still
    expected = f"moved by its own {moving}" if used else f"--morphs moves it by its own {moving} ARKit shapes"
    assert expected in caplog.text


def test_few_shapes_are_no_face_and_need_no_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_shaped_head(tmp_path / "head.glb", UNIT_NAMES[:8])
    with caplog.at_level("INFO"):
        assert taken(tmp_path / "head.glb") is None
    assert not caplog.text
    with pytest.raises(InputError, match="at least 20 morph targets with ARKit names"):
        taken(tmp_path / "head.glb", "on")


def test_a_file_whose_shapes_cannot_be_read_is_a_bare_mesh_and_says_why(
    shaped: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("render.mesh.gltf_morphs.MOST_MORPH_NUMBERS", 1000)
    with caplog.at_level("INFO", logger="calib.head_file"):
        assert taken(shaped) is None
    assert "not moved by the shapes in it" in caplog.text
    with pytest.raises(InputError, match="can be read"):
        taken(shaped, "on")


def moved_by(shaped: Path, factor: float, unit: str | None, folder: Path) -> Path:
    """The same file with one shape, or all, `factor` times as large, bytes and all."""
    mesh = load_mesh(shaped, morphs=True)
    assert mesh.morphs is not None
    scaled = [
        Shape.of(name, each * np.float32(factor if unit in (None, name) else 1.0), 1e-9)
        for name, each in zip(mesh.morphs.names, mesh.morphs.displacement, strict=True)
    ]
    bare = replace(mesh, morphs=None)
    firsts = tuple(part.first_face for part in mesh.parts)
    rigged = RiggedMesh(bare, bare.vertices, bare.faces, firsts, tuple(scaled), frozenset(), 1e-9, np.eye(4))
    path = folder / "scaled.glb"
    path.write_bytes(new_gltf(rigged, "head", "test").to_glb())
    return path


@pytest.mark.parametrize(("factor", "unit"), [(100.0, None), (1e6, "browInnerUp"), (1e12, "mouthPucker")])
def test_shapes_in_another_unit_of_length_than_the_head_do_not_move_it(
    factor: float, unit: str | None, shaped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = moved_by(shaped, factor, unit, tmp_path)
    with caplog.at_level("INFO", logger="calib.head_file"):
        assert taken(path) is None
    assert "not moved by the shapes in it" in caplog.text
    with pytest.raises(InputError, match=rf"scaled\.glb: its shape '{unit or '.*'}' moves .* the whole mesh is"):
        taken(path, "on")


def test_shapes_a_hundred_times_too_small_are_as_good_as_empty(
    shaped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = moved_by(shaped, 0.01, None, tmp_path)
    with caplog.at_level("INFO", logger="calib.head_file"):
        assert taken(path) is None
    assert "not moved by the shapes in it" in caplog.text
    with pytest.raises(InputError, match=r"its 52 shapes move no vertex farther than .*as good as nothing"):
        taken(path, "on")


def test_faint_shapes_on_a_whole_body_count_by_its_face(shaped: Path) -> None:
    mesh = load_mesh(shaped, morphs=True)
    assert mesh.morphs is not None
    below = mesh.vertices - np.array([0, 40 * np.ptp(mesh.vertices, axis=0).max(), 0], dtype=np.float32)
    still = np.zeros_like(mesh.morphs.displacement)
    body = replace(
        mesh,
        vertices=np.concatenate([mesh.vertices, below]),
        morphs=replace(mesh.morphs, displacement=np.concatenate([mesh.morphs.displacement, still], axis=1)),
    )
    assert len(_moving(shaped, body)) == 52


def test_of_two_names_of_one_unit_that_which_moves_counts(shaped: Path) -> None:
    mesh = load_mesh(shaped, morphs=True)
    assert mesh.morphs is not None
    real, empty = mesh.morphs.displacement, np.zeros_like(mesh.morphs.displacement)
    twice = MorphTargets(
        (*(name.upper() for name in mesh.morphs.names), *mesh.morphs.names), np.concatenate([empty, real])
    )
    found = units_among(replace(mesh, morphs=twice))
    assert list(found) == list(UNIT_NAMES)
    assert sorted(found.values()) == list(range(52, 104))


def test_shapes_that_move_nothing_are_not_offered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_shaped_head(tmp_path / "head.glb", UNIT_NAMES, still=UNIT_NAMES)
    with caplog.at_level("INFO", logger="calib.head_file"):
        assert taken(tmp_path / "head.glb") is None
    assert "--morphs moves it" not in caplog.text
    with pytest.raises(InputError, match="52 morph targets with ARKit names, of which 0 move anything"):
        taken(tmp_path / "head.glb", "on")


def test_with_other_shapes_it_is_another_prepared_head(shaped: Path) -> None:
    options = PreparationOptions()
    bare, own = load_mesh(shaped), load_mesh(shaped, morphs=True)
    assert own.morphs is not None
    changed = own.morphs.displacement.copy()
    changed[3] *= 1.1
    other = replace(own, morphs=replace(own.morphs, displacement=changed))
    keys = {_content_key(mesh, options, None) for mesh in (bare, own, other)}
    assert len(keys) == 3


def test_what_is_no_use_of_morphs_is_refused() -> None:
    with pytest.raises(InputError, match="expected one of auto, on, off"):
        PreparationOptions(morphs=True)  # type: ignore[arg-type]


def with_shapes(avatar: Avatar, asked: bool) -> Avatar:
    shapes = np.zeros((len(UNIT_NAMES), len(avatar.file_mesh.vertices), 3), dtype=np.float32)
    shapes[UNIT_NAMES.index("jawOpen")] = [0.0, -0.01, 0.0]
    file = replace(avatar.file_mesh, morphs=MorphTargets(UNIT_NAMES, shapes))
    return replace(avatar, file_mesh=file, shapes_asked=asked)


@pytest.mark.parametrize("options", [MotionOptions(engine="landmark"), MotionOptions(engine="flow")])
def test_engines_that_know_no_shapes_move_a_bare_mesh_unless_shapes_were_asked_for(
    lowpoly: Avatar, options: MotionOptions, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert make_engine(options, with_shapes(lowpoly, asked=False)).name == options.engine
    assert "moved as a bare mesh" in caplog.text
    with pytest.raises(InputError, match=f"leave out --morphs or --engine {options.engine}"):
        make_engine(options, with_shapes(lowpoly, asked=True))
