"""Sessions are written so that they can be completed from any moment; no file is believed that is not as it was."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.camera import Intrinsics
from core.errors import InputError
from core.frame import FaceObservation, RgbdFrame
from engine.motion.posed_frame import Calibration, PosedFrame
from engine.motion.protocol import AvatarPose
from realtime.live.driving import open_driving
from realtime.recording.animation_file import finish_animation
from realtime.recording.disk_use import told_meanwhile
from realtime.recording.fragments import whole_clusters
from realtime.recording.raw_writer import RawWriter
from realtime.recording.recording_folder import RecordingError, RecordingFolder
from realtime.recording.repair import repair
from realtime.recording.session_writer import LEAST_FREE_BYTES, SessionWriter
from realtime.session.check import check
from realtime.session.kept_pictures import KeptPictures
from realtime.session.manifest import About, Event
from realtime.session.reader import SessionReader
from realtime.session.sealing import seal
from realtime.session.told import told
from realtime.session_command import CheckOptions, InfoOptions, finish_recording, session
from tests.realtime.test_live_recording import AVATAR, VERTICES

CAMERA = Intrinsics(60, 60, 32, 24, 64, 48)
RNG = np.random.default_rng(0)
PICTURE = np.stack(np.broadcast_arrays(np.arange(48)[:, None] * 5, np.arange(64) * 3, 90), axis=2).astype(np.uint8)


def posed(number: int, camera: Intrinsics = CAMERA, depth: bool = True) -> PosedFrame:
    rgb = np.roll(PICTURE, number, 1)[: camera.height, : camera.width]
    depth_m = np.full(rgb.shape[:2], 0.5 + number / 1000, np.float32) if depth else None
    frame = RgbdFrame(rgb, depth_m, camera, 100 + number / 30, number)
    points = RNG.normal(size=(478, 3)).astype(np.float32)
    seen = FaceObservation(frame, True, 1.0, points[:, :2], points, np.eye(4), np.zeros(52, np.float32))
    pose = AvatarPose(VERTICES + np.float32(number), np.eye(4), frame.timestamp_s, number, True)
    return PosedFrame(seen, pose, Calibration(None, np.ones(52), True))


def killed(folder: Path, frames: int = 40, raw: str = "rgbd") -> Path:
    """A session whose process was killed: nothing is flushed or closed on its behalf."""
    folder.mkdir()
    writer = SessionWriter(folder, AVATAR, lambda: About("test", 30.0))  # type: ignore[arg-type]
    pictures = RawWriter(folder, raw)  # type: ignore[arg-type]
    for number in range(frames):
        writer.append(posed(number))
        pictures.append(posed(number).frame)
    writer.note(Event(101.0, "pause"))
    for file in (*writer._files, *writer._animation._files, *pictures._films):
        file.release()
    assert pictures._pictures is not None
    pictures._pictures.release()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def whole(folder: Path, raw: str = "rgbd") -> Path:
    repair(killed(folder, raw=raw))
    assert check(folder) == []
    return folder


def test_a_killed_session_is_read_as_it_lies_there_and_completed(tmp_path: Path) -> None:
    folder = killed(tmp_path / "s")
    before = SessionReader.open(folder)
    assert (len(before.motion), len(before.observations)) == (40, 40)
    assert [event.what for event in before.events] == ["camera", "gains", "pause"]
    assert any("session repair" in line for line in check(folder))
    assert "not complete" in told(folder)
    repair(folder)
    once = contents(folder)
    assert set(once) == {
        "animation.npz",
        "color.mp4",
        "depth.mkv",
        "observations.npy",
        "pictures.npy",
        "session.json",
    }
    assert "complete already" in repair(folder)
    assert contents(folder) == once, "a second repair changes nothing"
    assert check(folder) == []
    session = SessionReader.open(folder)
    assert session.manifest.complete
    assert session.manifest.frames == 40
    assert session.events == before.events


def test_silence_does_not_count_as_frames_without_a_face(tmp_path: Path) -> None:
    """It is eased through thirty times a second, however few frames a busy machine takes."""
    folder = tmp_path / "s"
    folder.mkdir()
    writer = SessionWriter(folder, AVATAR, lambda: About("test", 30.0))  # type: ignore[arg-type]
    for number in range(40):
        each = posed(number)
        if number % 10 > 3:
            each = replace(each, pose=replace(each.pose, tracked=False), silence=True)
        elif number == 0:
            each = replace(each, observation=replace(each.observation, tracked=False))
        writer.append(each)
    writer.close()
    seal(folder)
    assert "40 frames, a face in 94%" in told(folder)  # 15 of 16
    (folder / "observations.npy").unlink()
    assert "a face in 40%" in told(folder), "of the poses, where nothing else is known"


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(
    "name", ["color.partial.mp4", "depth.partial.mkv", "observations.partial.npy", "poses.partial"]
)
def test_every_file_may_end_anywhere(tmp_path: Path, name: str, cut: float) -> None:
    folder = killed(tmp_path / "s")
    path = folder / name
    path.write_bytes(path.read_bytes()[: round(cut * path.stat().st_size)])
    repair(folder)
    session = SessionReader.open(folder)
    assert 0 < len(session.motion) <= 40
    frames = [frame for frame in _frames(folder) if frame is not None]
    assert len(frames) > 0
    if name in ("color.partial.mp4", "depth.partial.mkv"):
        assert check(folder) == []
        kept = [frame.pictured for frame in frames]
        assert kept[0] or not any(kept), "what is kept is the beginning"
        assert any(kept) == ("pictures.npy" in contents(folder))
        assert not all(kept)


def _frames(folder: Path) -> list:
    source = open_driving(str(folder), realtime=False)
    source.open()
    frames = []
    while True:
        try:
            frames.append(source.read(0))
        except EOFError:
            return frames


def test_colour_and_depth_of_a_frame_are_of_one_moment(tmp_path: Path) -> None:
    folder = whole(tmp_path / "s")
    kept = [frame for frame in _frames(folder) if frame.pictured]
    assert len(kept) >= 34, "at most the last fragments are missing"
    for frame in kept:
        expected = posed(frame.index).frame
        assert np.abs(frame.rgb.astype(int) - expected.rgb).mean() < 12
        assert expected.depth_m is not None
        assert np.abs(frame.depth_m - expected.depth_m).max() <= 0.00051


def test_frames_of_another_size_or_out_of_time_are_left_out_whole(tmp_path: Path) -> None:
    writer = RawWriter(tmp_path, "rgbd")
    odd = Intrinsics(60, 60, 31, 23, 63, 47)
    for number, camera, depth in ((0, odd, True), (1, CAMERA, True), (2, odd, True), (1, odd, True), (3, odd, False)):
        writer.append(posed(number, camera, depth).frame)
    writer.close()
    assert (writer.frames, writer.refused) == (2, 3)
    pictures = KeptPictures(tmp_path)
    for number in (0, 2):
        kept = pictures.at(posed(number, odd).frame.timestamp_s)
        assert kept is not None
        pixels = kept.pixels(odd, None)
        assert pixels is not None
        assert pixels[0].shape == (47, 63, 3)
    pictures.close()


def test_pictures_without_a_frame_leave_nothing(tmp_path: Path) -> None:
    RawWriter(tmp_path, "colour").close()
    assert list(tmp_path.iterdir()) == []


def test_colour_alone(tmp_path: Path) -> None:
    folder = whole(tmp_path / "s", raw="colour")
    assert not (folder / "depth.mkv").exists()
    frame = next(frame for frame in _frames(folder) if frame.pictured)
    assert frame.depth_m is None


@pytest.mark.parametrize("size", [0, 3, 100, 10_000])
def test_matroska_that_lies_about_its_lengths_ends_there(tmp_path: Path, size: int) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(RNG.bytes(size))
    assert whole_clusters(path) == 0


@pytest.mark.parametrize(
    "name", ["animation.npz", "color.mp4", "depth.mkv", "observations.npy", "pictures.npy", "session.json"]
)
def test_damage_of_any_file_is_found(tmp_path: Path, name: str) -> None:
    folder = whole(tmp_path / "s")
    sound = (folder / name).read_bytes()
    for damaged in (
        sound[: len(sound) // 2],
        sound[: len(sound) // 3] + bytes([sound[len(sound) // 3] ^ 255]) + sound[len(sound) // 3 + 1 :],
    ):
        (folder / name).write_bytes(damaged)
        found = check(folder)
        assert found, f"{len(damaged)} bytes"
        assert any(name in line for line in found)
        assert not any("\n" in line for line in found)
        assert all("; " in line for line in found), "no next step"
    (folder / name).unlink()
    if name != "session.json":
        assert check(folder) == [f"{name}: is missing; bring it back from a copy"]


def test_a_recording_that_goes_on_is_no_damaged_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = killed(tmp_path / "s")
    with RecordingFolder.reopen(folder):
        (line,) = check(folder)
        assert line == f"{folder}: is being recorded at this moment; check it again once that has ended"
        assert "is being recorded at this moment" in told(folder)
        assert "repair" not in told(folder)
        with pytest.raises(SystemExit, match="1"):
            session(CheckOptions(session=folder))
        assert "is being recorded" in capsys.readouterr().err
    assert any("session repair" in each for each in check(folder)), "its process has ended"
    assert "session repair" in told(folder)


def test_a_file_of_another_session_is_found(tmp_path: Path) -> None:
    one, other = whole(tmp_path / "one"), whole(tmp_path / "other", raw="colour")
    shutil.copy(one / "depth.mkv", other / "depth.mkv")
    assert check(other) == ["depth.mkv: the manifest does not know it; it is of another session: move it elsewhere"]
    assert check(one) == []


def test_an_older_recording_is_checked_and_completed(tmp_path: Path) -> None:
    folder = killed(tmp_path / "s")
    for path in folder.iterdir():
        if path.name not in ("animation.partial.npz", "poses.partial"):
            path.unlink()
    assert "40 frames" in repair(folder)
    assert check(folder) == []
    with pytest.raises(InputError, match="found none"):
        check(tmp_path)


def test_a_disk_that_is_nearly_full_ends_the_recording_with_whole_files(tmp_path: Path) -> None:
    room = iter([LEAST_FREE_BYTES * 2, LEAST_FREE_BYTES * 2, LEAST_FREE_BYTES // 2])
    now = iter(np.arange(0, 1e6, 0.6).tolist())
    writer = SessionWriter(
        tmp_path,
        AVATAR,
        clock=lambda: next(now),
        free_bytes=lambda _: next(room),  # type: ignore[arg-type]
    )
    with pytest.raises(RecordingError, match=r"the disk is nearly full \(24 MB are left\); make room"):
        for number in range(100):
            writer.append(posed(number))
    assert writer.frames > 0
    writer.close()
    assert seal(tmp_path) is not None
    assert check(tmp_path) == []
    assert len(SessionReader.open(tmp_path).motion) == writer.frames


def test_a_full_disk_costs_no_earlier_session(tmp_path: Path) -> None:
    folder = whole(tmp_path / "s")
    with pytest.raises(RecordingError, match=r"nearly full \(3 MB are left\); make room"):
        SessionWriter(folder, AVATAR, free_bytes=lambda _: 3 << 20)  # type: ignore[arg-type]
    assert check(folder) == []


def test_a_repair_killed_after_its_animation_is_taken_up(tmp_path: Path) -> None:
    folder = killed(tmp_path / "s")
    poses = (folder / "poses.partial").read_bytes()
    finish_animation(folder)
    (folder / "poses.partial").write_bytes(poses)  # killed before they went
    repair(folder)
    assert check(folder) == []


def test_depth_stays_where_colour_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = killed(tmp_path / "s", frames=90)
    (folder / "color.partial.mp4").write_bytes(RNG.bytes(5000))
    before = contents(folder)
    with pytest.raises(SystemExit, match="1"):
        finish_recording(folder)
    assert "90 frames" in capsys.readouterr().err
    after = contents(folder)
    assert after["color.partial.mp4"] == before["color.partial.mp4"]
    assert after["pictures.partial.npy"] == before["pictures.partial.npy"]
    assert len(after.get("depth.mkv", after.get("depth.partial.mkv", b""))) > 0


@pytest.mark.parametrize(
    ("number", "step"), [(errno.ENOSPC, "make room"), (errno.EACCES, "allow writing there"), (errno.EISDIR, "its way")]
)
def test_what_lets_the_system_write_again_is_told(tmp_path: Path, number: int, step: str) -> None:
    assert step in str(RecordingError.of(tmp_path, OSError(number, "no")))


def test_observations_without_their_manifest_are_no_whole_session(tmp_path: Path) -> None:
    folder = whole(tmp_path / "s")
    (folder / "session.json").unlink()
    assert any("session.json: is missing" in line for line in check(folder))


def test_a_manifest_gives_no_orders_to_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = whole(tmp_path / "s")
    manifest = SessionReader.open(folder).manifest
    replace(manifest, device="\x1b]0;title\x07\x1b[31m\x9b2J").write(folder)
    session(InfoOptions(session=folder))
    said = capsys.readouterr().err
    assert r"\x1b]0;title\x07\x1b[31m\x9b2J drives" in said
    assert not set(said) & {"\x1b", "\x07", "\x9b"}


def test_what_is_left_of_an_earlier_session_does_not_join_the_next(tmp_path: Path) -> None:
    folder = whole(tmp_path / "s")
    writer = SessionWriter(folder, AVATAR)  # type: ignore[arg-type]
    writer.append(posed(0))
    writer.close()
    assert seal(folder) is not None
    assert sorted(contents(folder)) == ["animation.npz", "observations.npy", "session.json"]
    assert check(folder) == []


def test_a_session_without_a_pose_leaves_nothing(tmp_path: Path) -> None:
    writer = SessionWriter(tmp_path, AVATAR)  # type: ignore[arg-type]
    writer.note(Event(1.0, "state", {"state": "no device"}))
    writer.close()
    assert list(tmp_path.iterdir()) == []
    assert seal(tmp_path) is None


@pytest.mark.parametrize(
    ("written", "seconds", "left", "expected"),
    [
        (1e9, 2.0, 1e9, ""),
        (600e6, 60.0, None, "600 MB/min"),
        (600e6, 60.0, 600e9, "600 MB/min"),
        (600e6, 60.0, 6e9 + LEAST_FREE_BYTES, "600 MB/min, 10 min left"),
    ],
)
def test_the_disk_is_told_of_while_there_is_time(
    written: float, seconds: float, left: float | None, expected: str
) -> None:
    assert told_meanwhile(int(written), seconds, None if left is None else int(left)) == expected


def test_a_head_of_many_vertices_is_told_to_take_more() -> None:
    from realtime.recording.disk_use import expected_mb

    large = SimpleNamespace(file_mesh=SimpleNamespace(vertices=np.zeros((100_000, 3))))
    assert 2000 < expected_mb(large, "off") < 2300  # type: ignore[arg-type]
    assert expected_mb(large, "rgbd") > expected_mb(large, "colour") > expected_mb(large, "off")  # type: ignore[arg-type]
