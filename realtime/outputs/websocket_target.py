"""A WebSocket server that one's own scripts and pages connect to."""

import asyncio
import contextlib
import logging
import re
import threading
from typing import Any, Final

from core.errors import MissingExtraError
from realtime.outputs.moment import Encoder, Moment

log = logging.getLogger(__name__)

_MOST_CLIENTS: Final = 16
_LARGEST_MESSAGE: Final = 1024  # from a client; what it says is passed over
_JOIN_S: Final = 2.0
_GOODBYE_S: Final = 0.4  # for clients to hear of the end; who does not read, or never said a word, is cut off then
_RETRY_S: Final = 2.0
_LOCAL_PAGE: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


class WebSocketTarget:
    """Gives every client the newest moment whenever it can take one: who is slow misses some, and nobody waits for it.

    Pages of other sites may not connect: a browser would let any page read a face off a port of its own machine.

    Args:
        origin: of pages that may connect besides those from this machine, as browsers say it; "null" for local files.

    Raises MissingExtraError without the package websockets.
    """

    def __init__(self, encoder: Encoder, host: str, port: int, origin: str | None = None) -> None:
        try:
            from websockets.asyncio import server
        except ImportError:
            raise MissingExtraError("outputs", "--send ws://") from None
        self._server = server
        self._encoder = encoder
        self._host, self._port = host, port
        self._origins: list[Any] = [None, _LOCAL_PAGE, *([] if origin is None else [origin])]
        self._clients: set[asyncio.Event] = set()  # each is set when there is something newer
        self._transports: set[asyncio.BaseTransport] = set()  # of all who connected, whatever became of them
        self._newest = ""
        self._trouble: OSError | None = None
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="send-websocket", daemon=True)
        self._thread.start()

    def deliver(self, moment: Moment) -> bool:
        """As `Target`."""
        if self._trouble is not None:
            raise self._trouble
        if not self._clients:
            return False
        self._loop.call_soon_threadsafe(self._offer, self._encoder.packets(moment)[0].decode())
        return True

    def close(self) -> None:
        """As `Target`. Clients are told that it ends; it takes half a second at most, whatever they do."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(_JOIN_S)

    # --- the server's thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        logging.getLogger("websockets").setLevel(logging.CRITICAL)  # of clients who break off, at length
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                server = await self._server.serve(
                    self._talk,
                    self._host,
                    self._port,
                    origins=self._origins,
                    compression=None,
                    max_size=_LARGEST_MESSAGE,
                    close_timeout=1,
                    create_connection=_connection_kept_in(self._transports),
                )
            except OSError as error:
                self._trouble = error
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), _RETRY_S)
                continue
            self._trouble = None
            await self._ending.wait()
            await self._end(server)

    async def _end(self, server: Any) -> None:
        server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), _GOODBYE_S)
        for transport in self._transports:
            transport.abort()  # type: ignore[attr-defined]  # a socket's
        await server.wait_closed()

    def _offer(self, text: str) -> None:
        self._newest = text
        for newer in self._clients:
            newer.set()

    async def _talk(self, client: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        if len(self._clients) >= _MOST_CLIENTS:
            await client.close(1013, "too many clients")
            return
        newer = asyncio.Event()
        self._clients.add(newer)
        listening = asyncio.create_task(_ignored(client))
        listening.add_done_callback(lambda _: newer.set())  # who has gone is not waited for
        try:
            while True:
                await newer.wait()
                newer.clear()
                if listening.done():
                    return
                await client.send(self._newest)
        except ConnectionClosed:
            return
        finally:
            self._clients.discard(newer)
            listening.cancel()


def _connection_kept_in(transports: set[asyncio.BaseTransport]) -> Any:
    """Connections of a server that note their transports, from the first byte on."""
    from websockets.asyncio.server import ServerConnection

    class Connection(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.add(transport)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            transports.discard(self.transport)
            super().connection_lost(exc)

    return Connection


async def _ignored(client: Any) -> None:
    """Take what a client says, so that its pings are answered; ends with the connection."""
    from websockets.exceptions import ConnectionClosed

    with contextlib.suppress(ConnectionClosed):
        async for _ in client:
            pass
