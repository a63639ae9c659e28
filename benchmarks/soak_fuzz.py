"""Garbage on a simulated phone's wire, against the real record3d library."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from capture.cameras import reconnecting
from capture.cameras.reconnecting import ReconnectingSource
from core.source import DeviceState
from tests.fakes.phone import Phone, read_pattern

FUZZ_MESSAGES = 10  # per connection: one that announces gigabytes swallows all that follow
LIMIT_S = 10.0  # frames that do not come again by then never will


def fuzz(messages: int, seed: int) -> dict[str, Any]:
    """Garbage of every kind on the wire. Nothing may raise, hang or grow, and afterwards frames must come again."""
    from capture.cameras.record3d_usb import Record3dDevice, record3d_source

    reconnecting.BACKOFF_S = (0.01, 0.05)
    Record3dDevice.first_frame_s = 1.0
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder, Phone(Path(folder), fps=500.0, seed=seed) as phone:
        os.environ.update(phone.environment)
        source = record3d_source()
        source.open()
        phone.set(garbage="mixed", messages_per_connection=FUZZ_MESSAGES)
        longest_read_s, began_s, before_mb = 0.0, time.monotonic(), process.memory_info().rss / 1e6
        states: set[str] = set()
        while (sent := phone.counts()["damaged"]) < messages:
            asked_s = time.monotonic()
            source.read(0.1)
            longest_read_s = max(longest_read_s, time.monotonic() - asked_s)
            states.add(source.state.name)
        grown_mb = process.memory_info().rss / 1e6 - before_mb
        connections, seconds = phone.counts()["connections"], time.monotonic() - began_s
        phone.set(garbage="", fps=60.0, messages_per_connection=0)
        phone.cut()
        recovered = _comes_again(source)
        source.close()
    return {
        "messages": sent,
        "connections": connections,
        "seconds": round(seconds, 1),
        "longest_read_s": round(longest_read_s, 3),
        "rss_growth_mb": round(grown_mb, 1),
        "damaged_pictures": source.damaged,
        "states": sorted(states),
        "recovered": recovered,
    }


def _comes_again(source: ReconnectingSource[Any]) -> bool:
    ends_s = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_s:
        frame = source.read(0.1)
        if frame is not None and read_pattern(frame.rgb, frame.depth_m) is not None:
            return source.state is DeviceState.STREAMING
    return False
