"""Recordings made to take memory or time, to start programs, or to say what no camera does: one line, and quickly."""

import json
import struct
import zipfile
import zlib
from pathlib import Path

import liblzfse
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from capture.cameras.kinect_calibration import parse_calibration
from capture.cameras.kinect_picture import jpeg_shape
from capture.cameras.webcam import WebcamDevice, WebcamPicture
from capture.open_source import open_source
from capture.recordings import rgbd_folder
from capture.recordings.camera_file import read_camera_file
from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.performer.performer import read_outline, write_outline
from core import picture_limits
from core.canonical_face import load_canonical_face
from core.errors import InputError
from core.picture_limits import check_picture_size
from core.source import SourceError, frames_of
from tests.capture.conftest import VideoWriter
from tools.fuzz.capture_targets import TARGETS as RECORDINGS
from tools.fuzz.capture_targets import play
from tools.fuzz.shipped_targets import TARGETS as SHIPPED

CAMERA = {"fx": 30, "fy": 30, "cx": 16, "cy": 12, "width": 32, "height": 24}
RECORD3D = {"K": [30, 0, 0, 0, 30, 0, 16, 12, 1], "w": 32, "h": 24, "fps": 30}


def seed(name: str, folder: Path) -> Path:
    """A good file of one of the fuzzer's targets."""
    target = next(target for target in [*RECORDINGS, *SHIPPED] if target.name == name)
    return target.make_seeds(folder)[0]


def refused(path: Path, says: str) -> None:
    with pytest.raises(InputError, match=says) as told:
        play(path)
    assert str(told.value).isprintable()


@pytest.mark.parametrize(
    "value", ["Infinity", "NaN", "1" + "0" * 400, "1e400", "[" * 5000, '"30"', "true", "null", "[]"]
)
@pytest.mark.parametrize(("file", "key", "content"), [("camera.json", "fx", CAMERA), ("metadata.json", "w", RECORD3D)])
def test_numbers_of_a_camera_that_are_none(tmp_path: Path, file: str, key: str, content: dict, value: str) -> None:
    (tmp_path / file).write_text(json.dumps({**content, key: "@"}).replace('"@"', value))
    with pytest.raises(SourceError, match=file.replace(".", r"\.")):
        read_camera_file(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": 1e-320},
        {"fps": 1e9},
        {"fx": 1e-9},
        {"fy": 1e30},
        {"cx": -1e9},
        {"width": 32.5},
        {"width": 0},
        {"height": 1 << 40},
        {"depth_near_m": 1e-320, "depth_far_m": 1.0},
    ],
)
def test_cameras_that_do_not_exist(tmp_path: Path, changes: dict) -> None:
    (tmp_path / "camera.json").write_text(json.dumps({**CAMERA, **changes}))
    with pytest.raises(SourceError, match=r"camera\.json"):
        read_camera_file(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", '"text"', "null", b"\xff\xfe{", ""])
@pytest.mark.parametrize("file", ["camera.json", "metadata.json"])
def test_camera_files_of_another_kind(tmp_path: Path, file: str, content: str | bytes) -> None:
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=file.replace(".", r"\.")):
        read_camera_file(tmp_path)


def damaged_entry(path: Path, entry: str, content: bytes, announced: int | None = None) -> None:
    """Exchange one entry of an archive; its directory may say another size."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries[entry] = content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    if announced is not None:
        data = path.read_bytes()
        at = data.rindex(b"PK\1\2", 0, data.rindex(entry.encode()))
        path.write_bytes(data[: at + 24] + struct.pack("<I", announced) + data[at + 28 :])


def test_an_entry_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = seed("r3d_archive", tmp_path)
    damaged_entry(path, "rgbd/0.jpg", bytes(33 << 20), announced=0xFFFFFFFE)
    refused(path, r"rgbd/0\.jpg unpacks to more than 33554432 bytes")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_entries_that_cannot_be_unpacked_piece_by_piece(tmp_path: Path, method: int) -> None:
    path = seed("r3d_archive", tmp_path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    refused(path, "metadata is compressed in a way that is not supported")


def test_a_jpeg_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = seed("r3d_archive", tmp_path)
    with zipfile.ZipFile(path) as archive:
        picture = bytearray(archive.read("rgbd/0.jpg"))
    at = picture.index(b"\xff\xc0")
    struct.pack_into(">HH", picture, at + 5, 9000, 9000)
    damaged_entry(path, "rgbd/0.jpg", bytes(picture))
    refused(path, "9000x9000")


@pytest.mark.parametrize("known", [True, False])
def test_depth_of_too_many_pixels_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """Where the metadata say its size, and where it follows from how much there is."""
    path = seed("r3d_archive", tmp_path)
    size = {"dw": 320, "dh": 240} if known else {}
    damaged_entry(path, "metadata", json.dumps({**RECORD3D, **size}).encode())
    damaged_entry(path, "rgbd/0.depth", liblzfse.compress(bytes(320 * 240 * 4)))
    damaged_entry(path, "rgbd/0.conf", liblzfse.compress(bytes(320 * 240)))
    play_first(path)
    monkeypatch.setattr("capture.recordings.r3d_archive.LARGEST_PIXELS", 320 * 240 - 1)
    with pytest.raises(SourceError, match="holds 307200 bytes, expected 320x240"):
        play_first(path)


def play_first(path: Path) -> None:
    next(iter(frames_of(open_source(str(path), realtime=False))))


def test_metadata_of_millions_of_numbers_is_not_read(tmp_path: Path) -> None:
    path = seed("r3d_archive", tmp_path)
    damaged_entry(path, "metadata", b'{"frameTimestamps": [' + b"1," * 4_100_000 + b"1]}")
    refused(path, "metadata")


@pytest.mark.parametrize("changes", [{"K": [1e-9] * 9}, {"w": "32"}, {"fps": "x"}, {"perFrameIntrinsicCoeffs": [[1]]}])
def test_metadata_that_describes_no_camera(tmp_path: Path, changes: dict) -> None:
    path = seed("r3d_archive", tmp_path)
    damaged_entry(path, "metadata", json.dumps({**RECORD3D, **changes}).encode())
    with pytest.raises(SourceError):
        play(path)


def test_a_color_picture_that_is_a_program_is_not_run(tmp_path: Path) -> None:
    path = seed("rgbd_folder", tmp_path)
    for picture in (path / "color").iterdir():
        picture.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n{} loop\n")
    refused(path, "expected a picture")


@pytest.mark.parametrize("place", ["color", "depth"])
def test_chunks_that_make_pillow_stumble(tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str) -> None:
    path = seed("rgbd_folder", tmp_path)
    picture = path / place / "1.png"
    good = picture.read_bytes()
    chunk = b"fcTL" + bytes(3)
    wrong = struct.pack(">I", 3) + chunk + struct.pack(">I", zlib.crc32(chunk))
    picture.write_bytes(good[:33] + wrong + good[33:])
    play(path)
    assert "frame 1 is left out" in caplog.text


def test_depth_with_many_channels_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = seed("rgbd_folder", tmp_path).with_name("metres")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    channels = {f"C{number}": np.zeros((24, 32), np.float32) for number in range(25)}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path / "depth" / "0.exr"))
    monkeypatch.setattr(rgbd_folder, "LARGEST_PIXELS", 32 * 24 * 12)
    refused(path, "19200 numbers in its channels")


@pytest.mark.parametrize("size", [(640, 1), (1, 640), (15, 15), (2000, 100), (9000, 4000), (8000, 8000), (0, 0)])
def test_pictures_in_which_no_face_fits(size: tuple[int, int]) -> None:
    with pytest.raises(SourceError, match=f"got {size[0]}x{size[1]}"):
        check_picture_size("it", *size)
    check_picture_size("it", 16, 160)
    check_picture_size("it", 3840, 2160)


def test_sources_of_such_pictures_are_refused(tmp_path: Path, write_video: VideoWriter) -> None:
    strip = np.zeros((1, 640, 3), np.uint8)
    refused(write_video(tmp_path / "strip.mkv", [strip] * 2, codec="ffv1"), "got 640x1")
    folder = seed("rgbd_folder", tmp_path)
    for number in range(2):
        Image.fromarray(strip).save(folder / "color" / f"{number}.png")
    refused(folder, "got 640x1")
    with pytest.raises(SourceError, match=r"webcam:0: .* got 640x1"):
        WebcamDevice(0).decode(WebcamPicture(strip, 0.0), 0)


def test_a_video_in_an_unknown_format(tmp_path: Path) -> None:
    path = seed("video", tmp_path)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xxxx"))
    refused(path, r"upright\.mp4")


def test_a_video_turned_by_no_whole_quarter(tmp_path: Path, write_video: VideoWriter) -> None:
    path = write_video(tmp_path / "v.mp4", [np.zeros((48, 64, 3), np.uint8)] * 2, rotation=-44)
    play(path)


def test_a_rate_that_no_camera_has_counts_as_unknown() -> None:
    assert picture_limits.plausible_fps(1e-320) == 0
    assert picture_limits.plausible_fps(float("inf")) == 0
    assert picture_limits.plausible_fps(29.97) == 29.97


def test_a_kinect_recording_in_an_unknown_format(tmp_path: Path) -> None:
    path = seed("kinect_file", tmp_path)
    path.write_bytes(path.read_bytes().replace(b"V_MJPEG", b"V_XJPEG"))
    refused(path, r"kinect\.mkv")


@pytest.mark.parametrize(
    ("was", "becomes"),
    [(b"0.48", b"1e99"), (b"0.49", b"1e-9"), (b"-0.032", b"-9e+99"), (b"CameraPurposeDepth", b"CameraPurposeOther")],
)
def test_a_kinect_calibration_that_is_none(tmp_path: Path, was: bytes, becomes: bytes) -> None:
    path = seed("kinect_file", tmp_path)
    content = path.read_bytes()
    assert len(was) == len(becomes)
    assert was in content
    path.write_bytes(content.replace(was, becomes))
    refused(path, "calibration")


def test_a_delay_that_is_no_number(tmp_path: Path) -> None:
    path = seed("kinect_file", tmp_path)
    with pytest.raises(InputError, match="does not read as one"):
        parse_calibration("[" * 5000, "NFOV_UNBINNED", "720P", name="it")
    content = path.read_bytes()
    at = content.index(b"K4A_DEPTH_DELAY_NS")
    zero = content.index(b"0", at)
    path.write_bytes(content[:zero] + b"x" + content[zero + 1 :])
    refused(path, "delay of the depth in nanoseconds, got x")


def test_the_size_of_a_jpeg_is_known_from_its_header(tmp_path: Path) -> None:
    for progressive in (False, True):
        Image.new("RGB", (48, 32)).save(tmp_path / "a.jpg", progressive=progressive)
        assert jpeg_shape((tmp_path / "a.jpg").read_bytes()) == (32, 48)
    for damaged in (
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xe0\xff\xff" + bytes(20),
        b"\xff" * 40,
        b"no JPEG at all, only text",
    ):
        assert jpeg_shape(damaged) is None


@pytest.mark.parametrize(
    ("indices", "says"),
    [(b"\xff" * 40, "more than 64 bits"), (b"\xff" * 9 + b"\x01", "could not read it"), (b"\xff", "could not read it")],
)
def test_a_face_model_with_endless_numbers(tmp_path: Path, indices: bytes, says: str) -> None:
    path = seed("face_model", tmp_path)
    mesh = b"\x22" + bytes([len(indices)]) + indices  # field 4: the corners
    message = b"\x0a" + bytes([len(mesh)]) + mesh  # field 1: the canonical mesh
    damaged_entry(path, "geometry_pipeline_metadata_landmarks.binarypb", message)
    with pytest.raises(InputError, match=says):
        load_canonical_face(path)


@pytest.mark.parametrize("value", [np.nan, 0.0, 1e30])
def test_a_face_of_numbers_that_are_none(tmp_path: Path, value: float) -> None:
    path = seed("face_model", tmp_path)
    member = "geometry_pipeline_metadata_landmarks.binarypb"
    with zipfile.ZipFile(path) as bundle:
        geometry = bundle.read(member)
    vertices = np.random.default_rng(0).normal(size=(468, 5)).astype("<f4")
    at = geometry.index(vertices.tobytes())
    if value == 0.0:
        vertices[:] = 0
    else:
        vertices[0] = value
    damaged_entry(path, member, geometry[:at] + vertices.tobytes() + geometry[at + vertices.nbytes :])
    with pytest.raises(InputError, match="points that form none"):
        load_canonical_face(path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("vertices", np.full((8, 3), np.nan, np.float32)),
        ("vertices", np.zeros((8, 2), np.float32)),
        ("lip_rings", np.full((9, 38), 8, np.uint16)),
        ("skin_uv", np.full((2, 4), 99, np.uint16)),
        ("quads_skin", np.array([b"text"])),
        ("target_starts", np.array([0, 3, 99], np.uint32)),
        ("mask_lips", np.zeros(7, np.uint8)),
    ],
)
def test_a_head_whose_arrays_do_not_fit(tmp_path: Path, name: str, array: np.ndarray) -> None:
    path = seed("head_data", tmp_path)
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    np.savez(path, **{**arrays, name: array})
    with pytest.raises(InputError, match="built-in head cannot be read"):
        load_head_data(path)


def test_an_outline_outside_its_pictures(tmp_path: Path) -> None:
    import lzma

    path = tmp_path / "o.xz"
    write_outline([np.zeros((480, 640), dtype=bool)], path)
    assert read_outline(path).max() == 640
    path.write_bytes(lzma.compress(np.full((1, 480, 8), 700, "<u2").tobytes()))
    with pytest.raises(SourceError, match="outside its pictures"):
        read_outline(path)


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile upright.mp4\n", "#EXTM3U\n#EXTINF:10,\nupright.mp4\n"])
def test_a_video_that_is_a_list_of_others_is_not_followed(tmp_path: Path, text: str) -> None:
    seed("video", tmp_path)
    path = tmp_path / "list.mp4"
    path.write_text(text)
    refused(path, r"list\.mp4: expected a video, it cannot be read")


def test_a_picture_of_a_video_is_small_enough_to_keep_many(
    tmp_path: Path, write_video: VideoWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "v.mp4", [np.zeros((48, 64, 3), np.uint8)] * 2)
    monkeypatch.setattr("capture.recordings.video_file.LARGEST_FRAME_BYTES", 48 * 64 * 3 // 2)
    play(path)
    monkeypatch.setattr("capture.recordings.video_file.LARGEST_FRAME_BYTES", 48 * 64 * 3 // 2 - 1)
    refused(path, "a picture of 64x48 in 12 bits takes more than")


@pytest.mark.parametrize("device", ["a" * 5000, "~nobody-by-this-name/x", "a\0b"])
def test_names_that_no_file_has(device: str) -> None:
    with pytest.raises(InputError, match="there is no such device or path"):
        open_source(device, realtime=False)
