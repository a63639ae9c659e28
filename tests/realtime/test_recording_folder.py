"""Where is recorded: what is not replaced, places that cannot be, folders that go away."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from realtime.recording.animation_file import AnimationWriter
from realtime.recording.preview import PreviewWriter
from realtime.recording.recording_folder import RecordingError, RecordingFolder
from realtime.recording.repair import repair
from tests.realtime.test_recording import abandoned, fill, names


def test_an_existing_recording_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "animation.npz").write_bytes(b"precious")
    with pytest.raises(InputError, match="--overwrite"):
        RecordingFolder.claim(tmp_path, overwrite=False)
    with RecordingFolder.claim(tmp_path, overwrite=True) as folder:
        assert folder.path == tmp_path
    assert (tmp_path / "animation.npz").read_bytes() == b"precious"
    assert names(tmp_path) == ["animation.npz"]


def test_an_unfinished_recording_is_not_replaced_unasked(tmp_path: Path) -> None:
    abandoned(tmp_path)
    with pytest.raises(InputError, match=r"session repair.*--overwrite"):
        RecordingFolder.claim(tmp_path, overwrite=False)
    assert repair(tmp_path).startswith("3 frames")


def test_a_recording_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    with RecordingFolder.claim(tmp_path / "new", overwrite=False):
        for act in (repair, lambda path: RecordingFolder.claim(path, overwrite=True)):
            command = [
                sys.executable,
                "-c",
                "import sys; from pathlib import Path; from realtime.recording.repair import repair\n"
                "repair(Path(sys.argv[1]))",
                str(tmp_path / "new"),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert "is being written here right now" in done.stderr
            with pytest.raises(InputError, match="is being written here right now"):
                act(tmp_path / "new")
    assert names(tmp_path) == [], "a folder made for a recording that never began goes again"


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/none", "a\0b"])
def test_places_that_cannot_be_recorded_into_are_told(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text(json.dumps({}))
    with pytest.raises(InputError, match=r"expected a folder|cannot be recorded into"):
        RecordingFolder.claim(tmp_path / where, overwrite=True)


def test_a_recording_whose_folder_was_moved_leaves_the_next_one_there_alone(tmp_path: Path) -> None:
    here = tmp_path / "here"
    first = RecordingFolder.claim(here, overwrite=False)
    writer, film = AnimationWriter(here / "animation.npz", 4), PreviewWriter(here / "preview.mp4", height=64)
    positions = fill(writer, 20, 4)
    picture = np.zeros((64, 64, 3), np.uint8)
    for number in range(30):
        film.append(picture + number, picture, number / 30)
    here.rename(tmp_path / "moved")
    with RecordingFolder.claim(here, overwrite=False):
        after = AnimationWriter(here / "animation.npz", 4)
        fill(after, 3, 4)
        for each in (writer, film):
            with pytest.raises(RecordingError, match="moved or removed"):
                each.close()
        first.release()
        assert "recording.lock" in names(here)
        fill(after, 2, 4)
        after.close()
    with np.load(here / "animation.npz", allow_pickle=False) as archive:
        assert len(archive["vertices"]) == 5
    (tmp_path / "moved" / "recording.lock").unlink()
    repair(tmp_path / "moved")
    with np.load(tmp_path / "moved" / "animation.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["vertices"], positions)


def test_a_complete_recording_needs_nothing(tmp_path: Path) -> None:
    writer = AnimationWriter(tmp_path / "animation.npz", 4)
    fill(writer, 3, 4)
    poses = (tmp_path / "poses.partial").read_bytes()
    writer.close()
    assert "complete already" in repair(tmp_path)
    (tmp_path / "poses.partial").write_bytes(poses)  # killed between its last two steps
    assert "complete already" in repair(tmp_path)
    assert names(tmp_path) == ["animation.npz"]


def test_a_folder_killed_before_its_first_pose_may_be_used_again(tmp_path: Path) -> None:
    AnimationWriter(tmp_path / "animation.npz", 4)._let_go()
    with RecordingFolder.claim(tmp_path, overwrite=False):
        pass


def test_links_are_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "poses.partial").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match=r"poses\.partial is a link"):
        RecordingFolder.claim(tmp_path / "here", overwrite=True)
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_removed_folder_is_noticed_within_a_second(tmp_path: Path) -> None:
    now_s = [0.0]
    folder = tmp_path / "gone"
    folder.mkdir()
    writer = AnimationWriter(folder / "animation.npz", 4, clock=lambda: now_s[0])
    fill(writer, 2, 4)
    for path in folder.iterdir():
        path.unlink()
    now_s[0] = 1.0
    with pytest.raises(RecordingError, match="moved or removed"):
        fill(writer, 1, 4)


def test_what_drives_is_not_recorded_over(tmp_path: Path) -> None:
    session = tmp_path / "take"
    session.mkdir()
    (session / "preview.mp4").write_bytes(b"film")
    for driving in (session, session / "preview.mp4", str(tmp_path / "." / "take")):
        with pytest.raises(InputError, match="would be replaced; name another folder"):
            RecordingFolder.claim(session, overwrite=True, driving=driving)
    RecordingFolder.claim(session, overwrite=True, driving="webcam:0").release()
    assert (session / "preview.mp4").read_bytes() == b"film"
    (tmp_path / "clip.mp4").write_bytes(b"film")
    RecordingFolder.claim(tmp_path, overwrite=True, driving=tmp_path / "clip.mp4").release()
