"""The `--device` string → a source of frames."""

import re
from functools import partial
from pathlib import Path
from typing import Literal

from capture.recordings.playback import WHOLE, Clip, Excerpt, RecordedSource
from core.errors import InputError
from core.source import MotionSource, RgbdSource, SourceError

DEVICES = (
    "demo, webcam[:N], kinect[:serial], record3d[:udid], livelink:PORT, ifacialmocap:HOST, a video, .mkv, .r3d, or a "
    "folder of RGBD frames"
)
_MOTION = ("livelink", "ifacialmocap")
Layout = Literal["auto", "color", "depth-color"]
"""What a video shows: color in the whole picture, or depth in its left half and color in its right one; auto looks."""

Rotate = Literal["0", "90", "180", "270", "auto"]
"""Degrees to turn pictures clockwise until they stand upright; auto finds out by the face."""

_NAME = re.compile(
    r"(?P<kind>demo|webcam|kinect|record3d|livelink|ifacialmocap)(?::(?P<which>[^?]*))?(?:\?(?P<options>.*))?$"
)

_FASTEST_FPS = 240.0
_DEVICE_FILE = re.compile(r"^/dev/video(\d+)$")


def open_source(
    device: str,
    *,
    realtime: bool,
    fov_deg: float | None = None,
    face_model: Path | None = None,
    layout: Layout = "auto",
    rotate: Rotate = "0",
    excerpt: Excerpt = WHOLE,
) -> RgbdSource:
    """The source `device` names, checked as far as that goes without waiting, and not opened yet.

    Args:
        device: "demo", "demo?fps=60" (played so much faster), "webcam", "webcam:N",
            "kinect[:serial][?option=value&…]" (`KinectOptions`),
            "record3d[:udid][?rotate=90]", or a path: a folder of RGBD frames (`rgbd_folder`), a folder with
            color/X.mp4 and depth/X.nut or one of those two files, a video with depth and colour side by side, a
            colour-only video (`recorded`), an Azure Kinect recording (.mkv) or a Record3D archive (.r3d). A
            path that reads like a device is given as ./demo.
        realtime: recordings play at their own rate; otherwise as fast as they are read.
        fov_deg: vertical field of view where the camera is not known.
        face_model: the face landmarker, for depth whose scale has to be told from the face.
        layout: of a video's pictures.
        rotate: degrees to turn the pictures clockwise until they stand upright; "auto" finds out by the face.
        excerpt: the frames of a recording, or of the performer's minute, that are played; cameras know nothing of it.

    Raises InputError (SourceError) for what cannot be a source, in one line.
    """
    source = _as_filmed(device, realtime, fov_deg, face_model, layout, excerpt)
    if rotate == "0":
        return source
    from capture.upright_source import UprightSource

    look = None
    if isinstance(source, RecordedSource):
        look = partial(_as_filmed, device, False, fov_deg, face_model, layout)
    return UprightSource(source, None if rotate == "auto" else int(rotate) // 90, face_model, look)


def is_camera(device: str) -> bool:
    """Whether `device` names a camera, before which somebody can do as told."""
    name = _NAME.match(_DEVICE_FILE.sub(r"webcam:\1", device))
    return name is not None and name["kind"] != "demo" and name["kind"] not in _MOTION


def brings_motion(device: str) -> bool:
    """Whether `device` names a phone that tracks the face itself: `open_motion_source` opens it."""
    name = _NAME.match(device)
    return name is not None and name["kind"] in _MOTION


def open_motion_source(device: str) -> MotionSource:
    """The phone that `device` names, "livelink[:[HOST:]PORT]" or "ifacialmocap:HOST[:PORT][?listen=PORT]", checked as
    far as that goes without waiting, and not opened yet. Raises InputError."""
    from capture.phones.phone_source import PhoneOptions, PhoneSource

    name = _NAME.match(device)
    if name is None or name["kind"] not in _MOTION:
        raise InputError(f"--device {device}: expected livelink:PORT or ifacialmocap:HOST")
    return PhoneSource(PhoneOptions.parse(name["kind"], name["which"], name["options"] or "", device))


def _as_filmed(
    device: str,
    realtime: bool,
    fov_deg: float | None,
    face_model: Path | None,
    layout: Layout,
    excerpt: Excerpt = WHOLE,
) -> RgbdSource:
    device = _DEVICE_FILE.sub(r"webcam:\1", device)
    name = _NAME.match(device)
    if name is not None:
        if name["kind"] in _MOTION:
            raise InputError(f"{device}: sends motion and no pictures; drive a head with it live: vfa-live {device}")
        if name["options"] is not None and name["kind"] == "webcam":
            raise InputError(f"--device {device}: webcam takes no options; leave out what follows the ?")
        return _camera(name["kind"], name["which"], name["options"] or "", device, realtime, fov_deg, excerpt)
    path = _existing(device)
    try:
        return RecordedSource(_clip(path, fov_deg, face_model, layout), realtime=realtime, excerpt=excerpt)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from None


def _existing(device: str) -> Path:
    try:
        path = Path(device).expanduser()
        if device and path.exists():
            return path
    except (OSError, RuntimeError):  # a name too long for any file, the home of nobody
        pass
    raise InputError(f"--device {device}: expected {DEVICES}; there is no such device or path")


def _camera(
    kind: str,
    which: str | None,
    options: str,
    device: str,
    realtime: bool,
    fov_deg: float | None,
    excerpt: Excerpt,
) -> RgbdSource:
    if kind == "demo":
        if which is not None:
            raise InputError(f"--device {device}: the built-in performer takes no number; give --device demo")
        from capture.synthetic.performer.performer import PerformerSource

        return PerformerSource(realtime=realtime, fps=_demo_fps(options, device), excerpt=excerpt)
    if kind == "webcam":
        from capture.cameras.reconnecting import ReconnectingSource
        from capture.cameras.webcam import WebcamDevice, WebcamPicture

        if which is not None and not (which.isdecimal() and len(which) < 4):
            raise InputError(f"--device {device}: expected webcam or webcam:N with N a number from 0; try webcam:0")
        return ReconnectingSource[WebcamPicture](WebcamDevice(int(which or 0), fov_deg))
    if kind == "kinect":
        from capture.cameras.kinect import KinectOptions, kinect_source

        return kinect_source(which or None, KinectOptions.parse(options))
    from capture.cameras.record3d_usb import parse_rotation, record3d_source

    return record3d_source(which or None, parse_rotation(options))


def _demo_fps(options: str, device: str) -> float | None:
    """As `PerformerSource`. Raises InputError."""
    if not options:
        return None
    try:
        key, _, value = options.partition("=")
        if key == "fps" and 1 <= (fps := float(value)) <= _FASTEST_FPS:
            return fps
    except ValueError:
        pass
    raise InputError(f"--device {device}: expected demo?fps=N with N from 1 to {_FASTEST_FPS:.0f}, or demo")


def _clip(path: Path, fov_deg: float | None, face_model: Path | None, layout: Layout) -> Clip:
    from capture.recordings.file_kind import is_record3d_archive, unplayable_kind
    from capture.recordings.kinect_file import KinectClip, is_kinect_recording
    from capture.recordings.recorded import ColorClip, PairClip, find_pair
    from capture.recordings.rgbd_folder import RgbdFolder
    from capture.recordings.side_by_side import SideBySideClip, video_coding

    pair = find_pair(path)
    if pair is not None:
        return PairClip(*pair, fov_deg, face_model)
    if path.is_dir():
        return RgbdFolder(path, fov_deg)
    if not path.is_file():  # which would be waited on for ever
        raise SourceError(f"{path}: expected a recording, found a device or pipe; give a file or a folder")
    if path.suffix.lower() == ".r3d" or is_record3d_archive(path):
        from capture.recordings.r3d_archive import R3dClip

        return R3dClip(path)
    if (kind := unplayable_kind(path)) is not None:
        raise SourceError(f"{path}: is {kind}")
    if is_kinect_recording(path):
        return KinectClip(path)
    if layout == "depth-color":
        return SideBySideClip(path, None, fov_deg, face_model)
    coding = video_coding(path, fov_deg, face_model) if layout == "auto" else None
    if coding is not None:
        return SideBySideClip(path, coding, fov_deg, face_model)
    return ColorClip(path, fov_deg)
