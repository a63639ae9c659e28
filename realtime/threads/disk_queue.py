"""Writing to disk beside a live loop that must never wait for it."""

import contextlib
import queue
from collections.abc import Callable
from typing import Generic, TypeVar

from realtime.threads.worker import Stop, Worker

T = TypeVar("T")

POLL_S = 0.1


class DiskQueue(Generic[T]):
    """A bounded queue drained by a thread of its own.

    `put` never blocks: what does not fit is lost and counted in `lost`. `close` writes everything still queued, then
    runs `on_end`. A failure while writing is kept in `failure`: `on_end` runs then, too, and what comes later is lost.

    Args:
        drops_oldest: where the queue is full the item that waited longest is lost, not the new one, so that what waits
            is never old, however slow the writer: a killed process loses little. One thread calls `put` then.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[T], None],
        on_end: Callable[[], None],
        capacity: int,
        *,
        drops_oldest: bool = False,
    ) -> None:
        self._write, self._drops_oldest = write, drops_oldest
        self._items: queue.Queue[T] = queue.Queue(capacity)
        self._on_end = on_end
        self._closing = Stop()
        self._outcome = Stop()
        self._ending: BaseException | None = None
        self._worker = Worker(name, self._drain, self._outcome, self._finish)
        self.lost = 0
        self._worker.start()

    @property
    def failure(self) -> BaseException | None:
        """What went wrong, on its own thread; where finishing failed as well, that: it leaves something to do."""
        return self._ending or self._outcome.failure

    def put(self, item: T) -> None:
        if self.failure is not None:
            self.lost += 1
            return
        try:
            self._items.put_nowait(item)
        except queue.Full:
            self._put_late(item)

    def _put_late(self, item: T) -> None:
        if not self._drops_oldest:
            self.lost += 1
            return
        with contextlib.suppress(queue.Empty):  # the writer has just taken one: there is room
            self._items.get_nowait()
            self.lost += 1
        self._items.put_nowait(item)

    def end_soon(self) -> None:
        """Write what is queued and finish, without waiting for it."""
        self._closing.request()

    def close(self, timeout_s: float = 60.0) -> bool:
        """Write what is queued and finish; False if that took longer than `timeout_s`."""
        self.end_soon()
        return self._worker.join(timeout_s)

    def _drain(self) -> None:
        while True:
            try:
                item = self._items.get(timeout=POLL_S)
            except queue.Empty:
                if self._closing.requested:
                    return
                continue
            try:
                self._write(item)
            except BaseException:
                self.lost += 1 + self._items.qsize()
                raise

    def _finish(self) -> None:
        try:
            self._on_end()
        except BaseException as error:
            self._ending = error
