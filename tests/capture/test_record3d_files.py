"""Record3D's recordings: `.r3d` archives, exported folders and videos; a real TrueDepth face through them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import liblzfse
import numpy as np
import OpenEXR
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.face.face_tracker import FaceTracker
from capture.open_source import open_source
from capture.recordings.playback import RecordedSource
from capture.recordings.r3d_archive import R3dClip, unpacked_size
from core.errors import InputError
from core.source import SourceError, frames_of
from tests.capture.conftest import VideoWriter

FOCAL_OF_FRONT_CAMERA = 30 / 43.27  # of the picture's diagonal: the 30 mm that the file states for a 35 mm film
Archive = Callable[..., Path]


def metadata(width: int, height: int, depth_size: tuple[int, int], **more: object) -> dict[str, object]:
    matrix = [1.1 * width, 0, 0, 0, 1.2 * width, 0, width / 2 + 1, height / 2 - 1, 1]
    return {"w": width, "h": height, "dw": depth_size[0], "dh": depth_size[1], "fps": 60, "K": matrix, **more}


def write_archive(path: Path, rgb: np.ndarray, depth_m: np.ndarray, text: dict[str, object], frames: int = 3) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata", json.dumps(text))
        archive.writestr("icon", b"not ours")
        for number in range(frames):
            jpeg = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            archive.writestr(f"rgbd/{number}.jpg", jpeg.tobytes())
            archive.writestr(f"rgbd/{number}.depth", liblzfse.compress(depth_m.astype("<f4").tobytes()))
            confidence = np.full(depth_m.shape, number % 3, np.uint8)
            archive.writestr(f"rgbd/{number}.conf", liblzfse.compress(confidence.tobytes()))
    return path


def packed_zeros(megabytes: int) -> bytes:
    """So many million zeros, packed; one block again and again, since packing them whole takes seconds."""
    one = liblzfse.compress(bytes(1_000_000))
    end = b"bvx$"
    assert one.endswith(end)
    return one.removesuffix(end) * megabytes + end


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    rgb = np.zeros((96, 72, 3), np.uint8)
    rgb[:48] = (200, 100, 50)
    depth = np.full((32, 24), 0.6, np.float32)
    depth[:, 12:] = 0.9
    return write_archive(tmp_path / "it.r3d", rgb, depth, metadata(72, 96, (24, 32)))


def test_an_archive_plays(archive: Path) -> None:
    source = open_source(str(archive), realtime=False)
    source.open()
    frames = [source.read(1.0) for _ in range(3)]
    with pytest.raises(EOFError):
        source.read(1.0)
    assert source.sound is None, "nothing to be looked for in vain"
    source.close()
    assert source.frame_count == 3
    assert [frame.timestamp_s for frame in frames if frame] == pytest.approx([0, 1 / 60, 2 / 60])
    frame = frames[2]
    assert frame is not None
    assert frame.depth_m is not None
    assert np.abs(frame.rgb[:40].astype(int) - (200, 100, 50)).max() < 6
    np.testing.assert_allclose(frame.depth_m[:, :36], 0.6)
    np.testing.assert_allclose(frame.depth_m[:, 36:], 0.9)
    assert (frame.intrinsics.fx, frame.intrinsics.cx, frame.intrinsics.cy) == pytest.approx((79.2, 37, 47))
    assert frames[0] is not None
    assert frames[0].depth_m is not None
    assert not frames[0].depth_m.any()  # confidence 0


def test_times_and_cameras_of_each_frame_are_used_and_pictures_turned(archive: Path, tmp_path: Path) -> None:
    text = metadata(
        72,
        96,
        (24, 32),
        frameTimestamps=[5.0, 5.1, 5.5],
        perFrameIntrinsicCoeffs=[[70 + n, 71, 36, 48] for n in range(3)],
    )
    path = write_archive(tmp_path / "more.r3d", np.zeros((96, 72, 3), np.uint8), np.ones((32, 24), np.float32), text)
    clip = R3dClip(path, rotation=90)
    assert [frame.time_s for frame in clip.frames()] == pytest.approx([0, 0.1, 0.5])
    picture = next(frame.load() for frame in clip.frames() if frame.index == 1)
    assert picture.rgb.shape == (72, 96, 3)
    assert (picture.intrinsics.fy, picture.intrinsics.cx) == (71, 96 - 48)


@pytest.mark.parametrize("empty", [b"", liblzfse.compress(b"") or b"", b"bvx$"])
def test_an_empty_confidence_is_none(archive: Path, tmp_path: Path, empty: bytes) -> None:
    other = tmp_path / "other.r3d"
    with zipfile.ZipFile(archive) as good, zipfile.ZipFile(other, "w") as bare:
        for entry in good.namelist():
            bare.writestr(entry, empty if entry.endswith(".conf") else good.read(entry))
    pictures = [frame.load() for frame in R3dClip(other).frames()]
    assert len(pictures) == 3
    for picture in pictures:
        assert picture.depth_m is not None
        assert set(np.unique(picture.depth_m)) == {np.float32(0.6), np.float32(0.9)}


def test_an_archive_is_known_by_its_content(archive: Path, tmp_path: Path) -> None:
    renamed = archive.rename(tmp_path / "it.zip")
    assert len(list(frames_of(open_source(str(renamed), realtime=False)))) == 3
    with zipfile.ZipFile(tmp_path / "frames.zip", "w") as other:
        other.writestr("color/0.png", b"")
    with pytest.raises(SourceError, match="ZIP archive, but not Record3D's"):
        open_source(str(tmp_path / "frames.zip"), realtime=False)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("metadata", b"{", "metadata lacks"),
        ("metadata", b"[]", "metadata lacks"),
        ("metadata", json.dumps(metadata(1 << 30, 96, (24, 32))).encode(), "metadata lacks"),
        ("rgbd/1.jpg", b"\xff\xd8no", "expected a picture"),
        ("rgbd/1.depth", b"bvx2" + b"\xff" * 40, "holds"),
        ("rgbd/1.depth", b"", "holds"),
        ("rgbd/1.depth", packed_zeros(100), "holds"),
        ("rgbd/1.conf", liblzfse.compress(bytes(24 * 32))[:20], "holds"),
    ],
)
def test_damaged_archives_are_told_in_one_line(
    archive: Path, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    spoilt = tmp_path / "spoilt.r3d"
    with zipfile.ZipFile(archive) as good, zipfile.ZipFile(spoilt, "w") as bad:
        for entry in good.namelist():
            bad.writestr(entry, content if entry == name else good.read(entry))
    with pytest.raises(SourceError, match=says) as told:
        for frame in R3dClip(spoilt).frames():
            frame.load()
    assert "\n" not in str(told.value)
    assert str(spoilt) in str(told.value)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.r3d"
    path.write_text("hello")
    with pytest.raises(InputError, match=r"expected a ZIP archive .*; export it from Record3D again"):
        open_source(str(path), realtime=False)
    with zipfile.ZipFile(path, "w") as empty:
        empty.writestr("metadata", json.dumps(metadata(72, 96, (24, 32))))
    with pytest.raises(InputError, match=r"found no such pair"):
        open_source(str(path), realtime=False)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=0, max_size=5000), st.integers(1, 40))
def test_the_size_is_known_before_unpacking(data: bytes, times: int) -> None:
    whole = data * times
    assert unpacked_size(liblzfse.compress(whole)) == len(whole)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_the_size_of_garbage_is_zero_or_a_number(data: bytes) -> None:
    assert unpacked_size(data) >= 0
    assert unpacked_size(b"bvx2" + data) >= 0


def test_an_exported_folder_plays(tmp_path: Path) -> None:
    (tmp_path / "rgb").mkdir()
    (tmp_path / "depth").mkdir()
    (tmp_path / "metadata.json").write_text(json.dumps(metadata(72, 96, (24, 32))))
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"rgb/{number}.jpg"), np.full((96, 72, 3), 90, np.uint8))
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        depth = np.full((32, 24), 0.5, np.float32)
        with OpenEXR.File(header, {"R": depth}) as file:
            file.write(str(tmp_path / f"depth/{number}.exr"))
    source = open_source(str(tmp_path), realtime=False)
    source.open()
    frame = source.read(1.0)
    source.close()
    assert frame is not None
    assert frame.depth_m is not None
    assert source.fps == 60
    assert frame.intrinsics.cx == pytest.approx(37)
    assert np.median(frame.depth_m) == pytest.approx(0.5)
    (tmp_path / "metadata.json").write_text('{"w": 72}')
    with pytest.raises(InputError, match=r"metadata\.json: expected what Record3D writes"):
        open_source(str(tmp_path), realtime=False)


def test_an_exported_video_brings_its_camera_and_range(tmp_path: Path, write_video: VideoWriter) -> None:
    hue = np.zeros((96, 72, 3), np.uint8)
    hue[..., 0] = 60  # a third of the circle: of 0.2 to 1.4 m that is 0.6 m
    hue[..., 1:] = 255
    left = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)
    right = np.random.default_rng(0).integers(0, 255, (96, 72, 3), np.uint8)
    path = write_video(tmp_path / "it.mp4", [np.hstack([left, right])] * 3)
    text = {"intrinsicMatrix": [80, 0, 0, 0, 81, 0, 35, 47, 1], "rangeOfEncodedDepth": [0.2, 1.4]}
    path.write_bytes(path.read_bytes() + json.dumps(text, separators=(",", ":")).encode() + b"\0")
    source = open_source(str(path), realtime=False)
    source.open()
    frame = source.read(1.0)
    source.close()
    assert frame is not None
    assert frame.depth_m is not None
    assert (frame.intrinsics.fx, frame.intrinsics.cx) == (80, 35)
    assert np.median(frame.depth_m[frame.depth_m > 0]) == pytest.approx(0.6, abs=0.01)


def test_a_real_truedepth_face_has_its_size(shared_data: Path, tmp_path: Path) -> None:
    photo = pillow_heif.open_heif(shared_data / "rgbd/fidmaa_heic_face_data.heic")
    rgb = np.asarray(photo.to_pillow().convert("RGB").resize((720, 960)))
    disparity = photo.info["depth_images"][0]
    low, high = (disparity.info["metadata"][key] for key in ("d_min", "d_max"))
    depth_m = 1 / (low + np.asarray(disparity) / 255.0 * (high - low))
    focal = FOCAL_OF_FRONT_CAMERA * float(np.hypot(720, 960))
    text = metadata(720, 960, (480, 640), K=[focal, 0, 0, 0, focal, 0, 360, 480, 1])
    path = tmp_path / "face.r3d"
    write_archive(path, rgb, depth_m, text)
    source = RecordedSource(R3dClip(path), realtime=False)
    source.open()
    source.read(1.0)
    with FaceTracker() as tracker:
        seen = [tracker.track(frame) for _ in range(2) if (frame := source.read(1.0)) is not None]
    source.close()
    assert all(it.tracked for it in seen)
    landmarks_m = seen[-1].landmarks_m
    pupils_mm = 1000 * float(np.linalg.norm(landmarks_m[468] - landmarks_m[473]))
    print(f"between the pupils: {pupils_mm:.1f} mm")
    assert 55 < pupils_mm < 72
    assert 0.2 < landmarks_m[:, 2].min() < landmarks_m[:, 2].max() < 0.6
    assert 1000 * np.ptp(landmarks_m[:, 2]) < 180
