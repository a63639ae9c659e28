"""What a live session did, as JSON for programs and as a table for people."""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.errors import InputError
from core.whole_file import whole_file
from core.writable import reason_of
from realtime.outputs.output import OutputReport

_STARTED = 19  # which of the words after a process's name in /proc/PID/stat says when it started
_STEPS = {
    "track": "find the face in a frame",
    "lift": "  of that: from the picture into space",
    "animate": "turn it into the avatar's motion",
    "capture_to_pose": "from the camera to the motion",
    "render": "draw the picture",
    "capture_to_shown": "from the camera to the screen",
    "record": "hand it to the recording",
}


@dataclass(frozen=True)
class LiveReport:
    """Figures of one live session; field names are the JSON's.

    Attributes:
        frames: captured, processed, shown, dropped (frames that a newer one overtook on the way to the screen), skipped
            (frames of a recording that were due before the one before them had been taken, and were not captured).
        fps: captured, processed, shown per second of streaming.
        latency_ms: capture_to_pose, capture_to_shown and one entry per section, each {p50, p95, max}.
        cpu_ms_per_frame: milliseconds of processor time per picture shown: process and its parts, see
            `realtime.threads.processor.cpu_ms_per_frame`; from the first half second of pictures on.
        lock_ms_per_frame: for how long capture, inference and main may have held Python's lock per picture, at most: a
            bound, see `realtime.threads.processor.lock_ms_per_frame`.
        startup_s: from the start of the process to the first pose. startup_cpu_s: its processor time until then, which
            other programs change little.
        peak_rss_mb: largest resident memory of the process.
        engine: name of the engine that ran.
        tracker: who ran the tracker's networks, why, and how it has proven itself.
        device_states: seconds spent in each state.
        device: of a live camera its reconnects, gaps without frames, damaged pictures, freezes (times that it sent one
            and the same picture), pictures mended (depth that is no distance), restamped (with a time that cannot be)
            and unordered (older than the one before, and dropped), and, where known, latency_ms of its own (which
            capture_to_pose and capture_to_shown include); empty for other sources.
        recording_lost: poses and pictures a recording could not keep; empty without a recording.
        recording_problems: why recordings could not begin or broke off, a line each.
        outputs: of each --send how it fared, see `OutputReport`; empty without one.
        virtual_camera: its device, pictures sent, and problem ("" while there is none); empty without one.
        microphone: of --audio, see `Microphone.summary`; empty without one.
        reduced_s: seconds in which the picture was drawn smaller than shown, see `realtime.live.giving_way`.
    """

    frames: dict[str, int]
    fps: dict[str, float]
    latency_ms: dict[str, dict[str, float]]
    cpu_ms_per_frame: dict[str, float]
    lock_ms_per_frame: dict[str, float]
    startup_s: float
    startup_cpu_s: float
    peak_rss_mb: float
    engine: str
    tracker: str
    device_states: dict[str, float]
    recording_lost: dict[str, int]
    recording_problems: list[str]
    device: dict[str, float]
    outputs: list[OutputReport]
    virtual_camera: dict[str, str | int]
    microphone: dict[str, str | float] = field(default_factory=dict)
    reduced_s: float = 0.0

    def write(self, path: Path) -> None:
        """Write as JSON; the file is replaced in one step. Raises InputError where it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")
        except OSError as error:
            raise InputError(
                f"{path}: the report cannot be written ({reason_of(error)}); give another --report"
            ) from None

    def print(self, console: Console) -> None:
        """For whoever ran it: what was shown, how long each step took, what went wrong."""
        shown, captured, dropped = (self.frames[name] for name in ("shown", "captured", "dropped"))
        over, all_frames = dropped + self.frames["skipped"], captured + self.frames["skipped"]
        skipped = f"; {over} of {all_frames} frames were passed over for newer ones" if over else ""
        console.print(
            f"{shown} pictures shown, {self.fps['shown']:.1f} a second, by the {self.engine} engine{skipped}.\n"
            f"First pose after {self.startup_s:.1f} s; {self.peak_rss_mb:.0f} MB of memory at most."
        )
        table = Table("milliseconds", title=None)
        for heading in ("typical", "19 of 20 below", "longest"):
            table.add_column(heading, justify="right")
        for name in _STEPS:
            if (figures := self.latency_ms.get(name)) is not None:
                table.add_row(_STEPS[name], *(f"{figures[key]:.1f}" for key in ("p50", "p95", "max")))
        console.print(table)
        if self.cpu_ms_per_frame:
            parts = ", ".join(f"{name} {ms:.1f}" for name, ms in self.cpu_ms_per_frame.items() if name != "process")
            total = self.cpu_ms_per_frame["process"]
            console.print(f"Milliseconds of processor time for each picture: {total:.1f} ({parts})")
        if self.reduced_s:
            console.print(f"For {self.reduced_s:.0f} s the picture was drawn smaller and enlarged, to keep up.")
        states = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.device_states.items())
        console.print(f"The source was: {states}")
        faults = [f"{count:.0f} {name}" for name, count in self.device.items() if count and name != "latency_ms"]
        if faults:
            console.print(Text.assemble(("camera: ", "yellow"), ", ".join(faults)))
        if any(self.recording_lost.values()):
            lost = ", ".join(f"{count} {name}" for name, count in self.recording_lost.items())
            console.print(
                Text.assemble(("the recording lost ", "yellow"), lost, ": the disk or the encoder was too slow")
            )
        for output in self.outputs:
            told = f"{output.sent} sent, {output.per_second:.1f} a second" + f", {output.failed} failed" * bool(
                output.failed
            )
            console.print(Text.assemble((f"{output.to}: ", "red" if output.problem else ""), told))
        if self.virtual_camera.get("problem"):  # which was told when it happened
            sent = self.virtual_camera["sent"]
            console.print(Text.assemble(("virtual camera: ", "red"), f"failed after {sent} pictures, as told above"))
        for problem in self.recording_problems:
            console.print(Text.assemble(("not recorded: ", "red"), problem))


def seconds_since_process_start() -> float:
    """To a hundredth on Linux; elsewhere as psutil has it."""
    stat = Path("/proc/self/stat")
    if stat.exists():  # Linux: psutil counts from a start of the machine that is told in whole seconds
        ticks = int(stat.read_text().rpartition(")")[2].split()[_STARTED])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - psutil.Process().create_time()


def peak_rss_mb() -> float:
    """Largest resident set of this process so far, in MB (10^6 bytes)."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
