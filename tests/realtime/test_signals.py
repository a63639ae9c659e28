"""What ends a run from outside."""

import signal
from collections.abc import Iterator

import pytest

from realtime.threads.signals import stopped_by_signals
from realtime.threads.worker import Stop


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_asks_for_an_orderly_end_and_the_second_interrupts(number: signal.Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with stopped_by_signals(Stop()) as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_the_handlers_from_before_are_put_back() -> None:
    def own(*_: object) -> None: ...

    signal.signal(signal.SIGTERM, own)
    with pytest.raises(RuntimeError, match="of the run"), stopped_by_signals(Stop()):
        assert signal.getsignal(signal.SIGTERM) is not own
        raise RuntimeError("of the run")
    assert signal.getsignal(signal.SIGTERM) is own


def test_under_nohup_the_end_of_the_terminal_does_not_count() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stopped_by_signals(Stop()) as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop.requested
