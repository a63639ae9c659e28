"""The record3d library in a process of its own: what `capture.cameras.record3d_usb` starts, once per connection.

The library holds the interpreter's lock while it lists and connects, and ends its process when the phone sends what it
does not expect. Here neither reaches the application. Pictures go through a file in memory that both sides map; news
goes through standard output, a JSON object per line. Run as `python -m capture.cameras.record3d_process FILE UDID`; the
UDID may be empty for any phone; without arguments it lists the phones and ends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLOTS = 3  # one being read, one being written, one to spare
SLOT_BYTES = 16 << 20  # holds 1920x1440 colour with depth and confidence of 960x720
HEADER = struct.Struct("<QQd4f7I")  # begun, finished, arrival_s, fx fy cx cy, (w h) of rgb depth confidence, LiDAR
HEADER_BYTES = 128
MAX_SIDE = 4096
POLL_S = 0.25
LIST_S, CONNECT_S = 3.0, 6.0  # longer than that, the library hangs, and with it the process ends
HUNG_STATUS = 1  # exit status that faulthandler's timer then gives it
MEMORY_BYTES = 2 << 30  # a size made up by a broken message must not take the machine's memory


class SlotWriter:
    """Writes pictures into the mapped file, slot after slot.

    A slot's number is written before and after its content, so that a reader that was overtaken while copying notices.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._number = 0

    def write(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        confidence: NDArray[np.uint8],
        intrinsics: tuple[float, float, float, float],
        lidar: bool,
        arrival_s: float,
    ) -> int:
        """Number of the picture, counted from 1. Raises ValueError for one that does not fit."""
        sizes = [side for image in (rgb, depth, confidence) for side in (image.shape[1], image.shape[0])]
        total = rgb.nbytes + depth.nbytes + confidence.nbytes
        if max(sizes) > MAX_SIDE or HEADER_BYTES + total > SLOT_BYTES:
            raise ValueError(f"a picture of {rgb.shape} with depth {depth.shape}: too large")
        number = self._number + 1
        start = (number % SLOTS) * SLOT_BYTES
        HEADER.pack_into(self._memory, start, number, 0, arrival_s, *intrinsics, *sizes, int(lidar))
        at = start + HEADER_BYTES
        for image in (rgb, depth, confidence):
            np.frombuffer(self._memory, image.dtype, image.size, at)[:] = image.ravel()
            at += image.nbytes
        HEADER.pack_into(self._memory, start, number, number, arrival_s, *intrinsics, *sizes, int(lidar))
        self._number = number
        return number


def main() -> None:
    # What a library prints to standard output goes to standard error from now on; our news go where it led before.
    private = os.dup(1)
    os.dup2(2, 1)
    news = os.fdopen(private, "w")

    def tell(event: str, **details: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            news.write(json.dumps({"event": event, **details}) + "\n")
            news.flush()

    try:
        import record3d
    except Exception as error:
        tell("unusable", reason=f"{type(error).__name__}: {error}")
        return
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if len(sys.argv) == 1:
        with _or_else_end(LIST_S):
            tell("listed", udids=[device.udid for device in record3d.Record3DStream.get_connected_devices()])
        return
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all of a session's processes: the parent ends us
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), SLOTS * SLOT_BYTES) as memory:
        tell("ready")
        _stream(record3d, SlotWriter(memory), sys.argv[2], tell)
        os._exit(0)  # a library that still runs would trip over the memory going away


def _stream(record3d: Any, writer: SlotWriter, udid: str, tell: Any) -> None:
    """Wait for the phone, connect, and pass pictures on until the stream stops."""
    stream = record3d.Record3DStream()
    stopped = threading.Event()

    def on_new_frame() -> None:
        try:
            matrix = stream.get_intrinsic_mat()
            number = writer.write(
                stream.get_rgb_frame(),
                stream.get_depth_frame(),
                stream.get_confidence_frame(),
                (matrix.fx, matrix.fy, matrix.tx, matrix.ty),
                stream.get_device_type() == 1,
                time.monotonic(),
            )
            tell("picture", number=number)
        except Exception as error:  # nothing may escape into the library's thread
            tell("damaged", reason=f"{type(error).__name__}: {error}")

    stream.on_new_frame = on_new_frame
    stream.on_stream_stopped = stopped.set
    while not _connected(record3d, stream, udid, tell):
        time.sleep(POLL_S)
    stopped.wait()
    tell("stopped")


def _connected(record3d: Any, stream: Any, udid: str, tell: Any) -> bool:
    with _or_else_end(LIST_S):
        devices = record3d.Record3DStream.get_connected_devices()
    chosen = next((device for device in devices if device.udid == udid or not udid), None)
    if chosen is None:
        tell("absent", udids=[device.udid for device in devices])
        return False
    with _or_else_end(CONNECT_S):
        connected = bool(stream.connect(chosen))
    tell("connected" if connected else "refused", udid=chosen.udid)
    return connected


@contextlib.contextmanager
def _or_else_end(limit_s: float) -> Iterator[None]:
    """End this process if the body takes longer. The timer needs no interpreter lock, which the library may hold."""
    faulthandler.dump_traceback_later(limit_s, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _end_with_parent() -> None:
    """The parent never writes to our standard input; that it ends means that the parent did."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
