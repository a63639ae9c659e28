"""How commands end: by a signal at any stage, by a place that cannot be written, by a reader who has enough."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calib.avatar import Avatar
from calib.avatar_picture import save_picture
from core.errors import InputError, install_line
from core.writable import check_writable, print_aside, writing_to
from tests.fakes.forked import run_python
from tests.fakes.small_disk import files_no_larger_than
from tests.realtime.test_cli import call, expect_one_line, faceless_video

ENDED = {signal.SIGINT: (130, "ended by Ctrl-C"), signal.SIGTERM: (143, "ended by a signal to terminate")}
AT_STAGE = """
import os, signal, sys
number, stage = int(sys.argv[1]), sys.argv[2]
arguments = sys.argv[3:]

def sent(*_, **__):
    os.kill(os.getpid(), number)

from realtime.threads import signals
if stage == "imports":
    import builtins
    before = builtins.__import__
    def importing(name, *rest, **more):
        if name == "tyro" or name == "realtime.cli":
            sent()
        return before(name, *rest, **more)
    for name in [name for name in sys.modules if name.startswith("realtime.cli")]:
        del sys.modules[name]
    builtins.__import__ = importing
else:
    module, _, name = stage.rpartition(".")
    import importlib
    target = importlib.import_module(module.partition(":")[0])
    for part in module.partition(":")[2].split(".") if ":" in module else []:
        target = getattr(target, part)
    real = getattr(target, name)
    def interrupted(*given, **named):
        sent()
        import time
        time.sleep(30) if "prepare_avatar" in name else None
        return real(*given, **named)
    setattr(target, name, interrupted)
sys.argv = ["vfa", *arguments]
from realtime.start import main
main()
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return faceless_video(tmp_path / "wall.mp4")


@pytest.mark.usefixtures("lowpoly")
@pytest.mark.parametrize("number", list(ENDED))
@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("imports", "animate"),
        ("realtime.avatar_choice.prepare_avatar", "animate"),
        ("realtime.avatar_choice.prepare_avatar", "live"),
        ("realtime.offline.neutral.find_neutral", "animate"),
        ("capture.synthetic.studio.clip_plan.plan_clip", "synth"),
        ("capture.open_source.open_source", "live"),
        ("concurrent.futures:ProcessPoolExecutor.submit", "preprocess"),
    ],
)
def test_a_signal_ends_any_command_at_any_stage(
    number: signal.Signals, stage: str, command: str, clip: Path, tmp_path: Path
) -> None:
    out, report = tmp_path / "new" / "out", tmp_path / "report.json"
    arguments = {
        "animate": ("animate", "--driving", clip, "--avatar", "lowpoly", "--out", out),
        "live": ("live", "--avatar", "lowpoly", "--headless", "--record", out, "--report", report, "--seconds", 2),
        "synth": ("synth", "--out", out, "--size", 160, 120),
        "preprocess": ("preprocess", clip, "--out", out, "--workers", 2),
    }[command]
    done = run_python(AT_STAGE, int(number), stage, *arguments)
    status, words = ENDED[number]
    assert done.returncode == status, done.stderr
    assert done.stderr.strip().splitlines()[-1] == words
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "captured" not in done.stderr, "no report of nothing"
    assert not (tmp_path / "new").exists(), "no folder is left"
    assert not report.exists()


@pytest.mark.parametrize(
    "arguments", [("live", "--help"), ("devices",), ("prepare", "--help"), ("--version",), ("cache",)]
)
def test_a_reader_who_has_enough_is_no_traceback(arguments: tuple[str, ...]) -> None:
    """Nobody reads from the start: whatever is written finds a closed pipe."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "realtime", *arguments]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, timeout=240, check=False)
    os.close(writes)
    assert done.stderr == ""
    assert done.returncode == 141


UNHEARD = """
import os, sys
reads, writes = os.pipe()
os.close(reads)
os.dup2(writes, 1)
os.dup2(writes, 2)
sys.argv[0] = "vfa"
from realtime.cli import main
main()
"""


@pytest.mark.usefixtures("lowpoly")
@pytest.mark.parametrize("command", ["live", "prepare", "wrong"])
def test_work_goes_on_where_nobody_hears_of_it(command: str, tmp_path: Path) -> None:
    """As with  2>&1 | head -1  : whatever is said finds a closed pipe, and the status is what it would have been."""
    picture, report = tmp_path / "face.png", tmp_path / "report.json"
    small = ("--headless", "--avatar", "lowpoly", "--size", 64, 64, "--seconds", 0.5)
    status, arguments = {
        "live": (0, ("live", *small, "--record", tmp_path / "out", "--report", report)),
        "prepare": (0, ("prepare", "--avatar", "lowpoly", "--picture", picture)),
        "wrong": (2, ("live", "--avatar", "nope")),
    }[command]
    assert run_python(UNHEARD, *arguments).returncode == status
    if command == "live":
        assert report.exists()
        assert (tmp_path / "out" / "animation.npz").exists()
    assert picture.exists() == (command == "prepare")


def test_a_line_aside_ends_nothing() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as stream:
        for line in ("nobody hears this", "nor this"):
            print_aside(line, stream)
        print("what others say is lost as well", file=stream, flush=True)


def test_the_version_is_told() -> None:
    done = subprocess.run([sys.executable, "-m", "realtime", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1].count(".") == 2


def test_an_interrupt_inside_a_destructor_is_not_lost() -> None:
    code = """
import os, signal, time
from realtime.threads.signals import interrupted_by_signals

class Dies:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

with interrupted_by_signals():
    Dies()
"""
    done = run_python(code)
    assert done.returncode == 130
    assert done.stderr.strip() == "ended by Ctrl-C"


def test_the_first_signal_unwinds_what_is_at_work() -> None:
    code = """
import os, signal, time
from realtime.threads.signals import InterruptedBySignalError, interrupted_by_signals

before = signal.getsignal(signal.SIGTERM)
try:
    with interrupted_by_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            print("unwound")
except InterruptedBySignalError:
    assert signal.getsignal(signal.SIGTERM) is before
    print("interrupted")
"""
    done = run_python(code)
    assert (done.returncode, done.stdout.split()) == (0, ["unwound", "interrupted"])


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[Path]]:
    """Where nothing can be written, for the superuser neither: below a file, in a folder of the system's, with a name
    too long for any file."""
    (tmp_path / "notes.txt").write_text("notes")
    return [tmp_path / "notes.txt" / "x", Path("/proc/nowhere/x"), tmp_path / ("x" * 300)]


@pytest.mark.parametrize("which", range(3))
def test_a_place_that_cannot_be_written_is_told_before_the_work(places: list[Path], which: int, clip: Path) -> None:
    place, made = places[which], sorted(clip.parent.iterdir())
    for arguments in (
        ("live", "--headless", "--avatar", "lowpoly", "--record", place),
        ("live", "--headless", "--avatar", "lowpoly", "--report", place),
        ("animate", "--driving", clip, "--avatar", "lowpoly", "--out", place),
        ("synth", "--out", place),
        ("preprocess", clip, "--out", place),
        ("train", "--stage", "code", "--data", clip.parent, "--out", place),
        ("prepare", "--avatar", "lowpoly", "--picture", place),
        ("prepare", "--avatar", "lowpoly", "--place-landmarks", place),
    ):
        expect_one_line(call("vfa", *arguments), str(place))
    assert sorted(clip.parent.iterdir()) == made


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("kept")
    for name in ("there", "new", "folder/new"):
        check_writable(tmp_path / name, "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    with pytest.raises(InputError, match=r"--out .*: expected the name of a file"):
        check_writable(tmp_path, "--out")
    with pytest.raises(InputError, match="cannot be written"), writing_to(tmp_path):
        (tmp_path / "there" / "x").touch()


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (("animate", "--driving", "nosuch.mp4", "--out", "o"), ("--driving nosuch.mp4",)),
        (("live", "--avatar", "nope"), ("'nope'", "realistic")),
        (("live", "--avatar", ""), ("--avatar ''",)),
        (("live", "--avatar", "/"), ("--avatar /", "is a folder")),
        (("prepare", "--avatar", os.devnull), (f"--avatar {os.devnull}", "is no file")),
        (("live", "--record", ""), ("--record ''", "empty")),
        (("live", "--record="), ("--record ''", "empty")),
        (("animate", "--driving", __file__, "--out", ""), ("--out ''", "empty")),
        (("live", ""), ("argument ''", "empty")),
        (("live", "clip.mp4", "--device", "demo"), ("clip.mp4 --device demo", "one of the two")),
        (("live", "--checkpoint", "nope.pt"), ("--checkpoint nope.pt",)),
        (("live", "--face-model", "nope.task"), ("nope.task", "no such face model")),
        (("prepare", "--avatar", "lowpoly", "--picture", "face.txt"), ("--picture face.txt", ".png")),
        (("preprocess", __file__, "--out", "o", "--face-model", "nope.task"), ("nope.task", "no such face model")),
        (("live", "clip.mp4", "--device", "kinect"), ("clip.mp4", "one of the two")),
        (("live", "nosuch[x].mp4"), ("nosuch[x].mp4",)),
        (("live", "webcam:abc"), ("webcam:abc",)),
        (("live", "--eye", 0, 0, 0), ("--eye 0 0 0",)),
    ],
)
def test_what_is_wrong_is_named_as_it_was_given(arguments: tuple[object, ...], fragments: tuple[str, ...]) -> None:
    expect_one_line(call("vfa", *arguments, *(("--headless",) if arguments[0] == "live" else ())), *fragments)


@pytest.mark.parametrize("wrong", [("clip.mp4", "--device", "kinect"), ("--eye", 0, 0, 0)])
def test_the_main_command_names_it_in_one_line_too(wrong: tuple[object, ...]) -> None:
    expect_one_line(call("vfa-live", *wrong, "--headless"), str(wrong[0]))


def test_the_picture_of_a_head_is_written_into_a_new_folder_unless_the_disk_is_full(
    lowpoly: Avatar, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "face.png"
    with pytest.raises(InputError, match=r"face.png: cannot be written \(File too large\)"), files_no_larger_than(500):
        save_picture(lowpoly, path)
    assert list(path.parent.iterdir()) == []
    save_picture(lowpoly, path)
    picture = np.asarray(Image.open(path), np.float64)
    assert picture.shape == (960, 960, 3)
    green, orange = (int((np.abs(picture - color).max(axis=2) < 12).sum()) for color in ((90, 220, 90), (255, 160, 60)))
    assert green > 2000
    assert 100 < orange < green / 2, "controllers leave landmarks to be seen"


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the disk is read-only")]
)
def test_what_the_disk_refuses_is_told_in_plain_words(number: int, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words), writing_to(tmp_path):
        raise OSError(number, os.strerror(number))


def test_nothing_preprocessed_is_a_failure(clip: Path, tmp_path: Path) -> None:
    expect_one_line(call("vfa", "preprocess", clip, "--out", tmp_path / "out"), "not one clip", "wall.mp4")


def test_landmarks_without_a_display_get_no_advice_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    result = call("vfa", "prepare", "--avatar", "lowpoly", "--place-landmarks", tmp_path / "points.json")
    expect_one_line(result, "no window can be opened", "start it on a desktop")
    assert "--headless" not in result.stderr


def test_the_line_that_installs_names_the_environment_that_runs() -> None:
    line = install_line("kinect")
    assert line.startswith(sys.executable)
    assert "[kinect]" in line


@pytest.mark.usefixtures("lowpoly")
def test_a_session_whose_recording_broke_off_says_so_and_does_not_end_well(tmp_path: Path) -> None:
    small_disk = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, -1)); "
    code = small_disk + "import sys; sys.argv[0] = 'vfa-live'; from realtime.cli import live_main as m; m()"
    arguments = ("--headless", "--avatar", "lowpoly", "--size", 160, 120, "--seconds", 2, "--record", tmp_path / "out")
    done = run_python(code, *arguments)
    assert done.returncode == 1, done.stderr
    assert "not recorded: " in done.stderr
    assert str(tmp_path / "out") in done.stderr.splitlines()[-1]
    assert "pictures shown" in done.stderr, "the show went on"
