"""The commands as a user runs them: what goes wrong ends in one line and exit status 2."""

import json
import re
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from capture.open_source import open_source
from core.errors import InputError
from realtime.cli import refuse_unknown
from realtime.config import AnimateOptions
from realtime.optional_value import with_values
from realtime.recording.recording_folder import ANIMATION_NAME
from tests.fakes.forked import run_python

pytestmark = pytest.mark.usefixtures("lowpoly")  # that commands take from the cache
COMMANDS = {"vfa-live": "live_main", "vfa": "main"}


def call(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command of ours in a process of its own."""
    return run_python(_program(command), *arguments)


def _program(command: str) -> str:
    return f"import sys; sys.argv[0] = {command!r}; from realtime.cli import {COMMANDS[command]} as m; m()"


def expect_one_line(result: subprocess.CompletedProcess[str], *fragments: str) -> None:
    """Exit status 2 and one line that holds every fragment."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, result.stderr
    for fragment in fragments:
        assert fragment in errors[0]


def faceless_video(path: Path, frames: int = 12) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(frames):
            picture = np.full((120, 160, 3), number * 5, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


LIVE = ("--headless", "--avatar", "lowpoly", "--size", 160, 120, "--seconds", 2)


def test_unknown_device() -> None:
    expect_one_line(call("vfa-live", "--device", "hologram", *LIVE), "hologram", "demo")


def test_a_command_that_is_not_there_is_one_line() -> None:
    result = call("vfa", "prepar")
    expect_one_line(result, "vfa prepar: expected one of live, animate", "; did you mean  vfa prepare")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["qqq"], "; vfa --help  tells of each"),
        ([__file__], f"; did you mean  vfa live {__file__}"),
        (
            ["prepare", "head.glb"],
            "vfa prepare head.glb: expected options alone, found a head; give it as --avatar head",
        ),
        (["rig", "--out", "x.glb", "HEAD.FBX"], "give it as --avatar HEAD.FBX"),
        (["prepare", "lowpoly", "--up", "y"], "give it as --avatar lowpoly"),
        (["session", "inof", "x"], "expected one of info, check, repair, edit, show; did you mean  vfa session info"),
        (["session", "edit", "take/", "flip"], "expected one of trim, cut, retime, filter, mirror"),
        (["session", "edit", "take/", "triim", "1"], "; did you mean  vfa session edit take/ trim"),
    ],
)
def test_the_word_that_was_meant_is_named(words: list[str], told: str) -> None:
    commands = ("live", "prepare", "rig", "session")
    with pytest.raises(InputError, match=re.escape(told)):
        refuse_unknown(words, commands)
    for sound in (["prepare"], ["session", "edit", "take/", "trim"], ["session", "--help"], ["--help"], []):
        refuse_unknown(sound, commands)


@pytest.mark.parametrize(
    "words",
    [
        ["rig", "--avatar", "head.glb", "--out", "x.glb"],
        ["rig", "--avatar=head.glb", "--out=x.glb"],
        ["rig", "--out", "x.glb", "--overwrite"],
        ["live", "head.glb"],  # which says so itself
    ],
)
def test_heads_with_their_options_are_let_through(words: list[str]) -> None:
    refuse_unknown(words, ("live", "rig"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x.fbx", "is a head file of a kind that is not read (.fbx); Blender reads most"),
        ("x.USDZ", "writes .glb: give that as --avatar"),
        ("x.obj", "is a head file (.obj): give it as --avatar"),
    ],
)
def test_a_head_is_no_recording(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"\x07 whatever")
    with pytest.raises(InputError, match=re.escape(told)):
        open_source(str(tmp_path / name), realtime=False)


def test_a_start_past_the_end_names_what_was_given(tmp_path: Path) -> None:
    clip, out = faceless_video(tmp_path / "clip.mp4"), tmp_path / "out"
    for option in ("--offset", "--target-frame"):
        told = call("vfa", "animate", "--driving", clip, "--avatar", "lowpoly", "--out", out, option, 99)
        expect_one_line(told, f"{option} 99", "has 12 frames")
        assert not out.exists()


def test_the_built_in_performer_drives_offline_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("--driving", "demo", "--offset", 40, "--length", 3, "--neutral-frame", 40, "--avatar", "lowpoly", "--out")
    made = call("vfa", "animate", *given, tmp_path / "out")
    assert made.returncode == 0, made.stderr
    with np.load(tmp_path / "out" / ANIMATION_NAME) as animation:
        assert len(animation["vertices"]) == 3
        assert animation["tracked"].all()
    monkeypatch.chdir(tmp_path)
    options = AnimateOptions(driving=Path("demo"), out=Path("out"))
    assert options.performer_drives
    Path("demo").write_text("")  # a file of that name is meant where there is one
    assert not options.performer_drives


def test_missing_avatar(tmp_path: Path) -> None:
    missing = tmp_path / "nobody.obj"
    expect_one_line(call("vfa-live", "--device", "demo", "--avatar", missing, "--headless"), str(missing))


def test_empty_folder(tmp_path: Path) -> None:
    expect_one_line(call("vfa-live", "--device", tmp_path, *LIVE), str(tmp_path))


def test_truncated_video(tmp_path: Path) -> None:
    whole = faceless_video(tmp_path / "whole.mp4").read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole[: len(whole) // 3])
    expect_one_line(call("vfa-live", "--device", broken, *LIVE), str(broken))


@pytest.mark.parametrize(
    ("name", "text", "fragment"),
    [
        ("points.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "face"),
        ("nan.obj", "v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "nan"),
        ("range.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "9"),
    ],
)
def test_broken_mesh(tmp_path: Path, name: str, text: str, fragment: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    result = call("vfa", "prepare", "--avatar", path)
    expect_one_line(result, str(path))
    assert fragment in result.stderr.lower()


def test_a_head_without_a_face_is_refused_with_a_picture(tmp_path: Path) -> None:
    path, picture = tmp_path / "board.obj", tmp_path / "seen.png"
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0.1\nf 1 2 3 4\n")
    stated = ("vfa", "prepare", "--avatar", path, "--up", "y", "--front", "z")
    expect_one_line(call(*stated), str(path), "--place-landmarks", "--picture FILE.png")
    expect_one_line(call(*stated, "--picture", picture), str(path), "--place-landmarks", f"looked at: {picture}")
    assert cv2.imread(str(picture)) is not None


def test_a_clip_without_a_face_leaves_nothing_behind(tmp_path: Path) -> None:
    clip, out = faceless_video(tmp_path / "wall.mp4"), tmp_path / "out"
    expect_one_line(call("vfa", "animate", "--driving", clip, "--avatar", "lowpoly", "--out", out), str(clip), "face")
    assert not out.exists() or list(out.iterdir()) == []


def test_neutral_frame_past_the_end(tmp_path: Path) -> None:
    clip = faceless_video(tmp_path / "wall.mp4")
    result = call(
        "vfa", "animate", "--driving", clip, "--avatar", "lowpoly", "--out", tmp_path / "out", "--neutral-frame", 500
    )
    expect_one_line(result, str(clip), "500")


def test_a_folder_without_its_depth(tmp_path: Path) -> None:
    for side in ("color", "depth"):
        (tmp_path / side).mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "color" / f"{number}.png"), np.zeros((120, 160, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "depth" / "0.png"), np.zeros((120, 160), np.uint16))
    expect_one_line(call("vfa-live", "--device", tmp_path, *LIVE), "depth", "1")


@pytest.mark.parametrize(
    "arguments", [("--seconds", -1), ("--size", 3, 3), ("--fov", 900), ("--avatar", "lowpoly", "--up", "w")]
)
def test_options_out_of_range(arguments: tuple[object, ...]) -> None:
    result = call("vfa-live", "--device", "demo", "--headless", *arguments)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr


def test_live_demo_records_and_reports(tmp_path: Path) -> None:
    report_path = tmp_path / "report.json"
    arguments = (
        "--device", "demo", "--avatar", "lowpoly", "--headless", "--size", 320, 240, "--seconds", 3,
        "--record", tmp_path / "rec", "--report", report_path,
    )  # fmt: skip
    afresh = [sys.executable, "-c", _program("vfa-live"), *map(str, arguments)]  # as a user starts it, imports and all
    result = subprocess.run(afresh, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    report = json.loads(report_path.read_text())
    assert set(report) >= {
        "frames", "fps", "latency_ms", "startup_s", "peak_rss_mb", "engine", "device_states",
    }  # fmt: skip
    assert set(report["frames"]) == {"captured", "processed", "shown", "dropped", "skipped"}
    assert report["frames"]["shown"] >= 10
    with np.load(tmp_path / "rec" / "animation.npz", allow_pickle=False) as archive:
        vertices, tracked, times = archive["vertices"], archive["tracked"], archive["timestamps_s"]
        assert archive["T_world_head"].shape == (len(times), 4, 4)
    answered = report["frames"]["processed"]
    assert 0.9 * answered < tracked.sum() <= answered  # of a machine that is busy, the gaps are in it as well
    assert np.all(np.diff(times) > 0)
    assert np.isfinite(vertices).all()
    assert np.abs(vertices - vertices[0]).max() > 0, "nothing moved"
    with av.open(str(tmp_path / "rec" / "preview.mp4")) as film:
        pictures = sum(1 for _ in film.decode(video=0)) + report["recording_lost"]["pictures"]
    assert report["frames"]["shown"] <= pictures <= len(vertices)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("vfa-live", ("--headless",)),
        ("vfa", ("prepare",)),
        ("vfa", ("animate", "--driving", "demo", "--out", "{}/out")),
        ("vfa", ("rig", "--out", "{}/rig.glb")),
    ],
)
def test_an_axis_may_begin_with_a_minus(command: str, arguments: tuple[object, ...], tmp_path: Path) -> None:
    """Two words, as the README writes them; the next thing that is wrong is told."""
    placed = [str(each).format(tmp_path) for each in arguments]
    result = call(command, *placed, "--avatar", "lowpoly", "--up", "-z", "--front", "-z")
    expect_one_line(result, "--up -z --front -z: expected two different axes")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--front", "-z", "--up", "y"], ["--front=-z", "--up", "y"]),
        (["--front", "--up", "-x"], ["--front", "--up=-x"]),
        (["--eye", "-1", "0", "2"], ["--eye", "-1", "0", "2"]),
        (["--morphs", "clip.mp4"], ["--morphs=on", "clip.mp4"]),
        (["clip.mp4", "--morphs"], ["clip.mp4", "--morphs=on"]),
        (["--morphs", "off", "--once"], ["--morphs=off", "--once"]),
        (["--morphs", "--front", "-z"], ["--morphs=on", "--front=-z"]),
        (["--no-morphs"], ["--morphs=off"]),
        (["--morphs=auto"], ["--morphs=auto"]),
        ([], []),
    ],
)
def test_values_are_tied_to_their_options(words: list[str], expected: list[str]) -> None:
    assert with_values(words) == expected
