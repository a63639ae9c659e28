"""What a live session did, as JSON for programs and as a table for people."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.errors import InputError
from core.whole_file import whole_file


@dataclass(frozen=True)
class LiveReport:
    """Figures of one live session; field names are the JSON's.

    Attributes:
        frames: captured, processed, shown, dropped (frames that a newer one overtook on the way to the screen).
        fps: captured, processed, shown per second of streaming.
        latency_ms: capture_to_pose, capture_to_shown and one entry per section, each {p50, p95, max}.
        startup_s: from the start of the process to the first pose.
        peak_rss_mb: largest resident memory of the process.
        engine: name of the engine that ran.
        device_states: seconds spent in each state.
        device: of a live camera its reconnects, gaps without frames, damaged pictures, freezes (times that it sent one
            and the same picture), pictures mended (depth that is no distance), restamped (with a time that cannot be)
            and unordered (older than the one before, and dropped), and, where known, latency_ms of its own (which
            capture_to_pose and capture_to_shown include); empty for other sources.
        recording_lost: poses and pictures a recording could not keep; empty without a recording.
        recording_problems: why recordings could not begin or broke off, a line each.
    """

    frames: dict[str, int]
    fps: dict[str, float]
    latency_ms: dict[str, dict[str, float]]
    startup_s: float
    peak_rss_mb: float
    engine: str
    device_states: dict[str, float]
    recording_lost: dict[str, int]
    recording_problems: list[str]
    device: dict[str, float]

    def write(self, path: Path) -> None:
        """Write as JSON; the file is replaced in one step. Raises InputError where it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")
        except OSError as error:
            raise InputError(
                f"{path}: the report cannot be written ({error.strerror}); give another --report"
            ) from None

    def print(self, console: Console) -> None:
        table = Table(title=f"engine {self.engine} · first pose after {self.startup_s:.1f} s", title_justify="left")
        for heading in ("", "p50 ms", "p95 ms", "max ms"):
            table.add_column(heading, justify="left" if not heading else "right")
        for name, figures in self.latency_ms.items():
            table.add_row(name.replace("_", " "), *(f"{figures[key]:.1f}" for key in ("p50", "p95", "max")))
        console.print(table)
        counts = ", ".join(f"{count} {name}" for name, count in self.frames.items())
        rates = ", ".join(f"{rate:.1f} {name}" for name, rate in self.fps.items())
        states = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.device_states.items())
        console.print(f"frames: {counts}\nper second: {rates}\nstates: {states}")
        faults = ", ".join(
            f"{count:.0f} {name}" for name, count in self.device.items() if count and name != "latency_ms"
        )
        if faults:
            console.print(f"[yellow]camera: {faults}")
        console.print(f"peak memory: {self.peak_rss_mb:.0f} MB")
        if any(self.recording_lost.values()):
            lost = ", ".join(f"{count} {name}" for name, count in self.recording_lost.items())
            console.print(f"[yellow]the recording lost {lost}: the disk or the encoder was too slow")
        for problem in self.recording_problems:
            console.print(f"[red]not recorded:[/red] {escape(problem)}", highlight=False, soft_wrap=True)


def check_report_path(path: Path) -> None:
    """Raises InputError where no file can stand at `path`: better told before the session than after it."""
    if not path.name or path.is_dir():
        raise InputError(f"--report {path}: expected the name of a file to write, this is a folder; add a name")
    if path.parent.exists() and not path.parent.is_dir():
        raise InputError(f"--report {path}: {path.parent} is a file; name another folder")


def seconds_since_process_start() -> float:
    return time.time() - psutil.Process().create_time()


def peak_rss_mb() -> float:
    """Largest resident set of this process so far, in MB (10^6 bytes)."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
