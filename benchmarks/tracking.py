"""The tracker beside MediaPipe's own landmarker, picture by picture in one run: what it costs, and how far it is off.

    python -m benchmarks.tracking --json FILE [demo CLIP …] [--pictures 300]

For each source, all in one process and in turns, so that the machine is as busy for one as for the other:

    mediapipe_ms    processor time of all threads for a picture in MediaPipe's bare FaceLandmarker (video, coefficients)
    native_ms       the same networks by our own kernels, with our steps between (`capture.face.networks.native`)
    openvino_ms     the same compiled by OpenVINO
    track_ms        `FaceTracker.track`: those, looking for other faces now and then, and lifting to metres
    single          differences where each picture stands for itself: the greatest of a picture's landmarks in pixels,
                    {p50, p99, max} over pictures, and of coefficients
    stream          the same where the face is followed and smoothed
    itself          MediaPipe's own stream against a second one, in which one bit of one pixel of the first picture is
                    another: the region that is looked at depends on the landmarks before, so that nothing can be nearer
                    to it than it is to itself
    decided_differently   pictures in which one finds a face and the other does not

Times are medians, since what comes between makes single ones longer.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from capture.face.face_tracker import FaceTracker
from capture.face.networks.answers import NetworkAnswer
from capture.face.networks.mediapipe import MediaPipeNetworks
from capture.face.networks.native import native_networks
from capture.face.networks.openvino import compiled_networks
from capture.open_source import open_source
from core.source import frames_of

WARM_UP = 5
STEP_MS = 33


class Differences:
    """Between two answers for each picture."""

    def __init__(self) -> None:
        self._px: list[float] = []
        self._coefficients: list[float] = []
        self.decided_differently: list[int] = []

    def add(self, index: int, one: NetworkAnswer | None, other: NetworkAnswer | None, shape: tuple[int, ...]) -> None:
        if one is None or other is None:
            self.decided_differently += [index] * ((one is None) != (other is None))
            return
        apart = np.abs(one.points - other.points)[:, :2] * (shape[1], shape[0])
        self._px.append(float(apart.max()))
        self._coefficients.append(float(np.abs(one.scores - other.scores).max()))

    def summary(self) -> dict[str, Any]:
        figures = {"px": self._px, "coefficient": self._coefficients}
        return {
            **{name: _percentiles(values) for name, values in figures.items()},
            "decided_differently": self.decided_differently,
        }


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, (50, 99)) if values else (np.nan, np.nan)
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4), "max": round(max(values, default=np.nan), 4)}


def measured(device: str, pictures: int) -> dict[str, Any]:
    """All figures of one source."""
    model = find_face_model()
    reference, ours, openvino = MediaPipeNetworks(model), native_networks(model), compiled_networks(model)
    times: dict[str, list[float]] = {"mediapipe": [], "native": [], "openvino": [], "track": []}
    single, stream, itself = Differences(), Differences(), Differences()

    def timed(name: str, run: Callable[[], Any]) -> Any:
        started_s = time.process_time()
        answer = run()
        times[name].append((time.process_time() - started_s) * 1e3)
        return answer

    with (
        reference.landmarks(video=True, scores=True) as bare,
        reference.landmarks(video=True, scores=True) as again,
        reference.landmarks(video=False, scores=True) as bare_single,
        ours.landmarks(video=True, scores=True) as own,
        openvino.landmarks(video=True, scores=True) as compiled,
        ours.landmarks(video=False, scores=True) as own_single,
        FaceTracker() as tracker,
    ):
        for index, frame in enumerate(islice(frames_of(open_source(device, realtime=False)), pictures)):
            rgb, at_ms = frame.rgb, (index + 1) * STEP_MS
            expected = timed("mediapipe", partial(bare.run, rgb, at_ms))
            found = timed("native", partial(own.run, rgb, at_ms))
            timed("openvino", partial(compiled.run, rgb, at_ms))
            timed("track", partial(tracker.track, frame))
            stream.add(index, expected, found, rgb.shape)
            itself.add(index, expected, again.run(_other_bit(rgb) if index == 0 else rgb, at_ms), rgb.shape)
            single.add(index, bare_single.run(rgb), own_single.run(rgb), rgb.shape)
        why = tracker.tracker_why
    typical = {f"{name}_ms": round(float(np.median(of[WARM_UP:])), 2) for name, of in times.items()}
    return {
        "tracker": why,
        "pictures": len(times["track"]),
        **typical,
        "of_mediapipe": {
            name: round(typical[f"{name}_ms"] / typical["mediapipe_ms"], 3) for name in ("native", "openvino", "track")
        },
        "single": single.summary(),
        "stream": stream.summary(),
        "itself": itself.summary(),
    }


def _other_bit(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    other = rgb.copy()
    other[rgb.shape[0] // 2, rgb.shape[1] // 2, 1] ^= 1
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs="*", default=["demo"])
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    figures = {device: measured(device, options.pictures) for device in options.devices}
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
