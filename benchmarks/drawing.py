"""What a picture of a head costs, beside MediaPipe's own landmarker in the same run.

    python -m benchmarks.drawing --json FILE [--avatar realistic stylized] [--size 960 720] [--window] [--frames 60]

Poses are the demo's. For each head, in turn frame by frame, so that a busy machine slows all of them alike:

    painter, opengl    drawn by the compiled painter, and by OpenGL's rasteriser as where there is no compiler:
                       cpu_ms {median, least} of all threads of the process, wall_ms (median), of_mediapipe (median of
                       processor time in the landmarker's), unlocked_ms (of cpu_ms, without Python's lock)
    mediapipe_ms       median processor time of one picture of the demo in MediaPipe's FaceLandmarker
    difference         of the two pictures, in 255ths: mean, and the 99.9th percentile

`--window` draws into a window with the driver's picture and a status line, as a session does; without it there is no
display, and no overlay. A graphics card draws in place of both ways where there is one.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np
from mediapipe import Image, ImageFormat
from mediapipe.tasks.python import BaseOptions, vision
from numpy.typing import NDArray

from calib.framing import avatar_view
from capture.face.face_model_file import find_face_model
from core.spans import measured_by
from realtime.api import AnimatedFrame, Avatar, animate, open_source, prepare_avatar
from render.window.viewer import Viewer

WARM_UP = 20


class Stopwatch:
    """Milliseconds of processor time (all threads), of time, and of processor time in spans, of calls."""

    def __init__(self) -> None:
        self.cpu_ms: list[float] = []
        self.wall_ms: list[float] = []
        self.unlocked_ms: list[float] = []
        self._spans_s = 0.0

    def measure(self, call: Callable[[], object]) -> None:
        self._spans_s = 0.0
        with measured_by(self._section):
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            call()
            self.cpu_ms.append((time.process_time() - cpu_s) * 1e3)
            self.wall_ms.append((time.perf_counter() - wall_s) * 1e3)
        self.unlocked_ms.append(self._spans_s * 1e3)

    @contextmanager
    def _section(self, name: str) -> Iterator[None]:
        started_s = time.thread_time()
        yield
        if name == "gl":  # where Python's lock is let go
            self._spans_s += time.thread_time() - started_s

    def figures(self, mediapipe_ms: float) -> dict[str, object]:
        median = float(np.median(self.cpu_ms))
        return {
            "cpu_ms": {"median": round(median, 2), "least": round(min(self.cpu_ms), 2)},
            "wall_ms": round(float(np.median(self.wall_ms)), 2),
            "of_mediapipe": round(median / mediapipe_ms, 3),
            "unlocked_ms": round(float(np.median(self.unlocked_ms)), 2),
        }


def measured(avatar: Avatar, poses: list[AnimatedFrame], size: tuple[int, int], window: bool) -> dict[str, object]:
    """All figures of one head."""
    watches: dict[str, Stopwatch] = defaultdict(Stopwatch)
    with ExitStack() as open_things:
        viewers: dict[str, Viewer] = {}
        for way in ("painter", "opengl"):
            with patch("render.gl.mesh_renderer.compiled_painter", lambda: None) if way == "opengl" else ExitStack():
                viewers[way] = open_things.enter_context(
                    Viewer(avatar.display_mesh, size, headless=not window, intrinsics=avatar_view(avatar), vsync=False)
                )
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=find_face_model().read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            output_face_blendshapes=True,
        )
        landmarker = open_things.enter_context(vision.FaceLandmarker.create_from_options(options))
        differences = []
        for number, posed in enumerate(poses):
            for way, viewer in viewers.items():
                watches[way].measure(partial(_show, viewer, posed))
            picture = Image(image_format=ImageFormat.SRGB, data=_driver_of(posed))
            watches["mediapipe"].measure(partial(landmarker.detect_for_video, picture, number * 33))
            if len(viewers) == 2 and number % 10 == 0:
                one, other = (viewer.read_rgb().astype(int) for viewer in viewers.values())
                differences.append(np.abs(one - other).max(axis=2))
    mediapipe_ms = float(np.median(watches.pop("mediapipe").cpu_ms))
    figures: dict[str, object] = {way: watch.figures(mediapipe_ms) for way, watch in watches.items()}
    figures["mediapipe_ms"] = round(mediapipe_ms, 2)
    if differences:
        spread = {"mean": np.mean(differences), "p99_9": np.quantile(differences, 0.999)}
        figures["difference"] = {name: round(float(value), 3) for name, value in spread.items()}
    return figures


def _driver_of(posed: AnimatedFrame) -> NDArray[np.uint8]:
    assert posed.observation is not None, "the demo has pictures"
    return posed.observation.frame.rgb


def _show(viewer: Viewer, posed: AnimatedFrame) -> None:
    viewer.show(posed.pose.vertices, posed.pose.T_world_head, _driver_of(posed), "streaming · 30 fps · expression")
    viewer.poll()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avatar", nargs="+", default=["realistic", "stylized"])
    parser.add_argument("--size", type=int, nargs=2, default=(960, 720))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--window", action="store_true")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    figures = {}
    for name in options.avatar:
        avatar = prepare_avatar(name)
        driven = animate(avatar, open_source("demo", realtime=False))
        poses = list(islice(driven, WARM_UP, WARM_UP + options.frames))
        figures[name] = measured(avatar, poses, tuple(options.size), options.window)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
