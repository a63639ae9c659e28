"""Preparing beside a living window: progress is shown, closing ends it, a failure arrives."""

import threading

import pytest

from core.errors import InputError
from realtime.preparing import prepared_in_window
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

    avatar = prepared_in_window(prepare, window, Stop(), lambda *step: told.append(step))
    assert avatar == "avatar"
    assert told == [("the face", 0, 2), ("weights", 1, 2)]


def test_closing_the_window_ends_it_with_the_present_step():
    window, stop, steps = Window(closes_at="the face"), Stop(), []

    def prepare(tell):
        tell("the face", 0, 2)
        window.wait_for("ending")
        tell("weights", 1, 2)
        steps.append("never")

    assert prepared_in_window(prepare, window, stop, lambda *_: None) is None
    assert stop.requested
    assert steps == []


def test_a_failure_is_raised_where_it_can_be_told():
    def prepare(_tell):
        raise InputError("head.obj: expected a face")

    with pytest.raises(InputError, match=r"head\.obj"):
        prepared_in_window(prepare, Window(), Stop(), lambda *_: None)
