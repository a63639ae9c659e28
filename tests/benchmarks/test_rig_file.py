"""A head of a file, judged by the shapes that it carries itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import likeness, rig
from benchmarks.artists_known import Learned
from benchmarks.leave_out import without
from benchmarks.likeness_independent import TRUE, Independent, over, run_independent
from benchmarks.rig import judge_units
from benchmarks.rig_file import HeadFile
from benchmarks.rig_heads import weight_row
from calib.rig.template_units import template_data
from core.errors import InputError
from render.mesh.export.gltf_new import new_gltf
from render.mesh.export.rigged_mesh import RiggedMesh, Shape
from render.mesh.mesh_io import load_mesh
from tools.artist_rigs import load_rig
from tools.assets.glb_file import save_glb

SHOWN = ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft", "browInnerUp")
SCALE = 7.0  # the file's units are no metres


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    artist = load_rig("cc0:1")
    mesh = replace(artist.mesh, vertices=SCALE * artist.mesh.vertices + np.float32(3.0))
    shapes = tuple(Shape.of(unit, SCALE * artist.units[unit], 1e-6) for unit in SHOWN)
    firsts = tuple(part.first_face for part in mesh.parts)
    rigged = RiggedMesh(mesh, mesh.vertices, mesh.faces, firsts, shapes, frozenset(), 1e-6, np.eye(4))
    place = tmp_path_factory.mktemp("own") / "own.glb"
    place.write_bytes(new_gltf(rigged, "head", "test").to_glb())
    return place


def test_it_is_prepared_without_its_shapes_and_held_against_them(path: Path, tmp_path: Path) -> None:
    head = HeadFile(path).prepared(tmp_path, tmp_path)
    hidden = load_mesh(tmp_path / "own.glb", morphs=True)
    assert hidden.morphs is None or not hidden.morphs.names
    assert set(head.rig.units) == set(SHOWN)
    lowered = np.linalg.norm(head.truth_m(weight_row({"jawOpen": 1.0})), axis=1).max()
    assert lowered == pytest.approx(np.linalg.norm(load_rig("cc0:1").units["jawOpen"], axis=1).max(), rel=0.2)
    assert all(mask.sum() > 100 for mask in head.regions.values())
    figures = {each["unit"]: each for each in judge_units(head)}
    assert set(figures) == set(SHOWN)
    assert figures["jawOpen"]["explained"] > 0.5
    assert figures["mouthSmileLeft"]["cosine"] > 0.7
    only = Independent((), (HeadFile(path),), Learned(), transfer_only=True)
    results = run_independent(only, tmp_path)
    assert {each["expression"] for each in results} == {"jaw"}
    assert {each["known"] for each in results} == {"neither"}
    assert over(results, "row")[TRUE,]["explained"] > 0.5


def test_its_artist_is_in_no_template() -> None:
    shipped = template_data().dense("unit/mouthFunnel")
    with without("file"):
        np.testing.assert_array_equal(template_data().dense("unit/mouthFunnel"), shipped)


def test_files_that_cannot_be_judged_by(path: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.glb"
    save_glb(load_rig("cc0:1").mesh, bare)
    with pytest.raises(InputError, match=r"bare\.glb: expected shapes with ARKit names"):
        HeadFile(bare).prepared(tmp_path, None)
    with pytest.raises(InputError, match="expected a binary glTF file"):
        HeadFile(path.with_suffix(".obj")).prepared(tmp_path, None)


@pytest.mark.parametrize("judge", [likeness.main, rig.main])
@pytest.mark.parametrize("content", [None, b"", b"junk"])
def test_a_file_that_cannot_be_read_ends_the_judge_before_it_begins(
    judge: Callable[[], None],
    content: bytes | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    head = tmp_path / "head.glb"
    if content is not None:
        head.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["judge", "--avatar", str(head)])
    with pytest.raises(SystemExit) as ended:
        judge()
    assert ended.value.code == 2
    assert str(head) in capsys.readouterr().err
