"""What ends a run from outside. In processes of their own: a signal that comes late would end the one that tests."""

import signal
import subprocess
import sys

import pytest

START = """
import os, signal, sys, time
from realtime.threads.signals import stopped_by_signals
from realtime.threads.worker import Stop

number = int(sys.argv[1])
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever started the tests may ignore them, as nohup does
    signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

def sent():
    os.kill(os.getpid(), number)
    time.sleep(60)  # a signal ends it at once; its handler does not when it returns

def wait_for(happened):
    until = time.monotonic() + 60
    while not happened() and time.monotonic() < until:
        time.sleep(0.01)
    assert happened()
"""
TWICE = """
with stopped_by_signals(Stop()) as stop:
    assert not stop.requested
    os.kill(os.getpid(), number)
    wait_for(lambda: stop.requested)
    try:
        sent()
    except KeyboardInterrupt:
        print("orderly, then at once")
"""
PUT_BACK = """
def own(*_): ...

signal.signal(number, own)
try:
    with stopped_by_signals(Stop()):
        assert signal.getsignal(number) is not own
        raise RuntimeError("of the run")
except RuntimeError:
    assert signal.getsignal(number) is own
    print("put back")
"""
NOHUP = """
signal.signal(number, signal.SIG_IGN)
with stopped_by_signals(Stop()) as stop:
    os.kill(os.getpid(), number)
    time.sleep(0.1)
    assert not stop.requested
    print("goes on")
"""


def run(code: str, number: signal.Signals) -> str:
    command = [sys.executable, "-c", START + code, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_asks_for_an_orderly_end_and_the_second_interrupts(number: signal.Signals) -> None:
    assert run(TWICE, number) == "orderly, then at once"


def test_the_handlers_from_before_are_put_back() -> None:
    assert run(PUT_BACK, signal.SIGTERM) == "put back"


def test_under_nohup_the_end_of_the_terminal_does_not_count() -> None:
    assert run(NOHUP, signal.SIGHUP) == "goes on"
