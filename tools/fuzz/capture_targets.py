"""Recordings in folders, archives and videos, played to their end."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capture.open_source import open_source
from capture.recordings.camera_file import read_camera_file
from core.source import frames_of
from tools.fuzz.target import Target

_WIDTH, _HEIGHT = 32, 24
_CAMERA = {"fx": 30, "fy": 30.5, "cx": 16, "cy": 12, "width": _WIDTH, "height": _HEIGHT, "fps": 30}
_RANGE = {"depth_near_m": 0.3, "depth_far_m": 0.9}
_COLUMNS = [30.0, 0, 0, 0, 30.5, 0, 16, 12, 1]  # Record3D's K


def play(path: Path) -> None:
    """Every frame, as a session would read it, brought into the form that the tracker takes."""
    for frame in frames_of(open_source(str(path), realtime=False)):
        if frame.depth_m is not None and not np.isfinite(frame.depth_m).all():
            raise AssertionError("depth that is no number")
        frame.intrinsics.matrix()


def _picture(number: int = 0, width: int = _WIDTH) -> NDArray[np.uint8]:
    rng = np.random.default_rng(number)
    return rng.integers(0, 255, (_HEIGHT, width, 3), dtype=np.uint8)


def _depth_m(height: int = _HEIGHT, width: int = _WIDTH) -> NDArray[np.float32]:
    return np.linspace(0.4, 0.8, height * width, dtype=np.float32).reshape(height, width)


def _folder_seeds(folder: Path) -> list[Path]:
    """One with PNG depth and a camera file, one with EXR depth of half the size and what Record3D writes, and one with
    the lists of the TUM benchmark.
    """
    import OpenEXR

    millimetres, metres = folder / "millimetres", folder / "metres"
    for root, color, suffix in ((millimetres, "color", ".png"), (metres, "rgb", ".jpg")):
        (root / color).mkdir(parents=True)
        (root / "depth").mkdir()
        for number in range(2):
            Image.fromarray(_picture(number)).save(root / color / f"{number}{suffix}")
    for number in range(2):
        deep = Image.fromarray((_depth_m() * 1000).astype(np.uint16))
        deep.save(millimetres / "depth" / f"{number}.png")
        channels = {"R": _depth_m(_HEIGHT // 2, _WIDTH // 2)}
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, channels) as file:
            file.write(str(metres / "depth" / f"{number}.exr"))
    (millimetres / "camera.json").write_text(json.dumps(_CAMERA))
    (metres / "metadata.json").write_text(json.dumps({"K": _COLUMNS, "w": _WIDTH, "h": _HEIGHT, "fps": 60}))
    listed = folder / "listed"
    for at in ("rgb", "depth"):
        (listed / at).mkdir(parents=True)
        for number in range(2):
            deep = Image.fromarray((_depth_m() * 5000).astype(np.uint16))
            (deep if at == "depth" else Image.fromarray(_picture(number))).save(listed / at / f"{number}.png")
        (listed / f"{at}.txt").write_text(f"# time file\n1305031102.175 {at}/0.png\n1305031102.208 {at}/1.png\n")
    return [millimetres, metres, listed]


def _camera_seeds(folder: Path) -> list[Path]:
    ours, exported = folder / "ours", folder / "exported"
    ours.mkdir()
    exported.mkdir()
    (ours / "camera.json").write_text(json.dumps({**_CAMERA, **_RANGE}))
    listed = {"perFrameIntrinsicCoeffs": [[30, 30, 16, 12]] * 2, "frameTimestamps": [0.5, 0.6]}
    (exported / "metadata.json").write_text(json.dumps({"K": _COLUMNS, "w": _WIDTH, "h": _HEIGHT, "fps": 60, **listed}))
    return [ours, exported]


def _load_camera(path: Path) -> None:
    camera = read_camera_file(path)
    if camera is not None:
        camera.for_picture(camera.intrinsics.width, camera.intrinsics.height).matrix()
        camera.for_picture(_WIDTH, _HEIGHT).matrix()


def _r3d_seeds(folder: Path) -> list[Path]:
    import liblzfse

    path = folder / "it.r3d"
    text: dict[str, Any] = {"w": _WIDTH, "h": _HEIGHT, "dw": 16, "dh": 12, "fps": 60, "K": _COLUMNS}
    text |= {"perFrameIntrinsicCoeffs": [[30, 30, 16, 12]] * 2, "frameTimestamps": [0.5, 0.6]}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata", json.dumps(text))
        for number in range(2):
            archive.writestr(f"rgbd/{number}.jpg", cv2.imencode(".jpg", _picture(number))[1].tobytes())
            archive.writestr(f"rgbd/{number}.depth", liblzfse.compress(_depth_m(12, 16).tobytes()))
            archive.writestr(f"rgbd/{number}.conf", liblzfse.compress(bytes([2] * 12 * 16)))
    return [path]


def write_video(
    path: Path, pictures: Sequence[NDArray[Any]], codec: str = "libx264", pixels: str = "yuv420p", rotation: int = 0
) -> Path:
    """A video of [H, W, 3] uint8 or [H, W] uint16 pictures."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=30)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            kind = "gray16le" if picture.dtype == np.uint16 else "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=kind)))
        container.mux(stream.encode(None))
    return path


def _video_seeds(folder: Path) -> list[Path]:
    pictures = [_picture(number) for number in range(3)]
    return [
        write_video(folder / "upright.mp4", pictures),
        write_video(folder / "turned.mp4", pictures, rotation=90),
        write_video(folder / "picture.avi", pictures, "mjpeg", "yuvj420p"),
        write_video(folder / "modern.webm", pictures, "libvpx-vp9"),
        write_video(folder / "plain.mkv", pictures, "ffv1"),
    ]


def _pair_seeds(folder: Path) -> list[Path]:
    """Depth in millimetres, and depth scaled to a range that the camera file says."""
    seeds = []
    for name, factor in (("millimetres", 1000), ("scaled", 65535)):
        write_video(folder / name / "color" / "X.mp4", [_picture(number) for number in range(3)])
        depth = (_depth_m() * factor).astype(np.uint16)
        write_video(folder / name / "depth" / "X.nut", [depth] * 3, "ffv1", "gray16le")
        (folder / name / "camera.json").write_text(json.dumps({**_CAMERA, **_RANGE}))
        seeds.append(folder / name)
    return seeds


def _side_by_side_seeds(folder: Path) -> list[Path]:
    """Hue-coded depth with the text that Record3D appends, and gray depth with a camera file."""
    hue = np.full((_HEIGHT, _WIDTH, 3), (60, 255, 255), dtype=np.uint8)
    left = np.asarray(cv2.cvtColor(hue, cv2.COLOR_HSV2RGB), dtype=np.uint8)
    coded = write_video(folder / "hue.mp4", [np.hstack([left, _picture()])] * 2)
    text = {"intrinsicMatrix": _COLUMNS, "rangeOfEncodedDepth": [0.2, 1.4]}
    coded.write_bytes(coded.read_bytes() + json.dumps(text, separators=(",", ":")).encode() + b"\0")
    gray = np.full((_HEIGHT, _WIDTH, 3), 128, dtype=np.uint8)
    scaled = write_video(folder / "gray" / "it.mp4", [np.hstack([gray, _picture()])] * 2)
    (scaled.parent / "camera.json").write_text(json.dumps({**_CAMERA, **_RANGE}))
    return [coded, scaled]


def calibration_json() -> str:
    """A pair of Azure Kinect cameras without lens, beside each other."""

    def camera(purpose: str, parameters: list[float], offset_m: list[float]) -> dict[str, object]:
        turn = [1, 0, 0, 0, 1, 0, 0, 0, 1]
        lens = {"ModelParameters": [*parameters, *[0.0] * 10]}
        return {"Purpose": purpose, "Intrinsics": lens, "Rt": {"Rotation": turn, "Translation": offset_m}}

    cameras = [
        camera("CALIBRATION_CameraPurposeDepth", [0.5, 0.5, 0.49, 0.49], [0, 0, 0]),
        camera("CALIBRATION_CameraPurposePhotoVideo", [0.5, 0.5, 0.48, 0.64], [-0.032, 0, 0]),
    ]
    return json.dumps({"CalibrationInformation": {"Cameras": cameras}}) + "\0"


def _kinect_seeds(folder: Path) -> list[Path]:
    """What the Azure Kinect's recorder writes: a JPEG track, a big-endian depth track and the factory calibration; and
    the same with its colour encoded anew.
    """
    return [_kinect_seed(folder / "kinect.mkv", "mjpeg"), _kinect_seed(folder / "anew.mkv", "libx264")]


def _kinect_seed(path: Path, codec: str) -> Path:
    import av

    with av.open(str(path), "w", options={"allow_raw_vfw": "1"}) as container:
        container.metadata["K4A_DEPTH_DELAY_NS"] = "0"
        color: Any = container.add_stream(codec, rate=30)
        color.width, color.height, color.pix_fmt = 1280, 720, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        color.metadata["K4A_COLOR_MODE"] = "MJPG_720P"
        depth: Any = container.add_stream("rawvideo", rate=30)
        depth.width, depth.height, depth.pix_fmt = 320, 288, "gray16be"
        depth.metadata["K4A_DEPTH_MODE"] = "NFOV_2X2BINNED"
        container.add_attachment("calibration.json", "application/octet-stream", calibration_json().encode())
        flat = np.full((720, 1280, 3), 90, dtype=np.uint8)
        millimetres = av.VideoFrame.from_ndarray(np.full((288, 320), 700, dtype=np.uint16), format="gray16le")
        container.mux(color.encode(av.VideoFrame.from_ndarray(flat, format="rgb24")))
        container.mux(depth.encode(millimetres.reformat(format="gray16be")))
        container.mux(color.encode(None))
        container.mux(depth.encode(None))
    return path


TARGETS = [
    Target("rgbd_folder", _folder_seeds, play),
    Target("camera_file", _camera_seeds, _load_camera),
    Target("r3d_archive", _r3d_seeds, play),
    Target("video", _video_seeds, play),
    Target("video_pair", _pair_seeds, play),
    Target("video_side_by_side", _side_by_side_seeds, play),
    Target("kinect_file", _kinect_seeds, play),
]
