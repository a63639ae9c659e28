"""A second thread paints only while a core would otherwise do nothing."""

import os
from types import SimpleNamespace

import pytest

from core.native.cores import allowed_cores
from render.native.spare_core import LOOK_S, SpareCore

CORES = len(allowed_cores())


class Machine:
    """Cores of which so many are idle, all the same ones."""

    def __init__(self) -> None:
        self.now_s = self.idle_s = 0.0
        self.looked = 0

    def times(self) -> list[SimpleNamespace]:
        self.looked += 1
        first = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        return [SimpleNamespace(idle=self.idle_s if core == first else 5.0) for core in range(first + CORES)]

    def goes_on(self, seconds: float, idle_cores: float) -> None:
        self.now_s += seconds
        self.idle_s += seconds * idle_cores


@pytest.mark.skipif(CORES < 2, reason="this machine has one core, and none to spare")
def test_a_core_is_spare_while_it_is_mostly_idle() -> None:
    machine = Machine()
    spare = SpareCore(machine.times, lambda: machine.now_s)
    assert spare()
    for idle, expected in ((1.0, True), (0.6, True), (0.4, False), (0.6, False), (0.8, True), (0.0, False)):
        machine.goes_on(LOOK_S, idle)
        assert spare() == expected, idle


def test_the_system_is_asked_twice_a_second_at_most() -> None:
    machine = Machine()
    spare = SpareCore(machine.times, lambda: machine.now_s)
    for _ in range(100):
        machine.goes_on(0.01, 1.0)
        spare()
    assert machine.looked <= 3


def test_a_system_that_does_not_tell_has_none_to_spare() -> None:
    def unknown() -> list[SimpleNamespace]:
        raise OSError("no such file")

    now_s = [0.0]
    spare = SpareCore(unknown, lambda: now_s[0])
    now_s[0] = 1.0
    assert not spare()
