"""Recordings: what is written, what is left by a killed process or a full disk, and who may write where."""

import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.face_motion import FaceMotion
from realtime.recording import growing_npz
from realtime.recording.animation_file import AnimationWriter, finish_animation
from realtime.recording.preview import PreviewWriter, finish_preview
from realtime.recording.recording_folder import RecordingError, RecordingFolder
from realtime.recording.repair import repair
from tests.fakes.small_disk import files_no_larger_than

rng = np.random.default_rng(0)


def fill(writer: AnimationWriter, frames: int, vertices: int) -> np.ndarray:
    positions = rng.normal(size=(frames, vertices, 3)).astype(np.float32)
    for number in range(frames):
        pose = np.eye(4)
        pose[0, 3] = number
        writer.append(positions[number], pose, number / 30, number % 2 == 0)
    return positions


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def abandoned(folder: Path, frames: int = 3, vertices: int = 4) -> np.ndarray:
    """What a process that was killed leaves: nothing is flushed or closed on its behalf."""
    writer = AnimationWriter(folder / "animation.npz", vertices)
    positions = fill(writer, frames, vertices)
    for file in writer._files:
        file.release()  # unbuffered: the operating system does as much
    return positions


# --- the archive ------------------------------------------------------------------------------------------------------


def test_the_archive_holds_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "animation.npz"
    writer = AnimationWriter(path, 17)
    positions = fill(writer, 5, 17)
    assert not path.exists(), "nothing may stand under the final name before it is whole"
    writer.close()
    writer.close()
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["vertices"], positions)
        assert archive["vertices"].dtype == np.float32
        assert archive["T_world_head"].shape == (5, 4, 4)
        assert archive["T_world_head"][3, 0, 3] == 3
        np.testing.assert_allclose(archive["timestamps_s"], np.arange(5) / 30)
        np.testing.assert_array_equal(archive["tracked"], [True, False, True, False, True])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    assert names(tmp_path) == ["animation.npz"]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_checksums_of_two_pieces_join(first: bytes, second: bytes) -> None:
    assert growing_npz.joined_crc(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def test_closing_makes_no_second_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does finishing: a disk that is nearly full must do."""
    abandoned(tmp_path, frames=20, vertices=2000)
    there = (tmp_path / "animation.partial.npz").stat().st_size
    inode = (tmp_path / "animation.partial.npz").stat().st_ino
    with files_no_larger_than(there + 16384):
        assert repair(tmp_path).startswith("20 frames")
    assert (tmp_path / "animation.npz").stat().st_ino == inode


def test_what_the_face_did_is_kept_in_units(tmp_path: Path) -> None:
    weights, gaze, T = np.linspace(0, 1, 52), np.array([[0.1, -0.2], [0.3, 0.0]]), np.eye(4)
    T[:3, 3] = 0.01, 0.02, 0.03
    writer = AnimationWriter(tmp_path / "animation.npz", 4)
    for number in range(3):
        moved = FaceMotion(weights * number, gaze, T)
        writer.append(np.zeros((4, 3), np.float32), np.eye(4), number / 30, True, moved)
    for file in writer._files:
        file.release()
    assert repair(tmp_path).startswith("3 frames")
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        np.testing.assert_allclose(archive["unit_weights"], np.outer(range(3), weights), atol=1e-6)
        np.testing.assert_array_equal(archive["gaze"][2], gaze)
        np.testing.assert_array_equal(archive["T_neutral_head"][1], T)


def test_an_empty_or_discarded_recording_leaves_nothing(tmp_path: Path) -> None:
    AnimationWriter(tmp_path / "empty.npz", 4).close()
    writer = AnimationWriter(tmp_path / "failed.npz", 4)
    fill(writer, 2, 4)
    writer.discard()
    preview = PreviewWriter(tmp_path / "failed.mp4")
    preview.append(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), 0)
    preview.discard()
    PreviewWriter(tmp_path / "empty.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_a_pose_of_the_wrong_size_is_refused(tmp_path: Path) -> None:
    writer = AnimationWriter(tmp_path / "a.npz", 4)
    with pytest.raises(ValueError, match=r"expected vertices of shape \[4, 3\], got \[5, 3\]"):
        writer.append(np.zeros((5, 3), np.float32), np.eye(4), 0.0, True)


# --- what a killed process leaves -------------------------------------------------------------------------------------

RECORD_UNTIL_KILLED = """
    import sys
    from itertools import count
    from pathlib import Path
    import numpy as np
    from realtime.recording.animation_file import AnimationWriter
    from realtime.recording.preview import PreviewWriter

    folder = Path(sys.argv[1])
    animation = AnimationWriter(folder / "animation.npz", 5000)
    preview = PreviewWriter(folder / "preview.mp4", height=64)
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for number in count():
        animation.append(np.full((5000, 3), number, np.float32), np.eye(4), number / 30, True)
        preview.append(np.roll(picture, number, 0), picture, number / 30)
        print(number, flush=True)
"""


def test_a_killed_process_loses_the_frame_it_was_writing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(RECORD_UNTIL_KILLED), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 200:
                process.kill()
                break
        last = max((int(line) for line in process.stdout if line.strip()), default=200)
    told = repair(tmp_path)
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        frames = len(archive["vertices"])
        np.testing.assert_array_equal(archive["vertices"][:, 77, 1], np.arange(frames))
        np.testing.assert_allclose(archive["timestamps_s"], np.arange(frames) / 30)
    assert frames >= last
    assert told.startswith(f"{frames} frames")
    with av.open(str(tmp_path / "preview.mp4")) as film:
        shown = [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
    assert shown[-1] >= (last - 1) / 30 - 0.6, "at most the last fragment is lost"
    assert names(tmp_path) == ["animation.npz", "preview.mp4"]


def test_a_torn_frame_and_an_unwritten_pose_are_left_out(tmp_path: Path) -> None:
    positions = abandoned(tmp_path)
    with (tmp_path / "animation.partial.npz").open("ab") as torn:
        torn.write(b"\x00" * (48 + 7))  # one more frame without its pose, and a piece
    with (tmp_path / "poses.partial").open("ab") as torn:
        torn.write(b"\x00" * 137)  # a power cut may leave zeros
    with RecordingFolder.reopen(tmp_path):
        assert finish_animation(tmp_path) == 3
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["vertices"], positions)


@pytest.mark.parametrize("step", ["truncate", "directory", "rename"])
def test_being_killed_while_it_is_completed_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    positions = abandoned(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "__del__", lambda _: None)
        target = {"truncate": growing_npz, "directory": zipfile.ZipFile, "rename": Path}[step]
        patch.setattr(target, {"truncate": "_crc_of_data", "directory": "close", "rename": "replace"}[step], killed)
        with pytest.raises(KeyboardInterrupt):
            repair(tmp_path)
    repair(tmp_path)
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["vertices"], positions)
        assert len(archive["tracked"]) == 3


def test_finishing_nothing_says_so_and_deletes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of a recording"):
        repair(tmp_path / "none")
    with pytest.raises(InputError, match=r"animation\.partial\.npz"):
        repair(tmp_path)
    AnimationWriter(tmp_path / "animation.npz", 4)._let_go()
    (tmp_path / "preview.partial.mp4").write_bytes(b"\0\0\0\x20ftyp")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="left as it is"):
        repair(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_film_is_completed_where_the_animation_cannot_be(tmp_path: Path) -> None:
    abandoned(tmp_path)
    (tmp_path / "animation.partial.npz").write_bytes(b"something else")
    film = PreviewWriter(tmp_path / "preview.mp4", height=64)
    for number in range(60):
        film.append(np.full((64, 64, 3), number, np.uint8), np.zeros((64, 64, 3), np.uint8), number / 30)
    film._film.release()  # type: ignore[attr-defined]
    told = repair(tmp_path)
    assert "preview.mp4" in told
    assert "cannot be completed" in told
    assert names(tmp_path) == ["animation.partial.npz", "poses.partial", "preview.mp4"]


@pytest.mark.parametrize("vertex_count", [0, -5, 1 << 40])
def test_a_made_up_head_is_refused(tmp_path: Path, vertex_count: int) -> None:
    abandoned(tmp_path)
    partial = tmp_path / "animation.partial.npz"
    partial.write_bytes(partial.read_bytes().replace(b"(0, 4, 3)", f"(0, {vertex_count}, 3)".encode()))
    with pytest.raises(InputError, match="cannot be completed"):
        repair(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    abandoned(tmp_path / "other")
    outside = tmp_path / "other" / "animation.partial.npz"
    before = outside.read_bytes()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "animation.partial.npz").symlink_to(outside)
    (tmp_path / "here" / "poses.partial").symlink_to(tmp_path / "other" / "poses.partial")
    with pytest.raises(InputError, match="found none"):
        repair(tmp_path / "here")
    assert outside.read_bytes() == before


# --- the film ---------------------------------------------------------------------------------------------------------


def test_the_preview_keeps_capture_times_and_sides(tmp_path: Path) -> None:
    path = tmp_path / "preview.mp4"
    writer = PreviewWriter(path, height=120)
    driver = np.full((240, 320, 3), (250, 10, 10), np.uint8)
    avatar = np.full((480, 640, 3), (10, 10, 250), np.uint8)
    times = [10.0, 10.033, 10.5, 10.5, 11.0]  # a gap, and one time that does not advance
    for timestamp_s in times:
        writer.append(driver, avatar, timestamp_s)
    writer.close()
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
    assert [round(float(frame.pts * frame.time_base), 3) for frame in frames] == [0.0, 0.033, 0.5, 1.0]
    picture = frames[-1].to_ndarray(format="rgb24")
    assert picture.shape == (120, 320, 3)
    assert picture[60, 40, 0] > 200
    assert picture[60, 280, 2] > 200


def test_the_preview_survives_a_window_that_changes_its_size(tmp_path: Path) -> None:
    writer = PreviewWriter(tmp_path / "preview.mp4", height=64)
    for number, size in enumerate([(64, 64), (64, 200), (200, 64), (31, 33), (1, 640), (640, 1)]):
        writer.append(np.zeros((64, 64, 3), np.uint8), np.zeros((*size, 3), np.uint8), number / 30)
    writer.close()
    with av.open(str(tmp_path / "preview.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 6


def test_a_strip_of_a_picture_makes_no_giant_film(tmp_path: Path) -> None:
    writer = PreviewWriter(tmp_path / "preview.mp4", height=64)
    writer.append(np.zeros((1, 640, 3), np.uint8), np.zeros((64, 64, 3), np.uint8), 0.0)
    writer.close()
    with av.open(str(tmp_path / "preview.mp4")) as film:
        assert film.streams.video[0].width <= 5 * 64


def test_boxes_that_lie_about_their_size_end_the_film_there(tmp_path: Path) -> None:
    def box(kind: bytes, length: int | None = None, content: bytes = b"x" * 8) -> bytes:
        return struct.pack(">I4s", 8 + len(content) if length is None else length, kind) + content

    whole = box(b"ftyp") + box(b"moov") + box(b"moof") + box(b"mdat")
    for lie in (0, 1, 7, 1 << 31):
        (tmp_path / "preview.partial.mp4").write_bytes(whole + box(b"moof") + box(b"mdat", lie))
        assert finish_preview(tmp_path)
        assert (tmp_path / "preview.mp4").read_bytes() == whole


# --- who may write where ----------------------------------------------------------------------------------------------


# --- a disk that takes no more ----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 100 kB: what a full disk does to a writer, by the operating system itself."""
    with files_no_larger_than(100_000):
        yield


def test_what_was_written_before_the_disk_was_full_is_kept(tmp_path: Path, small_disk: None) -> None:
    writer = AnimationWriter(tmp_path / "animation.npz", 1100)
    with pytest.raises(RecordingError, match="cannot be written"):
        fill(writer, 20, 1100)
    assert writer.frames == 7  # of 13 kB each
    writer.close()
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        assert archive["vertices"].shape == (7, 1100, 3)


def test_a_film_on_a_full_disk_is_kept_as_far_as_it_goes(tmp_path: Path, small_disk: None) -> None:
    writer = PreviewWriter(tmp_path / "preview.mp4", height=64)

    def film() -> None:
        for number in range(600):
            noise = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            writer.append(noise, noise, number / 30)

    with pytest.raises(RecordingError, match="cannot be written"):
        film()
    writer.close()
    assert names(tmp_path) == ["preview.mp4"]
    with av.open(str(tmp_path / "preview.mp4")) as shown:
        assert sum(1 for _ in shown.decode(video=0)) > 0


def test_a_film_that_is_removed_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.recording.recording_folder.SYNC_S", 0.0)
    film = PreviewWriter(tmp_path / "preview.mp4", height=64)
    (tmp_path / "preview.partial.mp4").unlink()
    noise = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(RecordingError, match="moved or removed"):
        for number in range(60):
            film.append(noise, noise, number / 30)
