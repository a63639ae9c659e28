"""A simulated iPhone with Record3D: a usbmuxd socket that the real record3d library takes for the real thing.

Runs as a process of its own (`python tests/fakes/phone.py SOCKET`), because the library holds the interpreter's lock
while it lists and connects. `Phone` starts one and tells it, a JSON object per line, what to do next.
"""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import random
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

UDID = "00008110-000A1B2C3D4E5F60"
RECORD3D_PORT = 1337
INDEX_BITS = 16
PATTERN_DEPTHS = 512  # the pattern's depth is 0.3 m + 1 mm × (index mod 512)


@dataclass
class Behaviour:
    """What the phone does; every field can be changed while it runs."""

    attached: bool = True  # plugged in
    udid: str = UDID
    app_running: bool = True  # else connecting is refused
    fps: float = 60.0
    width: int = 160
    height: int = 120
    depth_width: int = 160
    depth_height: int = 120
    truedepth: bool = True
    confidence: int | None = None  # value of every confidence pixel; None sends none, as TrueDepth does
    pictures: str = (
        ""  # .npz with rgb [N,H,W,3] and depth_m [N,h,w] and intrinsics [4] to stream instead of the pattern
    )
    silent: bool = False  # connects, and no frame ever comes
    stalled: bool = False  # stops sending in mid-stream, the connection stays
    frozen: bool = False  # sends the same picture again and again
    hole: float = 0.0  # share of the depth's columns, from the left, without a reading
    nan: float = 0.0  # share of the depth's rows, from above, that are no number
    hung: bool = False  # the multiplexer takes requests and never answers
    garbage: str = ""  # name of a way to damage messages, see `GARBAGE`
    messages_per_connection: int = 0  # then the app hangs up; 0 never
    seed: int = 0


GARBAGE = ("header", "size", "huge", "fields", "jpeg", "lzfse", "truncated", "noise", "mixed")


def pattern(index: int, width: int, height: int, depth_width: int, depth_height: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and a depth image that carry their index, readable after JPEG: rgb [H, W, 3], depth_m [h, w]."""
    bits = (index >> np.arange(INDEX_BITS)) & 1
    row = np.repeat(np.where(bits, 220, 30).astype(np.uint8), width // INDEX_BITS)
    rgb = np.full((height, width, 3), 128, np.uint8)
    rgb[:, : len(row)] = row[:, None]
    depth = np.full((depth_height, depth_width), pattern_depth_m(index), np.float32)
    return rgb, depth


def pattern_depth_m(index: int) -> float:
    return 0.3 + 0.001 * (index % PATTERN_DEPTHS)


def read_pattern(rgb: np.ndarray, depth_m: np.ndarray | None) -> int | None:
    """The index a pattern carries, or None when picture and depth are torn: mixed from several frames."""
    block = rgb.shape[1] // INDEX_BITS
    centres = rgb[:, block // 2 : block * INDEX_BITS : block].mean(axis=2)
    bits = centres > 125
    if (bits != bits[0]).any() or depth_m is None:
        return None
    index = int((bits[0].astype(np.int64) << np.arange(INDEX_BITS)).sum())
    readings = depth_m[depth_m > 0]
    if readings.size == 0 or np.abs(readings - pattern_depth_m(index)).max() > 4e-4:
        return None
    return index


class Phone:
    """Starts the simulator on a socket in `directory` and steers it; `environment` points the library at it."""

    def __init__(self, directory: Path, **behaviour: Any) -> None:
        self.socket = directory / "usbmuxd"
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.socket), json.dumps(behaviour)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    @property
    def environment(self) -> dict[str, str]:
        return {"USBMUXD_SOCKET_ADDRESS": f"UNIX:{self.socket}"}

    def set(self, **behaviour: Any) -> None:
        self._tell({"set": behaviour})

    def unplug(self, *, in_mid_frame: bool = False) -> float:
        """Gone from the list, connections cut; returns the monotonic time it happened."""
        return self._tell({"set": {"attached": False}, "cut": "frame" if in_mid_frame else "now"})

    def plug(self) -> float:
        return self._tell({"set": {"attached": True}})

    def cut(self, *, in_mid_frame: bool = False) -> float:
        """The app is closed or crashes; the phone stays listed."""
        return self._tell({"cut": "frame" if in_mid_frame else "now"})

    def counts(self) -> dict[str, int]:
        """{"connections", "messages", "damaged"} so far."""
        answer: dict[str, int] = self._ask({})["counts"]
        return answer

    def _tell(self, order: dict[str, Any]) -> float:
        return float(self._ask(order)["time_s"])

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(60)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Phone:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


# --- the simulator's own process --------------------------------------------------------------------------------------


@dataclass
class Counts:
    connections: int = 0
    messages: int = 0
    damaged: int = 0


@dataclass
class Simulator:
    address: str
    behaviour: Behaviour
    counts: Counts = field(default_factory=Counts)
    streams: dict[socket.socket, threading.Event] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    index: int = 0

    def serve(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen()
            threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
            print("ready", flush=True)
            for line in sys.stdin:
                self.obey(json.loads(line))
        os.unlink(self.address)

    def obey(self, order: dict[str, Any]) -> None:
        with self.lock:
            for name, value in order.get("set", {}).items():
                setattr(self.behaviour, name, value)
            if "cut" in order:
                for stream, in_mid_frame in self.streams.items():
                    in_mid_frame.set() if order["cut"] == "frame" else shut(stream)
        print(json.dumps({"time_s": time.monotonic(), "counts": asdict(self.counts)}), flush=True)

    def accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.multiplexer, args=(connection,), daemon=True).start()

    def multiplexer(self, connection: socket.socket) -> None:
        """Answer as usbmuxd does, until the connection becomes a stream or ends."""
        with connection:
            try:
                while True:
                    tag, request = receive_plist(connection)
                    while self.behaviour.hung:
                        time.sleep(0.05)
                    if request["MessageType"] == "ListDevices":
                        send_plist(connection, tag, {"DeviceList": self.devices()})
                    elif request["MessageType"] == "Connect":
                        number = self.connect_result(request)
                        send_plist(connection, tag, {"MessageType": "Result", "Number": number})
                        if number == 0:
                            self.stream(connection)
                            return
                    else:
                        send_plist(connection, tag, {"MessageType": "Result", "Number": 0})
            except (OSError, EOFError):
                return

    def devices(self) -> list[dict[str, Any]]:
        if not self.behaviour.attached:
            return []
        properties = {
            "ConnectionType": "USB", "DeviceID": 7, "LocationID": 336592896, "ProductID": 4776,
            "SerialNumber": self.behaviour.udid,
        }  # fmt: skip
        return [{"DeviceID": 7, "MessageType": "Attached", "Properties": properties}]

    def connect_result(self, request: dict[str, Any]) -> int:
        """0 connected, 2 no such device, 3 nobody listens on that port."""
        if not self.behaviour.attached:
            return 2
        network_order = socket.htons(RECORD3D_PORT)
        return 0 if self.behaviour.app_running and request["PortNumber"] == network_order else 3

    def stream(self, connection: socket.socket) -> None:
        in_mid_frame = threading.Event()
        with self.lock:
            self.streams[connection] = in_mid_frame
            self.counts.connections += 1
        try:
            self.send_frames(connection, in_mid_frame)
        finally:
            with self.lock:
                del self.streams[connection]

    def send_frames(self, connection: socket.socket, in_mid_frame: threading.Event) -> None:
        frames = Frames(self.behaviour)
        rng = random.Random(self.behaviour.seed + self.counts.connections)
        due_s, sent = time.monotonic(), 0
        while True:
            due_s = max(due_s + 1 / self.behaviour.fps, time.monotonic() - 0.1)
            wait_while_open(connection, due_s, in_mid_frame)
            if self.behaviour.silent or self.behaviour.stalled:
                continue
            message = frames.message(self.index)
            if self.behaviour.garbage:
                message = damaged(message, self.behaviour.garbage, rng)
                self.counts.damaged += 1
            if in_mid_frame.is_set():
                connection.sendall(message[: len(message) // 2])
                raise EOFError
            connection.sendall(message)
            self.index += not self.behaviour.frozen
            self.counts.messages += 1
            sent += 1
            if sent == self.behaviour.messages_per_connection:
                return


class Frames:
    """Encodes frames as the app does."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.pictures = dict(np.load(behaviour.pictures)) if behaviour.pictures else None

    def message(self, index: int) -> bytes:
        import cv2
        import liblzfse

        it = self.behaviour
        if self.pictures is not None:
            at = index % len(self.pictures["rgb"])
            rgb, depth = self.pictures["rgb"][at], self.pictures["depth_m"][at]
            intrinsics = [float(value) for value in self.pictures["intrinsics"]]
        else:
            rgb, depth = pattern(index, it.width, it.height, it.depth_width, it.depth_height)
            intrinsics = [1.1 * it.width, 1.1 * it.width, it.width / 2 + 3, it.height / 2 - 2]
        depth = depth.copy()
        depth[:, : round(it.hole * depth.shape[1])] = 0.0
        depth[: round(it.nan * depth.shape[0])] = np.nan
        if it.truedepth:  # the app sends what a mirror shows
            rgb, depth = rgb[:, ::-1], depth[:, ::-1]
            intrinsics[2] = rgb.shape[1] - intrinsics[2]
        _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 90])
        packed_depth = liblzfse.compress(np.ascontiguousarray(depth, dtype="<f4").tobytes())
        confidence_size, packed_confidence = (0, 0), b""
        if it.confidence is not None:
            confidence_size = depth.shape[::-1]
            packed_confidence = liblzfse.compress(np.full(depth.shape, it.confidence, np.uint8).tobytes())
        sizes = [
            rgb.shape[1], rgb.shape[0], depth.shape[1], depth.shape[0], *confidence_size,
            len(jpeg), len(packed_depth), len(packed_confidence), 0, 0 if it.truedepth else 1,
        ]  # fmt: skip
        body = struct.pack("<11I", *sizes) + struct.pack("<4f", *intrinsics) + struct.pack("<7f", 0, 0, 0, 1, 0, 0, 0)
        body += jpeg.tobytes() + bytes(packed_depth) + bytes(packed_confidence)
        return struct.pack(">4I", 1, 101, 0, len(body)) + body


def damaged(message: bytes, how: str, rng: random.Random) -> bytes:
    """One way to break a message; sizes go up to 4 GiB."""
    if how == "mixed":
        how = rng.choice(GARBAGE[:-1])
    out = bytearray(message)
    if how == "header":
        out[:16] = rng.randbytes(16)
    elif how == "size":
        out[12:16] = struct.pack(">I", rng.choice([0, 1, 71, 72, 99, rng.randrange(len(message) * 2)]))
    elif how == "huge":
        out[12:16] = struct.pack(">I", rng.choice([0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 1 << 30]))
    elif how == "fields":
        at = 16 + 4 * rng.randrange(11)
        value = rng.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x10000, rng.getrandbits(32)])
        out[at : at + 4] = struct.pack("<I", value)
    elif how in ("jpeg", "lzfse"):
        jpeg_bytes = struct.unpack_from("<I", message, 16 + 24)[0]
        start = 16 + 88 if how == "jpeg" else 16 + 88 + jpeg_bytes
        end = 16 + 88 + jpeg_bytes if how == "jpeg" else len(out)
        for _ in range(rng.randrange(1, 40)):
            out[rng.randrange(start, end)] = rng.randrange(256)
    elif how == "truncated":
        del out[rng.randrange(1, len(out)) :]
    elif how == "noise":
        out = bytearray(rng.randbytes(rng.randrange(1, 4096)))
    return bytes(out)


def wait_while_open(connection: socket.socket, until_s: float, in_mid_frame: threading.Event) -> None:
    """Sleep, but notice at once when the other side hangs up."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        while not in_mid_frame.is_set() and (left_s := until_s - time.monotonic()) > 0:
            if selector.select(min(left_s, 0.05)) and not connection.recv(4096):
                raise EOFError


def shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def receive_plist(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    length, _version, _message, tag = struct.unpack("<4I", receive(connection, 16))
    request: dict[str, Any] = plistlib.loads(receive(connection, length - 16))
    return tag, request


def send_plist(connection: socket.socket, tag: int, answer: dict[str, Any]) -> None:
    body = plistlib.dumps(answer)
    connection.sendall(struct.pack("<4I", 16 + len(body), 1, 8, tag) + body)


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


if __name__ == "__main__":
    Simulator(sys.argv[1], Behaviour(**json.loads(sys.argv[2]))).serve()
