"""Where packets go: what all targets have in common, and plain UDP."""

import contextlib
import socket
from typing import Protocol

from capture.phones.port import udp_socket
from realtime.outputs.moment import Encoder, Moment


class Target(Protocol):
    """One place that moments are sent to. Owned by the sending thread, but for `close`."""

    def deliver(self, moment: Moment) -> bool:
        """Send a moment without ever waiting; whether there was anybody to send it to.

        Raises OSError where that failed; the next moment may go through.
        """

    def close(self) -> None:
        """Release sockets and threads. Raises nothing."""


class UdpTarget:
    """Datagrams to one host and port, without ever waiting.

    The socket is connected: so the system tells of a port on which nobody listens, with the moment after the one that
    was lost. A socket that broke is made anew with the next moment.

    Args:
        family, address: as `address.resolved` gives them.
    """

    def __init__(self, encoder: Encoder, family: socket.AddressFamily, address: tuple[str, int]) -> None:
        self._encoder = encoder
        self._family, self._address = family, address
        self._socket: socket.socket | None = None

    def deliver(self, moment: Moment) -> bool:
        """As `Target`."""
        packets = self._encoder.packets(moment)
        try:
            if self._socket is None:
                self._socket = udp_socket(self._family, lambda made: made.connect(self._address))
            for packet in packets:
                self._socket.send(packet)
        except ConnectionRefusedError:
            raise
        except OSError:
            self.close()
            raise
        return True

    def close(self) -> None:
        """As `Target`."""
        made, self._socket = self._socket, None
        if made is not None:
            with contextlib.suppress(OSError):
                made.close()
