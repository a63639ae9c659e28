"""A UDP port that motion comes in by: bounded packets, and never more than one read ahead."""

import contextlib
import select
import socket
from collections.abc import Callable

from capture.phones.packet import LARGEST_PACKET

_MOST_AT_ONCE = 4096  # packets that are looked through for the newest one: more than a system keeps


def udp_socket(family: socket.AddressFamily, prepare: Callable[[socket.socket], None]) -> socket.socket:
    """A socket for datagrams on which nothing waits, after `prepare` has bound or connected it. Raises OSError, and
    leaves nothing open then."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        prepare(made)
    except OSError:
        made.close()
        raise
    return made


class MotionPort:
    """A bound socket; `open` may be tried again. Owned by one thread.

    Args:
        host: interface to listen on: 127.0.0.1 is reached from this machine alone, 0.0.0.0 from everywhere.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._socket: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def open(self) -> None:
        """Raises OSError, for one where the port is in use."""
        self._socket = udp_socket(socket.AF_INET, lambda made: made.bind((self.host, self.port)))

    def received(self, timeout_s: float) -> list[tuple[bytes, tuple[str, int]]]:
        """All packets that have come, the oldest first, with host and port of who sent them; waits for the first one.

        One of more than `LARGEST_PACKET` bytes is cut off there.
        """
        if self._socket is None:
            return []
        ready, _, _ = select.select([self._socket], [], [], timeout_s)
        packets: list[tuple[bytes, tuple[str, int]]] = []
        while ready and len(packets) < _MOST_AT_ONCE:
            try:
                packet, sender = self._socket.recvfrom(LARGEST_PACKET + 1)
            except BlockingIOError:
                break
            except ConnectionError:  # the news that something we sent has not arrived
                continue
            packets.append((packet, (str(sender[0]), int(sender[1]))))
        return packets

    def send(self, packet: bytes, address: tuple[str, int]) -> None:
        """Without waiting and without certainty."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(packet, address)

    def close(self) -> None:
        made, self._socket = self._socket, None
        if made is not None:
            made.close()
