"""Measuring several ways of doing one thing in one run, in turn, so that a busy machine slows all of them alike."""

import time
from collections.abc import Callable
from typing import Any


def in_turn(
    ways: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Least milliseconds of each way over `rounds`, after one call each to warm up: the least disturbed round.

    `clock` time.process_time counts what the processors worked, whatever else they were busy with.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            start = clock()
            way()
            seconds[name].append(clock() - start)
    return {name: min(values) * 1e3 for name, values in seconds.items()}
