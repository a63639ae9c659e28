"""The whole app while a simulated phone is unplugged and plugged in again: a short run of the soak test."""

import threading
from pathlib import Path

import pytest

from benchmarks.soak_app import run_session
from benchmarks.soak_bench import record3d_bench


def test_the_app_lives_through_unplugging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("record3d")
    pytest.importorskip("liblzfse")
    monkeypatch.setenv("USBMUXD_SOCKET_ADDRESS", "")  # put back after the phone has set it
    with record3d_bench(faces=True) as bench:
        figures = run_session(bench, 2, tmp_path / "session", seed=1)
    assert (figures.crashes, figures.cycles) == (0, 2)
    assert figures.report["device"]["reconnects"] >= 2
    assert figures.recording["checks"] == dict.fromkeys(figures.recording["checks"], True)
    assert figures.gaps == figures.gaps_marked > 0
    assert figures.left_when_eased
    assert max(figures.left_when_eased) < 0.02, "at rest half a second after the loss was noticed"
    assert figures.step_resuming < 0.2, "avatar units; an open mouth alone is more"
    assert not {"capture", "inference", "soak"} & {thread.name for thread in threading.enumerate()}
