"""A recording of a made-up performance, exported and opened again by readers that share no code with the writers."""

import csv
import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from calib.avatar import Avatar
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion
from realtime.export_command import TakeOptions, export
from realtime.rig_command import RigOptions, rig
from tests.fakes.recorded_face import FPS, FRAMES, JAW, LEFT, SMILE, YAW, exported, recorded_as


def vertices_of(recorded: Path) -> np.ndarray:
    """[T, V, 3] as shown: the head's motion included."""
    with np.load(recorded / "animation.npz", allow_pickle=False) as kept:
        T = kept["T_world_head"]
        return np.asarray(np.einsum("tij,tvj->tvi", T[:, :3, :3], kept["vertices"]) + T[:, None, :3, 3])


def test_a_table_for_scripts(recorded: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(exported(recorded, tmp_path / "m.csv").read_text().splitlines()))
    assert len(rows) == FRAMES
    last = {name: float(value) for name, value in rows[-1].items()}
    assert last["time_s"] == pytest.approx((FRAMES - 1) / FPS, abs=1e-5)
    assert last["mouthSmileLeft"] == pytest.approx(0.8, abs=1e-5)
    assert last["headYaw_deg"] == pytest.approx(np.degrees(YAW), abs=1e-3)
    assert last["gazeLeftPitch_deg"] == pytest.approx(np.degrees(-0.1), abs=1e-3)
    assert last["headX_m"] == pytest.approx(0.01, abs=1e-5)


def test_a_table_as_the_phone_app_records_it(recorded: Path, tmp_path: Path) -> None:
    text = exported(recorded, tmp_path / "l.csv", format="live-link-csv").read_text()
    header, *rows = list(csv.reader(text.splitlines()))
    assert header[:4] == ["Timecode", "BlendshapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    assert len(header) == 63
    assert header[-9:-6] == ["HeadYaw", "HeadPitch", "HeadRoll"]
    assert rows[0][:2] == ["00:00:00:00.000", "61"]
    assert rows[12][0] == "00:00:00:12.000"
    last = dict(zip(header, rows[-1], strict=True))
    assert float(last["MouthSmileLeft"]) == pytest.approx(0.8, abs=1e-5)
    assert float(last["MouthRight"]) == pytest.approx(0.3, abs=1e-5), "the app swaps the sides of mouth and jaw"
    assert float(last["HeadYaw"]) == pytest.approx(YAW, abs=1e-4), "as in the app's packets"


@pytest.mark.parametrize(
    ("rate", "options", "told"),
    [
        (27.3, {}, "has about 27 frames a second, and so has the export; --fps 30 for another rate"),
        (27.3, {"fps": 30.0}, ""),
        (27.3, {"format": "csv"}, ""),
        (29.9, {}, ""),
    ],
)
def test_a_rate_that_no_program_knows_is_told(
    recorded: Path, tmp_path: Path, rate: float, options: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with np.load(recorded / "animation.npz", allow_pickle=False) as kept:
        np.savez(tmp_path / "animation.npz", **{**kept, "timestamps_s": np.arange(FRAMES) / rate})
    with caplog.at_level("INFO"):
        exported(tmp_path, tmp_path / "l.csv", **{"format": "live-link-csv", **options})
    said = [record.getMessage() for record in caplog.records if "--fps" in record.getMessage()]
    assert said == ([f"{tmp_path.name}: {told}"] if told else [])


def test_point_caches(recorded: Path, tmp_path: Path) -> None:
    shown = vertices_of(recorded)
    count = shown.shape[1]
    pc2 = exported(recorded, tmp_path / "p.pc2").read_bytes()
    assert struct.unpack_from("<12siiffi", pc2) == (b"POINTCACHE2\0", 1, count, 0.0, 1.0, FRAMES)
    read = np.frombuffer(pc2, "<f4", offset=32).reshape(FRAMES, count, 3)
    np.testing.assert_allclose(read, shown, atol=1e-5)
    mdd = exported(recorded, tmp_path / "p.mdd").read_bytes()
    assert struct.unpack_from(">ii", mdd) == (FRAMES, count)
    np.testing.assert_allclose(np.frombuffer(mdd, ">f4", FRAMES, 8), np.arange(FRAMES) / FPS, atol=1e-5)
    read = np.frombuffer(mdd, ">f4", offset=8 + 4 * FRAMES).reshape(FRAMES, count, 3)
    np.testing.assert_allclose(read, shown, atol=1e-5)


def test_motion_capture_of_head_and_eyes(recorded: Path, tmp_path: Path) -> None:
    text = exported(recorded, tmp_path / "b.bvh").read_text()
    hierarchy, moved = text.split("MOTION\n")
    assert [line.split()[1] for line in hierarchy.splitlines() if line.strip().startswith(("ROOT", "JOINT"))] == [
        "Head", "RightEye", "LeftEye",
    ]  # fmt: skip
    frames, time, *rows = moved.strip().splitlines()
    assert frames.split() == ["Frames:", str(FRAMES)]
    assert float(time.split()[-1]) == pytest.approx(1 / FPS)
    x, _, _, z_deg, x_deg, y_deg, *_ = map(float, rows[-1].split())
    assert x == pytest.approx(1.0, abs=1e-3), "centimetres"
    turn = Rotation.from_euler("ZXY", [z_deg, x_deg, y_deg], degrees=True).as_rotvec()
    np.testing.assert_allclose(turn, [0, YAW, 0], atol=1e-4)


class Glb:
    """As much of a binary glTF file as these tests look at."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size = struct.unpack_from("<I", content, 12)[0]
        self.json = json.loads(content[20 : 20 + size])
        self._bin = content[20 + size + 8 :]

    def array(self, number: int) -> np.ndarray:
        accessor = self.json["accessors"][number]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        whole = np.zeros((accessor["count"], width), np.float32)
        if "bufferView" in accessor:
            whole[:] = self._read(accessor["bufferView"], "<f4", whole.size).reshape(whole.shape)
        if (sparse := accessor.get("sparse")) is not None:
            kind = {5121: "u1", 5123: "<u2", 5125: "<u4"}[sparse["indices"]["componentType"]]
            at = self._read(sparse["indices"]["bufferView"], kind, sparse["count"])
            whole[at] = self._read(sparse["values"]["bufferView"], "<f4", sparse["count"] * width).reshape(-1, width)
        return whole

    def _read(self, view: int, kind: str, count: int) -> np.ndarray:
        return np.frombuffer(self._bin, kind, count, self.json["bufferViews"][view].get("byteOffset", 0))


@pytest.mark.parametrize("shapes", ["units", "fewest"])
def test_an_animated_head_in_gltf(recorded: Path, tmp_path: Path, shapes: str) -> None:
    glb = Glb(exported(recorded, tmp_path / "r.glb", shapes=shapes))
    (animation,) = glb.json["animations"]
    tracks = {each["target"]["path"]: animation["samplers"][each["sampler"]] for each in animation["channels"]}
    assert set(tracks) == {"weights", "rotation", "translation"}
    times = glb.array(tracks["weights"]["input"])[:, 0]
    np.testing.assert_allclose(times, np.arange(FRAMES) / FPS, atol=1e-5)
    node = next(each["target"]["node"] for each in animation["channels"] if each["target"]["path"] == "weights")
    mesh = glb.json["meshes"][glb.json["nodes"][node]["mesh"]]
    names = mesh["extras"]["targetNames"]
    weights = glb.array(tracks["weights"]["output"]).reshape(FRAMES, len(names))
    if shapes == "units":
        assert set(UNIT_NAMES) <= set(names)
        np.testing.assert_allclose(weights[-1, names.index("mouthSmileLeft")], 0.8, atol=1e-5)
    turn = Rotation.from_quat(glb.array(tracks["rotation"]["output"])[-1]).magnitude()
    assert turn == pytest.approx(YAW, abs=1e-3)
    primitive = mesh["primitives"][0]
    positions = glb.array(primitive["attributes"]["POSITION"])
    assert next(iter(primitive["targets"][0])) == "POSITION"
    moved = sum(
        row * glb.array(target["POSITION"]) for row, target in zip(weights[-1], primitive["targets"], strict=True)
    )
    assert 0.001 < np.abs(moved).max() / np.ptp(positions, axis=0).max() < 0.2


def test_points_of_an_edited_recording_follow_its_edits(recorded: Path, tmp_path: Path) -> None:
    from realtime.editing.edit_list import write_edits
    from realtime.editing.edits import Trim
    from realtime.export.take import open_recorded

    shutil.copy(recorded / "animation.npz", tmp_path / "animation.npz")
    track = open_recorded(tmp_path).motion
    assert track is not None
    write_edits(tmp_path, [Trim(0.2, 0.5)], track)
    pc2 = exported(tmp_path, tmp_path / "p.pc2").read_bytes()
    count, frames = (struct.unpack_from("<12siiffi", pc2)[number] for number in (2, 5))
    shown = vertices_of(recorded)
    assert (count, frames) == (shown.shape[1], 10)
    read = np.frombuffer(pc2, "<f4", offset=32).reshape(frames, count, 3)
    np.testing.assert_allclose(read, shown[6:16], atol=2e-3 * np.ptp(shown[0]))
    mdd = exported(tmp_path, tmp_path / "p.mdd").read_bytes()
    assert struct.unpack_from(">ii", mdd) == (10, count)
    pytest.importorskip("pxr", reason="needs usd-core: the extra usd")
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(exported(tmp_path, tmp_path / "p.usdc", format="usd-points")))
    points = [UsdGeom.Mesh(prim).GetPointsAttr() for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    assert {attribute.GetNumTimeSamples() for attribute in points} == {10}


def test_a_cut_off_recording_says_what_to_do(recorded: Path, tmp_path: Path) -> None:
    content = (recorded / "animation.npz").read_bytes()
    (tmp_path / "animation.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"is cut off.*vfa session check"):
        exported(tmp_path, tmp_path / "x.glb")


def beyond(number: int) -> FaceMotion:
    """As `motion`, with a jaw that goes below 0 and a smile that goes above 1."""
    share = number / (FRAMES - 1)
    weights = np.zeros(52)
    weights[[JAW, SMILE, LEFT]] = 0.4 * np.cos(np.pi * share), 1.3 * share, -0.2 * share
    return FaceMotion(weights, np.zeros((2, 2)), np.eye(4))


def test_weights_that_players_clip_are_shapes_of_their_own(lowpoly: Avatar, tmp_path: Path) -> None:
    """Blender, Unity and viewers take weights below 0 for 0 and above 1 for 1: what they then show is measured here,
    against the engine."""
    take = recorded_as(lowpoly, tmp_path, beyond)
    shown = np.load(take / "animation.npz")["vertices"]
    size = np.ptp(shown[0], axis=0).max()
    off = {}
    for shapes in ("units", "corrected"):
        glb = Glb(exported(take, tmp_path / f"{shapes}.glb", shapes=shapes))
        (animation,) = glb.json["animations"]
        played = []
        for each in animation["channels"]:
            if each["target"]["path"] != "weights":
                continue
            mesh = glb.json["meshes"][glb.json["nodes"][each["target"]["node"]]["mesh"]]
            names = mesh["extras"]["targetNames"]
            weights = glb.array(animation["samplers"][each["sampler"]]["output"]).reshape(FRAMES, len(names))
            assert weights.min() >= 0
            assert weights.max() <= 1
            assert {"jawOpenNegative", "mouthSmileLeftOver", "mouthLeftNegative"} <= set(names)
            (primitive,) = mesh["primitives"]
            moved = np.stack([glb.array(target["POSITION"]) for target in primitive["targets"]])
            rest = glb.array(primitive["attributes"]["POSITION"])
            played.append(rest + np.einsum("tm,mvi->tvi", weights, moved))
        every = np.concatenate(played, axis=1)
        nearest = [cKDTree(there).query(points)[0].max() for there, points in zip(every, shown, strict=True)]
        off[shapes] = max(nearest) / size
    assert off["corrected"] < 0.004
    assert off["corrected"] < off["units"]


def test_the_command_says_how_far_units_are_off(
    recorded: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    exported(recorded, tmp_path / "u.glb", shapes="units")
    told = " ".join(capfd.readouterr().err.split())
    near, far, worst = (
        float(found)
        for found in re.search(
            r"([\d.]+) mm from what live shows on average, ([\d.]+) mm in 99 of 100 frames, ([\d.]+) mm in the worst",
            told,
        ).groups()  # type: ignore[union-attr]
    )
    assert 0 < near < far <= worst
    exported(recorded, tmp_path / "c.glb", shapes="corrected")
    told = " ".join(capfd.readouterr().err.split())
    assert float(re.search(r"no vertex of any frame more than ([\d.]+) mm", told).group(1)) <= 0.5  # type: ignore[union-attr]
    exported(recorded, tmp_path / "f.glb", shapes="fewest")
    told = " ".join(capfd.readouterr().err.split())
    assert float(re.search(r"no vertex of any frame more than ([\d.]+) mm", told).group(1)) <= 0.1  # type: ignore[union-attr]


def test_a_head_with_shapes_of_its_own_keeps_them_with_tracks(recorded: Path, tmp_path: Path) -> None:
    rig(RigOptions(avatar="lowpoly", out=tmp_path / "own.glb"))
    before = Glb(tmp_path / "own.glb")
    out = tmp_path / "moving.glb"
    export(TakeOptions(take=recorded, out=out, avatar=str(tmp_path / "own.glb"), shapes="units"))
    after = Glb(out)
    names = [mesh["extras"]["targetNames"] for mesh in after.json["meshes"]]
    assert [each[:52] for each in names] == [mesh["extras"]["targetNames"] for mesh in before.json["meshes"]]
    (animation,) = after.json["animations"]
    weights = next(each for each in animation["channels"] if each["target"]["path"] == "weights")
    track = after.array(animation["samplers"][weights["sampler"]]["output"]).reshape(FRAMES, -1)
    assert track[-1, names[0].index("mouthSmileLeft")] == pytest.approx(0.8, abs=1e-5)
    for own, kept in zip(before.json["meshes"], after.json["meshes"], strict=True):
        smile = names[0].index("mouthSmileLeft")
        was, now = (
            glb.array(mesh["primitives"][0]["targets"][smile]["POSITION"])
            for glb, mesh in ((before, own), (after, kept))
        )
        np.testing.assert_allclose(now, was, atol=1e-5)


def test_universal_scene_description(recorded: Path, tmp_path: Path) -> None:
    pxr = pytest.importorskip("pxr", reason="needs usd-core: the extra usd")
    from pxr import Usd, UsdSkel

    assert pxr
    stage = Usd.Stage.Open(str(exported(recorded, tmp_path / "r.usdc", shapes="units")))
    animation = next(UsdSkel.Animation(prim) for prim in stage.Traverse() if prim.IsA(UsdSkel.Animation))
    names = list(animation.GetBlendShapesAttr().Get())
    last = animation.GetBlendShapeWeightsAttr().Get(FRAMES - 1)
    assert last[names.index("mouthSmileLeft")] == pytest.approx(0.8, abs=1e-5)


def test_another_head_plays_the_motion_and_not_the_vertices(recorded: Path, tmp_path: Path) -> None:
    with np.load(recorded / "animation.npz", allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    arrays["vertices"] = arrays["vertices"][:, ::-1]  # as many, of a head that is another
    np.savez(tmp_path / "animation.npz", **arrays)
    glb = Glb(exported(tmp_path, tmp_path / "r.glb"))
    assert set(UNIT_NAMES) <= set(glb.json["meshes"][0]["extras"]["targetNames"])
    with pytest.raises(InputError, match="another head"):
        exported(tmp_path, tmp_path / "f.glb", shapes="fewest")


def test_what_cannot_be_exported_is_told(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        exported(recorded, tmp_path / "there.csv")
    assert (tmp_path / "there.csv").read_text() == "mine"
    with pytest.raises(InputError, match="cannot be written there"):
        exported(recorded, tmp_path / f"{'x' * 300}.csv")
    for out, told in (("x.fbx", r"ends in .*; write a \.glb, which Blender imports"), ("x", "or --format png$")):
        with pytest.raises(InputError, match=told):
            TakeOptions(take=recorded, out=tmp_path / out)
    with pytest.raises(InputError, match=r"\.bvh"):
        TakeOptions(take=recorded, out=tmp_path / "x.csv", format="bvh")
    with pytest.raises(InputError, match=r"no animation\.npz"):
        exported(tmp_path, tmp_path / "x.csv")
    with np.load(recorded / "animation.npz", allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    for name in ("unit_weights", "gaze", "T_neutral_head"):
        del arrays[name]
    np.savez(tmp_path / "animation.npz", **arrays)
    with pytest.raises(InputError, match="holds no units"):
        exported(tmp_path, tmp_path / "x.csv")
    glb = Glb(exported(tmp_path, tmp_path / "x.glb"))
    assert glb.json["animations"], "vertices alone can be exported"
    arrays["T_world_head"][3, 0, 0] = np.nan
    np.savez(tmp_path / "animation.npz", **arrays)
    with pytest.raises(InputError, match="no numbers"):
        exported(tmp_path, tmp_path / "y.glb")


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("T_neutral_head", lambda T: T[3].fill(0), "rigid head poses"),
        ("T_neutral_head", lambda T: np.negative(T[3, 0], out=T[3, 0]), "rigid head poses"),
        ("timestamps_s", lambda times: np.add(times[-1:], 1e9, out=times[-1:]), "trim BEGIN END"),
    ],
)
def test_a_recording_that_no_face_made_is_told(
    recorded: Path, tmp_path: Path, name: str, change: Callable[[np.ndarray], object], told: str
) -> None:
    with np.load(recorded / "animation.npz", allow_pickle=False) as kept:
        arrays = {each: kept[each] for each in kept.files}
    change(arrays[name])
    np.savez(tmp_path / "animation.npz", **arrays)
    for ending in (".bvh", ".pc2"):
        with pytest.raises(InputError, match=told):
            exported(tmp_path, tmp_path / f"x{ending}")
        assert not (tmp_path / f"x{ending}").exists()
