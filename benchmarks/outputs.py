"""What sending motion costs, and how regularly it goes out: every protocol at once, to receivers in this process.

    python -m benchmarks.outputs [--seconds 60] [--rate 60] [--json FILE]

A thread stands in for the inference thread: it puts a new motion at the given rate, for a face that moves in all units.
Told per output: moments received of those put, their rate, the intervals between them on arrival, and what it takes of
processor time per frame when it is the only one, in a shorter run of its own. And for all of them together: the time of
the thread that puts, which is all that a frame waits for, and of the threads that send. Beside it stands how irregular
the frames themselves were: on a busy machine the thread that puts is late as well.
"""

import argparse
import json
import math
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from core.expression_units import UNIT_COUNT
from core.face_motion import FaceMotion, with_gaze
from core.rigid_motion import turned
from engine.motion.protocol import AvatarPose
from realtime.outputs.address import Address
from realtime.outputs.output import open_output
from realtime.outputs.sender import MotionSender
from realtime.threads.processor import ProcessorTime
from realtime.threads.timing import SectionTimes
from realtime.threads.worker import Stop

UDP = ("vmc", "livelink", "ifacialmocap", "osf")
_NO_VERTICES = np.zeros((1, 3), np.float32)
_WEB_SERVER = "send-websocket"
_PARTS = {"vmc": 3}  # packets a moment, where it is more than one


class Receivers:
    """UDP ports that only note when something came. A context manager with a thread of its own."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self.arrivals_s: dict[str, list[float]] = {scheme: [] for scheme in UDP}
        self._selector = selectors.DefaultSelector()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="receivers", daemon=True)

    def __enter__(self) -> "Receivers":
        for scheme in UDP:
            heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            heard.bind(("127.0.0.1", 0))
            self.ports[scheme] = heard.getsockname()[1]
            self._selector.register(heard, selectors.EVENT_READ, scheme)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _receive(self) -> None:
        while not self._done.is_set():
            for key, _ in self._selector.select(0.2):
                key.fileobj.recv(65_536)  # type: ignore[union-attr]
                self.arrivals_s[key.data].append(time.monotonic())


def motion(time_s: float) -> FaceMotion:
    """Every unit, the gaze and the head on the move."""
    weights = 0.5 + 0.5 * np.sin(time_s * 3 + np.arange(UNIT_COUNT))
    gaze = 0.2 * np.array([(math.sin(time_s), math.cos(time_s))] * 2)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = turned(0.4 * math.sin(time_s), 0.2 * math.cos(time_s), 0.1), (0.01, 0.0, 0.0)
    return FaceMotion(with_gaze(weights, gaze), gaze, T)


def run(seconds: float, rate_hz: float, schemes: Sequence[str] = (*UDP, "ws")) -> dict[str, Any]:
    """Some outputs at once."""
    with Receivers() as receivers, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        web_port = free.getsockname()[1]
        free.close()
        ports = {**receivers.ports, "ws": web_port}
        times, stop = SectionTimes(), Stop()
        outputs = [open_output(Address.parse(f"{scheme}://127.0.0.1:{ports[scheme]}")) for scheme in schemes]
        sender = MotionSender(outputs, stop, times)
        sender.start()
        client = _WebClient(web_port) if "ws" in schemes else None
        put_s, put_cpu_s, web_cpu_s = _put(sender, seconds, rate_hz)
        reports = sender.report()
        sender.close()
        if client is not None:
            client.close()
        stop.raise_failure()
        heard = {**receivers.arrivals_s, "ws": [] if client is None else client.arrivals_s}
    arrivals = {scheme: heard[scheme][:: _PARTS.get(scheme, 1)] for scheme in schemes}
    frames = len(put_s)
    send_cpu_s = times.cpu_s()["send"] + web_cpu_s
    return {
        "seconds": seconds,
        "rate_hz": rate_hz,
        "frames": frames,
        "put_interval_ms": _intervals_ms(put_s),
        "put_cpu_us": round(put_cpu_s / frames * 1e6, 2),
        "send_cpu_ms_per_frame": round(send_cpu_s / frames * 1e3, 4),
        "dropped": sender.dropped,
        "outputs": {
            scheme: {
                "sent": report.sent,
                "failed": report.failed,
                "received": len(times_s),
                "per_second": round((len(times_s) - 1) / max(times_s[-1] - times_s[0], 1e-9), 2),
                "interval_ms": _intervals_ms(times_s),
            }
            for (scheme, times_s), report in zip(arrivals.items(), reports, strict=True)
        },
    }


def _put(sender: MotionSender, seconds: float, rate_hz: float) -> tuple[list[float], float, float]:
    """When each motion was put (monotonic seconds), and the processor time of all the puts and of the web server."""
    put_s: list[float] = []
    cpu_s = 0.0
    time.sleep(1.0)  # until the web socket's client is there
    before = ProcessorTime.now().threads
    began_s = time.monotonic()
    while (due_s := began_s + len(put_s) / rate_hz) < began_s + seconds:
        time.sleep(max(due_s - time.monotonic(), 0.0))
        now_s = time.monotonic()
        pose = AvatarPose(_NO_VERTICES, np.eye(4), now_s, len(put_s), True, motion=motion(now_s))
        begins_s = time.thread_time()
        sender.put(pose)
        cpu_s += time.thread_time() - begins_s
        put_s.append(now_s)
    time.sleep(0.1)
    after = ProcessorTime.now().threads
    return put_s, cpu_s, after.get(_WEB_SERVER, 0.0) - before.get(_WEB_SERVER, 0.0)


class _WebClient:
    """One client of the web socket, on a thread of its own."""

    def __init__(self, port: int) -> None:
        self.arrivals_s: list[float] = []
        self._port = port
        self._thread = threading.Thread(target=self._receive, name="web client", daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        for _ in range(50):
            try:
                with connect(f"ws://127.0.0.1:{self._port}", compression=None) as client:
                    while True:
                        client.recv()
                        self.arrivals_s.append(time.monotonic())
            except ConnectionClosed:
                return
            except OSError:
                time.sleep(0.1)

    def close(self) -> None:
        self._thread.join(5.0)


def _intervals_ms(times_s: list[float]) -> dict[str, float]:
    gaps = np.diff(times_s) * 1e3
    p1, p50, p99 = np.percentile(gaps, [1, 50, 99]) if len(gaps) else (0.0, 0.0, 0.0)
    most = float(gaps.max()) if len(gaps) else 0.0
    return {"p1": round(float(p1), 2), "p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(most, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = run(options.seconds, options.rate)
    for scheme, row in found["outputs"].items():
        only = run(options.seconds / 6, options.rate, (scheme,))
        row["alone_cpu_ms_per_frame"] = only["send_cpu_ms_per_frame"]
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    table = Table("output", "received", "a second", "interval ms p1 / p50 / p99 / max", "processor time alone, ms")
    for scheme, row in found["outputs"].items():
        gaps = " / ".join(f"{row['interval_ms'][name]:.1f}" for name in ("p1", "p50", "p99", "max"))
        table.add_row(scheme, f"{row['received']} of {found['frames']}", f"{row['per_second']:.2f}", gaps,
                      f"{row['alone_cpu_ms_per_frame']:.3f}")  # fmt: skip
    console = Console()
    console.print(table)
    gaps = " / ".join(f"{found['put_interval_ms'][name]:.1f}" for name in ("p1", "p50", "p99", "max"))
    console.print(
        f"frames themselves: {gaps} ms apart; {found['put_cpu_us']:.1f} µs of processor time a frame for whoever puts, "
        f"{found['send_cpu_ms_per_frame']:.3f} ms for those who send"
    )


if __name__ == "__main__":
    main()
