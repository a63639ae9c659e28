"""Sessions are read back as they were written, whole or cut off anywhere; damaged ones are refused in one line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.camera import Intrinsics
from core.errors import InputError
from core.expression_units import UNIT_COUNT
from core.face_motion import FaceMotion
from core.frame import FaceObservation, RgbdFrame
from core.untrusted import parse_json
from engine.motion.posed_frame import Calibration
from realtime.recording.animation_file import AnimationWriter
from realtime.recording.repair import repair
from realtime.session import manifest as manifests
from realtime.session import record_file
from realtime.session.folder_names import ANIMATION_NAME, EVENTS_NAME, MANIFEST_NAME, OBSERVATIONS_NAME, POSES_NAME
from realtime.session.manifest import AvatarNamed, Event, Gap, Manifest, read_events, read_manifest
from realtime.session.observation_records import (
    OBSERVATION,
    Kind,
    observation_of,
    record_of,
    sound_count,
)
from realtime.session.picture_records import PICTURE
from realtime.session.reader import SessionReader, gaps_in, read_motion

MANIFEST = Manifest(
    "2026-11-29T03:00:00+00:00",
    1000.5,
    {"vfa-live": "1"},
    "demo",
    30.0,
    AvatarNamed("head.glb", "heads/head.glb", "abc", 5),
    "expression",
    {"head_pose": "follow"},
    "off",
)
RNG = np.random.default_rng(0)
FRAME = RgbdFrame(np.zeros((48, 64, 3), np.uint8), None, Intrinsics(60, 60, 32, 24, 64, 48), 12.25, 7)


def write_poses(folder: Path, count: int = 4) -> AnimationWriter:
    T = np.eye(4)
    T[:3, 3] = RNG.normal(size=3)
    writer = AnimationWriter(folder / ANIMATION_NAME, 5)
    for number in range(count):
        motion = FaceMotion(RNG.random(UNIT_COUNT), RNG.normal(size=(2, 2)), T)
        writer.append(np.zeros((5, 3), np.float32), np.eye(4), 5 + number / 30, True, motion)
    return writer


def killed(folder: Path, count: int = 4) -> Path:
    """A session that is going on, or was killed."""
    folder.mkdir()
    MANIFEST.write(folder)
    for file in write_poses(folder, count)._files:
        file.release()
    return folder


def whole(folder: Path) -> Path:
    folder.mkdir()
    MANIFEST.write(folder)
    write_poses(folder).close()
    return folder


def test_a_session_that_goes_on_is_read_up_to_its_last_whole_frame(tmp_path: Path) -> None:
    folder = killed(tmp_path / "s")
    records = folder / POSES_NAME
    records.write_bytes(records.read_bytes()[:-1])
    (folder / EVENTS_NAME).write_bytes(Event(6.0, "neutral").line() + b'{"time_s": 7.0, "wh')
    session = SessionReader.open(folder)
    assert len(session.motion) == 3
    assert session.events == (Event(6.0, "neutral"),)
    assert session.avatar.path == "heads/head.glb"
    assert not session.manifest.complete


def test_a_whole_session_holds_the_same_motion(tmp_path: Path) -> None:
    before = SessionReader.open(killed(tmp_path / "s")).motion
    repair(tmp_path / "s")
    after = SessionReader.open(tmp_path / "s").motion
    for name in ("timestamps_s", "tracked", "weights", "gaze", "T_neutral_head"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_motion_is_found_by_the_folder_or_the_file_in_it(tmp_path: Path) -> None:
    folder = whole(tmp_path / "s")
    for path in (folder, folder / ANIMATION_NAME):
        found = read_motion(path)
        assert (len(found.track), found.avatar_name, found.avatar_path) == (4, "head.glb", "heads/head.glb")


def test_frames_whose_time_does_not_advance_are_left_out(tmp_path: Path) -> None:
    writer = AnimationWriter(tmp_path / ANIMATION_NAME, 5)
    for time_s in (1.0, 3.0, 2.0, 3.0, 4.0):
        writer.append(np.zeros((5, 3), np.float32), np.eye(4), time_s, True)
    writer.close()
    assert read_motion(tmp_path).track.timestamps_s.tolist() == [1.0, 3.0, 4.0]


def test_an_older_recording_says_that_it_has_no_motion(tmp_path: Path) -> None:
    np.savez(tmp_path / ANIMATION_NAME, timestamps_s=np.arange(3.0))
    with pytest.raises(InputError, match="older versions have none"):
        read_motion(tmp_path / "animation.npz")
    with pytest.raises(InputError, match="recording of an older version"):
        SessionReader.open(tmp_path)


def test_the_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = replace(
        MANIFEST,
        complete=True,
        ended_s=12.5,
        frames=3,
        lost={"raw": 2},
        gaps=(Gap(1.0, 2.0, "reconnecting"),),
        events=(Event(1.0, "state", {"state": "reconnecting"}),),
        files={"animation.npz": {"bytes": 10}},
    )
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    "change",
    [
        ('"version": 1', '"version": 2'),
        ('"complete": false', '"complete": 0'),
        ('"began_s": 1000.5', '"began_s": "x"'),
        ('"frames": 0', '"frames": -1'),
        ('"gaps": []', '"gaps": [1]'),
        ('"format": "vfa session"', '"format": "x"'),
        ('"engine"', '"other"'),
        ('"fps": 30.0', '"fps": 1e-300'),
        ('"fps": 30.0', '"fps": -5'),
    ],
)
def test_a_damaged_manifest_is_one_line(tmp_path: Path, change: tuple[str, str]) -> None:
    MANIFEST.write(tmp_path)
    path = tmp_path / MANIFEST_NAME
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=r"not the manifest of a session \([^\n]+\); give a session's folder"):
        read_manifest(tmp_path)


def test_a_long_log_is_read_at_once_and_a_damaged_one_up_to_the_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line by line, 300,000 events took nine seconds."""
    calls: list[int] = []

    def counting(content: bytes, name: str) -> object:
        calls.append(len(content))
        return parse_json(content, name)

    monkeypatch.setattr(manifests, "parse_json", counting)
    path = tmp_path / EVENTS_NAME
    events = tuple(Event(number / 10, "state", {"state": "stalled"}) for number in range(1000))
    lines = [event.line() for event in events]
    path.write_bytes(b"".join(lines) + b'{"time_s": 7.0, "wh')
    assert read_events(path) == events
    assert len(calls) == 1
    for damage in (
        b"\n",
        b"{}\n",
        b"[1, 2]\n",
        b"\xff\n",
        b'{"time_s": 1e400, "what": "x"}\n',
        lines[0][:-1] + b"," + lines[1],
    ):
        path.write_bytes(b"".join([*lines[:400], damage, *lines[400:]]))
        assert read_events(path) == events[:400]


def test_no_more_events_are_read_than_a_day_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "_MOST_EVENTS", 50)
    events = tuple(Event(float(number), "state") for number in range(80))
    (tmp_path / EVENTS_NAME).write_bytes(b"".join(event.line() for event in events))
    assert read_events(tmp_path / EVENTS_NAME) == events[:50]
    replace(MANIFEST, complete=True, events=events).write(tmp_path)
    assert read_manifest(tmp_path).events == events[:50]


def test_each_gap_has_the_last_state_within_it_in_whatever_order_events_lie() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.02, 1.0, 200))
    observations = np.zeros(200, OBSERVATION)
    observations["timestamp_s"], observations["index"] = times, np.arange(200)
    kinds = ["streaming", "stalled", "reconnecting", "no device"]
    events = [
        Event(float(time_s), "state", {"state": str(rng.choice(kinds))}) for time_s in rng.uniform(0, times[-1], 300)
    ]
    events += [Event(float(time_s), "pause") for time_s in rng.uniform(0, times[-1], 30)]
    in_order = sorted(events, key=lambda event: event.time_s)
    gaps = gaps_in(observations, replace(MANIFEST, events=tuple(events)))
    assert len(gaps) > 50
    for gap in gaps:
        within = [
            event.details.get("state", event.what) for event in in_order if gap.from_s <= event.time_s <= gap.to_s
        ]
        assert gap.state == next((state for state in within[::-1] if state != "streaming"), "")


def test_what_was_seen_comes_back_bit_for_bit(tmp_path: Path) -> None:
    T = np.eye(4)
    T[:3] = RNG.normal(size=(3, 4))
    seen = FaceObservation(
        FRAME,
        True,
        1 / 3,
        RNG.normal(size=(478, 2)).astype(np.float32),
        RNG.normal(size=(478, 3)).astype(np.float32),
        T,
        RNG.random(52).astype(np.float32),
        True,
    )
    gains = RNG.random(52)
    record = record_of(seen, Kind.FRAME, Calibration(None, gains, head_follows=True))
    path = tmp_path / "observations.npy"
    path.write_bytes(record_file.head(OBSERVATION, 1) + record.tobytes())
    again = np.load(path, allow_pickle=False)[0]
    back = observation_of(again, FRAME)
    for name in ("landmarks_px", "landmarks_m", "T_camera_head", "scores", "confidence", "tracked", "depth_measured"):
        np.testing.assert_array_equal(getattr(back, name), getattr(seen, name))
    assert (float(again["timestamp_s"]), int(again["index"]), bool(again["head_follows"])) == (12.25, 7, True)
    np.testing.assert_array_equal(again["gains"], gains)


def test_observations_end_before_the_first_that_cannot_be() -> None:
    records = np.zeros(600, OBSERVATION)
    records["T_camera_head"] = records["T_neutral_head"] = np.eye(4)
    records["timestamp_s"] = np.arange(600)
    assert sound_count(records) == 600
    for change in ({"timestamp_s": 12}, {"scores": np.nan}, {"kind": 9}, {"T_camera_head": 0}, {"index": -1}):
        damaged = records.copy()
        for name, value in change.items():
            damaged[name][300] = value
        assert sound_count(damaged) == 300, change
    records["kind"][300], records["tracked"][300], records["timestamp_s"][300] = Kind.NEUTRAL, True, 2.0
    assert sound_count(records) == 600  # a neutral is from earlier


@pytest.mark.parametrize("damage", ["head", "kind", "count"])
def test_records_of_another_kind_are_refused(tmp_path: Path, damage: str) -> None:
    heads = {
        "head": b"\0" * record_file.HEAD_BYTES,
        "kind": record_file.head(PICTURE),
        "count": record_file.head(OBSERVATION).replace(b"(0,)", b"(x,)"),
    }
    path = tmp_path / OBSERVATIONS_NAME
    path.write_bytes(heads[damage] + bytes(OBSERVATION.itemsize))
    with pytest.raises(InputError, match="records of"):
        record_file.records_of(path, OBSERVATION)


def test_motion_that_no_face_makes_is_refused(tmp_path: Path) -> None:
    path = whole(tmp_path / "s") / ANIMATION_NAME
    with np.load(path) as arrays:
        content = dict(arrays)
    for name, value in {
        "unit_weights": np.full((4, 52), np.nan, np.float32),
        "gaze": [1.0],
        "tracked": [1] * 4,
    }.items():
        np.savez(path, **{**content, name: np.array(value)})
        with pytest.raises(InputError, match="not the motion of a session"):
            read_motion(path)


def test_gaps_are_told_with_what_the_source_was_doing() -> None:
    seen = np.zeros(7, OBSERVATION)
    seen["timestamp_s"] = np.array([0, 1, 2, 3, 40, 41, 62]) / 30
    seen["index"] = [0, 1, 2, 3, 4, 5, 26]  # twenty of the last were brought, and nobody had time for them
    manifest = replace(MANIFEST, events=(Event(0.3, "state", {"state": "reconnecting"}),))
    assert gaps_in(seen, manifest) == (Gap(0.1, 40 / 30, "reconnecting"),)
