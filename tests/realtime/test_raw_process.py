"""The camera's pictures are encoded by a process of its own, which may end at any time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from realtime.recording import recorder
from realtime.recording.film_file import Coding
from realtime.recording.film_process import FilmProcess
from realtime.recording.raw_process import RawProcess
from realtime.recording.raw_writer import RawWriter
from realtime.recording.recording_folder import RecordingError, RecordingFolder
from realtime.recording.repair import repair
from realtime.session.kept_pictures import KeptPictures
from tests.realtime.test_live_recording import AVATAR
from tests.realtime.test_session_writing import CAMERA, posed

IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from realtime.recording.raw_process import RawProcess
from tests.realtime.test_session_writing import posed

pictures = RawProcess(Path(sys.argv[1]), "rgbd")
for number in range(60):
    pictures.append(posed(number).frame)
print(pictures._encoder._process.pid, flush=True)
input()
"""


def in_two_ways(tmp_path: Path) -> tuple[Path, Path]:
    """The same frames, encoded here and by the other process."""
    folders = tmp_path / "here", tmp_path / "there"
    for folder, writer in zip(folders, (RawWriter, RawProcess), strict=True):
        folder.mkdir()
        pictures = writer(folder, "rgbd")
        for number in range(20):
            pictures.append(posed(number).frame)
        pictures.append(posed(3).frame)  # older than the one before
        pictures.close()
        assert (pictures.frames, pictures.refused) == (20, 1)
        assert pictures.written_bytes > 1000
        pictures.close()
    return folders


def test_the_other_process_writes_the_same_files(tmp_path: Path) -> None:
    here, there = in_two_ways(tmp_path)
    assert sorted(path.name for path in there.iterdir()) == ["color.mp4", "depth.mkv", "pictures.npy"]
    for name in ("color.mp4", "pictures.npy"):
        assert (here / name).read_bytes() == (there / name).read_bytes(), name
    pictures = KeptPictures(there)
    for number in range(20):
        frame = posed(number).frame
        kept = pictures.at(frame.timestamp_s)
        assert kept is not None, number
        pixels = kept.pixels(CAMERA, None)
        assert pixels is not None
        np.testing.assert_allclose(pixels[1], frame.depth_m, atol=0.00051)  # whole millimetres
    pictures.close()


def test_an_encoder_that_is_killed_is_told_and_leaves_what_it_wrote(tmp_path: Path) -> None:
    pictures = RawProcess(tmp_path, "colour")
    pictures.append(posed(0).frame)
    os.kill(pictures._encoder._process.pid, signal.SIGKILL)
    with pytest.raises(RecordingError, match=r"color\.mp4: its encoder ended"):
        for number in range(1, 50):
            pictures.append(posed(number).frame)
    with pytest.raises(RecordingError, match="vfa session repair"):
        pictures.close()


def test_what_the_disk_refuses_is_told_in_the_encoders_words(tmp_path: Path) -> None:
    pictures = RawProcess(tmp_path / "gone", "rgbd")
    with pytest.raises(RecordingError, match=r"pictures|color") as told:
        for number in range(50):
            pictures.append(posed(number).frame)
    assert "No such file" in str(told.value)
    with pytest.raises(RecordingError):
        pictures.close()


def test_the_encoder_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    session = subprocess.Popen(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert session.stdout is not None
    encoder = int(session.stdout.readline())
    session.kill()
    session.wait()
    until = time.monotonic() + 60
    while Path(f"/proc/{encoder}/cmdline").exists() and Path(f"/proc/{encoder}/cmdline").read_bytes():
        assert time.monotonic() < until, "the encoder goes on by itself"
        time.sleep(0.05)
    assert (tmp_path / "color.partial.mp4").stat().st_size > 0
    repair(tmp_path)
    assert KeptPictures(tmp_path).at(posed(0).frame.timestamp_s) is not None


def test_a_recording_that_cannot_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: Path, raw: str) -> None:
        raise RecordingError(f"{folder}: no process can be started; end others")

    started: list[FilmProcess] = []

    def film(path: Path, coding: Coding) -> FilmProcess:
        started.append(FilmProcess(path, coding))
        return started[-1]

    monkeypatch.setattr(recorder, "_Raw", refused)
    monkeypatch.setattr(recorder, "_Film", film)
    with pytest.raises(RecordingError, match="no process can be started"):
        recorder.Recorder(RecordingFolder.claim(tmp_path / "take", overwrite=False), AVATAR, raw="rgbd")  # type: ignore[arg-type]
    assert not (tmp_path / "take").exists(), "its files, its lock and the folder made for it are gone"
    assert [each._encoder._process.returncode for each in started] == [0], "its encoder has ended"
