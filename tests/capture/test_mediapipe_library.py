"""MediaPipe, the reference for the tracker: made by several threads at once, quiet, and whole for everybody else."""

import logging
import subprocess
import sys
import threading

import numpy as np
import pytest

from capture.face.face_model_file import find_face_model
from capture.face.networks import mediapipe
from capture.face.networks.mediapipe import MediaPipeNetworks

MADE_AT_ONCE = """
import os, sys, threading
import numpy as np
from capture.face.face_model_file import find_face_model
from capture.face.face_tracker import FaceTracker
from capture.face.networks.mediapipe import MediaPipeNetworks
from core.frame import RgbdFrame
from core.camera import Intrinsics

blank = np.zeros((360, 640, 3), np.uint8)
camera = Intrinsics(500.0, 500.0, 320.0, 180.0, 640, 360)
before = os.fstat(2)
together = threading.Barrier(4)
failures = []

def make(kind):
    together.wait()
    try:
        if kind == "pictures":
            networks = MediaPipeNetworks(find_face_model())
            with networks.landmarks(video=False, scores=False) as made, networks.detector() as detector:
                assert made.run(blank) is None and detector.run(blank) == []
        else:
            with FaceTracker(tracker="mediapipe") as made:
                assert not made.track(RgbdFrame(blank, None, camera, 0.0, 0)).tracked
                made.close()
    except BaseException as error:
        failures.append(f"{kind}: {error!r}")

threads = [threading.Thread(target=make, args=(kind,)) for kind in ("pictures", "stream") * 2]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
after = os.fstat(2)
assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino), "standard error leads elsewhere"
import mediapipe
mediapipe.tasks.vision.FaceLandmarker, mediapipe.Image
"""


def test_threads_that_start_it_at_once_all_get_it_and_nothing_reaches_the_terminal() -> None:
    result = subprocess.run([sys.executable, "-c", MADE_AT_ONCE], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # neither the library's messages nor a traceback at exit


def test_what_the_library_prints_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "capture.face.networks.mediapipe"):
        MediaPipeNetworks(find_face_model(url=None)).landmarks(video=False, scores=False).close()
    assert "mediapipe: " in caplog.text


def test_other_lines_still_reach_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with mediapipe._lock, mediapipe._native_messages_logged():
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'W0000 theirs\\nours\\n')"], check=True)
    assert capfd.readouterr().err == "ours\n"


def test_a_second_thread_waits_until_standard_error_is_back() -> None:
    """Two overlapping turns would leave it on a file that is deleted."""
    network = MediaPipeNetworks(find_face_model(url=None)).landmarks(video=False, scores=False)
    ran = threading.Event()

    def run() -> None:
        network.run(np.zeros((64, 64, 3), np.uint8))
        ran.set()

    with mediapipe._lock:
        thread = threading.Thread(target=run)
        thread.start()
        assert not ran.wait(0.2)
    assert ran.wait(60)
    thread.join()
    network.close()
