"""Signals of the operating system as a wish to end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from realtime.threads.worker import Stop


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[Stop]:
    """Ctrl-C, SIGTERM and the end of the terminal ask for an orderly end; a second one interrupts at once.

    The end of the terminal does not count where it is ignored already, as under `nohup`. To be entered on the main
    thread; the handlers that were there before are put back.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()

    numbers = [signal.SIGINT, signal.SIGTERM]
    terminal = getattr(signal, "SIGHUP", None)  # Windows has none
    if terminal is not None and signal.getsignal(terminal) is not signal.SIG_IGN:
        numbers.append(terminal)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
