"""Kill a recording session at random moments and see what is left.

    python -m benchmarks.crash --kills 30 --json crash.json

Each time a whole session is started, records for some seconds, and is killed (`kill -9`, nothing is asked). It is read
as it lies there, then `vfa session repair` completes what is on the disk, and once more. Counted are sessions that
cannot be opened (each of their files is read, and `vfa session check` finds fault with none) or that a second repair
changes, and for each file how much before the kill is missing: the time of capture of its last frame, on the clock that
both processes share, against the moment of the kill. The way of a frame from the camera to the disk is part of that.
A film that had not begun is missing from the first pose on.
The exit status is 1 where a session cannot be opened or more than a second is missing.
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
import tyro

from core.errors import InputError
from core.source import frames_of
from realtime.session.check import check
from realtime.session.folder_names import RawName
from realtime.session.reader import SessionReader
from realtime.session.session_source import SessionSource

START_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class CrashOptions:
    """Kill recording sessions and complete what they leave."""

    kills: int = 30
    """Sessions to kill."""

    avatar: str = "lowpoly"
    """Which head; a larger one writes more."""

    raw: RawName = "rgbd"
    """Which of the camera's pictures are recorded."""

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
    """What one kill left.

    Attributes:
        recorded_s: from the first pose to the kill.
        frames: poses that are left.
        loss_s: {file: seconds of it that are missing}; those that cannot be opened are missing here.
        faults: why it cannot be opened, a line each; empty where it can.
    """

    recorded_s: float
    frames: int
    loss_s: dict[str, float]
    faults: list[str]


def main(options: CrashOptions) -> int:
    """Run all kills; returns the exit status."""
    moments, kills = random.Random(options.seed), []
    for number in range(options.kills):
        kill = _killed(options, moments.uniform(0.3, options.most_s))
        kills.append(kill)
        print(f"{number + 1}/{options.kills}: {kill}", flush=True)
    names = sorted({name for kill in kills for name in kill.loss_s})
    losses = {name: round(max(kill.loss_s.get(name, 0.0) for kill in kills), 3) for name in names}
    figures = {
        "kills": len(kills),
        "unopenable": sum(bool(kill.faults) for kill in kills),
        "max_loss_s": max(losses.values(), default=0.0),
        "max_loss_s_of": losses,
        "raw": options.raw,
        "each": [asdict(kill) for kill in kills],
    }
    print({name: figure for name, figure in figures.items() if name != "each"})
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(bool(figures["unopenable"]) or max(losses.values(), default=0.0) > options.allowed_loss_s)


def _killed(options: CrashOptions, after_s: float) -> Kill:
    with tempfile.TemporaryDirectory(prefix="vfa-crash-") as place:
        folder = Path(place) / "session"
        command = [sys.executable, "-m", "realtime", "live", "--device", "demo", "--avatar", options.avatar]
        command += ["--headless", "--record", str(folder), "--record-raw", options.raw]
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            _wait_for_poses(folder, process)
            time.sleep(after_s)
            process.kill()
            killed_s = time.monotonic()
        return _what_is_left(folder, killed_s)


def _wait_for_poses(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + START_TIMEOUT_S
    while not (folder / "poses.partial").exists() or (folder / "poses.partial").stat().st_size == 0:
        if process.poll() is not None or time.monotonic() > until_s:
            raise RuntimeError(f"the session recorded nothing (exit status {process.poll()})")
        time.sleep(0.02)


def _what_is_left(folder: Path, killed_s: float) -> Kill:
    faults: list[str] = []
    loss_s: dict[str, float] = {}
    first_s, frames = killed_s, 0
    try:
        before = SessionReader.open(folder)  # as it lies there
        as_it_lay = len(before.motion), len(before.observations)
        _run(folder, "repair")
        once = _contents(folder)
        _run(folder, "repair")
        if _contents(folder) != once:
            faults.append("a second repair changed it")
        faults += check(folder)
        session = SessionReader.open(folder)
        motion, observations = session.motion, session.observations
        if (len(motion), len(observations)) != as_it_lay:
            faults.append(f"repair made {(len(motion), len(observations))} frames of {as_it_lay}")
        frames, first_s = len(motion), float(motion.timestamps_s[0])
        loss_s["animation.npz"] = killed_s - float(motion.timestamps_s[-1])
        loss_s["observations.npy"] = killed_s - float(observations["timestamp_s"][-1])
        source = SessionSource(session, realtime=False)
        replayed = [frame for frame in frames_of(source) if frame is not None]
        if len(replayed) < frames:
            faults.append(f"{len(replayed)} of {frames} frames are played")
    except (InputError, OSError, ValueError, IndexError) as error:
        faults.append(str(error))
    loss_s |= _films(folder, first_s, killed_s, faults)
    rounded = {name: round(lost_s, 3) for name, lost_s in loss_s.items()}
    return Kill(round(killed_s - first_s, 3), frames, rounded, faults)


def _films(folder: Path, first_s: float, killed_s: float, faults: list[str]) -> dict[str, float]:
    """{film: seconds that are missing at its end}."""
    loss_s = {}
    for name in ("preview.mp4", "color.mp4", "depth.mkv"):
        path = folder / name
        wanted = name == "preview.mp4" or (folder / "pictures.npy").exists()
        if not path.exists():
            if wanted and name != "depth.mkv":
                loss_s[name] = killed_s - first_s
            continue
        try:
            with av.open(str(path)) as film:
                shown = [frame.time for frame in film.decode(video=0) if frame.time is not None]
            loss_s[name] = killed_s - first_s - (shown[-1] - shown[0])
        except (OSError, av.error.FFmpegError, IndexError) as error:
            faults.append(f"{name}: {error}")
    return loss_s


def _run(folder: Path, what: str) -> None:
    subprocess.run([sys.executable, "-m", "realtime", "session", what, str(folder)], capture_output=True, check=False)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(CrashOptions, description=__doc__)))
