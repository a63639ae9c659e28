"""Signals of the operating system as a wish to end: at once while nothing is at stake, in order once something is.

Three stages, each with its own handlers. While a command's modules are imported, `ended_at_once`. While it works on the
main thread, `interrupted_by_signals`: an exception that unwinds it. While a session runs or `vfa animate` writes its
frames, `stopped_by_signals`: a wish that its loops look at. Whatever the stage, a second signal ends it at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from realtime.threads.worker import Stop

_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "a signal to terminate", "SIGHUP": "the end of the terminal"}


class InterruptedBySignalError(KeyboardInterrupt):
    """A signal arrived while the main thread was at work. `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def told_of(number: int) -> str:
    """The line that says what ended the program."""
    return f"ended by {_NAMES.get(signal.Signals(number).name, signal.Signals(number).name)}"


def exit_status(number: int) -> int:
    """What a shell calls the end by a signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


def end_now(number: int) -> NoReturn:
    """End the process without unwinding anything."""
    with suppress(OSError):
        os.write(2, f"{told_of(number)}\n".encode())
    os._exit(exit_status(number))


def ended_at_once() -> None:
    """From here on a signal ends the process with one line: for the time in which modules are imported, where an
    exception would come out of the middle of a library."""
    for number in _ends():
        signal.signal(number, lambda number, _frame: end_now(number))


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """A signal raises `InterruptedBySignalError` on the main thread, to which this belongs. Earlier handlers are
    put back."""
    told: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if told:
            end_now(number)
        told.append(number)
        raise InterruptedBySignalError(number)

    def unraisable(unraised: Any) -> None:  # raised inside a destructor, it would be printed and lost
        if isinstance(unraised.exc_value, InterruptedBySignalError):
            end_now(unraised.exc_value.number)
        hook(unraised)

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    try:
        with _handled_by(handle):
            yield
    finally:
        sys.unraisablehook = hook


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[Stop]:
    """Ctrl-C, SIGTERM and the end of the terminal ask for an orderly end; a second one interrupts at once.

    The end of the terminal does not count where it is ignored already, as under `nohup`. To be entered on the main
    thread; the handlers that were there before are put back.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            raise InterruptedBySignalError(number)
        stop.request(by_signal=number)

    with _handled_by(handle):
        yield stop


@contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handle) for number in _ends()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ends() -> list[signal.Signals]:
    """The signals that ask a program to end; not that of the terminal's end where it is ignored."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    terminal = getattr(signal, "SIGHUP", None)  # Windows has none
    if terminal is not None and signal.getsignal(terminal) is not signal.SIG_IGN:
        numbers.append(terminal)
    return numbers
