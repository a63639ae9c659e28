"""Azure Kinect: options, calibration, recordings. Live cameras and the vendor's library: test_kinect_library.py."""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from capture.cameras.device import DamagedPictureError
from capture.cameras.kinect import KinectOptions, kinect_source
from capture.cameras.kinect_calibration import parse_calibration
from capture.cameras.kinect_picture import KinectDecoder, KinectPicture
from capture.open_source import open_source
from capture.recordings.kinect_file import KinectClip, is_kinect_recording
from core.errors import InputError
from core.source import SourceError, frames_of
from tests.fakes.native_kinect import calibration_json


def test_options_are_read_and_checked() -> None:
    options = KinectOptions.parse("color=1080p&format=bgra&depth=wfov_2x2binned&fps=15&exposure_us=8000&sync=MASTER")
    assert options == KinectOptions("1080P", "BGRA", "WFOV_2X2BINNED", 15, 8000, 0, "master", 0)
    assert KinectOptions.parse("") == KinectOptions()
    for wrong in ("color=4k", "colour=720P", "fps=fast", "fps=29", "color=3072P", "exposure_us=999999999", "sync="):
        with pytest.raises(InputError, match="kinect"):
            KinectOptions.parse(wrong)


def test_without_the_library_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyk4a", None)
    with pytest.raises(InputError, match=r"-m pip install .*\[kinect\]"):
        kinect_source()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-40],
        lambda text: "[]",
        lambda text: text.replace("PurposeDepth", "PurposeElse"),
        lambda text: text.replace("0.49", "NaN"),
        lambda text: text.replace("0.49", "1e999"),
        lambda text: text.replace('"Rotation": [1,', '"Rotation": [3,'),
        lambda text: text.replace('"Rotation": [1, 0,', '"Rotation": ['),
    ],
)
def test_a_calibration_that_is_none_is_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    text = spoil(calibration_json().rstrip("\0"))
    with pytest.raises(InputError, match=r"^it\.mkv: expected the factory calibration"):
        parse_calibration(text, "NFOV_UNBINNED", "720P", name="it.mkv")


def test_the_real_recording_plays_without_the_library(shared_data: Path) -> None:
    path = shared_data / "rgbd/pyk4a_recording.mkv"
    assert is_kinect_recording(path)
    assert KinectClip(path).fps == 5
    source = open_source(str(path), realtime=False)
    source.open()
    frame = source.read(1.0)
    assert frame is not None
    assert source.frame_count == 1
    assert frame.rgb.shape == (720, 1280, 3)
    assert frame.depth_m is not None
    assert 0.4 < (frame.depth_m > 0).mean() < 0.7
    assert frame.intrinsics.fx == pytest.approx(611.8, abs=0.1)
    with pytest.raises(EOFError):
        source.read(1.0)
    source.close()


@pytest.mark.parametrize("kept", [0, 100, 4000, 100_000, 1_000_000])
def test_a_recording_cut_short_is_one_line_or_what_is_left(shared_data: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.mkv"
    path.write_bytes((shared_data / "rgbd/pyk4a_recording.mkv").read_bytes()[:kept])
    with pytest.raises((SourceError, EOFError)) as told:
        source = open_source(str(path), realtime=False)
        source.open()
        while True:
            source.read(1.0)
    assert "\n" not in str(told.value)


def test_a_video_of_another_kind_is_told_apart(shared_data: Path) -> None:
    with pytest.raises(SourceError, match="expected color and depth of an Azure Kinect"):
        KinectClip(shared_data / "video/head_turns.mp4")


def test_a_recording_without_calibration_says_how_to_attach_it(shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.mkv"
    whole = (shared_data / "rgbd/pyk4a_recording.mkv").read_bytes()
    path.write_bytes(whole.replace(b"K4A_CALIBRATION_FILE", b"X" * 20).replace(b"calibration.json", b"x" * 16))
    with pytest.raises(SourceError, match="--add-attachment"):
        KinectClip(path)


def _picture(color: np.ndarray) -> KinectPicture:
    return KinectPicture(color, np.full((576, 640), 500, np.uint16), 1.0)


def test_color_comes_as_jpeg_or_raw_and_damage_is_noticed() -> None:
    decode = KinectDecoder(parse_calibration(calibration_json(), "NFOV_UNBINNED", "720P", name="it"))
    rgb = np.zeros((720, 1280, 3), np.uint8)
    rgb[:, :640] = (200, 100, 50)
    jpeg = cv2.imencode(".jpg", rgb[..., ::-1])[1].ravel()
    for color in (jpeg, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA), np.concatenate([jpeg, np.zeros(500, np.uint8)])):
        seen, depth_m = decode(_picture(color))
        assert np.abs(seen[300:400, 100:500].astype(int) - (200, 100, 50)).max() < 5
        assert np.median(depth_m[depth_m > 0]) == pytest.approx(0.5, abs=2e-4)
    for color in (jpeg[: len(jpeg) // 2], jpeg[:10], np.zeros(5000, np.uint8), np.zeros((480, 640, 4), np.uint8)):
        with pytest.raises(DamagedPictureError):
            decode(_picture(color))
    with pytest.raises(DamagedPictureError):
        decode(KinectPicture(jpeg, np.zeros((288, 320), np.uint16), 1.0))


def test_the_calibration_text_is_json_with_a_trailing_nul() -> None:
    assert json.loads(calibration_json().rstrip("\0"))
    parse_calibration(calibration_json(), "NFOV_2X2BINNED", "2160P", name="it")
    with pytest.raises(InputError, match="record with both cameras on"):
        parse_calibration(calibration_json(), "PASSIVE_IR", "720P", name="it")


def write_recording(
    path: Path,
    jpegs: list[np.ndarray],
    *,
    color: str = "mjpeg",
    depth: str = "rawvideo",
    color_size: tuple[int, int] = (1280, 720),
    calibration: str | None = None,
) -> Path:
    """As the camera's recorder does, or with tracks encoded anew; depth is 500 mm, and 10 more in each frame."""
    with av.open(str(path), "w", options={"allow_raw_vfw": "1"}) as container:
        tracks = (
            (color, color_size, "yuvj420p" if color == "mjpeg" else "yuv420p", "K4A_COLOR_MODE", "MJPG_720P"),
            (depth, (640, 576), "gray16be" if depth == "rawvideo" else "gray16le", "K4A_DEPTH_MODE", "NFOV_UNBINNED"),
        )
        streams = []
        for codec, size, pixels, key, mode in tracks:
            stream = container.add_stream(codec, rate=30)
            stream.width, stream.height = size
            stream.pix_fmt = pixels
            stream.metadata[key] = mode
            streams.append(stream)
        text = (calibration or calibration_json()).encode()
        container.add_attachment("calibration.json", "application/octet-stream", text)
        for number, jpeg in enumerate(jpegs):
            rgb = cv2.resize(cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB), color_size)
            mm = np.full((576, 640), 500 + 10 * number, np.uint16)
            for stream, array, kind in ((streams[0], rgb, "rgb24"), (streams[1], mm, "gray16le")):
                frame = av.VideoFrame.from_ndarray(array, format=kind)
                frame.pts, frame.time_base = number, Fraction(1, 30)
                container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def shades(count: int = 12) -> list[np.ndarray]:
    """JPEGs of 720p, each of one brightness that tells its number: 15·n."""
    return [cv2.imencode(".jpg", np.full((720, 1280, 3), 15 * n, np.uint8))[1].ravel() for n in range(count)]


@pytest.mark.parametrize(
    ("color", "depth", "color_size"),
    [
        ("mjpeg", "rawvideo", (1280, 720)),
        ("libx264", "rawvideo", (1280, 720)),  # with frames that are stored out of order
        ("libx264", "ffv1", (640, 360)),
        ("mpeg4", "rawvideo", (1280, 720)),
    ],
)
def test_a_made_up_recording_plays_also_when_it_was_encoded_anew(
    tmp_path: Path, color: str, depth: str, color_size: tuple[int, int]
) -> None:
    path = write_recording(tmp_path / "k.mkv", shades(), color=color, depth=depth, color_size=color_size)
    frames = list(frames_of(open_source(str(path), realtime=False)))
    assert len(frames) == 12
    for number, frame in enumerate(frames):
        assert frame.rgb.shape == (720, 1280, 3)
        assert frame.rgb.mean() == pytest.approx(15 * number, abs=4)
        assert frame.depth_m is not None
        assert np.median(frame.depth_m[frame.depth_m > 0]) == pytest.approx(0.5 + 0.01 * number, abs=2e-3)
        assert frame.timestamp_s == pytest.approx(number / 30, abs=2e-3)


@pytest.mark.parametrize("kept", [0, 100, 4000, 0.5, 0.9])
def test_a_made_up_recording_cut_short_is_one_line_or_what_is_left(tmp_path: Path, kept: float) -> None:
    whole = write_recording(tmp_path / "k.mkv", shades(4)).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else int(kept)])
    read = 0
    with pytest.raises((SourceError, EOFError)) as told:
        source = open_source(str(path), realtime=False)
        source.open()
        while True:
            read += source.read(1.0) is not None
    assert "\n" not in str(told.value)
    assert read < 4
    assert (read > 0) == (kept in (0.5, 0.9))


def test_made_up_videos_without_what_a_kinect_gives_are_told_apart(tmp_path: Path) -> None:
    whole = write_recording(tmp_path / "k.mkv", shades(2)).read_bytes()
    (tmp_path / "bare.mkv").write_bytes(whole.replace(b"calibration.json", b"x" * 16))
    with pytest.raises(SourceError, match="--add-attachment"):
        KinectClip(tmp_path / "bare.mkv")
    with av.open(str(tmp_path / "plain.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="expected color and depth of an Azure Kinect"):
        KinectClip(tmp_path / "plain.mp4")


def test_cameras_at_one_place_are_taken(tmp_path: Path) -> None:
    text = calibration_json().replace("-0.032", "0.0")
    path = write_recording(tmp_path / "k.mkv", shades(2), calibration=text)
    frames = list(frames_of(open_source(str(path), realtime=False)))
    assert len(frames) == 2
    assert frames[0].depth_m is not None
    assert frames[0].depth_m[360, 640] == pytest.approx(0.5, abs=2e-3)


def test_depth_that_lost_its_bits_is_refused(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "k.mkv", shades(2))
    other = tmp_path / "lossy.mkv"
    with av.open(str(path)) as source, av.open(str(other), "w") as container:
        kept = container.add_stream_from_template(source.streams.video[0])
        kept.metadata["K4A_COLOR_MODE"] = "MJPG_720P"
        lossy = container.add_stream("libx264", rate=30)
        lossy.width, lossy.height, lossy.pix_fmt = 640, 576, "yuv420p"
        lossy.metadata["K4A_DEPTH_MODE"] = "NFOV_UNBINNED"
        container.add_attachment("calibration.json", "application/octet-stream", calibration_json().encode())
        container.mux(lossy.encode(av.VideoFrame.from_ndarray(np.zeros((576, 640, 3), np.uint8), format="rgb24")))
        container.mux(lossy.encode(None))
    with pytest.raises(SourceError, match="keeps no distances"):
        open_source(str(other), realtime=False)
