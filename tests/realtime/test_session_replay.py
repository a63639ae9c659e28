"""A session that is played gives what was recorded: the same poses bit for bit, the same times, the same gaps."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from calib.avatar import Avatar
from capture.face.face_tracker import FaceTracker, untracked
from capture.recordings.playback import Excerpt
from capture.repeated_source import RepeatedSource
from capture.synthetic.performer.performer import PerformerSource
from core.errors import InputError
from core.expression_units import UNIT_COUNT
from core.face_motion import FaceMotion, MotionFrame
from core.frame import FaceObservation, RgbdFrame
from core.source import DeviceState, frames_of
from engine.expression.expression_engine import ExpressionEngine
from engine.landmark.landmark_engine import LandmarkEngine
from engine.motion.posed_frame import AnyPosed
from realtime.api import animate
from realtime.editing.edit_list import edited, write_edits
from realtime.editing.edits import Retime, Trim
from realtime.live.driving import open_driving
from realtime.live.person import PersonalCalibration
from realtime.live.pipeline import FramePipeline
from realtime.live.replayed_person import ReplayedPerson
from realtime.recording.raw_writer import RawWriter
from realtime.recording.session_writer import SessionWriter
from realtime.session.manifest import About, Event
from realtime.session.reader import Gap, SessionReader
from realtime.session.sealing import seal
from realtime.session.seen_frame import SeenFrame, SeenTracker
from realtime.session.session_source import SessionSource
from realtime.session.told import told
from realtime.threads.timing import SectionTimes
from tests.realtime.test_live_recording import AVATAR
from tests.realtime.test_session_writing import posed, whole

FRAMES, OFFSET_S = 60, 12345.678901234


@pytest.fixture(scope="module")
def observations() -> list[FaceObservation]:
    """Timed as by a machine that has run for a while: differences of such times are not exact."""
    with FaceTracker() as tracker:
        seen = [tracker.track(frame) for frame in islice(frames_of(PerformerSource(realtime=False)), FRAMES)]
    return [replace(look, frame=replace(look.frame, timestamp_s=look.frame.timestamp_s + OFFSET_S)) for look in seen]


class Remembered:
    """A tracker that was asked before."""

    tracker, tracker_why = "test", "test: as asked"

    def __init__(self, seen: list[FaceObservation]) -> None:
        self._seen = {look.frame.index: look for look in seen}

    def track(self, frame: RgbdFrame) -> FaceObservation:
        return self._seen[frame.index]

    def follow_next(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> "Remembered":
        return self

    def __exit__(self, *_: object) -> None: ...


def recorded(folder: Path, avatar: Avatar, posed: Iterator[AnyPosed], raw: RawWriter | None = None) -> list[AnyPosed]:
    """All of a session in a folder, and what it was."""
    folder.mkdir(exist_ok=True)
    writer = SessionWriter(folder, avatar, lambda: About("test", 30.0, "lowpoly", "expression"))
    kept = []
    for each in posed:
        kept.append(each)
        writer.append(each)
        if raw is not None:
            raw.append(each.frame)  # type: ignore[arg-type]
    writer.close()
    if raw is not None:
        raw.close()
    assert seal(folder) is not None
    return kept


def performance(avatar: Avatar, seen: list[FaceObservation]) -> Iterator[AnyPosed]:
    """With all that may happen: a neutral taken anew, other gains, a head that stays, a camera that is silent."""
    engine, person = ExpressionEngine(avatar), PersonalCalibration()
    pipeline = FramePipeline(Remembered(seen), engine, SectionTimes(), person)
    last_s = -1.0
    for number, look in enumerate(seen):
        if number == 20:
            person.request_neutral()
        if number == 30:
            engine.gains = np.linspace(0.8, 1.2, UNIT_COUNT)
        if number in (40, 45):
            pipeline.toggle_head_pose()
        if 48 <= number < 52:
            last_s = seen[47].timestamp_s + (number - 47) / 30
            yield pipeline.ease(seen[47].frame, last_s)
            continue
        assert look.timestamp_s > last_s
        yield pipeline.process(look.frame)


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory, lowpoly: Avatar, observations: list[FaceObservation]
) -> tuple[Path, list[AnyPosed]]:
    folder = tmp_path_factory.mktemp("session")
    return folder, recorded(folder, lowpoly, performance(lowpoly, observations))


def played(folder: Path, pipeline: FramePipeline) -> list[AnyPosed]:
    return [pipeline.answer(frame) for frame in frames_of(open_driving(str(folder), realtime=False))]


def test_the_same_poses_bit_for_bit(session: tuple[Path, list[AnyPosed]], lowpoly: Avatar) -> None:
    folder, before = session
    again = played(folder, FramePipeline(SeenTracker(), ExpressionEngine(lowpoly), SectionTimes(), ReplayedPerson()))
    assert len(again) == len(before) == FRAMES
    for now, then in zip(again, before, strict=True):
        np.testing.assert_array_equal(now.pose.vertices, then.pose.vertices)
        np.testing.assert_array_equal(now.pose.T_world_head, then.pose.T_world_head)
        np.testing.assert_array_equal(now.pose.motion.weights, then.pose.motion.weights)
        assert (now.pose.timestamp_s, now.pose.tracked) == (then.pose.timestamp_s, then.pose.tracked)
    assert not before[49].pose.tracked, "the camera was silent"


def test_a_session_of_a_session_is_the_same(
    session: tuple[Path, list[AnyPosed]], lowpoly: Avatar, tmp_path: Path
) -> None:
    pipeline = FramePipeline(SeenTracker(), ExpressionEngine(lowpoly), SectionTimes(), ReplayedPerson())
    recorded(tmp_path / "again", lowpoly, iter(played(session[0], pipeline)))
    one, other = (SessionReader.open(folder) for folder in (session[0], tmp_path / "again"))
    for name in ("kind", "timestamp_s", "landmarks_m", "gains", "head_follows", "tracked"):
        np.testing.assert_array_equal(one.observations[name], other.observations[name])
    np.testing.assert_array_equal(one.motion.weights, other.motion.weights)


def test_another_engine_may_be_driven(session: tuple[Path, list[AnyPosed]], lowpoly: Avatar) -> None:
    pipeline = FramePipeline(SeenTracker(), LandmarkEngine(lowpoly), SectionTimes(), ReplayedPerson())
    moved = np.ptp([each.pose.vertices for each in played(session[0], pipeline)], axis=0).max()
    assert moved > 0.05


def test_a_neutral_may_be_taken_anew_afterwards(session: tuple[Path, list[AnyPosed]], lowpoly: Avatar) -> None:
    folder, before = session
    engine, person = ExpressionEngine(lowpoly), ReplayedPerson()
    frames = list(frames_of(open_driving(str(folder), realtime=False)))
    neutral = SeenTracker().track(frames[35])
    person.adopt(engine, neutral)
    pipeline = FramePipeline(SeenTracker(), engine, SectionTimes(), person)
    again = [pipeline.answer(frame) for frame in frames]
    assert person.neutral is neutral
    np.testing.assert_array_equal(engine.gains, np.linspace(0.8, 1.2, UNIT_COUNT))
    off = [np.abs(now.pose.vertices - then.pose.vertices).max() for now, then in zip(again, before, strict=True)]
    assert max(off[:40]) > 0.005


def test_key_n_takes_over_from_the_session(session: tuple[Path, list[AnyPosed]], lowpoly: Avatar) -> None:
    engine, person = ExpressionEngine(lowpoly), ReplayedPerson()
    pipeline = FramePipeline(SeenTracker(), engine, SectionTimes(), person)
    for frame in frames_of(open_driving(str(session[0]), realtime=False)):
        if frame.index == 10:
            person.request_neutral()
        pipeline.answer(frame)
    assert person.neutral is not None
    assert person.neutral.frame.index in range(9, 20), "and not that of frame 20, which the session tells"


def test_an_excerpt_has_the_neutral_of_what_came_before(session: tuple[Path, list[AnyPosed]]) -> None:
    source = open_driving(str(session[0]), realtime=False, excerpt=Excerpt(35, 5))
    frames = list(frames_of(source))
    assert [frame.index for frame in frames] == [35, 36, 37, 38, 39]
    assert source.frame_count == 5
    first = frames[0]
    assert isinstance(first, SeenFrame)
    assert first.calibration.neutral is not None
    assert first.calibration.neutral.frame.index == 20
    with pytest.raises(InputError, match="has no frame 99"):
        list(frames_of(open_driving(str(session[0]), realtime=False, excerpt=Excerpt(99))))


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def with_a_gap(folder: Path, avatar: Avatar, observations: list[FaceObservation]) -> Path:
    """Ten frames, three seconds without the camera, ten frames."""
    engine = LandmarkEngine(avatar)
    folder.mkdir()
    writer = SessionWriter(folder, avatar, lambda: About("kinect", 30.0))
    pipeline = FramePipeline(Remembered(observations), engine, SectionTimes())
    for number, look in enumerate(observations[:20]):
        if number == 10:
            for state, after_s in (("reconnecting", 0.2), ("streaming", 3.2)):
                writer.note(Event(observations[9].timestamp_s + after_s, "state", {"state": state}))
        later = look.timestamp_s + 3.0 * (number >= 10)
        posed = pipeline.process(look.frame)
        moved = replace(look, frame=replace(look.frame, timestamp_s=later))
        writer.append(replace(posed, observation=moved, pose=replace(posed.pose, timestamp_s=later)))
    writer.close()
    seal(folder)
    return folder


def test_gaps_are_told_and_come_again_at_the_right_times(
    tmp_path: Path, lowpoly: Avatar, observations: list[FaceObservation]
) -> None:
    session = SessionReader.open(with_a_gap(tmp_path / "s", lowpoly, observations))
    begins_s, ends_s = observations[9].timestamp_s, observations[10].timestamp_s + 3.0
    assert session.gaps == (Gap(begins_s, ends_s, "reconnecting"),)
    clock = Clock(77.25)
    source = SessionSource(session, realtime=True, clock=clock, sleep=clock.sleep)
    source.open()
    seen, states = [], set()
    while len(seen) < 20:
        frame = source.read(0.05)
        if frame is None:
            states.add(source.state)
        else:
            assert clock.now_s == pytest.approx(frame.timestamp_s, abs=2e-3), "handed over when it is due"
            seen.append(frame.timestamp_s)
    assert states == {DeviceState.STREAMING, DeviceState.RECONNECTING}
    expected = [look.timestamp_s + 3.0 * (number >= 10) for number, look in enumerate(observations[:20])]
    assert seen[0] == pytest.approx(77.25, abs=2e-3)
    np.testing.assert_allclose(np.diff(seen), np.diff(expected), atol=1e-9)
    assert source.skipped == 0
    with pytest.raises(EOFError):
        source.read(1.0)
    assert source.state is DeviceState.ENDED


def test_who_comes_late_gets_the_newest_frame(session: tuple[Path, list[AnyPosed]]) -> None:
    clock = Clock(1.0)
    source = SessionSource(SessionReader.open(session[0]), realtime=True, clock=clock, sleep=clock.sleep)
    source.open()
    source.read(0.1)
    clock.sleep(0.51)
    frame = source.read(0.1)
    assert frame is not None
    assert frame.index == 15
    assert source.skipped == 14


def test_a_booth_goes_round(session: tuple[Path, list[AnyPosed]], lowpoly: Avatar) -> None:
    clock = Clock(5.0)
    once = SessionSource(SessionReader.open(session[0]), realtime=True, clock=clock, sleep=clock.sleep)
    source = RepeatedSource(once)  # type: ignore[arg-type]
    assert source.seen
    source.open()
    person = ReplayedPerson()
    pipeline = FramePipeline(SeenTracker(), ExpressionEngine(lowpoly), SectionTimes(), person)
    posed: list[AnyPosed] = []
    while len(posed) < FRAMES + 30:
        frame = source.read(0.1)
        if frame is not None:
            posed.append(pipeline.answer(frame))
    assert [each.pose.index for each in posed] == list(range(FRAMES + 30))
    assert (np.diff([each.pose.timestamp_s for each in posed]) > 0).all()
    assert person.neutral is not None
    assert person.neutral.frame.index == 20, "taken again in the second round"


def test_what_a_phone_sent_is_played_again(tmp_path: Path, lowpoly: Avatar) -> None:
    rng = np.random.default_rng(0)

    def phone() -> Iterator[AnyPosed]:
        engine = ExpressionEngine(lowpoly)
        pipeline = FramePipeline(None, engine, SectionTimes(), PersonalCalibration())
        for number in range(20):
            motion = FaceMotion(rng.random(UNIT_COUNT), rng.normal(size=(2, 2)) / 10, np.eye(4))
            yield pipeline.answer(MotionFrame(motion, number != 12, 100 + number / 60, number))

    before = recorded(tmp_path / "s", lowpoly, phone())
    again = played(
        tmp_path / "s", FramePipeline(SeenTracker(), ExpressionEngine(lowpoly), SectionTimes(), ReplayedPerson())
    )
    for now, then in zip(again, before, strict=True):
        np.testing.assert_array_equal(now.pose.vertices, then.pose.vertices)
    with pytest.raises(InputError, match="no pictures of the driver"):
        open_driving(str(tmp_path / "s"), realtime=False, retrack=True)


def test_pictures_that_are_not_there_are_asked_for_in_vain(session: tuple[Path, list[AnyPosed]]) -> None:
    for options in ({"retrack": True}, {"pictures": True}):
        with pytest.raises(InputError, match="--record-raw colour"):
            open_driving(str(session[0]), realtime=False, **options)
    with pytest.raises(InputError, match="leave out --rotate"):
        open_driving(str(session[0]), realtime=False, rotate="90")
    with pytest.raises(InputError, match="leave out --retrack"):
        open_driving("demo", realtime=False, retrack=True)
    first = next(frames_of(open_driving(str(session[0]), realtime=False)))
    assert isinstance(first, SeenFrame)
    assert first.picture is None


def test_pictures_are_played_with_their_depth_and_tracked_anew(
    tmp_path: Path, lowpoly: Avatar, observations: list[FaceObservation]
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    pipeline = FramePipeline(Remembered(observations), LandmarkEngine(lowpoly), SectionTimes())
    posed = (pipeline.process(look.frame) for look in observations[:12])
    recorded(folder, lowpoly, posed, RawWriter(folder, "rgbd"))
    for frame, look in zip(frames_of(open_driving(str(folder), realtime=False)), observations, strict=False):
        assert isinstance(frame, SeenFrame)
        assert frame.picture is not None
        assert frame.depth_m is not None
        assert look.frame.depth_m is not None
        assert np.abs(frame.picture.astype(int) - look.frame.rgb).mean() < 4
        assert np.abs(frame.depth_m - look.frame.depth_m).max() <= 0.00051
    again = list(frames_of(open_driving(str(folder), realtime=False, retrack=True)))
    assert [frame.index for frame in again] == list(range(12))
    assert not isinstance(again[0], SeenFrame)
    with FaceTracker() as tracker:
        found = [tracker.track(frame) for frame in again]  # type: ignore[arg-type]
    apart = [
        np.abs(look.landmarks_px - then.landmarks_px).mean() for look, then in zip(found, observations, strict=False)
    ]
    assert max(apart) < 2.0


def test_a_frame_without_a_face_is_none_again(
    tmp_path: Path, lowpoly: Avatar, observations: list[FaceObservation]
) -> None:
    seen = [untracked(look.frame) if number == 3 else look for number, look in enumerate(observations[:6])]
    pipeline = FramePipeline(Remembered(seen), LandmarkEngine(lowpoly), SectionTimes(), PersonalCalibration())
    recorded(tmp_path / "s", lowpoly, (pipeline.process(look.frame) for look in seen))
    again = [SeenTracker().track(frame) for frame in frames_of(open_driving(str(tmp_path / "s"), realtime=False))]
    assert [look.tracked for look in again] == [True, True, True, False, True, True]


def test_a_session_with_edits_plays_as_edited(tmp_path: Path) -> None:
    folder = whole(tmp_path / "s")
    track = SessionReader.open(folder).motion
    write_edits(folder, (Trim(0.5, 1.0), Retime(2.0)), track)
    wanted = edited(folder, track)
    frames = [frame for frame in frames_of(open_driving(str(folder), realtime=False)) if frame is not None]
    assert 0 < len(frames) == len(wanted) < len(track)
    for number, frame in enumerate(frames):
        assert isinstance(frame, MotionFrame)
        assert (frame.timestamp_s, frame.index) == (wanted.timestamps_s[number], number)
        np.testing.assert_array_equal(frame.motion.weights, wanted.weights[number])
    some = open_driving(str(folder), realtime=False, excerpt=Excerpt(3, 4))
    assert [frame.index for frame in frames_of(some) if frame is not None] == [3, 4, 5, 6]
    looked_at = open_driving(str(folder), realtime=False, pictures=True)
    pictured = [frame for frame in frames_of(looked_at) if frame is not None]
    assert len(pictured) > 30, "its pictures are as recorded, but for those that a killed process lost"
    assert all(isinstance(frame, RgbdFrame) for frame in pictured)
    write_edits(folder, (), track)
    again = [frame for frame in frames_of(open_driving(str(folder), realtime=False)) if frame is not None]
    assert len(again) == 40
    assert isinstance(again[0], RgbdFrame)


def test_a_session_with_edits_drives_a_head_through_the_api(
    session: tuple[Path, list[AnyPosed]], tmp_path: Path, lowpoly: Avatar
) -> None:
    folder = shutil.copytree(session[0], tmp_path / "s")
    track = SessionReader.open(folder).motion
    write_edits(folder, (Trim(0.5, 1.5),), track)
    shown = list(animate(lowpoly, open_driving(str(folder), realtime=False)))
    assert len(shown) == len(edited(folder, track))
    assert all(each.observation is None and each.calibrated for each in shown)
    moved = [float(np.abs(each.pose.vertices - shown[0].pose.vertices).max()) for each in shown]
    assert max(moved) > 1e-3, "the head does what the edited motion says"


def test_a_session_of_few_frames_is_no_fast_source_that_falls_silent(tmp_path: Path) -> None:
    folder = tmp_path / "slow"
    folder.mkdir()
    writer = SessionWriter(folder, AVATAR, lambda: About("test", 30.0))  # type: ignore[arg-type]
    for number in range(0, 60, 4):  # a camera of 30 a second on a machine with time for a quarter of them
        writer.append(posed(number))
    writer.close()
    assert seal(folder) is not None
    session = SessionReader.open(folder)
    assert session.gaps == ()
    assert SessionSource(session, realtime=True).fps == pytest.approx(7.5, rel=0.01)
    assert SessionSource(SessionReader.open(whole(tmp_path / "fast")), realtime=True).fps == pytest.approx(30, rel=0.01)


def test_many_gaps_are_summed_up_and_edits_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    writer = SessionWriter(folder, AVATAR, lambda: About("test", 30.0))  # type: ignore[arg-type]
    for number in range(40):
        each = posed(number)
        late = replace(each.observation.frame, timestamp_s=100.0 + number, index=number)
        writer.append(replace(each, observation=replace(each.observation, frame=late)))
    writer.close()
    assert seal(folder) is not None
    assert "and 27 such gaps more, 27.0 s in all" in told(folder)
    assert "session show" not in told(folder)
    write_edits(folder, (Trim(1.0, 5.0),), SessionReader.open(folder).motion)
    assert f"vfa session show {folder}" in told(folder)
