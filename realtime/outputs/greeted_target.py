"""iFacialMocap the way its receivers expect a phone: it waits for their greeting, and sends to whoever greeted."""

import contextlib
import ipaddress
import logging
import socket

from capture.phones.ifacialmocap import GREETING, PORT
from capture.phones.port import udp_socket
from realtime.outputs.ifacialmocap import IFacialMocapEncoder
from realtime.outputs.moment import Moment

log = logging.getLogger(__name__)

_MOST_RECEIVERS = 8
_GREETINGS_A_FRAME = 16
_LARGEST_GREETING = 256
_SECOND_VERSION = b"|sendDataVersion=v2"


class GreetedTarget:
    """Waits on a port; the first moment opens it.

    What is sent goes to port 49983 of the greeting's host, as the protocol says; to a program on this machine, where
    one of us two has that port, it goes to the port that the greeting came from. Greetings from beyond the local
    network are passed over: their sender's address may be made up, and a stream would hit somebody else.
    """

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int]) -> None:
        self._family, self._address = family, address
        self._encoders = {version: IFacialMocapEncoder(version) for version in (1, 2)}
        self._receivers: dict[tuple[str, int], int] = {}  # and the version that each asked for, the newest last
        self._socket: socket.socket | None = None

    def deliver(self, moment: Moment) -> bool:
        """As `Target`."""
        try:
            if self._socket is None:
                self._socket = udp_socket(self._family, lambda made: made.bind(self._address))
            self._hear(self._socket)
            versions = set(self._receivers.values())
            packets = {version: self._encoders[version].packets(moment)[0] for version in versions}
            for receiver, version in self._receivers.items():
                self._socket.sendto(packets[version], receiver)
        except OSError:
            self.close()
            raise
        return bool(self._receivers)

    def _hear(self, heard: socket.socket) -> None:
        for _ in range(_GREETINGS_A_FRAME):
            try:
                greeting, sender = heard.recvfrom(_LARGEST_GREETING)
            except (BlockingIOError, ConnectionError):  # nothing more, or the news that a receiver has gone
                return
            if not greeting.startswith(GREETING) or not _is_local(sender[0]):
                continue
            receiver = sender[:2] if ipaddress.ip_address(sender[0]).is_loopback else (sender[0], PORT)
            if receiver not in self._receivers:
                log.info("iFacialMocap: %s asked for motion", sender[0])
                while len(self._receivers) >= _MOST_RECEIVERS:
                    self._receivers.pop(next(iter(self._receivers)))
            self._receivers[receiver] = 2 if _SECOND_VERSION in greeting else 1

    def close(self) -> None:
        """As `Target`."""
        made, self._socket = self._socket, None
        if made is not None:
            with contextlib.suppress(OSError):
                made.close()


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_private
    except ValueError:
        return False
