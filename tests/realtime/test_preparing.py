"""Preparing beside a living window: progress is shown, closing ends it, a failure arrives."""

import subprocess
import sys
import threading
import time

import pytest

from core.errors import InputError
from realtime.preparing import left_behind, prepared
from realtime.threads.worker import Stop
from render.window.viewer_controls import ViewerCommand


class Window:
    """Notes what it shows; `closes_at` is the status at which the user closes it."""

    def __init__(self, closes_at: str | None = None) -> None:
        self.shown: list[str] = []
        self.needs_redraw = False
        self.seen = threading.Condition()
        self._closes_at = closes_at

    def poll(self):
        close = self._closes_at is not None and any(self._closes_at in status for status in self.shown)
        return [ViewerCommand.QUIT] if close else []

    def show_empty(self, status: str) -> None:
        with self.seen:
            self.shown.append(status)
            self.seen.notify_all()

    def wait_for(self, words: str) -> None:
        with self.seen:
            assert self.seen.wait_for(lambda: any(words in status for status in self.shown), timeout=60)


def test_each_step_is_shown_in_the_window_and_told_elsewhere():
    window, told = Window(), []

    def prepare(tell):
        assert threading.current_thread() is not threading.main_thread(), "the window must stay alive"
        for number, what in enumerate(("the face", "weights")):
            tell(what, number, 2)
            window.wait_for(f"{what} · {number + 1} of 2")
        return "avatar"

    avatar = prepared(prepare, lambda *step: told.append(step), Stop(), window)
    assert avatar == "avatar"
    assert told == [("the face", 0, 2), ("weights", 1, 2)]
    assert not left_behind()


def test_a_step_that_takes_long_shows_that_it_goes_on():
    window = Window()

    def prepare(tell):
        tell("weights", 0, 1)
        window.wait_for("weights · 1 of 1 · 2 s")
        return "avatar"

    assert prepared(prepare, lambda *_: None, Stop(), window) == "avatar"


def test_a_wait_is_told_once_and_can_be_ended():
    window, told = Window(closes_at="another vfa"), []

    def prepare(tell):
        while True:
            tell("another vfa is preparing this head", 0, None)
            time.sleep(0.01)

    assert prepared(prepare, lambda *step: told.append(step), Stop(), window) is None
    assert told == [("another vfa is preparing this head", 0, None)]
    assert any(status.endswith("another vfa is preparing this head") for status in window.shown)


@pytest.mark.parametrize("how", ["window", "signal"])
def test_whoever_ends_it_need_not_wait_for_the_present_step(how: str):
    """The step goes on until the test lets it: nothing but the wish to end brings `prepared` back."""
    window, stop, steps, lasts = (
        Window(closes_at="the face" if how == "window" else None),
        Stop(),
        [],
        threading.Event(),
    )

    def prepare(tell):
        tell("the face", 0, 2)
        if how == "signal":
            stop.request(by_signal=2)
        assert lasts.wait(60)
        tell("weights", 1, 2)
        steps.append("never")

    try:
        assert prepared(prepare, lambda *_: None, stop, window) is None
        assert stop.requested
        assert left_behind()
    finally:
        lasts.set()
        for thread in threading.enumerate():
            if thread.name == "prepare":
                thread.join(60)
    assert not left_behind()
    assert steps == []


def test_an_interrupt_need_not_wait_for_the_present_step():
    """In a process of its own: a signal that comes late would end the one that tests."""
    code = """
import os, signal, threading, time
from realtime.preparing import left_behind, prepared

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
lasts = threading.Event()

def prepare(tell):
    tell("the face", 0, 2)
    os.kill(os.getpid(), signal.SIGINT)
    lasts.wait(60)

try:
    prepared(prepare, lambda *_: None)
except KeyboardInterrupt:
    print("left behind" if left_behind() else "nothing left behind")
lasts.set()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.strip() == "left behind", done.stderr


def test_a_failure_is_raised_where_it_can_be_told():
    def prepare(_tell):
        raise InputError("head.obj: expected a face")

    with pytest.raises(InputError, match=r"head\.obj"):
        prepared(prepare, lambda *_: None, Stop(), Window())
