"""Phones that track the face themselves, as sources of motion: `livelink:PORT` and `ifacialmocap:HOST`."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from capture.phones import ifacialmocap, live_link
from capture.phones.packet import DamagedPacketError, FacePacket
from capture.phones.port import MotionPort
from core.errors import InputError
from core.face_motion import MotionFrame
from core.source import DeviceState, MotionSource
from core.writable import reason_of

log = logging.getLogger(__name__)

STALL_S = 0.5  # without a packet for so long, the stream is called stalled
RELEASE_S = 2.0  # and after so long another phone may take over
RETRY_S = 1.0  # between attempts at a port in use, and between greetings
DAMAGED_PACKETS = 5  # in a row, and no good one: a state
_LEAST_STEP_S = 1e-6
_LOOPBACK, _EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 (bound only where a user asks for it)


@dataclass(frozen=True)
class PhoneOptions:
    """What `--device` says of a phone.

    Attributes:
        name: as it was given.
        read: turns its packets into faces.
        listen: host and port to listen on.
        greet: host and port that is asked to send, and the only host that is listened to; None: anybody's motion is
            taken.
        hint: what to do while nothing comes.
    """

    name: str
    read: Callable[[bytes], FacePacket]
    listen: tuple[str, int]
    greet: tuple[str, int] | None
    hint: str

    @staticmethod
    def parse(kind: str, which: str | None, options: str, device: str) -> PhoneOptions:
        """`livelink[:[HOST:]PORT]` or `ifacialmocap:HOST[:PORT][?listen=PORT]`. Raises InputError."""
        words = [word for word in (which or "").split(":") if word]
        if kind == "livelink":
            host = words.pop(0) if words and not words[0].isdecimal() else _LOOPBACK
            if options or len(words) > 1:
                raise InputError(f"--device {device}: expected livelink:PORT or livelink:0.0.0.0:PORT")
            port = _port(words[0], device) if words else live_link.PORT
            listen = _address(host, port, device)
            reached = f"; only this machine reaches {listen[0]}: a phone needs livelink:{_EVERYWHERE}:{port}"
            hint = f"set the app's target to this machine and port {port}" + reached * listen[0].startswith("127.")
            return PhoneOptions(device, live_link.read_packet, listen, None, hint)
        if not words or len(words) > 2:
            raise InputError(f"--device {device}: expected ifacialmocap:HOST with the number that the app shows")
        phone = _address(words[0], _port(words[1], device) if len(words) > 1 else ifacialmocap.PORT, device)
        key, _, value = options.partition("=")
        if options and key != "listen":
            raise InputError(f"--device {device}: expected no option but listen=PORT")
        local = _port(value, device) if options else ifacialmocap.PORT
        hint = "open iFacialMocap on the phone, in the same network, and check the number that it shows"
        return PhoneOptions(device, ifacialmocap.read_packet, (_interface_to(phone, device), local), phone, hint)


class PhoneSource(MotionSource):
    """Motion off a UDP port. The newest packet wins; `read` never takes longer than it is told.

    Of several phones the first is listened to until it has been silent for two seconds. A port that another program
    has is tried again every second. What is not a face's packet is counted, and told of once.

    Attributes:
        skipped: packets that a newer one overtook.
    """

    frame_count: int | None = None
    fps = 60.0

    def __init__(self, options: PhoneOptions) -> None:
        self.name = options.name
        self.skipped = 0
        self._options = options
        self._port = MotionPort(*options.listen)
        self._opened = self._reading = False
        self._trouble = ""
        self._tried_s = self._greeted_s = float("-inf")
        self._sender: tuple[str, int] | None = None
        self._heard_s: float | None = None  # when the last good packet came
        self._count = self._damaged = self._damaged_in_row = self._others = self._gaps = 0
        self._reason = ""

    @property
    def state(self) -> DeviceState:
        if not self._opened:
            return DeviceState.ENDED
        if not self._port.is_open:
            return DeviceState.NO_DEVICE
        if self._damaged_in_row >= DAMAGED_PACKETS:
            return DeviceState.DAMAGED
        if self._heard_s is None:
            return DeviceState.WAITING_FIRST_FRAME
        return DeviceState.STALLED if time.monotonic() - self._heard_s > STALL_S else DeviceState.STREAMING

    @property
    def detail(self) -> str:
        state = self.state
        if state is DeviceState.WAITING_FIRST_FRAME:
            return f"{self.name}: {self._options.hint}"
        if state is DeviceState.DAMAGED:
            return f"{self.name}: what comes is no such packet ({self._reason}); look at it with vfa listen"
        return self._trouble if state is DeviceState.NO_DEVICE else ""

    @property
    def faults(self) -> dict[str, int]:
        return {"gaps": self._gaps, "refused packets": self._damaged, "packets of others": self._others}

    def open(self) -> None:
        """Start to listen; a port that cannot be had yet shows in `state`."""
        self._opened = True
        self._try_port()

    def read(self, timeout_s: float) -> MotionFrame | None:
        """The newest motion that came, or None after `timeout_s` without one."""
        if not self._port.is_open and not self._try_port():
            time.sleep(timeout_s)
            return None
        if not self._reading:  # what came while nobody read is of the past
            self._reading = True
            self._port.received(0.0)
        self._greet()
        newest = None
        for packet, sender in self._port.received(timeout_s):
            face = self._taken(packet, sender)
            if face is not None:
                self.skipped += newest is not None
                newest = face
        if newest is None:
            return None
        now_s = time.monotonic()
        if self._heard_s is not None:
            self._gaps += now_s - self._heard_s > STALL_S
            now_s = max(now_s, self._heard_s + _LEAST_STEP_S)
        self._heard_s = now_s
        self._count += 1
        return MotionFrame(newest.motion(), newest.tracked, now_s, self._count - 1)

    def close(self) -> None:
        self._opened = self._reading = False
        self._port.close()

    def _try_port(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._tried_s < RETRY_S:
            return False
        self._tried_s = now_s
        try:
            self._port.open()
        except OSError as error:
            host, port = self._options.listen
            step = "end what else listens there"
            if error.errno == errno.EADDRNOTAVAIL:
                step = f"give one of this machine's own numbers, or 0.0.0.0, in place of {host}"
            trouble = f"{self.name}: cannot listen on {host}:{port} ({reason_of(error)}); {step}"
            if trouble != self._trouble:
                log.warning("%s", trouble)
            self._trouble = trouble
            return False
        self._trouble = ""
        return True

    def _greet(self) -> None:
        """Ask the phone to send, while it does not."""
        now_s = time.monotonic()
        silent = self._heard_s is None or now_s - self._heard_s > STALL_S
        if self._options.greet is not None and silent and now_s - self._greeted_s > RETRY_S:
            self._greeted_s = now_s
            self._port.send(ifacialmocap.GREETING, self._options.greet)

    def _taken(self, packet: bytes, sender: tuple[str, int]) -> FacePacket | None:
        """What a packet says, if it is from whom we listen to."""
        greet = self._options.greet
        silent = self._heard_s is None or time.monotonic() - self._heard_s > RELEASE_S
        if (greet is not None and sender[0] != greet[0]) or (sender != self._sender and not silent):
            self._others += 1
            return None
        try:
            face = self._options.read(packet)
        except DamagedPacketError as error:
            self._refuse(str(error), sender)
            return None
        self._damaged_in_row = 0
        if sender != self._sender:
            self._sender = sender
            log.info("%s: motion from %s %s", self.name, sender[0], face.sender)
        return face

    def _refuse(self, reason: str, sender: tuple[str, int]) -> None:
        self._damaged += 1
        self._damaged_in_row += 1
        if not self._reason:
            log.warning(
                "%s: a packet of %s is refused (%s); further ones are only counted", self.name, *sender[:1], reason
            )
        self._reason = reason


def _port(text: str, device: str) -> int:
    if not (text.isdecimal() and 0 < int(text[:6]) < 65536 and len(text) < 6):
        raise InputError(f"--device {device}: expected a port from 1 to 65535, got {text or 'nothing'}")
    return int(text)


def _address(host: str, port: int, device: str) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--device {device}: there is no host {host} ({reason}); check its name or number") from None
    return str(found[0][4][0]), port


def _interface_to(phone: tuple[str, int], device: str) -> str:
    """The address of this machine that the phone sees: listening there, nobody else's network reaches us."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(phone)  # which sends nothing
        except OSError as error:
            raise InputError(
                f"--device {device}: there is no way to {phone[0]} ({reason_of(error)}); join the phone's network"
            ) from None
        return str(probe.getsockname()[0])
