"""The simulated cameras of the soak test, under our hands, and what a run leaves behind."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from capture.cameras.reconnecting import ReconnectingSource
from core.camera import Intrinsics
from tests.fakes.phone import Phone
from tests.fakes.rendered_face import rendered_faces, talk

ROOT = Path(__file__).parents[1]
SETTLING_CYCLES = 20  # caches, pools and buffers fill first; growth is measured from there on
PICTURE = {"width": 320, "height": 240, "depth_width": 320, "depth_height": 240, "fps": 60.0}
PHONE_DEPTH_SHARE, KINECT_DEPTH_SHARE = 0.98, 0.55  # measured; the Kinect's depth camera sees less to the sides
FACE_FRAMES, FACE_FPS = 40, 20.0
FACE_CAMERA = Intrinsics(285.0, 285.0, 160.5, 119.0, 320, 240)


@dataclass
class Growth:
    """Memory, threads and open files over a run."""

    rss_mb: list[float] = field(default_factory=list)
    leaked_threads: int = 0
    leaked_fds: int = 0

    def begin(self) -> None:
        self._threads, self._files = threading.active_count(), psutil.Process().num_fds()

    def sample(self) -> None:
        self.rss_mb.append(psutil.Process().memory_info().rss / 1e6)

    def end(self) -> None:
        self.leaked_threads = threading.active_count() - self._threads
        self.leaked_fds = psutil.Process().num_fds() - self._files

    def summary(self) -> dict[str, Any]:
        settled = self.rss_mb[min(SETTLING_CYCLES, len(self.rss_mb) // 2) :]
        fifth = max(1, len(settled) // 5)
        grown = float(np.median(settled[-fifth:]) - np.median(settled[:fifth])) if settled else 0.0
        return {
            "rss_growth_mb": round(grown, 2),
            "leaked_threads": self.leaked_threads,
            "leaked_fds": self.leaked_fds,
        }


@dataclass
class Bench:
    """A simulator under our hands: break something, and undo it; both return when (monotonic seconds).

    Attributes:
        depth_share: of the pixels with a reading, while nothing is broken.
    """

    source: Callable[[], ReconnectingSource[Any]]
    break_it: Callable[[random.Random], float]
    restore: Callable[[], float]
    depth_share: float


@contextlib.contextmanager
def record3d_bench(faces: bool = False) -> Iterator[Bench]:
    """The real record3d library on a simulated phone. `faces`: it films a talking face, not the pattern."""
    from capture.cameras.record3d_usb import record3d_source

    with tempfile.TemporaryDirectory() as folder, Phone(Path(folder), **_phone_film(Path(folder), faces)) as phone:
        os.environ.update(phone.environment)

        def break_it(rng: random.Random) -> float:
            kind = rng.choice(["unplug", "unplug in mid-frame", "app closed", "stalled", "in mid-frame"])
            if kind == "stalled":
                phone.set(stalled=True)
                return phone.cut() if rng.random() < 0.5 else time.monotonic()
            if kind == "app closed":
                phone.set(app_running=False)
                return phone.cut()
            if kind == "in mid-frame":
                return phone.cut(in_mid_frame=True)
            return phone.unplug(in_mid_frame=kind == "unplug in mid-frame")

        def restore() -> float:
            phone.set(stalled=False, app_running=True)
            return phone.plug()

        yield Bench(record3d_source, break_it, restore, PHONE_DEPTH_SHARE)


@contextlib.contextmanager
def kinect_bench(faces: bool = False) -> Iterator[Bench]:
    """pyk4a on a fake native module. `faces`: the camera films a talking face, not the pattern."""
    from tests.fakes import native_kinect

    native_kinect.install()
    from capture.cameras.kinect import kinect_source

    desk = native_kinect.cameras
    camera = desk.cameras[0]
    if faces:
        desk.film, camera.fps = _kinect_film(), FACE_FPS

    def break_it(rng: random.Random) -> float:
        kind = rng.choice(["unplug", "unplug", "raises", "in use", "silent"])
        if kind == "raises":
            camera.raises = True
        elif kind == "silent":
            camera.silent = True
        else:
            camera.in_use = kind == "in use"
            desk.unplug(camera)
        return time.monotonic()

    def restore() -> float:
        camera.raises = camera.silent = camera.in_use = False
        return desk.plug(camera)

    yield Bench(kinect_source, break_it, restore, KINECT_DEPTH_SHARE)
    if desk.open_handles:
        raise RuntimeError(f"{desk.open_handles} cameras were left open")


def _phone_film(folder: Path, faces: bool) -> dict[str, Any]:
    if not faces:
        return PICTURE
    film = rendered_faces(FACE_CAMERA, 0.4, expressions=talk(FACE_FRAMES))
    camera = FACE_CAMERA
    path = folder / "film.npz"
    np.savez(
        path,
        rgb=np.stack([face.rgb for face in film]),
        depth_m=np.stack([face.depth_m for face in film]),
        intrinsics=np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
    )
    return {"pictures": str(path), "fps": FACE_FPS}


def _kinect_film() -> list[tuple[Any, Any]]:
    """JPEG and depth in millimetres as the two cameras of `native_kinect.calibration_json` see the face."""
    color = Intrinsics(614.4, 614.4, 640.0, 360.0, 1280, 720)
    depth = Intrinsics(501.76, 501.76, 320.0, 332.0, 640, 576)
    beside = np.eye(4)
    beside[0, 3] = -0.032
    seen = rendered_faces(color, 0.6, T_camera_first=beside, expressions=talk(FACE_FRAMES))
    ranged = rendered_faces(depth, 0.6, expressions=talk(FACE_FRAMES))
    film = []
    for picture, distance in zip(seen, ranged, strict=True):
        jpeg = cv2.imencode(".jpg", picture.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].ravel()
        film.append((jpeg, (distance.depth_m * 1000).round().astype(np.uint16)))
    return film


@contextlib.contextmanager
def pyk4a_without_its_library(kinect_environment: Path) -> Iterator[None]:
    """Let `import pyk4a` find the package of the second environment: its Python code runs with any numpy, and its
    native module is the fake one."""
    packages = next(kinect_environment.glob("lib/python3*/site-packages"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyk4a").symlink_to(packages / "pyk4a")
        sys.path.append(folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
