"""Folders of RGBD frames: every way to write one, and every way to get it wrong."""

import json
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from PIL import Image

from capture.open_source import open_source
from capture.recordings.rgbd_folder import RgbdFolder
from core.frame import RgbdFrame
from core.source import SourceError, frames_of

DEPTH_MM = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


def write_color(folder: Path, numbers: list[int], name: str = "color/{}.png", size: tuple[int, int] = (64, 48)) -> None:
    for number in numbers:
        path = folder / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 0, 0)).save(path, quality=100)


def write_depth(folder: Path, numbers: list[int], depth_mm: np.ndarray = DEPTH_MM) -> None:
    (folder / "depth").mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(depth_mm).save(folder / "depth" / f"{number}.png")


def write_exr(path: Path, depth_m: np.ndarray, channel: str = "Z") -> None:
    path.parent.mkdir(exist_ok=True)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {channel: depth_m}) as file:
        file.write(str(path))


def write_camera(folder: Path, **changes: object) -> None:
    camera = {"fx": 60.0, "fy": 61.0, "cx": 30.0, "cy": 22.0, "width": 64, "height": 48, **changes}
    (folder / "camera.json").write_text(json.dumps({key: value for key, value in camera.items() if value is not None}))


def all_frames(device: Path) -> list[RgbdFrame]:
    return list(frames_of(open_source(str(device), realtime=False)))


def test_frames_come_by_number_with_metric_depth(tmp_path: Path) -> None:
    numbers = [0, 1, 2, 9, 10, 100]
    write_color(tmp_path, numbers)
    write_depth(tmp_path, numbers)
    write_camera(tmp_path, fps=10)
    frames = all_frames(tmp_path)
    assert [frame.rgb[0, 0, 0] for frame in frames] == numbers
    assert [frame.index for frame in frames] == list(range(6))
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.arange(6) / 10)
    np.testing.assert_allclose(frames[0].depth_m, DEPTH_MM * 0.001, rtol=1e-6)
    assert (frames[0].intrinsics.fx, frames[0].intrinsics.cy) == (60.0, 22.0)


@pytest.mark.parametrize("name", ["rgb/{}.jpg", "rgb/frame_{:06d}.png", "color/{}.JPG"])
def test_other_names(tmp_path: Path, name: str) -> None:
    write_color(tmp_path, [3, 4], name)
    write_depth(tmp_path, [3, 4])
    assert [round(int(frame.rgb[0, 0, 0])) for frame in all_frames(tmp_path)] == pytest.approx([3, 4], abs=2)


@pytest.mark.parametrize("channel", ["Z", "R", "Y", "depth"])
def test_exr_is_in_metres_and_what_is_no_reading_is_zero(tmp_path: Path, channel: str) -> None:
    depth_m = np.full((48, 64), 0.75, np.float32)
    depth_m[0, :4] = [np.nan, np.inf, -1.0, 1e9]
    write_color(tmp_path, [0])
    write_exr(tmp_path / "depth" / "0.exr", depth_m, channel)
    (frame,) = all_frames(tmp_path)
    np.testing.assert_array_equal(frame.depth_m[0, :4], 0)
    assert frame.depth_m[1, 1] == pytest.approx(0.75)


def test_smaller_depth_of_the_same_view_is_enlarged(tmp_path: Path) -> None:
    write_color(tmp_path, [0])
    depth_mm = np.zeros((24, 32), np.uint16)
    depth_mm[12:, 16:] = 500
    write_depth(tmp_path, [0], depth_mm)
    (frame,) = all_frames(tmp_path)
    assert frame.depth_m.shape == (48, 64)
    assert frame.depth_m[24, 32] == pytest.approx(0.5)
    assert frame.depth_m[23, 31] == 0
    assert set(np.unique(frame.depth_m)) == {np.float32(0), np.float32(0.5)}  # nothing made up in between


def test_without_a_camera_file_one_is_assumed(tmp_path: Path) -> None:
    write_color(tmp_path, [0])
    write_depth(tmp_path, [0])
    (assumed,) = all_frames(tmp_path)
    assert (assumed.intrinsics.cx, assumed.intrinsics.cy) == (32, 24)
    assert next(RgbdFolder(tmp_path, 90.0).frames()).load().intrinsics.fy == pytest.approx(24)


def test_intrinsics_follow_the_size_of_the_picture(tmp_path: Path) -> None:
    write_color(tmp_path, [0])
    write_depth(tmp_path, [0])
    write_camera(tmp_path, width=128, height=96)
    assert all_frames(tmp_path)[0].intrinsics.fx == pytest.approx(30.0)


def fails(folder: Path, *fragments: str) -> None:
    with pytest.raises(SourceError) as error:
        all_frames(folder)
    for fragment in (str(folder), *fragments):
        assert fragment in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_folder(tmp_path: Path) -> None:
    fails(tmp_path, "color/")


def test_no_depth_at_all(tmp_path: Path) -> None:
    write_color(tmp_path, [0, 1])
    fails(tmp_path, "depth", "found none")


def test_depth_missing_for_some(tmp_path: Path) -> None:
    write_color(tmp_path, [0, 1, 2, 3, 4, 5])
    write_depth(tmp_path, [0, 2])
    fails(tmp_path, "missing for 4 of them (1, 3, 4, …)")


def test_two_files_for_one_frame(tmp_path: Path) -> None:
    write_color(tmp_path, [1])
    write_color(tmp_path, [1], "color/{}.jpg")
    fails(tmp_path, "1.jpg and 1.png")


def test_depth_of_another_shape(tmp_path: Path) -> None:
    write_color(tmp_path, [0])
    write_depth(tmp_path, [0], np.zeros((48, 48), np.uint16))
    fails(tmp_path, "64x48", "48x48", "register")


def test_color_that_changes_its_size(tmp_path: Path) -> None:
    write_color(tmp_path, [0])
    write_color(tmp_path, [1], size=(32, 24))
    write_depth(tmp_path, [0, 1])
    fails(tmp_path, "1.png", "32x24")


def test_eight_bit_depth(tmp_path: Path) -> None:
    write_color(tmp_path, [0])
    write_depth(tmp_path, [0], np.zeros((48, 64), np.uint8))
    fails(tmp_path, "16-bit")


@pytest.mark.parametrize("name", ["color/0.png", "depth/0.png", "depth/0.exr"])
@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_unreadable_pictures(tmp_path: Path, name: str, content: bytes) -> None:
    write_color(tmp_path, [0])
    if name != "depth/0.exr":
        write_depth(tmp_path, [0])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    fails(tmp_path, name, "picture")


def test_a_picture_cut_short(tmp_path: Path) -> None:
    write_color(tmp_path, [0, 1])
    write_depth(tmp_path, [0, 1])
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "color" / "1.png")
    path = tmp_path / "color" / "1.png"
    path.write_bytes(path.read_bytes()[:2000])
    fails(tmp_path, "1.png", "picture")


def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    write_color(tmp_path, [0])
    write_depth(tmp_path, [0])
    path = tmp_path / "color" / "0.png"
    content = bytearray(path.read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(bytes(content))
    fails(tmp_path, "0.png")


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"fx": None}, "fx"),
        ({"fx": "wide"}, "wide"),
        ({"fx": -5}, "fx=-5"),
        ({"width": 100}, "100x48"),
        ({"fps": 0}, "fps=0"),
        ({"cx": float("nan")}, "NaN"),
        ({"depth_near_m": 2, "depth_far_m": 1}, "depth_near_m=2"),
    ],
)
def test_wrong_camera_files(tmp_path: Path, changes: dict[str, object], fragment: str) -> None:
    write_color(tmp_path, [0])
    write_depth(tmp_path, [0])
    write_camera(tmp_path, **changes)
    fails(tmp_path, "camera.json", fragment)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "null"])
def test_camera_files_that_are_no_json_object(tmp_path: Path, text: str) -> None:
    write_color(tmp_path, [0])
    write_depth(tmp_path, [0])
    (tmp_path / "camera.json").write_text(text)
    fails(tmp_path, "camera.json")
