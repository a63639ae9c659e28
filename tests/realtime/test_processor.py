import threading

import pytest

from realtime.threads.processor import LIBRARIES, ProcessorTime, cpu_ms_per_frame, lock_ms_per_frame


def test_parts_add_up_to_the_process() -> None:
    threads = {"capture": 1.0, "MainThread": 2.0, "inference": 3.0, "llvmpipe": 4.0, LIBRARIES: 1.0}
    before = ProcessorTime(20.0, threads, {"track": 1.0, "lift": 0.5, "animate": 0.5})
    later = {
        "capture": 1.2,
        "MainThread": 2.6,
        "inference": 3.7,
        "llvmpipe": 4.4,
        LIBRARIES: 1.8,
        "record-preview": 0.3,
    }
    after = ProcessorTime(23.2, later, {"track": 1.4, "lift": 0.6, "animate": 0.7, "record": 0.1})
    parts = cpu_ms_per_frame(before, after, 100)
    assert parts == {
        "process": pytest.approx(32),
        "capture": pytest.approx(2),
        "track": pytest.approx(11),  # 0.3 s on its thread, 0.8 s on the library's
        "lift": pytest.approx(1),
        "animate": pytest.approx(2),
        "draw": pytest.approx(9),  # what recording takes of the main thread is left out
        "record": pytest.approx(4),
        "other": pytest.approx(3),
    }


def test_the_lock_is_held_at_most_while_a_thread_runs_outside_of_calls_that_let_go_of_it() -> None:
    before = ProcessorTime(0.0, {"capture": 1.0}, {})
    threads = {"capture": 1.2, "inference": 3.0, "MainThread": 2.0, "llvmpipe": 9.0}
    after = ProcessorTime(16.0, threads, {"infer": 2.5, "gl": 1.0, "track": 2.9})
    most = lock_ms_per_frame(before, after, 100)
    assert most == {"capture": pytest.approx(2), "inference": pytest.approx(5), "main": pytest.approx(10)}


def test_without_pictures_there_is_nothing_to_tell() -> None:
    assert cpu_ms_per_frame(ProcessorTime.now(), ProcessorTime.now(), 0) == {}


def test_threads_are_known_by_their_names() -> None:
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait()

    thread = threading.Thread(target=work, name="capture")
    thread.start()
    begun.wait()
    try:
        now = ProcessorTime.now({"track": 1.0})
    finally:
        end.set()
        thread.join()
    assert {"capture", threading.main_thread().name} <= set(now.threads)
    assert now.sections == {"track": 1.0}
