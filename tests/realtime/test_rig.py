"""`vfa rig`: the shapes are those that live shows, whatever carries them, and an artist's come back in."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from filelock import FileLock
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from calib.avatar import Avatar, prepare_avatar
from calib.head_file import load_head
from calib.preparation_options import PreparationOptions
from calib.rigging.morphs import MorphUnits
from capture.synthetic import builtin_avatar_path
from core.errors import InputError
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.face_motion import gaze_of
from core.mesh import Mesh
from engine.expression.expression_engine import ExpressionEngine
from realtime.rig.doubts import measured
from realtime.rig.eye_nodes import EYE_MARK, eyes_as_nodes
from realtime.rig.front_view import seen_from_front
from realtime.rig.given_shapes import with_given
from realtime.rig.head_shapes import UNITS_PER_METRE, HeadShapes, head_shapes, taking
from realtime.rig.naming import Naming, holds_units, targets, written
from realtime.rig.rigged_gltf import rigged_document
from realtime.rig.sheet import draw_sheet
from realtime.rig_command import RigOptions, _document, rig
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.export.obj_shapes import save_obj_shapes
from render.mesh.export.vrm_expressions import VRM_PRESETS
from render.mesh.gltf_buffers import read_gltf_file
from render.mesh.gltf_morphs import RIG_MARK, has_rig_mark, load_gltf_morphs
from render.mesh.mesh_io import load_mesh


@pytest.fixture(scope="module")
def shapes(lowpoly: Avatar) -> HeadShapes:
    return head_shapes(lowpoly, targets("arkit"))


def _moved(shapes: HeadShapes, name: str) -> np.ndarray[Any, Any]:
    number = [target.name for target in shapes.targets].index(name)
    return np.asarray(shapes.posed[number] - shapes.neutral)


def test_every_unit_is_there_and_is_what_the_engine_shows(shapes: HeadShapes, lowpoly: Avatar) -> None:
    assert shapes.rigged.names == UNIT_NAMES
    engine = ExpressionEngine(lowpoly)
    still = np.zeros((2, 2))
    at_rest = engine.posed(np.zeros(52), still)
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp"):
        weights = np.array([float(unit == name) for unit in UNIT_NAMES])
        np.testing.assert_allclose(_moved(shapes, name), engine.posed(weights, still) - at_rest, atol=1e-6)


def test_left_is_the_persons_own_left(shapes: HeadShapes) -> None:
    for unit in ("eyeBlink", "mouthSmile", "eyeLookOut"):
        for side, sign in (("Left", 1), ("Right", -1)):  # the world's x is picture-right, the person's left
            moved = np.linalg.norm(_moved(shapes, f"{unit}{side}"), axis=1)
            assert sign * (moved @ shapes.neutral[:, 0]) > 0, f"{unit}{side}"


def test_eyes_look_where_the_name_says(shapes: HeadShapes, lowpoly: Avatar) -> None:
    left = lowpoly.rig.eyes[1].ball
    front = left[np.argmax(shapes.neutral[left, 2])]
    assert _moved(shapes, "eyeLookUpLeft")[front, 1] > 0
    assert _moved(shapes, "eyeLookDownLeft")[front, 1] < 0
    assert _moved(shapes, "eyeLookOutLeft")[front, 0] > 0
    assert _moved(shapes, "eyeLookInLeft")[front, 0] < 0
    weights = np.zeros(UNIT_COUNT)
    weights[UNIT_NAMES.index("eyeLookOutLeft")] = 1.0
    assert not gaze_of(weights)[0].any(), "each eye has its own"


def test_mouth_close_shuts_an_open_jaw(shapes: HeadShapes, lowpoly: Avatar) -> None:
    chin = np.argmax(np.linalg.norm(_moved(shapes, "jawOpen")[lowpoly.rig.jaw.vertices], axis=1))
    teeth = lowpoly.rig.jaw.vertices[chin]
    both = _moved(shapes, "jawOpen") + _moved(shapes, "mouthClose")
    assert np.linalg.norm(both[teeth]) > 0.5 * np.linalg.norm(_moved(shapes, "jawOpen")[teeth]), "the jaw stays open"
    closed = {shape.name: shape.doubts for shape in measured(shapes).shapes}["mouthClose"]
    assert not [doubt for doubt in closed if "lips" in doubt], "as weights of live have it, and as sums of shapes"
    posed = shapes.posed.copy()
    posed[UNIT_NAMES.index("mouthClose")] = shapes.neutral + 0.5 * _moved(shapes, "mouthClose")
    half = {shape.name: shape.doubts for shape in measured(replace(shapes, posed=posed)).shapes}["mouthClose"]
    assert any("leaves the lips of an open jaw" in doubt for doubt in half)


def test_a_tongue_goes_out_between_parted_lips_over_the_lower_one(shapes: HeadShapes, lowpoly: Avatar) -> None:
    jaw, mouth = lowpoly.rig.jaw, lowpoly.rig.mouth
    moved = _moved(shapes, "tongueOut")
    assert len(jaw.tongue) > 10
    assert not np.delete(moved, jaw.tongue, axis=0).any(), "nothing else moves"
    out = mouth.frame[2]
    lip = mouth.lower[16] @ out
    tip = jaw.tongue[np.argmax(shapes.neutral[jaw.tongue] @ out)]
    assert shapes.neutral[tip] @ out < lip
    assert (shapes.neutral[tip] + moved[tip]) @ out > lip + 0.2 * mouth.width
    engine = ExpressionEngine(lowpoly)
    shut, parted = (
        engine.posed(
            np.array([{"tongueOut": 1.0, "jawOpen": jaw}.get(unit, 0.0) for unit in UNIT_NAMES]), np.zeros((2, 2))
        )
        for jaw in (0.0, 0.5)
    )
    assert shut[tip] @ out < lip, "shut lips keep it in"
    assert parted[tip] @ out > lip
    without = replace(lowpoly.rig, jaw=replace(jaw, tongue=jaw.tongue[:0], tongue_out=jaw.tongue_out[:0]))
    few = head_shapes(replace(lowpoly, rig=without), targets("arkit")[-1:])
    assert measured(few).shapes[0].doubts == ("it has no tongue that is a piece of its own",)
    names = [target for target in targets("arkit") if target.name in ("jawOpen", "tongueOut")]
    short = replace(lowpoly.rig, jaw=replace(jaw, tongue_out=0.5 * jaw.tongue_out))
    for worked, doubts in ((lowpoly.rig, 0), (short, 1)):
        told = measured(head_shapes(replace(lowpoly, rig=worked), tuple(names))).shapes[-1].doubts
        assert len([doubt for doubt in told if "tongue's tip stays" in doubt]) == doubts


def test_curves_of_metahumans_add_up_to_the_units(lowpoly: Avatar, shapes: HeadShapes) -> None:
    names = ("mouthFunnel", "mouthClose", "browInnerUp", "eyeLookInLeft", "jawOpen", "mouthSmileRight")
    curves = tuple(target for target in targets("metahuman") if next(iter(target.units)) in names)
    assert [target.name for target in curves if "eyeLookInLeft" in target.units] == ["CTRL_expressions_eyeLookRightL"]
    made = head_shapes(lowpoly, curves)
    for name in names:
        number = next(k for k, target in enumerate(curves) if name in target.units)
        np.testing.assert_allclose(made.whole(curves[number]), _moved(shapes, name), atol=2e-6)
    left = made.posed[[target.name for target in curves].index("CTRL_expressions_browRaiseInL")] - made.neutral
    far_right = made.neutral[:, 0] < -0.2
    assert not left[far_right].any(), "the world's x is picture-right, the person's left"
    assert len({target.name for target in targets("metahuman")}) == len(targets("metahuman"))


@pytest.mark.parametrize("file", ["glb", "obj"])
def test_eyes_are_nodes_that_turn_as_live_turns_them(tmp_path: Path, lowpoly: Avatar, file: str) -> None:
    path = builtin_avatar_path("lowpoly")
    shapes = head_shapes(lowpoly, targets("arkit"), own_eyes=True)
    document = rigged_document(path if file == "glb" else tmp_path / "head.obj", lowpoly, shapes.rigged, "a test")
    assert eyes_as_nodes(document, path if file == "glb" else tmp_path / "head.obj", shapes) == ["eyeRight", "eyeLeft"]
    out = tmp_path / "rigged.glb"
    out.write_bytes(document.to_glb())
    before = _faces_in_order(load_mesh(out))
    gltf = read_gltf_file(out)
    node = next(each for each in gltf.json["nodes"] if each.get("name") == "eyeLeft")
    axis, degrees = node["extras"][EYE_MARK]["eyeLookOutLeft"]
    assert axis == "y"
    turn = Rotation.from_quat(node["rotation"]) * Rotation.from_euler("y", degrees, degrees=True)
    document.json["nodes"][gltf.json["nodes"].index(node)]["rotation"] = turn.as_quat().tolist()
    out.write_bytes(document.to_glb())
    after = _faces_in_order(load_mesh(out))
    plain = head_shapes(lowpoly, targets("arkit"))
    ball = np.isin(lowpoly.display_mesh.faces, lowpoly.rig.eyes[1].ball).all(axis=1)
    looking = plain.posed[UNIT_NAMES.index("eyeLookOutLeft")][lowpoly.display_mesh.faces[ball]].mean(axis=1)
    T = lowpoly.T_world_file if file == "glb" else np.diag([UNITS_PER_METRE] * 3 + [1.0])
    shift = np.zeros(3) if file == "glb" else lowpoly.T_world_file[:3, 3]
    moved = np.linalg.norm(after - before, axis=1) > 1e-9
    there = after[moved] @ T[:3, :3].T + (T[:3, 3] if file == "glb" else shift)
    distance = cKDTree(there).query(looking)[0]
    assert np.median(distance) < 1e-3
    rig = lowpoly.rig.eyes[1]
    assert np.ptp(looking, axis=0).max() > 0.5 * rig.width


def _faces_in_order(mesh: Mesh) -> np.ndarray[Any, Any]:
    """[F, 3] the middle of each face."""
    return np.asarray(mesh.vertices[mesh.faces].mean(axis=1), dtype=np.float64)


def test_bones_that_turn_the_eyes_keep_them(lowpoly: Avatar) -> None:
    own = head_shapes(lowpoly, targets("arkit")[:16], own_eyes=True)
    balls = np.concatenate([eye.ball for eye in lowpoly.rig.eyes])
    assert not (own.posed[:, balls] - own.neutral[balls]).any()


def test_names() -> None:
    assert written("eyeBlinkLeft", "pascal") == "EyeBlinkLeft"
    assert written("eyeBlinkLeft", "suffix") == "eyeBlink_L"
    assert written("mouthLeft", "suffix") == "mouthLeft"
    assert {target.name for target in targets("vrm")} == set(VRM_PRESETS)
    assert [holds_units(names) for names in get_args(Naming)] == [True, True, True, False, False]
    for target in targets("vrm"):
        assert set(target.units) <= set(UNIT_NAMES)


def test_what_does_not_move_is_told(shapes: HeadShapes) -> None:
    report = measured(shapes)
    by_name = {shape.name: shape for shape in report.shapes}
    assert by_name["jawOpen"].moves_mm > 10
    still = measured(replace(shapes, posed=np.broadcast_to(shapes.neutral, shapes.posed.shape)))
    assert "does not move at all" in still.shapes[UNIT_NAMES.index("cheekPuff")].doubts
    assert json.loads(json.dumps(report.to_json()))["shapes"]["tongueOut"]["vertices"] > 0


def test_triangles_that_turn_over_behind_others_do_not_show() -> None:
    points = np.array(
        [[0, 0, 0], [4, 0, 0], [0, 4, 0], [1, 1, -1], [2, 1, -1], [1, 2, -1], [3, 3, -1], [4, 3, -1], [3, 4, -1]]
    )
    faces = np.arange(9).reshape(3, 3)
    asked = np.arange(3)
    np.testing.assert_array_equal(seen_from_front(points, faces, asked, 0.1), [True, False, True])
    np.testing.assert_array_equal(seen_from_front(points, faces, asked, 1.5), [True, True, True])


def test_a_torn_shape_and_lids_that_stay_open_are_told(shapes: HeadShapes) -> None:
    posed = shapes.posed.copy()
    number = UNIT_NAMES.index("cheekPuff")
    posed[number, ::2] += [0.0, 0.0, 0.4]
    posed[UNIT_NAMES.index("eyeBlinkLeft")] = shapes.neutral
    report = measured(replace(shapes, posed=posed))
    by_name = {shape.name: " ".join(shape.doubts) for shape in report.shapes}
    assert "drawn out" in by_name["cheekPuff"]
    assert "% of the eye open" in by_name["eyeBlinkLeft"]


def test_only_blinks_are_to_shut_the_eyes_and_each_doubt_is_told_once(lowpoly: Avatar) -> None:
    presets = tuple(target for target in targets("vrm") if target.name in ("relaxed", "happy", "blink", "blinkLeft"))
    shapes = head_shapes(lowpoly, presets)
    assert not [doubt for shape in measured(shapes).shapes for doubt in shape.doubts if "open" in doubt]
    open_ = replace(shapes, posed=np.broadcast_to(shapes.neutral, shapes.posed.shape))
    told = {s.name: [doubt for doubt in s.doubts if "of the eye open" in doubt] for s in measured(open_).shapes}
    each = ["leaves 100 % of the eye open"]
    assert told == {"relaxed": [], "happy": [], "blink": each, "blinkLeft": each}


def test_a_sheet_shows_all_of_them(shapes: HeadShapes) -> None:
    few = replace(shapes, targets=shapes.targets[:3], posed=shapes.posed[:3])
    sheet = draw_sheet(few, frozenset({shapes.targets[0].name}))
    assert sheet.shape[2] == 3
    assert sheet.std() > 10


def test_an_artists_shape_is_taken_and_the_others_stay(shapes: HeadShapes, tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    save_obj_shapes(shapes.rigged, folder)
    assert len(list(folder.glob("*.obj"))) == 53
    edited = load_mesh(folder / "cheekPuff.obj")
    for path in folder.glob("*.obj"):
        if path.stem not in ("cheekPuff", "neutral"):
            path.unlink()
    lines = (folder / "cheekPuff.obj").read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("v "))
    x, y, z = edited.vertices[0] + np.float32([0, 0, 0.01])
    lines[row] = f"v {x:.9g} {y:.9g} {z:.9g}"
    (folder / "cheekPuff.obj").write_text("\n".join(lines) + "\n")
    rigged, names = with_given(shapes.rigged, folder)
    assert names == ("cheekPuff",)
    count = len(rigged.mesh.vertices)
    number = UNIT_NAMES.index("cheekPuff")
    change = rigged.shapes[number].dense(count) - shapes.rigged.shapes[number].dense(count)
    np.testing.assert_allclose(change[0], [0, 0, 0.01], atol=1e-5)
    assert np.abs(change[1:]).max() < 1e-5
    assert rigged.shapes[0] is shapes.rigged.shapes[0]
    shown = taking(shapes, rigged).posed[number] - shapes.posed[number]
    assert np.abs(shown[0]).max() > 0.05  # avatar units are larger than the file's


def test_a_folder_is_written_again_without_loss_of_other_files(shapes: HeadShapes, tmp_path: Path) -> None:
    folder = tmp_path / "sh[a]pes"
    save_obj_shapes(shapes.rigged, folder)
    written_first = sorted(path.name for path in folder.iterdir())
    own = {"artist_notes.txt": "mind the lips", "extra.obj": "v 0 0 0\n"}
    for name, content in own.items():
        (folder / name).write_text(content)
    (folder / "jawOpen.obj").write_text("old")
    save_obj_shapes(shapes.rigged, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*written_first, *own])
    assert {name: (folder / name).read_text() for name in own} == own
    assert len(load_mesh(folder / "jawOpen.obj").vertices) == len(shapes.rigged.mesh.vertices)
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_run_left_is_removed_and_what_a_running_one_writes_is_not(
    shapes: HeadShapes, tmp_path: Path
) -> None:
    folder = tmp_path / "shapes"
    few = replace(shapes.rigged, shapes=shapes.rigged.shapes[:1])
    dead, alive = tmp_path / ".shapes.partial-0123abcd", tmp_path / ".shapes.partial-4567cdef"
    for partial in (dead, alive):
        (partial / "made").mkdir(parents=True)
        (partial / "made" / "neutral.obj").write_text("v 0 0 0\n")
        (partial / "lock").touch()
    with FileLock(alive / "lock", is_singleton=False):
        save_obj_shapes(few, folder)
        assert not dead.exists()
        assert (alive / "made" / "neutral.obj").is_file()
    save_obj_shapes(few, folder)
    assert list(tmp_path.iterdir()) == [folder]


def _given(shapes: HeadShapes, folder: Path, edit: Any) -> None:
    save_obj_shapes(shapes.rigged, folder)
    path = folder / "jawOpen.obj"
    lines = path.read_text().splitlines()
    edit(lines)
    path.write_text("\n".join(lines) + "\n")
    with_given(shapes.rigged, folder)


def test_shapes_of_another_mesh_are_refused_with_the_reason(shapes: HeadShapes, tmp_path: Path) -> None:
    def lost(lines: list[str]) -> None:
        lines.insert(0, "v 0 0 0")

    def sorted_anew(lines: list[str]) -> None:
        first = next(number for number, line in enumerate(lines) if line.startswith("f "))
        lines[first] = "f 1/1 2/2 9/9"

    def scaled(lines: list[str]) -> None:
        for number, line in enumerate(lines):
            if line.startswith("v "):
                lines[number] = "v " + " ".join(f"{100 * float(word):.9g}" for word in line.split()[1:])

    def none(lines: list[str]) -> None:
        first = next(number for number, line in enumerate(lines) if line.startswith("v "))
        lines[first] = "v nan 0 0"

    cases = {
        "vertices of this rig": lost,
        "order of vertices": sorted_anew,
        "axes and the scale": scaled,
        "finite": none,
    }
    for number, (reason, edit) in enumerate(cases.items()):
        with pytest.raises(InputError, match=reason):
            _given(shapes, tmp_path / str(number), edit)
    folder = tmp_path / "named"
    save_obj_shapes(shapes.rigged, folder)
    (folder / "jawOpen.obj").rename(folder / "jawDrop.obj")
    with pytest.raises(InputError, match="jawDrop"):
        with_given(shapes.rigged, folder)


def _rig(folder: Path, **given: Any) -> None:
    rig(RigOptions(**({"avatar": "lowpoly", "out": folder / "rigged.glb"} | given)))


@pytest.mark.usefixtures("lowpoly")
def test_a_rigged_file_is_driven_by_its_own_shapes(tmp_path: Path, shapes: HeadShapes) -> None:
    _rig(tmp_path, report=tmp_path / "rig.json")
    out = tmp_path / "rigged.glb"
    assert json.loads((tmp_path / "rig.json").read_text())["avatar"] == "lowpoly"
    again = prepare_avatar(out)
    assert again.file_mesh.morphs is not None
    assert again.file_mesh.morphs.names == UNIT_NAMES
    units = MorphUnits(again)
    assert units.complete
    engine = ExpressionEngine(again, units=units)
    weights = np.array([float(unit == "jawOpen") for unit in UNIT_NAMES])
    still, count = np.zeros((2, 2)), len(again.file_mesh.vertices)
    moved = (engine.posed(weights, still) - engine.posed(np.zeros(52), still))[:count]
    np.testing.assert_allclose(moved, _moved(shapes, "jawOpen")[:count], atol=0.03)
    rigged, names = with_given(shapes.rigged, out)
    assert set(names) == set(UNIT_NAMES)
    for own, taken in zip(shapes.rigged.shapes, rigged.shapes, strict=True):
        np.testing.assert_allclose(taken.dense(count), own.dense(count), atol=2e-5)


@pytest.mark.usefixtures("lowpoly")
def test_a_file_of_presets_is_driven_as_a_bare_mesh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _rig(tmp_path, names="vrm")
    out = tmp_path / "rigged.glb"
    assert set(load_gltf_morphs(out).names) == set(VRM_PRESETS)
    assert not has_rig_mark(out)
    document = GltfDocument.of(read_gltf_file(out))
    document.json["asset"]["extras"] = {RIG_MARK: {}}  # as of a file that lost its units afterwards
    out.write_bytes(document.to_glb())
    with caplog.at_level("INFO", logger="calib.head_file"):
        assert load_head(out, PreparationOptions()).morphs is None
    assert "found 0 of 17" in caplog.text
    assert "--morphs" not in caplog.text


def vrm(folder: Path, old: bool) -> Path:
    """The lowpoly head as a VRM avatar that one joint moves."""
    document = GltfDocument.of(read_gltf_file(builtin_avatar_path("lowpoly")))
    bone = document.add("nodes", {"name": "head", "translation": [0.0, 0.1, 0.0]})
    document.json["scenes"][document.json.get("scene", 0)]["nodes"].append(bone)
    inverse = np.eye(4, dtype="<f4")
    inverse[3, 1] = -0.1
    matrices = document.add_array(inverse.reshape(1, 16), None)
    skin = document.add("skins", {"joints": [bone], "inverseBindMatrices": matrices})
    for node in document.json["nodes"]:
        if "mesh" in node:
            node["skin"] = skin
    for mesh in document.json["meshes"]:
        for primitive in mesh["primitives"]:
            count = document.json["accessors"][primitive["attributes"]["POSITION"]]["count"]
            primitive["attributes"]["JOINTS_0"] = document.add_array(np.zeros((count, 4), dtype="<u2"))
            weights = np.tile(np.array([[1, 0, 0, 0]], dtype="<f4"), (count, 1))
            primitive["attributes"]["WEIGHTS_0"] = document.add_array(weights)
    bones = {"humanBones": [{"bone": "head", "node": bone}]} if old else {"humanBones": {"head": {"node": bone}}}
    name = "VRM" if old else "VRMC_vrm"
    properties = [{"name": m.get("name", "")} for m in document.json["materials"]]
    extra = {"materialProperties": properties} if old else {"specVersion": "1.0"}
    document.json["extensions"] = {name: {"humanoid": bones, **extra}}
    document.json["extensionsUsed"] = [name]
    path = folder / "avatar.vrm"
    path.write_bytes(document.to_glb())
    return path


@pytest.mark.parametrize(("old", "names"), [(True, "arkit"), (False, "vrm")])
def test_a_vrm_avatar_keeps_its_bones_and_gets_expressions(tmp_path: Path, old: bool, names: str) -> None:
    head = vrm(tmp_path, old)
    before = read_gltf_file(head).json
    _rig(tmp_path, avatar=str(head), out=tmp_path / "rigged.vrm", names=names)
    after = read_gltf_file(tmp_path / "rigged.vrm").json
    assert after["skins"] == before["skins"]
    assert len(after["nodes"]) == len(before["nodes"])
    shapes = load_mesh(tmp_path / "rigged.vrm", morphs=True).morphs
    assert shapes is not None
    if old:
        groups = after["extensions"]["VRM"]["blendShapeMaster"]["blendShapeGroups"]
        assert {group["name"] for group in groups} == set(UNIT_NAMES)
        assert all(group["binds"] for group in groups)
        assert len(after["extensions"]["VRM"]["materialProperties"]) == len(after["materials"])
    else:
        assert set(after["extensions"]["VRMC_vrm"]["expressions"]["preset"]) == set(VRM_PRESETS)
        assert set(shapes.names) == set(VRM_PRESETS)


def test_what_cannot_be_written_is_told_before_the_head_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.rig_command.prepared_avatar", lambda _options: pytest.fail("it was prepared"))
    there = tmp_path / "rigged.glb"
    there.write_bytes(b"mine")
    head = tmp_path / "head.glb"
    shutil.copy(builtin_avatar_path("lowpoly"), head)
    obj = tmp_path / "head.obj"
    obj.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("is there already", {}),
        ("that is the head itself", {"avatar": str(head), "out": head, "overwrite": True}),
        ("is a file, expected a folder", {"out": there / "below.glb"}),
        ("other things in it", {"out": tmp_path / "full", "format": "obj-per-shape", "overwrite": True}),
        ("--out writes there", {"out": tmp_path / "a.glb", "sheet": tmp_path / "a.glb"}),
        ("expected a name that ends in", {"out": tmp_path / "a.glb", "sheet": tmp_path / "sheet"}),
        ("the head is no VRM; give .glb", {"out": tmp_path / "a.vrm"}),
        ("the head is no VRM; give .glb", {"avatar": str(obj), "out": tmp_path / "a.VRM"}),
        ("no such folder", {"out": tmp_path / "a.glb", "use_shapes": tmp_path / "nowhere"}),
        ("no .obj files", {"out": tmp_path / "a.glb", "use_shapes": tmp_path / "full"}),
    ]
    for reason, given in cases:
        with pytest.raises(InputError, match=reason):
            _rig(tmp_path, **given)
    assert there.read_bytes() == b"mine"


def test_a_vrm_that_is_written_anew_is_no_vrm(tmp_path: Path) -> None:
    cut: Any = SimpleNamespace(altered=frozenset({0}))
    coarse: Any = SimpleNamespace(binding=object())
    with pytest.raises(InputError, match="what is written anew is no VRM"):
        _document(RigOptions(avatar="a.vrm", out=tmp_path / "b.vrm"), tmp_path / "a.vrm", coarse, cut)


def test_a_wrong_ending_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a name that ends in"):
        RigOptions(avatar="lowpoly", out=tmp_path / "rigged.fbx")
    with pytest.raises(InputError, match=r"\.glb or \.vrm"):
        RigOptions(avatar="lowpoly", out=tmp_path / "rigged.usd", format="glb")


def test_usd_holds_every_shape_that_moves(tmp_path: Path, shapes: HeadShapes) -> None:
    usd = pytest.importorskip("pxr.Usd", reason="needs usd-core: the extra usd")
    from pxr import UsdSkel

    from render.mesh.export.usd import save_usd

    out = tmp_path / "rigged.usdc"
    save_usd(shapes.rigged, out, "lowpoly")
    stage = usd.Stage.Open(str(out))
    found = {prim.GetName() for prim in stage.Traverse() if prim.IsA(UsdSkel.BlendShape)}
    assert found == {shape.name for shape in shapes.rigged.shapes if len(shape.rows)}


def test_usd_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    with pytest.raises(InputError, match=r"vfa-live\[usd\]"):
        _rig(tmp_path, out=tmp_path / "rigged.usda")
