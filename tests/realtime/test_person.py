"""A person's calibration while frames go by: profile in, neutral and range of motion out."""

from pathlib import Path

import numpy as np
import pytest

from calib.person.profile import PersonalProfile, load_profile, save_profile
from calib.person.range_of_motion import STEPS
from capture.face.face_model_file import find_face_model
from core.camera import Intrinsics
from core.canonical_face import load_canonical_face
from core.expression_units import SCORE_NAMES, UNIT_NAMES
from core.frame import FaceObservation, RgbdFrame
from engine.motion.protocol import AvatarPose, HeadPose, MotionEngine
from realtime.live.person import PersonalCalibration

FACE = load_canonical_face(find_face_model()).points


def face(time_s: float, *, at: tuple[float, float, float] = (0, 0, 0.6), depth: bool = True) -> FaceObservation:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.diag([1.0, -1.0, -1.0]), at
    picture = np.zeros((4, 4, 3), np.uint8)
    depth_m = np.ones((4, 4), np.float32) if depth else None
    frame = RgbdFrame(picture, depth_m, Intrinsics(4, 4, 2, 2, 4, 4), time_s, 0)
    landmarks = (FACE @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    return FaceObservation(frame, True, 1.0, landmarks[:, :2], landmarks, pose, np.zeros(len(SCORE_NAMES), np.float32))


class PlainEngine(MotionEngine):
    """Knows no units, and notes the neutrals it is given."""

    name = "landmark"
    head_pose: HeadPose = "follow"

    def __init__(self) -> None:
        self.neutrals: list[FaceObservation] = []

    @property
    def calibrated(self) -> bool:
        return bool(self.neutrals)

    def calibrate(self, neutral: FaceObservation) -> None:
        self.neutrals.append(neutral)

    def animate(self, observation: FaceObservation) -> AvatarPose:
        return AvatarPose(np.zeros((1, 3), np.float32), np.eye(4), observation.timestamp_s, 0, True)


class PictureEngine(PlainEngine):
    """Needs the neutral's picture, so that none can be kept."""

    name = "pictures"
    keeps_neutral = False


class UnitEngine(PlainEngine):
    """Shows the units it is told to."""

    name = "expression"
    unit_names = UNIT_NAMES
    unit_weights = gains = None  # of each its own

    def __init__(self) -> None:
        super().__init__()
        self.gains, self.unit_weights = np.ones(52), np.zeros(52)


def pass_frames(
    person: PersonalCalibration, engine: PlainEngine, start_s: float, count: int, **how: object
) -> list[str]:
    told = []
    for index in range(count):
        observation = face(start_s + index / 30, **how)  # type: ignore[arg-type]
        person.before(engine, observation)
        engine.animate(observation)
        person.after(engine, observation)
        while (notice := person.take_notice()) is not None:
            told.append(notice)
    return told


def test_a_first_neutral_is_kept_and_the_next_session_begins_with_it(tmp_path: Path) -> None:
    first = UnitEngine()
    pass_frames(PersonalCalibration(profile="ada", folder=tmp_path), first, 0.0, 5)
    kept = load_profile("ada", tmp_path)
    assert first.calibrated
    assert kept is not None
    save_profile(kept.with_gains(np.full(52, 1.2)), tmp_path)
    second = UnitEngine()
    told = pass_frames(PersonalCalibration(profile="ada", folder=tmp_path), second, 50.0, 200, at=(0.2, 0, 0.8))
    assert len(second.neutrals) == 1  # at once, and nothing replaces it
    np.testing.assert_allclose(second.neutrals[0].landmarks_head_m(), FACE, atol=1e-5)
    np.testing.assert_allclose(second.gains, 1.2)
    assert not told


def test_a_neutral_is_told_when_it_is_the_first_and_when_it_was_asked_for() -> None:
    person, engine = PersonalCalibration(), UnitEngine()
    assert pass_frames(person, engine, 0.0, 30) == ["your face now is the neutral one: N takes it again"]
    person.request_neutral()
    assert pass_frames(person, engine, 1.0, 30) == ["neutral taken"]


def test_without_a_name_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calib.person.profile.default_profile_dir", lambda: tmp_path)
    pass_frames(PersonalCalibration(), UnitEngine(), 0.0, 5)
    assert not list(tmp_path.iterdir())


def test_a_neutral_asked_for_replaces_the_profile_and_keeps_its_gains(tmp_path: Path) -> None:
    save_profile(PersonalProfile.of("ada", face(0), np.full(52, 1.3)), tmp_path)
    person, engine = PersonalCalibration(profile="ada", folder=tmp_path), UnitEngine()
    pass_frames(person, engine, 0.0, 3)
    person.request_neutral()
    pass_frames(person, engine, 1.0, 3, at=(0.0, 0.1, 1.0))
    assert len(engine.neutrals) == 2
    kept = load_profile("ada", tmp_path)
    assert kept is not None
    np.testing.assert_allclose(kept.T_camera_head[:3, 3], [0.0, 0.1, 1.0])
    np.testing.assert_allclose(kept.gains, 1.3)


def test_a_profile_of_another_kind_of_camera_is_told_and_not_taken(tmp_path: Path) -> None:
    save_profile(PersonalProfile.of("ada", face(0)), tmp_path)
    engine = UnitEngine()
    told = pass_frames(PersonalCalibration(profile="ada", folder=tmp_path), engine, 0.0, 2, depth=False)
    assert "with a depth camera" in told[0]
    assert engine.neutrals[0].frame.depth_m is None


def follow(person: PersonalCalibration, engine: UnitEngine, start_s: float) -> tuple[list[str], list[str]]:
    """Do what is asked, at 0.8 of a unit, until nothing is asked any more; what was asked and what was told."""
    prompts, told = [], []
    for index in range(30 * 21):
        engine.unit_weights[:] = 0
        for step in STEPS:
            if step.prompt in person.prompt:
                engine.unit_weights[[UNIT_NAMES.index(unit) for unit in step.units]] = 0.8
        told += pass_frames(person, engine, start_s + index / 30, 1)
        if person.prompt not in prompts:
            prompts.append(person.prompt)
    return prompts, told


def test_the_range_of_motion_prompts_sets_gains_and_is_kept(tmp_path: Path) -> None:
    person, engine = PersonalCalibration(profile="ada", folder=tmp_path), UnitEngine()
    pass_frames(person, engine, 0.0, 2)
    person.request_range()
    prompts, told = follow(person, engine, 1.0)
    assert prompts[:3] == [
        "1/7: open your mouth wide · 3",
        "1/7: open your mouth wide · 2",
        f"2/7: {STEPS[1].prompt} · 3",
    ]
    assert prompts[-1] == person.prompt == ""
    assert [words for words in told if words.startswith("range")] == told
    assert len(told) == 1
    assert told[-1].startswith("range of motion: done")
    assert engine.gains[UNIT_NAMES.index("jawOpen")] == pytest.approx(1.25)
    kept = load_profile("ada", tmp_path)
    assert kept is not None
    assert kept.gains[UNIT_NAMES.index("jawOpen")] == pytest.approx(1.25)


def test_a_range_that_nobody_showed_keeps_the_gains_there_were(tmp_path: Path) -> None:
    save_profile(PersonalProfile.of("ada", face(0), np.full(52, 1.3)), tmp_path)
    person, engine = PersonalCalibration(profile="ada", folder=tmp_path), UnitEngine()
    pass_frames(person, engine, 0.0, 2)
    engine.unit_weights[UNIT_NAMES.index("jawOpen")] = 0.8  # all the time
    person.request_range()
    told = pass_frames(person, engine, 1.0, 30 * 21)
    assert len(told) == 1
    assert "0 of 7 prompts were followed" in told[0]
    np.testing.assert_allclose(engine.gains, 1.3)
    kept = load_profile("ada", tmp_path)
    assert kept is not None
    np.testing.assert_allclose(kept.gains, 1.3)


def test_the_range_is_offered_with_the_first_neutral_and_only_where_somebody_can_follow(tmp_path: Path) -> None:
    for offers in (True, False):
        person = PersonalCalibration(offer_range=offers)
        told = pass_frames(person, UnitEngine(), 0.0, 200)
        assert any("G" in words.split() for words in told) == offers
    save_profile(PersonalProfile.of("ada", face(0), np.full(52, 1.3)), tmp_path)
    person = PersonalCalibration(profile="ada", folder=tmp_path, offer_range=True)
    assert not any("G" in words.split() for words in pass_frames(person, UnitEngine(), 0.0, 200))


def test_asked_again_it_stops_and_changes_nothing() -> None:
    person, engine = PersonalCalibration(show_range=True), UnitEngine()
    pass_frames(person, engine, 0.0, 10)
    assert person.prompt
    person.request_range()
    assert pass_frames(person, engine, 0.5, 10) == ["range of motion: stopped, nothing changed"]
    assert not person.prompt
    np.testing.assert_array_equal(engine.gains, np.ones(52))


def test_engines_without_units_say_so() -> None:
    person, engine = PersonalCalibration(), PlainEngine()
    pass_frames(person, engine, 0.0, 2)
    person.request_range()
    assert pass_frames(person, engine, 0.1, 2) == [
        "range of motion: the landmark engine has no units; use --engine expression"
    ]


def test_a_profile_s_neutral_serves_engines_without_units(tmp_path: Path) -> None:
    save_profile(PersonalProfile.of("ada", face(0), np.full(52, 1.3)), tmp_path)
    person, engine = PersonalCalibration(profile="ada", folder=tmp_path), PlainEngine()
    pass_frames(person, engine, 0.0, 3, at=(0.2, 0, 0.8))
    np.testing.assert_allclose(engine.neutrals[0].landmarks_head_m(), FACE, atol=1e-5)
    assert len(engine.neutrals) == 1
    assert len(engine.gains) == 0


def test_an_engine_that_needs_the_neutral_s_picture_takes_none_from_a_profile_and_keeps_none(tmp_path: Path) -> None:
    first = PersonalProfile.of("ada", face(0), np.full(52, 1.3))
    save_profile(first, tmp_path)
    person, engine = PersonalCalibration(profile="ada", folder=tmp_path), PictureEngine()
    seen = face(0.0, at=(0.2, 0, 0.8))
    person.before(engine, seen)
    assert engine.neutrals == [seen]
    kept = load_profile("ada", tmp_path)
    assert kept is not None
    assert kept.date == first.date
    np.testing.assert_allclose(kept.T_camera_head, first.T_camera_head)
