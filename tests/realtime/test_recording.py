import json
import threading
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.animation_file import AnimationWriter, finish_partial
from realtime.disk_queue import DiskQueue
from realtime.preview import PreviewWriter
from realtime.recorder import claim_folder
from realtime.worker import Stop
from render.errors import InputError

rng = np.random.default_rng(0)


def fill(writer: AnimationWriter, frames: int, vertices: int) -> np.ndarray:
    positions = rng.normal(size=(frames, vertices, 3)).astype(np.float32)
    for number in range(frames):
        pose = np.eye(4)
        pose[0, 3] = number
        writer.append(positions[number], pose, number / 30, number % 2 == 0)
    return positions


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
    assert sorted(item.name for item in tmp_path.iterdir()) == ["animation.npz"]


def test_a_killed_recording_can_be_finished(tmp_path: Path) -> None:
    path = tmp_path / "animation.npz"
    writer = AnimationWriter(path, 4)
    positions = fill(writer, 3, 4)
    for file in writer._files.values():
        file.flush()
    with (tmp_path / "animation.npz.partial" / "vertices").open("ab") as torn:
        torn.write(b"\x00" * 7)  # the frame that was being written
    assert finish_partial(path) == 3
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["vertices"], positions)


def test_finishing_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"animation\.npz\.partial"):
        finish_partial(tmp_path / "animation.npz")


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
    for number, size in enumerate([(64, 64), (64, 200), (200, 64), (31, 33)]):
        writer.append(np.zeros((64, 64, 3), np.uint8), np.zeros((*size, 3), np.uint8), number / 30)
    writer.close()
    with av.open(str(tmp_path / "preview.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4


def test_an_unclosed_preview_still_plays(tmp_path: Path) -> None:
    writer = PreviewWriter(tmp_path / "preview.mp4", height=64)
    for number in range(300):
        picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        writer.append(picture, picture, number / 30)
    partial = tmp_path / "preview.partial.mp4"
    decoded = 0
    with av.open(str(partial)) as film, suppress(av.error.InvalidDataError):  # its last fragment is torn
        for _ in film.decode(video=0):
            decoded += 1
    assert decoded >= 120
    writer.discard()


def test_an_existing_recording_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "animation.npz").write_bytes(b"precious")
    with pytest.raises(InputError, match="--overwrite"):
        claim_folder(tmp_path, overwrite=False)
    assert claim_folder(tmp_path, overwrite=True) == tmp_path
    assert (tmp_path / "animation.npz").read_bytes() == b"precious"


def test_recording_into_a_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text(json.dumps({}))
    with pytest.raises(InputError, match="expected a folder"):
        claim_folder(target, overwrite=True)


def test_the_disk_queue_never_blocks_and_counts_what_it_lost() -> None:
    gate, written, ended = threading.Event(), [], []

    def write(item: int) -> None:
        gate.wait(10)
        written.append(item)

    disk: DiskQueue[int] = DiskQueue("slow disk", write, lambda: ended.append(True), Stop(), capacity=3)
    for number in range(20):
        disk.put(number)
    gate.set()
    assert disk.close()
    assert ended == [True]
    assert len(written) + disk.lost == 20
    assert disk.lost >= 16
    assert written == sorted(written)


def test_a_full_disk_stops_the_session() -> None:
    stop = Stop()

    def write(item: int) -> None:
        raise OSError(28, "No space left on device")

    disk: DiskQueue[int] = DiskQueue("full disk", write, lambda: None, stop, capacity=3)
    disk.put(1)
    disk.close()
    assert isinstance(stop.failure, OSError)
