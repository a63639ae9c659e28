"""Named threads that never die silently."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Stop:
    """One shared wish to end, with the first failure or the `signal` that caused it, if one did."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self.signal: int | None = None

    def request(self, failure: BaseException | None = None, *, by_signal: int | None = None) -> None:
        """Ask everybody to finish. Only the first failure is kept: later ones tend to be its consequences."""
        self.signal = self.signal or by_signal
        with self._lock:
            if failure is not None and self._failure is None:
                self._failure = failure
        self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    @property
    def failure(self) -> BaseException | None:
        return self._failure

    def raise_failure(self) -> None:
        """Re-raise the first failure, with the traceback of the thread it happened in."""
        if self._failure is not None:
            raise self._failure


class Worker:
    """Runs `body` once on a thread of its own.

    An exception in `body` is kept in `stop` and ends the whole application in an orderly way; `on_end` always runs, on
    the same thread, so that resources are released by their owner and consumers downstream are woken.
    """

    def __init__(self, name: str, body: Callable[[], None], stop: Stop, on_end: Callable[[], None] | None = None):
        self.name = name
        self._body = body
        self._stop = stop
        self._on_end = on_end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False, with a warning, if it has not ended in time."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("worker %s did not end within %.1f s; it is abandoned", self.name, timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._body()
        except BaseException as error:
            self._stop.request(error)
        try:
            if self._on_end is not None:
                self._on_end()
        except BaseException as error:
            self._stop.request(error)
