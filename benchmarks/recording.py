"""What recording costs the picture: sessions with a simulated Kinect, one after the other in turns.

    python -m benchmarks.recording --seconds 20 --rounds 2 --json recording.json

The camera sends 1280x720 JPEG and 640x576 depth of a talking face at 30 frames a second; each session (capture,
tracking, expression engine, the head `realistic` drawn without a window) has a process of its own. Compared are no recording,
recording as it is unless said otherwise, and with colour, and with colour and depth as well. Written are medians over
the rounds: pictures shown a second, the 95th percentile of milliseconds from the camera to the screen, processor time
for a picture, megabytes a minute, and what the encoders had no time for. Needs `.venv-kinect`, which
`.ci/kinect-env .venv .venv-kinect` makes.
"""

import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from realtime.threads.cores import share_out

Way = Literal["none", "off", "colour", "rgbd"]
WAYS: tuple[Way, ...] = ("none", "off", "colour", "rgbd")
FPS = 30.0


@dataclass(frozen=True)
class RecordingOptions:
    """Measure what recording costs."""

    seconds: float = 20.0
    """Of each session, once pictures flow."""

    rounds: int = 2
    """How often each way is measured."""

    avatar: str = "realistic"
    """Which built-in head; a larger one writes more."""

    ways: tuple[Way, ...] = WAYS
    """Which are compared."""

    json: Path | None = None
    """Where the figures are written."""

    one: Way | None = None
    """For this program itself: one session."""


def main(options: RecordingOptions) -> int:
    """Run all sessions in turns; returns the exit status."""
    if options.one is not None:
        print(json.dumps(session(options, options.one)))
        return 0
    runs: dict[Way, list[dict[str, Any]]] = {way: [] for way in options.ways}
    for number in range(options.rounds):
        for way in options.ways:
            command = [sys.executable, "-m", "benchmarks.recording", "--one", way, "--avatar", options.avatar]
            command += ["--seconds", str(options.seconds)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            runs[way].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{number + 1}/{options.rounds} {way}: {runs[way][-1]}", flush=True)
    figures = {
        way: {name: float(np.median([run[name] for run in each])) for name in each[0]} for way, each in runs.items()
    }
    print(json.dumps(figures, indent=2))
    if options.json is not None:
        options.json.write_text(
            json.dumps({"options": asdict(options), "runs": runs, **figures}, indent=2, default=str)
        )
    return 0


def session(options: RecordingOptions, way: Way) -> dict[str, float]:
    """The figures of one session."""
    from benchmarks.soak import KINECT_ENVIRONMENT
    from benchmarks.soak_bench import kinect_bench, pyk4a_without_its_library
    from tests.fakes import native_kinect

    with pyk4a_without_its_library(KINECT_ENVIRONMENT), kinect_bench(faces=True) as bench:
        native_kinect.cameras.cameras[0].fps = FPS
        with tempfile.TemporaryDirectory(prefix="vfa-recording-") as place:
            return _measured(bench.source(), options, way, Path(place) / "session")


def _measured(source: Any, options: RecordingOptions, way: Way, folder: Path) -> dict[str, float]:
    from calib.avatar import prepare_avatar
    from capture.face.face_tracker import FaceTracker
    from capture.synthetic import builtin_avatar_path
    from realtime.config import MotionOptions
    from realtime.engines import make_engine
    from realtime.live.session import LiveSession
    from realtime.recording.recording_folder import RecordingFolder
    from realtime.session.manifest import About
    from realtime.threads.worker import Stop
    from render.window.viewer import Viewer

    avatar = prepare_avatar(builtin_avatar_path(options.avatar))
    about = About(device="kinect", raw="off" if way == "none" else way)
    stop = Stop()
    live = LiveSession(
        source, FaceTracker, lambda head: make_engine(MotionOptions(), head), stop, options.seconds, about=about
    )
    live.start()
    try:
        with Viewer(avatar.display_mesh, (960, 720), headless=True) as viewer:
            record = None if way == "none" else RecordingFolder.claim(folder, overwrite=False)
            report = live.run(avatar, viewer, record)
    finally:
        live.shut_down()
    size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6 if folder.exists() else 0.0
    assert not [thread for thread in threading.enumerate() if "record" in thread.name]
    return {
        "shown_fps": report.fps["shown"],
        "captured_fps": report.fps["captured"],
        "capture_to_shown_p50_ms": report.latency_ms["capture_to_shown"]["p50"],
        "capture_to_shown_p95_ms": report.latency_ms["capture_to_shown"]["p95"],
        "cpu_ms_a_picture": report.cpu_ms_per_frame["process"],
        "record_cpu_ms": report.cpu_ms_per_frame.get("record", 0.0),
        "mb_a_minute": round(size_mb / options.seconds * 60, 1),
        **{f"lost_{kind}": float(count) for kind, count in report.recording_lost.items()},
    }


if __name__ == "__main__":
    share_out()
    sys.exit(main(tyro.cli(RecordingOptions, description=__doc__)))
