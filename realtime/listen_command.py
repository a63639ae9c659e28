"""`vfa listen`: what arrives on a port, for finding out why another program does not move."""

import errno
import math
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final

import tyro

from capture.phones import ifacialmocap, live_link
from capture.phones.packet import DamagedPacketError, FacePacket, check_finite
from core.errors import InputError, MissingExtraError
from core.expression_units import UNIT_NAMES
from core.writable import reason_of
from realtime.outputs import open_see_face
from realtime.progress import console

_PORTS: Final = {
    "vmc": 39539,
    "livelink": live_link.PORT,
    "ifacialmocap": ifacialmocap.PORT,
    "osf": open_see_face.PORT,
}
_LARGEST: Final = 65_536
_TOLD_S: Final = 1.0
_MOST_NAMES = 400
_CHANGED = 0.01
_SHOWN = 8
_READ_S: Final = 0.2
_LARGEST_NUMBER = 1e6
_APPLIED: Final = "blend shapes are applied (/VMC/Ext/Blend/Apply)"


@dataclass
class Heard:
    """What came within one second.

    Attributes:
        packets: from each sender, "host:port". damaged: why some could not be read → how many.
        values: name → the newest. moved: name → how far it went, from the least to the largest.
        notes: what else should be said.
    """

    packets: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _range: dict[str, tuple[float, float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        if name in self._range or len(self._range) < _MOST_NAMES:
            least, most = self._range.get(name, (value, value))
            self._range[name] = min(least, value), max(most, value)
            self.values[name] = value

    @property
    def moved(self) -> dict[str, float]:
        return {name: most - least for name, (least, most) in self._range.items()}


Reader = Callable[[bytes, Heard], None]


def listen(
    where: tyro.conf.Positional[str],
    /,
    seconds: Annotated[float | None, tyro.conf.arg(help="End after so long; until Ctrl-C when not given.")] = None,
) -> None:
    """Print what arrives on a port: WHERE is vmc, livelink, ifacialmocap or osf, with :PORT or :HOST:PORT where it is
    another than usual, such as livelink:11111 or vmc:0.0.0.0:39539. Only this machine is heard unless HOST says so."""
    protocol, host, port = _parsed(where)
    if seconds is not None and not seconds > 0:
        raise InputError(f"--seconds {seconds:g}: expected more than 0")
    reader = _reader(protocol)
    end_s = math.inf if seconds is None else time.monotonic() + seconds
    with _bound(where, host, port) as heard_by:
        console.print(f"listening for {protocol} on {host}:{port}; Ctrl-C ends it")
        while time.monotonic() < end_s:
            for line in told(_one_second(heard_by, reader, end_s), protocol):
                console.print(line)


def _parsed(where: str) -> tuple[str, str, int]:
    protocol, _, rest = where.partition(":")
    host, _, port = rest.rpartition(":")
    if protocol not in _PORTS or (port and not (port.isdecimal() and 0 < int(port) < 65_536)):
        raise InputError(f"{where}: expected {', '.join(_PORTS)}, with :PORT or :HOST:PORT, such as vmc:39539")
    return protocol, host or "127.0.0.1", int(port or _PORTS[protocol])


def _bound(where: str, host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                f"{where}: {host} is not this machine ({reason_of(error)}); give one of its own numbers, or 0.0.0.0"
            ) from None
        raise InputError(
            f"{where}: cannot listen on {host}:{port} ({reason_of(error)}); end the program that has it, or give "
            "another port"
        ) from None
    made.settimeout(_READ_S)
    return made


def _one_second(heard_by: socket.socket, reader: Reader, end_s: float) -> Heard:
    heard, until_s = Heard(), min(time.monotonic() + _TOLD_S, end_s)
    while time.monotonic() < until_s:
        try:
            packet, sender = heard_by.recvfrom(_LARGEST)
        except TimeoutError:
            continue
        heard.packets[f"{sender[0]}:{sender[1]}"] += 1
        try:
            reader(packet, heard)
        except DamagedPacketError as error:
            heard.damaged[str(error)] += 1
    return heard


def told(heard: Heard, protocol: str) -> list[str]:
    """What a person is told of one second."""
    if not heard.packets:
        return ["nothing came: is the other program sending to this machine and port?"]
    senders = ", ".join(f"{sender} {count} packets/s" for sender, count in heard.packets.most_common(4))
    lines = [f"{protocol} from {senders}"]
    for why, count in heard.damaged.most_common(2):
        lines.append(f"  {count} that are no {protocol}: {why}")
    lines += [f"  {note}" for note in dict.fromkeys(heard.notes)]
    if protocol == "vmc" and heard.values and _APPLIED not in heard.notes:
        lines.append("  no /VMC/Ext/Blend/Apply came: receivers wait for it before they move a face")
    moved = sorted(heard.moved.items(), key=lambda item: -item[1])
    moving = [f"{name} {heard.values[name]:.2f}" for name, by in moved[:_SHOWN] if by > _CHANGED]
    if heard.values:
        lines.append(f"  {len(heard.values)} values; moving: {', '.join(moving) or 'none'}")
    return lines


def _reader(protocol: str) -> Reader:
    if protocol == "vmc":
        return _vmc_reader()
    if protocol == "osf":
        return _note_open_see_face
    read = live_link.read_packet if protocol == "livelink" else ifacialmocap.read_packet
    return lambda packet, heard: _note_face(read(packet), heard)


def _note_face(face: FacePacket, heard: Heard) -> None:
    if face.sender:
        heard.notes.append(f"subject {face.sender[:64]!r}")
    if not face.tracked:
        heard.notes.append("the sender sees no face")
    if face.missing:
        heard.notes.append(f"{len(face.missing)} coefficients are missing: {', '.join(face.missing[:4])} …")
    for name, weight in zip(UNIT_NAMES, face.weights.tolist(), strict=True):
        heard.note(name, weight)
    for name, angle in zip(("head yaw", "head pitch", "head roll"), face.head, strict=True):
        heard.note(f"{name} (rad)", angle)


def _note_open_see_face(packet: bytes, heard: Heard) -> None:
    """Several faces may share a packet; the first is looked at."""
    if len(packet) < open_see_face.SIZE or len(packet) % open_see_face.SIZE:
        raise DamagedPacketError(f"{len(packet)} bytes, expected {open_see_face.SIZE} a face")
    _, _, _, _, right, left, found, _, *turn = struct.unpack_from("<diffffBf4f3f3f", packet)
    features = struct.unpack_from(f"<{len(open_see_face.FEATURES)}f", packet, open_see_face.SIZE - 56)
    angles, place = turn[4:7], turn[7:]
    check_finite((right, left, *angles, *place, *features), _LARGEST_NUMBER, "a number")
    if not found:
        heard.notes.append("the sender sees no face")
    names = (
        "right eye open",
        "left eye open",
        *(f"turn {axis} (deg)" for axis in "xyz"),
        *(f"place {axis}" for axis in "xyz"),
    )
    for name, number in zip((*names, *open_see_face.FEATURES), (right, left, *angles, *place, *features), strict=True):
        heard.note(name, number)


def _vmc_reader() -> Reader:
    try:
        from pythonosc.osc_packet import OscPacket, ParseError
    except ImportError:
        raise MissingExtraError("outputs", "vfa listen vmc") from None

    def read(packet: bytes, heard: Heard) -> None:
        try:
            messages = [timed.message for timed in OscPacket(packet).messages]
        except (ParseError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise DamagedPacketError(f"{len(packet)} bytes: {error}"[:200]) from None
        for message in messages:
            words = [each for each in message.params if isinstance(each, str)]
            numbers = [each for each in message.params if isinstance(each, int | float) and math.isfinite(each)]
            if message.address == "/VMC/Ext/Blend/Val" and words and numbers:
                heard.note(words[0][:64], float(numbers[0]))
            elif message.address == "/VMC/Ext/Bone/Pos" and words and len(numbers) == 7:
                for axis, number in zip("xyz", numbers[3:6], strict=True):
                    heard.note(f"{words[0][:64]} turn {axis}", float(number))
            elif message.address == "/VMC/Ext/OK" and numbers:
                heard.notes.append("/VMC/Ext/OK says it is ready" if numbers[0] else "/VMC/Ext/OK says it is not ready")
            elif message.address == "/VMC/Ext/Blend/Apply":
                heard.notes.append(_APPLIED)

    return read
