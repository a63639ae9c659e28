import os
import sys
import threading

import psutil
import pytest

from realtime.threads.cores import YIELDING, give_way, return_memory, share_out


def test_libraries_get_their_share_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "LP_NUM_THREADS"):
        monkeypatch.setenv(name, "taken back afterwards")
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    share_out()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert os.environ["OPENCV_FOR_THREADS_NUM"] == "1"
    assert 1 <= int(os.environ["LP_NUM_THREADS"]) <= 4


@pytest.mark.skipif(sys.platform != "linux", reason="of GNU's C library")
def test_memory_that_is_free_goes_back_to_the_system() -> None:
    process = psutil.Process()
    pieces = [bytes(2000) for _ in range(50_000)]  # too small for mappings of their own
    last = bytes(2000)
    full = process.memory_info().rss
    pieces.clear()
    return_memory()
    assert process.memory_info().rss < full - 50e6
    assert len(last) == 2000


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads have priorities of their own on Linux only")
def test_a_thread_that_gives_way_does_so_alone() -> None:
    found: list[int] = []

    def work() -> None:
        give_way()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0] == max(before, YIELDING)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
