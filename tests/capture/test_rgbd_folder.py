"""Folders of RGBD frames: every way to write one, and every way to get it wrong."""

import json
import shutil
from collections.abc import Callable
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


def write_depth_and_noise(folder: Path, numbers: list[int]) -> None:
    """Pictures that do not compress: cut anywhere, something is missing."""
    random = np.random.default_rng(0)
    write_color(folder, numbers)
    for number in numbers:
        Image.fromarray(random.integers(0, 255, (48, 64, 3), np.uint8)).save(folder / "color" / f"{number}.png")
        write_depth(folder, [number], random.integers(500, 900, (48, 64), np.uint16))


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


def test_an_empty_depth_folder(tmp_path: Path) -> None:
    write_color(tmp_path, [0, 1])
    (tmp_path / "depth").mkdir()
    fails(tmp_path, "depth", "found none")


@pytest.mark.parametrize("name", ["color/{}.png", "rgb/shot {}.jpg", "{}.png", "IMG_{:04d}.jpg"])
def test_pictures_without_depth_are_color_only(tmp_path: Path, name: str) -> None:
    write_color(tmp_path, [8, 9, 10], name)
    frames = all_frames(tmp_path)
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == pytest.approx([8, 9, 10], abs=2)
    assert all(frame.depth_m is None for frame in frames)


def test_color_only_pictures_of_another_size_are_fitted_and_stand_upright(tmp_path: Path) -> None:
    write_color(tmp_path, [0], "{}.jpg")
    write_color(tmp_path, [1], "{}.jpg", size=(640, 160))
    sideways = Image.new("RGB", (48, 64), (200, 0, 0))
    exif = sideways.getexif()
    exif[0x0112] = 6  # the camera lay on its side
    sideways.save(tmp_path / "2.jpg", exif=exif)
    frames = all_frames(tmp_path)
    assert [frame.rgb.shape for frame in frames] == [(48, 64, 3)] * 3
    assert frames[2].rgb[..., 0].min() > 190  # turned, it fills the picture


def test_depth_alone_is_not_taken_for_color(tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(DEPTH_MM).save(tmp_path / f"{number}.png")
    fails(tmp_path, "16 bits")


def stamped(folder: Path, names: dict[str, int], at: str = "color") -> None:
    """Pictures by name whose red, or depth in centimetres, tells a number."""
    (folder / at).mkdir(exist_ok=True)
    for name, number in names.items():
        depth_mm = np.full((48, 64), 10 * number, np.uint16)
        picture = Image.fromarray(depth_mm) if at == "depth" else Image.new("RGB", (64, 48), (number, 0, 0))
        picture.save(folder / at / f"{name}.png")


def numbers_of(frames: list[RgbdFrame]) -> list[tuple[int, int]]:
    return [(int(frame.rgb[0, 0, 0]), round(float(frame.depth_m[0, 0]) * 100)) for frame in frames]


TIMES_S = [1305031102.9753, 1305031103.0086, 1305031103.0419, 1305031103.9]  # last digits shuffle them


@pytest.mark.parametrize(
    "spell",
    [
        lambda time_s: f"{time_s:.6f}",
        lambda time_s: f"rgb_{time_s:.4f}_left2",
        lambda time_s: f"{round(time_s * 1e3)}",
        lambda time_s: f"{round(time_s * 1e6)}",
        lambda time_s: f"cam0-{round(time_s * 1e6)}000",
        lambda time_s: f"{time_s - 1305031100:.4f}",
    ],
)
def test_names_that_tell_times_order_pair_and_time_the_frames(tmp_path: Path, spell: Callable[[float], str]) -> None:
    stamped(tmp_path, {spell(time_s): 10 + number for number, time_s in enumerate(TIMES_S)})
    late = {spell(time_s + 0.004): 10 + number for number, time_s in enumerate(TIMES_S)}
    stamped(tmp_path, {**late, spell(TIMES_S[2] + 0.3): 99}, at="depth")
    frames = all_frames(tmp_path)
    assert numbers_of(frames) == [(10, 10), (11, 11), (12, 12), (13, 13)]
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.array(TIMES_S) - TIMES_S[0], atol=2e-3)
    assert open_source(str(tmp_path), realtime=False).fps == pytest.approx(30, abs=2)


def test_a_frame_without_depth_in_time_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stamped(tmp_path, {f"{time_s:.6f}": 10 + number for number, time_s in enumerate(TIMES_S)})
    stamped(tmp_path, {f"{time_s + 0.004:.6f}": 10 + number for number, time_s in enumerate(TIMES_S[:3])}, at="depth")
    assert numbers_of(all_frames(tmp_path)) == [(10, 10), (11, 11), (12, 12)]
    assert "1 of 4 color frames have no depth" in caplog.text


def test_times_that_are_nowhere_near_are_told(tmp_path: Path) -> None:
    stamped(tmp_path, {f"{time_s:.6f}": 1 for time_s in TIMES_S})
    stamped(tmp_path, {f"{time_s + 500:.6f}": 1 for time_s in TIMES_S}, at="depth")
    fails(tmp_path, "no two times are")


@pytest.mark.parametrize(
    ("color", "depth"),
    [
        ("20240501_12{:04d}_{:03d}", "20240501_12{:04d}_{:03d}"),  # date, time, milliseconds
        ("camera1_{:04d}_{:03d}", "camera2_{:04d}_{:03d}"),
        ("take{:d}-shot{:d}", "take{:d}-shot{:d}"),
    ],
)
def test_all_numbers_of_a_name_count(tmp_path: Path, color: str, depth: str) -> None:
    shots = [(5, 900), (6, 100), (6, 800), (10, 200)]
    stamped(tmp_path, {color.format(*shot): 10 + number for number, shot in enumerate(shots)})
    stamped(tmp_path, {depth.format(*shot): 10 + number for number, shot in enumerate(shots)}, at="depth")
    assert numbers_of(all_frames(tmp_path)) == [(10, 10), (11, 11), (12, 12), (13, 13)]


def write_lists(folder: Path, *, depth: bool = True) -> None:
    for at in ("rgb", "depth") if depth else ("rgb",):
        later_s = 0.003 if at == "depth" else 0.0
        names = [f"{time_s + later_s:.6f}" for time_s in TIMES_S]
        stamped(folder, {name: 10 + number for number, name in enumerate(names)}, at=at)
        lines = ["# timestamp filename", *(f"{name} {at}/{name}.png" for name in reversed(names))]
        (folder / f"{at}.txt").write_text("\n".join(lines) + "\n\n")


def test_lists_of_the_tum_benchmark(tmp_path: Path) -> None:
    write_lists(tmp_path)
    frames = all_frames(tmp_path)
    assert numbers_of(frames) == [(10, 2), (11, 2), (12, 2), (13, 3)]  # 5000 are a metre there
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.array(TIMES_S) - TIMES_S[0], atol=1e-5)
    (tmp_path / "depth.txt").unlink()
    shutil.rmtree(tmp_path / "depth")
    assert all(frame.depth_m is None for frame in all_frames(tmp_path))


@pytest.mark.parametrize(
    "line", ["soon rgb/1.png", "nan rgb/1.png", "1.5 ../../etc/passwd", "1.5 /etc/shadow.png", "1.5"]
)
def test_lists_that_lead_nowhere_are_told_by_line(tmp_path: Path, line: str) -> None:
    write_lists(tmp_path)
    (tmp_path / "rgb.txt").write_text(f"# times\n{line}\n")
    fails(tmp_path, "rgb.txt", "line 2")


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


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_picture_of_another_size_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    write_color(tmp_path, [0, 1, 2])
    write_color(tmp_path, [number], size=(32, 24))
    write_depth(tmp_path, [0, 1, 2])
    assert [frame.index for frame in all_frames(tmp_path)] == [index for index in range(3) if index != number]
    assert f"{number}.png" in caplog.text
    assert "32x24" in caplog.text


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


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("folder", ["color", "depth"])
@pytest.mark.parametrize("kept", [0, 0.6])
def test_a_picture_cut_short_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, folder: str, kept: float
) -> None:
    write_depth_and_noise(tmp_path, [0, 1, 2])
    path = tmp_path / folder / f"{number}.png"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert [frame.index for frame in all_frames(tmp_path)] == [index for index in range(3) if index != number]
    assert f"{number}.png" in caplog.text
    assert "left out" in caplog.text


def test_only_damaged_pictures(tmp_path: Path) -> None:
    write_depth_and_noise(tmp_path, [0, 1])
    for number in (0, 1):
        (tmp_path / "color" / f"{number}.png").write_bytes(b"")
    fails(tmp_path, "0.png", "picture")


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
