"""Cameras unplugged and plugged in again and again, at random moments, over both simulators.

    python -m benchmarks.soak --cycles 200 --json soak.json [--app] [--only record3d|kinect] [--fuzz 10000]

Record3D runs the real library against the simulated phone; the Azure Kinect runs the real pyk4a on a fake native
module, in `.venv-kinect`. While the cycles run, frames are checked (whole, in order) and recorded. Writes `cycles`,
`crashes`, `torn_frames`, `out_of_order`, `reconnect_s_p95`, `reconnect_s_max`, `rss_growth_mb`, `leaked_threads`,
`leaked_fds`, `recording_intact` for all cycles, and the same per simulator under `devices`. With --fuzz, also `fuzz`:
so many garbage messages to the library, a few to a connection, and whether frames come again after them. With --app,
the cycles run through the whole app (`benchmarks.soak_app`), whose own figures stand beside the same names.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.soak_bench import ROOT, Bench, Growth, kinect_bench, pyk4a_without_its_library, record3d_bench
from capture import reconnecting
from capture.frame import RgbdFrame
from capture.reconnecting import ReconnectingSource
from capture.source import DeviceState
from tests.fakes.phone import Phone, read_pattern

KINECT_ENVIRONMENT = ROOT / ".venv-kinect"
KINECT_PYTHON = KINECT_ENVIRONMENT / "bin" / "python"
LIMIT_S = 10.0  # a device that is not back by then never will be
AWAY_S = (0.05, 0.6)
STREAMING_S = (0.05, 0.5)
FUZZ_MESSAGES = 10  # per connection: one that announces gigabytes swallows all that follow


@dataclass
class Figures:
    """What one simulator's cycles gave."""

    cycles: int = 0
    crashes: int = 0
    torn_frames: int = 0
    out_of_order: int = 0
    frames: int = 0
    reconnect_s: list[float] = field(default_factory=list)
    growth: Growth = field(default_factory=Growth)
    recording_intact: bool = False

    def summary(self) -> dict[str, Any]:
        return {
            "cycles": self.cycles,
            "crashes": self.crashes,
            "torn_frames": self.torn_frames,
            "out_of_order": self.out_of_order,
            "frames": self.frames,
            "reconnect_s_p95": round(float(np.percentile(self.reconnect_s, 95)), 3),
            "reconnect_s_max": round(max(self.reconnect_s), 3),
            **self.growth.summary(),
            "recording_intact": self.recording_intact,
        }


class Watcher:
    """Reads a source, checks every frame and records it."""

    def __init__(self, source: ReconnectingSource[Any], figures: Figures, film: Path) -> None:
        from realtime.preview import PreviewWriter

        self.source, self.figures = source, figures
        self._film = PreviewWriter(film, height=96)
        self._path = film
        self._last: RgbdFrame | None = None

    def watch(self, seconds: float, until: Callable[[RgbdFrame], bool] | None = None) -> RgbdFrame | None:
        """Read for so long, or to the first frame that `until` accepts, which is returned."""
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            frame = self.source.read(min(left_s, 0.1))
            if frame is None:
                continue
            self._check(frame)
            if until is not None and until(frame):
                return frame
        return None

    def _check(self, frame: RgbdFrame) -> None:
        self.figures.frames += 1
        number = read_pattern(frame.rgb, frame.depth_m)
        self.figures.torn_frames += number is None
        last = self._last
        if last is not None and not (frame.index > last.index and frame.timestamp_s > last.timestamp_s):
            self.figures.out_of_order += 1
        half = frame.rgb.shape[1] // 2
        self._film.append(frame.rgb[:, :half], frame.rgb[:, half:], frame.timestamp_s)
        self._last = frame

    def finish(self) -> None:
        """Close the film and see that it plays, with every frame and with the gaps in its times."""
        import av

        self._film.close()
        with av.open(str(self._path)) as container:
            times = [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]
        longest_gap_s = max(np.diff(times)) if len(times) > 1 else 0.0
        whole = len(times) == self._film.frames and bool((np.diff(times) > 0).all())
        self.figures.recording_intact = bool(whole and longest_gap_s > AWAY_S[0])


def soak(bench: Bench, cycles: int, film: Path, seed: int) -> Figures:
    """Run the cycles on one source, then close it and count what is left."""
    rng, figures = random.Random(seed), Figures()
    _warm_up(bench)
    figures.growth.begin()
    source = bench.source()
    source.open()
    watcher = Watcher(source, figures, film)
    try:
        watcher.watch(LIMIT_S, until=lambda _frame: True)
        for _ in range(cycles):
            _cycle(bench, watcher, rng)
            gc.collect()
            figures.growth.sample()
    except Exception:
        traceback.print_exc()
        figures.crashes += 1
    source.close()
    watcher.finish()
    gc.collect()
    figures.growth.end()
    return figures


def _warm_up(bench: Bench) -> None:
    """What the first use of the libraries leaves open for good is not a leak."""
    from realtime.preview import PreviewWriter

    with tempfile.TemporaryDirectory() as folder:
        film = PreviewWriter(Path(folder) / "film.mp4", height=96)
        source = bench.source()
        source.open()
        ends_s = time.monotonic() + LIMIT_S
        while film.frames < 5 and time.monotonic() < ends_s:
            if (frame := source.read(0.1)) is not None:
                film.append(frame.rgb, frame.rgb, frame.timestamp_s)
        source.close()
        film.close()


def _cycle(bench: Bench, watcher: Watcher, rng: random.Random) -> None:
    watcher.watch(rng.uniform(*STREAMING_S))
    bench.break_it(rng)
    watcher.watch(rng.uniform(*AWAY_S))
    back_s = bench.restore()
    first = watcher.watch(LIMIT_S, until=lambda frame: frame.timestamp_s > back_s)
    if first is None:
        raise RuntimeError(f"no frame within {LIMIT_S} s: {watcher.source.state}: {watcher.source.detail}")
    watcher.figures.reconnect_s.append(max(0.0, time.monotonic() - back_s))
    watcher.figures.cycles += 1


def fuzz(messages: int, seed: int) -> dict[str, Any]:
    """Garbage of every kind on the wire. Nothing may raise, hang or grow, and afterwards frames must come again."""
    from capture.record3d_usb import Record3dDevice, record3d_source

    reconnecting.BACKOFF_S = (0.01, 0.05)
    Record3dDevice.first_frame_s = 1.0
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder, Phone(Path(folder), fps=500.0, seed=seed) as phone:
        os.environ.update(phone.environment)
        source = record3d_source()
        source.open()
        phone.set(garbage="mixed", messages_per_connection=FUZZ_MESSAGES)
        longest_read_s, began_s, before_mb = 0.0, time.monotonic(), process.memory_info().rss / 1e6
        states: set[str] = set()
        while (sent := phone.counts()["damaged"]) < messages:
            asked_s = time.monotonic()
            source.read(0.1)
            longest_read_s = max(longest_read_s, time.monotonic() - asked_s)
            states.add(source.state.name)
        grown_mb = process.memory_info().rss / 1e6 - before_mb
        connections, seconds = phone.counts()["connections"], time.monotonic() - began_s
        phone.set(garbage="", fps=60.0, messages_per_connection=0)
        phone.cut()
        recovered = _comes_again(source)
        source.close()
    return {
        "messages": sent,
        "connections": connections,
        "seconds": round(seconds, 1),
        "longest_read_s": round(longest_read_s, 3),
        "rss_growth_mb": round(grown_mb, 1),
        "damaged_pictures": source.damaged,
        "states": sorted(states),
        "recovered": recovered,
    }


def _comes_again(source: ReconnectingSource[Any]) -> bool:
    ends_s = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_s:
        frame = source.read(0.1)
        if frame is not None and read_pattern(frame.rgb, frame.depth_m) is not None:
            return source.state is DeviceState.STREAMING
    return False


def soak_kinect_elsewhere(cycles: int, seed: int) -> dict[str, Any]:
    """The Azure Kinect's cycles in the environment that can load its library."""
    if not KINECT_PYTHON.exists():
        sys.exit(f"no {KINECT_PYTHON}: run  .ci/kinect-env .venv .venv-kinect")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "kinect.json"
        command = [str(KINECT_PYTHON), "-m", "benchmarks.soak", "--only", "kinect", "--here", "--json", str(result)]
        subprocess.run([*command, "--cycles", str(cycles), "--seed", str(seed)], cwd=ROOT, check=True)
        answer: dict[str, Any] = json.loads(result.read_text())["devices"]["kinect"]
        return answer


def soak_whole_app(name: str, cycles: int, folder: Path, seed: int) -> dict[str, Any]:
    """The cycles of one simulator through capture, tracking, engine, viewer and recorder."""
    from benchmarks.soak_app import soak_app

    if name == "record3d":
        with record3d_bench(faces=True) as bench:
            return soak_app(bench, cycles, folder, seed).summary()
    with pyk4a_without_its_library(KINECT_ENVIRONMENT), kinect_bench(faces=True) as bench:
        return soak_app(bench, cycles, folder, seed).summary()


_APP_WORST = ("left_at_half_second", "step_resuming", "step_performing")


def combined(devices: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Over all cycles: counts added, times and growth at their worst."""
    added = ("cycles", "crashes", "torn_frames", "out_of_order", "frames", "leaked_threads", "leaked_fds")
    worst = ("reconnect_s_p95", "reconnect_s_max", "rss_growth_mb", *_APP_WORST)
    shared = set.intersection(*(set(it) for it in devices.values()))
    added, worst = (tuple(name for name in names if name in shared) for names in (added, worst))
    figures: dict[str, Any] = {name: sum(it[name] for it in devices.values()) for name in added}
    figures |= {name: max(it[name] for it in devices.values()) for name in worst}
    figures["recording_intact"] = all(it["recording_intact"] for it in devices.values())
    return {**figures, "devices": devices}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=200, help="per simulator")
    parser.add_argument("--only", choices=["record3d", "kinect"])
    parser.add_argument("--app", action="store_true", help="through the whole app")
    parser.add_argument("--here", action="store_true", help="run the Kinect's cycles in this environment")
    parser.add_argument("--fuzz", type=int, default=0, metavar="MESSAGES")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # faults are what this is about: they are counted, not told
    devices: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, bench in (("record3d", record3d_bench), ("kinect", kinect_bench)):
            if options.only not in (None, name):
                continue
            if options.app:
                devices[name] = soak_whole_app(name, options.cycles, Path(folder) / name, options.seed)
                continue
            if name == "kinect" and not options.here:
                devices[name] = soak_kinect_elsewhere(options.cycles, options.seed)
                continue
            with bench() as it:
                devices[name] = soak(it, options.cycles, Path(folder) / f"{name}.mp4", options.seed).summary()
    report = combined(devices)
    if options.fuzz:
        report["fuzz"] = fuzz(options.fuzz, options.seed)
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
