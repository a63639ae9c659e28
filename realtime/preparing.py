"""Preparing an avatar while the user is told how far it is: on the terminal, and in a window that stays alive."""

import threading
from collections.abc import Callable
from typing import Protocol

from calib.avatar import Avatar, Progress
from realtime.threads.worker import Stop
from render.window.viewer_controls import ViewerCommand

POLL_S = 1 / 30


class CancelledError(Exception):
    """The user asked to end while an avatar was being prepared."""


class _Window(Protocol):
    """What is used of a `Viewer`."""

    @property
    def needs_redraw(self) -> bool: ...
    def poll(self) -> list[ViewerCommand]: ...
    def show_empty(self, status: str) -> None: ...


def prepared_in_window(
    prepare: Callable[[Progress], Avatar], window: _Window, stop: Stop, progress: Progress
) -> Avatar | None:
    """What `prepare` makes, on a thread of its own, while `window` shows what is being done and can be closed.

    Args:
        prepare: is given what to tell its progress to.
        window: drawn and polled on the calling thread.
        stop: requested by the user here or by a signal: the preparation ends with its present step.
        progress: is told as well.

    Returns None where the user asked to end. Raises what `prepare` raised.
    """
    job = _Job(prepare, stop, progress)
    job.start()
    while job.is_alive():
        if ViewerCommand.QUIT in window.poll():
            stop.request()
        status = "ending" if stop.requested else job.status
        if status != job.shown or window.needs_redraw:
            job.shown = status
            window.show_empty(status)
        job.join(POLL_S)
    if job.failure is not None and not isinstance(job.failure, CancelledError):
        raise job.failure
    return None if stop.requested else job.avatar


class _Job(threading.Thread):
    """The preparation. A daemon: the process need not wait for its present step when it is interrupted."""

    def __init__(self, prepare: Callable[[Progress], Avatar], stop: Stop, progress: Progress) -> None:
        super().__init__(name="prepare", daemon=True)
        self._prepare, self._stop_asked, self._progress = prepare, stop, progress
        self.status, self.shown = "preparing the avatar", ""
        self.avatar: Avatar | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.avatar = self._prepare(self._tell)
        except BaseException as error:
            self.failure = error

    def _tell(self, what: str, done: int, total: int | None) -> None:
        if self._stop_asked.requested:
            raise CancelledError
        self.status = f"preparing the avatar · {what} · {done + 1} of {total}"
        self._progress(what, done, total)
