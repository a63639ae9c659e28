"""Cameras unplugged and plugged in again and again, at random moments, over both simulators.

    python -m benchmarks.soak --cycles 200 --json soak.json [--app] [--only record3d|kinect] [--fuzz 10000]

Record3D runs the real library against the simulated phone; the Azure Kinect runs the real pyk4a on a fake native
module, in `.venv-kinect`. While the cycles run, frames are checked (whole, in order, each another picture, with all of
their depth) and recorded. Writes the figures of `benchmarks.soak_check.SOURCE_LIMITS` and some more for all cycles, and
the same per simulator under `devices`. With --fuzz, also `fuzz`: so many garbage messages to the library, a few to a
connection, and whether frames come again after them. With --app, the cycles run through the whole app
(`benchmarks.soak_app`), whose own figures stand beside the same names.

`limits` are what the figures have to keep (another one: --limit reconnect_s_p95=0.5), and `missed` says which did not,
by device. The exit status is 1 when one was missed or anything crashed, else 0.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak_bench import ROOT, Bench, Growth, kinect_bench, pyk4a_without_its_library, record3d_bench
from benchmarks.soak_check import (
    APP_LIMITS,
    FUZZ_LIMITS,
    SOURCE_LIMITS,
    FrameTally,
    Limits,
    add_limit_option,
    seen,
)
from benchmarks.soak_fuzz import fuzz
from capture.cameras.reconnecting import ReconnectingSource
from core.frame import RgbdFrame
from tests.fakes.phone import read_pattern

KINECT_ENVIRONMENT = ROOT / ".venv-kinect"
KINECT_PYTHON = KINECT_ENVIRONMENT / "bin" / "python"
LIMIT_S = 10.0  # a device that is not back by then never will be
AWAY_S = (0.05, 0.6)
STREAMING_S = (0.05, 0.5)


@dataclass
class Figures:
    """What one simulator's cycles gave."""

    tally: FrameTally
    cycles: int = 0
    crashes: int = 0
    reconnect_s: list[float] = field(default_factory=list)
    growth: Growth = field(default_factory=Growth)
    recording_intact: bool = False

    def summary(self) -> dict[str, Any]:
        back = self.reconnect_s
        return {
            "cycles": self.cycles,
            "crashes": self.crashes,
            **self.tally.counts,
            "reconnect_s_p95": round(float(np.percentile(back, 95)), 3) if back else None,
            "reconnect_s_max": round(max(back), 3) if back else None,
            **self.growth.summary(),
            "recording_intact": self.recording_intact,
        }


class Watcher:
    """Reads a source, checks every frame and records it."""

    def __init__(self, source: ReconnectingSource[Any], figures: Figures, film: Path) -> None:
        from realtime.recording.preview import PreviewWriter

        self.source, self.figures = source, figures
        self._film = PreviewWriter(film, height=96)
        self._path = film

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
        number = read_pattern(frame.rgb, frame.depth_m)
        self.figures.tally.add(seen(frame, number, torn=number is None))
        half = frame.rgb.shape[1] // 2
        self._film.append(frame.rgb[:, :half], frame.rgb[:, half:], frame.timestamp_s)

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
    rng, figures = random.Random(seed), Figures(FrameTally(bench.depth_share))
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
        source.close()
        watcher.finish()
    except Exception:
        traceback.print_exc()
        figures.crashes += 1
    source.close()
    gc.collect()
    figures.growth.end()
    return figures


def _warm_up(bench: Bench) -> None:
    """What the first use of the libraries leaves open for good is not a leak."""
    from realtime.recording.preview import PreviewWriter

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


def soak_kinect_elsewhere(cycles: int, seed: int) -> dict[str, Any]:
    """The Azure Kinect's cycles in the environment that can load its library, whatever its exit status says."""
    if not KINECT_PYTHON.exists():
        sys.exit(f"no {KINECT_PYTHON}: run  .ci/kinect-env .venv .venv-kinect")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "kinect.json"
        command = [str(KINECT_PYTHON), "-m", "benchmarks.soak", "--only", "kinect", "--here", "--json", str(result)]
        command += ["--cycles", str(cycles), "--seed", str(seed)]
        status = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode
        if not result.exists():
            raise RuntimeError(f"the Kinect's cycles ended with status {status} and without figures")
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


def soak_device(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of one simulator; what ends a run early, in bringing it up or down too, is one crash more."""
    figures: dict[str, Any] = {"crashes": 0}
    try:
        if options.app:
            return soak_whole_app(name, options.cycles, folder / name, options.seed)
        if name == "kinect" and not options.here:
            return soak_kinect_elsewhere(options.cycles, options.seed)
        with (record3d_bench if name == "record3d" else kinect_bench)() as bench:
            figures = soak(bench, options.cycles, folder / f"{name}.mp4", options.seed).summary()
    except Exception:
        traceback.print_exc()
        figures["crashes"] += 1
    return figures


def combined(devices: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Over all cycles: counts added, times and growth at their worst, of the figures that every device has."""
    added = ("cycles", *FrameTally(0.0).counts, "crashes", "leaked_threads", "leaked_fds", "gaps_unmarked")
    steps = ("left_at_half_second", "step_resuming", "step_performing")
    worst = ("reconnect_s_p95", "reconnect_s_max", "rss_growth_mb", *steps)
    every = [name for name in (*added, *worst) if all(it.get(name) is not None for it in devices.values())]
    figures: dict[str, Any] = {
        name: (sum if name in added else max)(it[name] for it in devices.values()) for name in every
    }
    figures["recording_intact"] = all(it.get("recording_intact", False) for it in devices.values())
    return {**figures, "devices": devices}


def judged(report: dict[str, Any], limits: Limits, fuzz_limits: Limits) -> dict[str, Any]:
    """The report with the limits and with what keeps none, by device."""
    missed = {name: limits.missed(figures) for name, figures in report["devices"].items()}
    if "fuzz" in report:
        missed["fuzz"] = fuzz_limits.missed(report["fuzz"])
    told = {"devices": asdict(limits), **({"fuzz": asdict(fuzz_limits)} if "fuzz" in report else {})}
    return {**report, "limits": told, "missed": {name: lines for name, lines in missed.items() if lines}}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=200, help="per simulator")
    parser.add_argument("--only", choices=["record3d", "kinect"])
    parser.add_argument("--app", action="store_true", help="through the whole app")
    parser.add_argument("--here", action="store_true", help="run the Kinect's cycles in this environment")
    parser.add_argument("--fuzz", type=int, default=0, metavar="MESSAGES")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    add_limit_option(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when every limit was kept."""
    options = parsed(arguments)
    logging.basicConfig(level=logging.ERROR)  # faults are what this is about: they are counted, not told
    with tempfile.TemporaryDirectory() as folder:
        names = [name for name in ("record3d", "kinect") if options.only in (None, name)]
        report = combined({name: soak_device(name, options, Path(folder)) for name in names})
    if options.fuzz:
        report["fuzz"] = fuzzed(options)
    limits = APP_LIMITS if options.app else SOURCE_LIMITS
    limits = Limits(limits.most, {**limits.least, "cycles": options.cycles}).changed(dict(options.limit))
    report = judged(report, limits, FUZZ_LIMITS.changed(dict(options.limit)))
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 1 if report["missed"] else 0


def fuzzed(options: argparse.Namespace) -> dict[str, Any]:
    try:
        return fuzz(options.fuzz, options.seed)
    except Exception:
        traceback.print_exc()
        return {"crashes": 1}


if __name__ == "__main__":
    sys.exit(main())
