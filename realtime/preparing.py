"""Preparing an avatar while the user is told how far it is and can end it: on the terminal, and in a window."""

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from calib.avatar import Progress
from realtime.threads.worker import Stop
from render.window.viewer_controls import ViewerCommand

POLL_S = 1 / 30
_THREAD = "prepare"
T = TypeVar("T")


class CancelledError(Exception):
    """The user asked to end while an avatar was being prepared."""


class Window(Protocol):
    """What is used of a `Viewer`."""

    @property
    def needs_redraw(self) -> bool: ...
    def poll(self) -> list[ViewerCommand]: ...
    def show_empty(self, status: str) -> None: ...


def prepared(
    prepare: Callable[[Progress], T], progress: Progress, stop: Stop | None = None, window: Window | None = None
) -> T | None:
    """What `prepare` makes, on a thread of its own: signals and the window are answered at once meanwhile, however long
    a step takes. A preparation that is given up ends with its present step, or with the process (see `left_behind`).

    Args:
        prepare: is given what to tell its progress to.
        progress: is told as well.
        stop: requested by the user here or by a signal.
        window: drawn and polled on the calling thread.

    Returns None where the user asked to end. Raises what `prepare` raised.
    """
    stop = stop or Stop()
    job = _Job(prepare, progress)
    shown = ""
    try:
        job.start()
        while job.is_alive() and not stop.requested:
            if window is not None:
                if ViewerCommand.QUIT in window.poll():
                    stop.request()
                if (status := job.status) != shown or window.needs_redraw:
                    shown = status
                    window.show_empty(status)
            job.join(POLL_S)
    finally:
        job.cancelled = True
    if stop.requested:
        return None
    if job.failure is not None:
        raise job.failure
    return job.result


def left_behind() -> bool:
    """Whether a preparation that was given up is still at work. The process must not wait for it, nor take down the
    interpreter under it."""
    return any(thread.name == _THREAD and thread.is_alive() for thread in threading.enumerate())


class _Job(threading.Thread, Generic[T]):
    """The preparation. A daemon: the process need not wait for its present step when it is interrupted."""

    def __init__(self, prepare: Callable[[Progress], T], progress: Progress) -> None:
        super().__init__(name=_THREAD, daemon=True)
        self._prepare, self._progress = prepare, progress
        self._doing, self._since_s = "preparing the avatar", time.monotonic()
        self.cancelled = False
        self.result: T | None = None
        self.failure: BaseException | None = None

    @property
    def status(self) -> str:
        """What is done at this moment, and for how long: some steps of large heads take a while."""
        seconds = int(time.monotonic() - self._since_s)
        return self._doing + (f" · {seconds} s" if seconds >= 2 else "")

    def run(self) -> None:
        try:
            self.result = self._prepare(self._tell)
        except BaseException as error:
            self.failure = error

    def _tell(self, what: str, done: int, total: int | None) -> None:
        if self.cancelled:
            raise CancelledError
        doing = f"preparing the avatar · {what}" + ("" if total is None else f" · {done + 1} of {total}")
        if doing == self._doing:
            return  # it waits, and asks whether it still should
        self._doing, self._since_s = doing, time.monotonic()
        self._progress(what, done, total)
