import threading
import traceback

import pytest

from realtime.threads.worker import Stop, Worker


def test_a_failure_reaches_the_main_thread_with_its_traceback() -> None:
    stop = Stop()

    def break_down() -> None:
        raise RuntimeError("camera on fire")

    worker = Worker("capture", break_down, stop)
    worker.start()
    assert worker.join(60)
    assert stop.requested
    with pytest.raises(RuntimeError, match="on fire") as caught:
        stop.raise_failure()
    assert "break_down" in "".join(traceback.format_exception(caught.value))


def test_only_the_first_failure_is_kept() -> None:
    stop = Stop()
    stop.request(ValueError("cause"))
    stop.request(KeyError("consequence"))
    with pytest.raises(ValueError, match="cause"):
        stop.raise_failure()


def test_the_end_hook_runs_on_the_same_thread_after_success_and_failure() -> None:
    for body in (lambda: None, lambda: 1 / 0):
        seen: list[str] = []
        worker = Worker("w", body, Stop(), lambda seen=seen: seen.append(threading.current_thread().name))
        worker.start()
        assert worker.join(60)
        assert seen == ["w"]


def test_a_failing_end_hook_is_not_lost() -> None:
    stop = Stop()
    worker = Worker("w", lambda: None, stop, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    worker.start()
    worker.join(60)
    with pytest.raises(ZeroDivisionError):
        stop.raise_failure()


def test_a_clean_end_does_not_stop_the_others() -> None:
    stop = Stop()
    worker = Worker("w", lambda: None, stop)
    worker.start()
    worker.join(60)
    assert not stop.requested


def test_a_worker_that_hangs_is_reported_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    worker = Worker("stuck", lambda: release.wait(30) and None, Stop())
    worker.start()
    assert not worker.join(0.05)
    assert "stuck" in caplog.text
    release.set()


def test_joining_a_worker_that_never_started_returns() -> None:
    assert Worker("idle", lambda: None, Stop()).join(0)
