"""Kill a recording session at random moments and see what is left.

    python -m benchmarks.crash --kills 30 --json crash.json

Each time a whole session is started, records for some seconds, and is killed (`kill -9`, nothing is asked). Then
`vfa finish-recording` completes what is on the disk. Counted are recordings that cannot be opened afterwards and, for
animation and film each, how much before the kill is missing: the time of capture of the last pose, on the clock that
both processes share, against the moment of the kill. The way of a frame from the camera to the disk is part of that.
A film that had not begun is missing from the first pose on.
The exit status is 1 where a recording cannot be opened or more than a second is missing.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
import tyro

START_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class CrashOptions:
    """Kill recording sessions and complete what they leave."""

    kills: int = 30
    """Sessions to kill."""

    avatar: str = "lowpoly"
    """Which head; a larger one writes more."""

    most_s: float = 5.0
    """Longest recording before its kill."""

    allowed_loss_s: float = 1.0
    """More than this is a failure."""

    seed: int = 0
    """Of the moments."""

    json: Path | None = None
    """Where the figures are written."""


@dataclass(frozen=True)
class Kill:
    """What one kill left. Losses in seconds; None where it cannot be opened."""

    recorded_s: float
    frames: int
    animation_loss_s: float | None
    film_loss_s: float | None
    message: str


def main(options: CrashOptions) -> int:
    """Run all kills; returns the exit status."""
    moments, kills = random.Random(options.seed), []
    for number in range(options.kills):
        kill = _killed(options.avatar, moments.uniform(0.3, options.most_s))
        kills.append(kill)
        print(f"{number + 1}/{options.kills}: {kill}", flush=True)
    losses = [loss for kill in kills for loss in (kill.animation_loss_s, kill.film_loss_s)]
    known = [loss for loss in losses if loss is not None]
    figures = {
        "kills": len(kills),
        "unopenable": sum(None in (kill.animation_loss_s, kill.film_loss_s) for kill in kills),
        "max_loss_s": round(max(known, default=0.0), 3),
        "max_animation_loss_s": round(max((kill.animation_loss_s or 0.0 for kill in kills), default=0.0), 3),
        "each": [asdict(kill) for kill in kills],
    }
    print({name: figure for name, figure in figures.items() if name != "each"})
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(bool(figures["unopenable"]) or max(known, default=0.0) > options.allowed_loss_s)


def _killed(avatar: str, after_s: float) -> Kill:
    with tempfile.TemporaryDirectory(prefix="vfa-crash-") as place:
        folder = Path(place) / "recording"
        command = [sys.executable, "-m", "realtime", "live", "--device", "demo", "--avatar", avatar, "--headless"]
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        with subprocess.Popen(
            [*command, "--record", str(folder)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            _wait_for_poses(folder, process)
            time.sleep(after_s)
            process.kill()
            killed_s = time.monotonic()
        finish = [sys.executable, "-m", "realtime", "finish-recording", str(folder)]
        done = subprocess.run(finish, capture_output=True, text=True, check=False)
        return _what_is_left(folder, killed_s, " ".join((done.stdout + done.stderr).split()))


def _wait_for_poses(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + START_TIMEOUT_S
    while not (folder / "poses.partial").exists() or (folder / "poses.partial").stat().st_size == 0:
        if process.poll() is not None or time.monotonic() > until_s:
            raise RuntimeError(f"the session recorded nothing (exit status {process.poll()})")
        time.sleep(0.02)


def _what_is_left(folder: Path, killed_s: float, message: str) -> Kill:
    try:
        with np.load(folder / "animation.npz", allow_pickle=False) as archive:
            times_s, vertices = archive["timestamps_s"], archive["vertices"]
        if not (len(vertices) == len(times_s) > 0 and np.isfinite(vertices).all() and (np.diff(times_s) > 0).all()):
            raise ValueError("its poses are not sound")
    except (OSError, ValueError, KeyError) as error:
        return Kill(0.0, 0, None, None, f"{message}; {error}")
    recorded_s = killed_s - float(times_s[0])
    if not (folder / "preview.mp4").exists():
        return Kill(round(recorded_s, 3), len(times_s), round(killed_s - float(times_s[-1]), 3), recorded_s, message)
    try:
        with av.open(str(folder / "preview.mp4")) as film:
            shown = [frame.time for frame in film.decode(video=0) if frame.time is not None]
        film_loss_s: float | None = round(recorded_s - shown[-1], 3)
    except (OSError, av.error.FFmpegError, IndexError) as error:
        film_loss_s = None
        message += f"; {error}"
    return Kill(round(recorded_s, 3), len(times_s), round(killed_s - float(times_s[-1]), 3), film_loss_s, message)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(CrashOptions, description=__doc__)))
