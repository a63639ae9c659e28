"""Video recordings with depth: the published pair and side by side; and which is which."""

import colorsys
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from capture.open_source import open_source
from capture.recordings.playback import RecordedSource
from capture.recordings.recorded import ColorClip, PairClip, find_pair
from capture.recordings.side_by_side import SideBySideClip, depth_from_hue, side_by_side_coding
from core.frame import RgbdFrame
from core.source import SourceError, frames_of
from tests.fakes.rendered_face import RenderedFace

WriteVideo = Callable[..., Path]
Depth = NDArray[np.uint16]


def write_pair(
    write_video: WriteVideo, folder: Path, depth: list[Depth], color_count: int | None = None, name: str = "X"
) -> Path:
    color = [np.full((*depth[0].shape, 3), 4 * number, np.uint8) for number in range(color_count or len(depth))]
    write_video(folder / "color" / f"{name}.mp4", color)
    write_video(folder / "depth" / f"{name}.nut", depth, codec="ffv1", pixel_format="gray16le")
    return folder


def millimetres(count: int) -> list[Depth]:
    return [np.full((48, 64), 500 + 10 * number, np.uint16) for number in range(count)]


def scaled(count: int) -> list[Depth]:
    """1…65535 over a ramp, background 0."""
    ramp = np.linspace(1, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    ramp[:, :8] = 0
    return [ramp] * count


def all_frames(device: Path) -> list[RgbdFrame]:
    return list(frames_of(open_source(str(device), realtime=False)))


def test_millimetres_are_taken_as_such(write_video: WriteVideo, tmp_path: Path) -> None:
    frames = all_frames(write_pair(write_video, tmp_path, millimetres(6)))
    assert [round(float(frame.depth_m[5, 5]), 3) for frame in frames] == [0.5, 0.51, 0.52, 0.53, 0.54, 0.55]
    assert [round(float(frame.rgb.mean()) / 4) for frame in frames] == list(range(6))


def test_any_part_of_the_pair_names_it(write_video: WriteVideo, tmp_path: Path) -> None:
    write_pair(write_video, tmp_path, millimetres(3))
    color, depth = tmp_path / "color" / "X.mp4", tmp_path / "depth" / "X.nut"
    for device in (tmp_path, color, depth):
        assert find_pair(device) == (color, depth)
        assert all_frames(device)[0].depth_m is not None


def test_scaled_depth_uses_the_range_of_the_camera_file(write_video: WriteVideo, tmp_path: Path) -> None:
    camera = {"fx": 60, "fy": 60, "cx": 32, "cy": 24, "width": 64, "height": 48}
    (tmp_path / "camera.json").write_text(json.dumps({**camera, "depth_near_m": 0.3, "depth_far_m": 0.5}))
    frame = all_frames(write_pair(write_video, tmp_path, scaled(3)))[0]
    assert frame.intrinsics.fx == 60
    assert (frame.depth_m[:, :8] == 0).all()
    assert frame.depth_m[24, 32] == pytest.approx(0.4, abs=0.005)
    assert frame.depth_m[-1, -1] == 0  # what was clipped at the far end is no reading
    readings = frame.depth_m[frame.depth_m > 0]
    assert 0.3 <= readings.min() < readings.max() <= 0.5


def test_scaled_depth_without_a_face_says_what_it_assumes(
    write_video: WriteVideo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = all_frames(write_pair(write_video, tmp_path, scaled(3)))[0]
    assert "no face tells the scale" in caplog.text
    readings = frame.depth_m[frame.depth_m > 0]
    assert 0.2 < readings.min() < readings.max() < 0.8


def test_the_shorter_of_the_two_sets_the_end(
    write_video: WriteVideo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(all_frames(write_pair(write_video, tmp_path, millimetres(4), color_count=9))) == 4
    assert "9 color frames, but" in caplog.text


def test_a_frame_missing_on_one_side_does_not_shift_the_rest(write_video: WriteVideo, tmp_path: Path) -> None:
    write_pair(write_video, tmp_path, millimetres(6))
    kept = [0, 1, 3, 4, 5]
    write_video(
        tmp_path / "depth" / "X.nut",
        [millimetres(6)[number] for number in kept],
        codec="ffv1",
        pixel_format="gray16le",
        times_s=[number / 30 for number in kept],
    )
    frames = all_frames(tmp_path)
    assert [frame.index for frame in frames] == kept
    assert [round(float(frame.depth_m[5, 5]), 3) for frame in frames] == [0.5, 0.51, 0.53, 0.54, 0.55]


def test_depth_of_another_shape(write_video: WriteVideo, tmp_path: Path) -> None:
    write_pair(write_video, tmp_path, millimetres(3))
    write_video(tmp_path / "depth" / "X.nut", [np.ones((48, 48), np.uint16)], codec="ffv1", pixel_format="gray16le")
    with pytest.raises(SourceError, match="48x48"):
        open_source(str(tmp_path), realtime=False)


def test_eight_bit_depth(write_video: WriteVideo, tmp_path: Path) -> None:
    write_pair(write_video, tmp_path, millimetres(3))
    (tmp_path / "depth" / "X.nut").unlink()
    write_video(tmp_path / "depth" / "X.mkv", [np.zeros((48, 64, 3), np.uint8)])
    with pytest.raises(SourceError, match="expected 16-bit gray depth"):
        open_source(str(tmp_path), realtime=False)


def test_missing_or_ambiguous_halves(write_video: WriteVideo, tmp_path: Path) -> None:
    write_pair(write_video, tmp_path / "two", millimetres(2), name="A")
    write_pair(write_video, tmp_path / "two", millimetres(2), name="B")
    with pytest.raises(SourceError, match=r"found 2 \(A\.mp4, B\.mp4"):
        open_source(str(tmp_path / "two"), realtime=False)
    write_pair(write_video, tmp_path / "half", millimetres(2))
    (tmp_path / "half" / "depth" / "X.nut").unlink()
    with pytest.raises(SourceError, match="expected a depth video"):
        open_source(str(tmp_path / "half"), realtime=False)
    write_pair(write_video, tmp_path / "other", millimetres(2))
    (tmp_path / "other" / "color" / "X.mp4").unlink()
    with pytest.raises(SourceError, match="expected a video of the same name"):
        open_source(str(tmp_path / "other" / "depth" / "X.nut"), realtime=False)


def natural(width: int = 64) -> NDArray[np.uint8]:
    """A colourful picture, [48, width, 3]."""
    rows, columns = np.mgrid[:48, :width]
    return np.stack([90 + columns, 60 + rows, np.full_like(rows, 40)], axis=2).astype(np.uint8)


def hue_coded(depth_m: NDArray[np.float64]) -> NDArray[np.uint8]:
    """[H, W, 3] as Record3D writes it; black where depth is 0."""
    rgb = [[colorsys.hsv_to_rgb(value / 3.0, 1, 1) if value else (0, 0, 0) for value in row] for row in depth_m]
    return np.rint(np.array(rgb) * 255).astype(np.uint8)


def test_hue_is_inverted() -> None:
    depth_m = np.tile(np.linspace(0.2, 2.5, 400), (4, 1))
    np.testing.assert_allclose(depth_from_hue(hue_coded(depth_m)), depth_m, atol=0.002)


def test_hue_blended_at_an_edge_is_no_reading() -> None:
    depth_m = np.full((9, 20), 0.4)
    depth_m[:, 10:] = 1.2
    rgb = hue_coded(depth_m).astype(np.float32)
    rgb[:, 10] = (rgb[:, 9] + rgb[:, 11]) / 2
    found = depth_from_hue(rgb.astype(np.uint8))
    assert (found[:, 9:12] == 0).all()
    assert set(np.round(np.unique(found), 2)) == {0, np.float32(0.4), np.float32(1.2)}


def test_a_hue_coded_video_is_recognised_and_read(write_video: WriteVideo, tmp_path: Path) -> None:
    depth_m = np.full((48, 64), 0.45)
    depth_m[:, :20] = 0
    picture = np.concatenate([hue_coded(depth_m), natural()], axis=1)
    device = write_video(tmp_path / "v.mp4", [picture] * 3)
    frame = all_frames(device)[0]
    assert frame.rgb.shape == (48, 64, 3)
    np.testing.assert_allclose(frame.rgb, natural(), atol=12)
    assert np.median(frame.depth_m[:, 24:]) == pytest.approx(0.45, abs=0.02)
    assert (frame.depth_m[:, :18] == 0).all()
    assert frame.intrinsics.width == 64


def test_a_gray_coded_video_is_recognised_and_read(write_video: WriteVideo, tmp_path: Path) -> None:
    camera = {"fx": 60, "fy": 60, "cx": 32, "cy": 24, "width": 64, "height": 48}
    (tmp_path / "camera.json").write_text(json.dumps({**camera, "depth_near_m": 0.3, "depth_far_m": 0.5}))
    gray = np.full((48, 64, 3), 128, np.uint8)
    gray[:, :16] = 0
    device = write_video(tmp_path / "v.mp4", [np.concatenate([gray, natural()], axis=1)] * 3)
    frame = all_frames(device)[0]
    assert np.median(frame.depth_m[:, 20:]) == pytest.approx(0.4, abs=0.003)
    assert (frame.depth_m[:, :14] == 0).all()


@pytest.mark.parametrize("name", ["expressive_woman", "head_turns", "glasses_beard", "vfa_demo_driving_color"])
def test_real_color_only_videos_are_not_mistaken(shared_data: Path, name: str) -> None:
    source = open_source(str(shared_data / "video" / f"{name}.mp4"), realtime=False)
    source.open()
    frame = source.read(1.0)
    source.close()
    assert frame is not None
    assert frame.depth_m is None


def test_ordinary_pictures_have_no_depth_in_them() -> None:
    gray = np.full((48, 64, 3), 100, np.uint8)
    assert side_by_side_coding(natural(128)) is None
    assert side_by_side_coding(np.concatenate([gray, gray], axis=1)) is None  # black and white
    assert side_by_side_coding(np.zeros((48, 128, 3), np.uint8)) is None
    assert side_by_side_coding(natural(127)) is None


def test_clips_tell_what_they_hold_before_they_are_opened(write_video: WriteVideo, tmp_path: Path) -> None:
    color = ColorClip(write_video(tmp_path / "v.mp4", [natural()] * 7))
    assert (color.frame_count, color.fps) == (7, 30.0)
    write_pair(write_video, tmp_path, millimetres(5))
    assert PairClip(tmp_path / "color" / "X.mp4", tmp_path / "depth" / "X.nut").frame_count == 5
    assert SideBySideClip(write_video(tmp_path / "w.mp4", [natural(128)] * 2), "gray").frame_count == 2


def test_playing_twice_gives_the_same(write_video: WriteVideo, tmp_path: Path) -> None:
    source = RecordedSource(ColorClip(write_video(tmp_path / "v.mp4", [natural()] * 3)), realtime=False)
    runs = []
    for _ in range(2):
        source.open()
        runs.append([source.read(1.0).timestamp_s for _ in range(3)])  # type: ignore[union-attr]
        source.close()
    assert runs[0] == runs[1]


def beside(left: NDArray[np.uint8], driver: RenderedFace) -> list[NDArray[np.uint8]]:
    return [np.concatenate([left, driver.rgb], axis=1)] * 25


def wall(level: tuple[float, float] = (200, 200)) -> NDArray[np.uint8]:
    """A gray wall with a dark door in it, evenly lit from one level on the left to the other."""
    row = np.linspace(*level, 640)
    gray = np.repeat(np.tile(row, (480, 1))[..., None], 3, axis=2).astype(np.uint8)
    gray[300:, 40:120] = 0
    return gray


@pytest.mark.parametrize("level", [(200, 200), (90, 220)])
def test_a_gray_wall_beside_the_driver_is_no_depth(
    write_video: WriteVideo, tmp_path: Path, driver: RenderedFace, level: tuple[float, float]
) -> None:
    device = write_video(tmp_path / "v.mp4", beside(wall(level), driver))
    frame = all_frames(device)[0]
    assert frame.depth_m is None
    assert frame.rgb.shape == (480, 1280, 3)
    halved = next(frames_of(open_source(str(device), realtime=False, layout="depth-color")))
    assert halved.depth_m is not None
    assert halved.rgb.shape == (480, 640, 3)


def test_gray_depth_of_the_driver_is_recognised_by_the_face(
    write_video: WriteVideo, tmp_path: Path, driver: RenderedFace
) -> None:
    """Also where the wall behind it has readings, so that nothing is black."""
    depth = np.clip(20 + (driver.depth_m - 0.4) * 700, 20, 250).astype(np.uint8)
    device = write_video(tmp_path / "v.mp4", beside(np.repeat(depth[..., None], 3, axis=2), driver))
    frame = all_frames(device)[0]
    assert frame.depth_m is not None
    assert frame.rgb.shape == (480, 640, 3)
    whole = next(frames_of(open_source(str(device), realtime=False, layout="color")))
    assert whole.depth_m is None
    assert whole.rgb.shape == (480, 1280, 3)


def test_one_odd_frame_does_not_decide(write_video: WriteVideo, tmp_path: Path) -> None:
    depth = hue_coded(np.full((48, 64), 0.45))
    coded = np.concatenate([depth, natural()], axis=1)
    plain = natural(128)
    dark_first = write_video(tmp_path / "dark.mp4", [np.zeros_like(coded)] * 12 + [coded] * 60)
    assert all_frames(dark_first)[0].depth_m is not None
    flash_first = write_video(tmp_path / "flash.mp4", [coded] * 3 + [plain] * 60)
    assert all_frames(flash_first)[0].depth_m is None
