"""Speed of the whole live loop beside MediaPipe's own landmarker, in one run, so that figures mean something elsewhere.

    python -m benchmarks.live --json FILE [--device CLIP] [--avatar HEAD] [--seconds 60] [--fps 60] [--load 1] [-- …]

Runs `vfa-live --headless` in a process of its own, with what follows `--` as further options, samples its memory once a
second, and adds to its report:

    shown_fps, capture_to_shown_ms {p50, p95}
    mediapipe_ms       processor time of one picture of the same source in MediaPipe's FaceLandmarker (video mode, with
                       coefficients), alone in this process: the mean over pictures before and after the session
    track_ms           processor time of the session's whole tracking, lifting included
    of_mediapipe       the same two and the whole program's, in mediapipe_ms; `program` without reading and decoding the
                       source, which a camera does on its own
    rss_mb             {first_half, second_half}: means after the first ten seconds
    rss_growth_mb_per_minute   a least-squares slope over the same samples

`--fps` plays the demo, or a video file, at another rate (twice as fast at 60). `--load N` keeps N processes busy for
the whole run, the landmarker's part included.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from capture.open_source import open_source
from core.source import frames_of

SETTLING_S = 10.0
PICTURES = 90  # of each of the two rounds of the bare landmarker
WARM_UP = 10


def sample_memory(process: subprocess.Popen[bytes]) -> list[tuple[float, float]]:
    """(seconds since start, resident MB) once a second until the process ends."""
    started, watched, samples = time.monotonic(), psutil.Process(process.pid), []
    while process.poll() is None:
        try:
            samples.append((time.monotonic() - started, watched.memory_info().rss / 1e6))
        except psutil.NoSuchProcess:
            break
        time.sleep(1)
    return samples


def summarise(samples: list[tuple[float, float]]) -> dict[str, object]:
    """Memory once it has settled; nothing of a run that was too short for that."""
    settled = [sample for sample in samples if sample[0] > SETTLING_S]
    if len(settled) < 4:
        return {}
    times, sizes = np.array(settled).T
    half = len(sizes) // 2
    return {
        "rss_mb": {
            "first_half": round(float(sizes[:half].mean()), 1),
            "second_half": round(float(sizes[half:].mean()), 1),
        },
        "rss_growth_mb_per_minute": round(float(np.polyfit(times, sizes, 1)[0]) * 60, 2),
    }


def compared(report: dict[str, Any], mediapipe_ms: float) -> dict[str, object]:
    """The session's figures beside the landmarker's."""
    cpu = report["cpu_ms_per_frame"]
    track_ms = cpu["track"] + cpu["lift"]
    ratios = {"track": track_ms, "program": cpu["process"] - cpu["capture"], "program_and_source": cpu["process"]}
    return {
        "shown_fps": report["fps"]["shown"],
        "capture_to_shown_ms": report["latency_ms"]["capture_to_shown"],
        "mediapipe_ms": round(mediapipe_ms, 2),
        "track_ms": round(track_ms, 2),
        "of_mediapipe": {name: round(ms / mediapipe_ms, 3) for name, ms in ratios.items()},
    }


def pictures_of(device: str) -> list[NDArray[np.uint8]]:
    """[H, W, 3] pictures to give to the bare landmarker: the source's own, the demo's for live cameras."""
    own = device.startswith("demo") or Path(device).exists()
    return [frame.rgb for frame in islice(frames_of(open_source(device if own else "demo", realtime=False)), PICTURES)]


def bare_landmarker_ms(pictures: list[NDArray[np.uint8]]) -> float:
    """Mean processor time per picture, of all threads."""
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=find_face_model().read_bytes()),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
    )
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for index, picture in enumerate(pictures):
            if index == WARM_UP:
                started_s = time.process_time()
            landmarker.detect_for_video(Image(image_format=ImageFormat.SRGB, data=picture), index * 33)
        return (time.process_time() - started_s) / (len(pictures) - WARM_UP) * 1e3


def _keep_busy() -> None:
    while True:
        pass


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many cores are taken by somebody else."""
    busy = [multiprocessing.get_context("spawn").Process(target=_keep_busy, daemon=True) for _ in range(processes)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.kill()


def at_rate(device: str, fps: float, folder: Path) -> str:
    """The source played at another rate: the demo, or a copy of a video with other times, coded as it was."""
    if device == "demo":
        return f"demo?fps={fps:g}"
    import av

    copy = folder / f"{Path(device).stem}-{fps:g}.mkv"
    with av.open(device) as video, av.open(str(copy), "w") as made:
        read = video.streams.video[0]
        written = made.add_stream_from_template(read)
        if read.average_rate is None:
            sys.exit(f"{device}: has no rate; leave out --fps")
        faster = fps / float(read.average_rate)
        for packet in video.demux(read):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = round(packet.pts / faster), round(packet.dts / faster)
                packet.stream = written
                made.mux(packet)
    return str(copy)


def session(device: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Its report, with its memory."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "realtime", "live", "--headless", "--device", device, "--avatar", options.avatar]
    command += ["--seconds", str(options.seconds), "--report", str(report), *options.options]
    process = subprocess.Popen(command)
    samples = sample_memory(process)
    if process.returncode != 0:
        sys.exit(process.returncode)
    return {**json.loads(report.read_text()), **summarise(samples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="demo")
    parser.add_argument("--avatar", default="realistic")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--fps", type=float)
    parser.add_argument("--load", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("options", nargs="*", help="for vfa-live, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, load(options.load):
        device = at_rate(options.device, options.fps, Path(folder)) if options.fps else options.device
        pictures = pictures_of(device)
        before_ms = bare_landmarker_ms(pictures)
        report = session(device, options, Path(folder))
        after_ms = bare_landmarker_ms(pictures)
    figures = {**compared(report, (before_ms + after_ms) / 2), "load": options.load, **report}
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
