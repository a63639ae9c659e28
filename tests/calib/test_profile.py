"""What is kept of a person: comes back as it was, refuses anything else, notices other faces."""

import json
from pathlib import Path

import numpy as np
import pytest

from calib.person.neutral import NeutralPicker
from calib.person.profile import (
    GAIN_RANGE,
    MISFIT_LIMIT,
    PersonalProfile,
    ProfileCheck,
    load_profile,
    misfit,
    profile_path,
    save_profile,
)
from calib.person.range_of_motion import FEWEST_FOLLOWED, STEPS, RangeOfMotion, RangeStep
from capture.face.face_model_file import find_face_model
from core.camera import Intrinsics
from core.canonical_face import load_canonical_face
from core.errors import InputError
from core.expression_units import SCORE_NAMES, UNIT_NAMES
from core.frame import FaceObservation, RgbdFrame

PICTURE = np.zeros((4, 4, 3), np.uint8)
FACE = load_canonical_face(find_face_model()).points


def face(points: np.ndarray = FACE, *, at: tuple[float, float, float] = (0, 0, 0.6), time_s: float = 0.0, blink=0.0):  # type: ignore[no-untyped-def]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.diag([1.0, -1.0, -1.0]), at
    frame = RgbdFrame(PICTURE, np.ones((4, 4), np.float32), Intrinsics(4, 4, 2, 2, 4, 4), time_s, 0)
    scores = np.full(len(SCORE_NAMES), 0.1, np.float32)
    scores[[SCORE_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]] = blink
    landmarks = (points @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    return FaceObservation(frame, True, 1.0, landmarks[:, :2], landmarks, pose, scores)


def test_a_profile_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    gains = np.linspace(*GAIN_RANGE, 52)
    kept = PersonalProfile.of("Ada L.", face(), gains)
    assert save_profile(kept, tmp_path / "new" / "folder").is_file()
    back = load_profile("Ada L.", tmp_path / "new" / "folder")
    assert back is not None
    np.testing.assert_allclose(back.landmarks, FACE, atol=1e-5)
    np.testing.assert_allclose(back.gains, gains, atol=1e-3)
    np.testing.assert_allclose(back.T_camera_head, kept.T_camera_head, atol=1e-8)
    assert (back.date, back.depth) == (kept.date, True)
    assert load_profile("nobody", tmp_path) is None


def test_its_neutral_is_seen_where_the_person_is_now() -> None:
    profile = PersonalProfile.of("a", face())
    neutral = profile.neutral(face(1.3 * FACE, at=(0.1, -0.05, 0.9), time_s=7.0))
    np.testing.assert_allclose(neutral.landmarks_head_m(), FACE, atol=1e-5)
    np.testing.assert_allclose(neutral.T_camera_head[:3, 3], [0.1, -0.05, 0.9])
    assert neutral.timestamp_s == 7.0


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"landmarks": [[0, 0, 0]]},
        {"landmarks": "x"},
        {"gains": [9.0] * 52},
        {"gains": [float("nan")] * 52},
        {"T_camera_head": np.zeros((4, 4)).tolist()},
        {"scores": None},
        {"scores": ["0.5"] * 52},
        {"gains": [10**400] * 52},
        {"T_camera_head": np.diag([1.0, 1.0, -1.0, 1.0]).tolist()},
        {"T_camera_head": np.diag([1.0, 1.0, 1.0, 2.0]).tolist()},
        {"version": [1]},
        {"depth": "no"},
        {"date": {}},
    ],
)
def test_a_damaged_profile_is_one_line_that_says_what_to_do(tmp_path: Path, change: dict[str, object]) -> None:
    path = save_profile(PersonalProfile.of("a", face()), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="delete it") as refusal:
        load_profile("a", tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_file_of_any_size_or_kind_is_refused(tmp_path: Path) -> None:
    for content in ("[" * 100000, "{}", "", "x" * (2 << 20), "[1]", "3", "null"):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputError, match="not a usable profile"):
            load_profile("a", tmp_path)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a\nb"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="--profile"):
        profile_path(name)


def test_another_face_is_noticed_once_and_the_same_one_is_not() -> None:
    profile = PersonalProfile.of("a", face())
    rng = np.random.default_rng(0)
    same = ProfileCheck(profile)
    wide = FACE * [1.15, 1.0, 1.0]
    hints = [same.offer(face(1.1 * FACE + rng.normal(0, 3e-4, FACE.shape))) for _ in range(60)]
    assert not any(hints)
    assert misfit(profile, wide) > MISFIT_LIMIT
    other = ProfileCheck(profile)
    hints = [other.offer(face(wide)) for _ in range(60)]
    assert sum(hint is not None for hint in hints) == 1
    assert any("press N" in hint for hint in hints if hint)


def test_gains_stay_in_their_range() -> None:
    gains = PersonalProfile.of("a", face()).with_gains(np.linspace(0, 5, 52)).gains
    assert (gains.min(), gains.max()) == GAIN_RANGE


def test_a_requested_neutral_waits_for_the_end_of_a_blink_but_not_for_ever() -> None:
    picker = NeutralPicker()
    picker.request()
    assert not picker.offer(face(time_s=0.0, blink=0.9))
    assert not picker.offer(face(time_s=0.2, blink=0.9))
    assert picker.offer(face(time_s=0.3, blink=0.1))
    picker.request()
    assert not picker.offer(face(time_s=1.0, blink=0.9))
    assert picker.offer(face(time_s=2.0, blink=0.9))


def weights_of(values: dict[str, float]) -> np.ndarray:
    weights = np.zeros(52)
    for unit, value in values.items():
        weights[UNIT_NAMES.index(unit)] = value
    return weights


def asked(motion: RangeOfMotion) -> RangeStep:
    return next(step for step in STEPS if motion.prompt.endswith(step.prompt))


def shown(extremes: dict[str, float], reaction_s: float = 0.4, rise_s: float = 0.5) -> tuple[RangeOfMotion, float]:
    """A person who does what is asked, as far as `extremes` say, and the seconds it took."""
    motion, time_s, began_s, prompt = RangeOfMotion(), 100.0, 100.0, ""
    while not motion.done:
        if motion.prompt != prompt:
            prompt, began_s = motion.prompt, time_s
        share = np.clip((time_s - began_s - reaction_s) / rise_s, 0, 1)
        motion.offer(time_s, weights_of({unit: share * extremes.get(unit, 0.0) for unit in asked(motion).units}))
        time_s += 1 / 30
    return motion, time_s - 100.0


USUAL = {unit: 0.8 for step in STEPS for unit in step.units}


def test_what_a_person_can_do_becomes_a_full_unit() -> None:
    extremes = {
        **USUAL, "mouthSmileRight": 0.6, "mouthPucker": 1.4, "browInnerUp": 0.5, "eyeBlinkLeft": 0, "eyeBlinkRight": 0
    }  # fmt: skip
    motion, _ = shown(extremes)
    gains = dict(zip(UNIT_NAMES, motion.gains(), strict=True))
    assert gains["jawOpen"] == pytest.approx(1 / 0.8)
    assert gains["mouthSmileLeft"] == gains["mouthSmileRight"] == pytest.approx(1 / 0.7)
    assert gains["mouthPucker"] == pytest.approx(1 / 1.4)
    assert gains["browInnerUp"] == GAIN_RANGE[1]
    assert gains["eyeBlinkLeft"] == 1.0  # not shown
    assert gains["tongueOut"] == 1.0  # not asked for
    assert motion.followed == len(STEPS) - 1


def test_who_follows_at_once_is_done_in_ten_seconds_and_who_does_not_in_twenty() -> None:
    assert shown(USUAL)[1] == pytest.approx(11.2, abs=0.5)
    assert shown(USUAL, reaction_s=0.2, rise_s=0.2)[1] == pytest.approx(9.6, abs=0.8)
    assert shown({})[1] == pytest.approx(20.0, abs=0.4)


def test_slow_rises_are_waited_for() -> None:
    gains = shown(USUAL, reaction_s=0.3, rise_s=1.5)[0].gains()
    assert gains[UNIT_NAMES.index("jawOpen")] == pytest.approx(1 / 0.8, abs=0.06)


@pytest.mark.parametrize("seed", range(20))
def test_a_driver_who_obeys_nothing_changes_nothing(seed: int) -> None:
    """Somebody who talks, smiles and blinks in a clip that goes round."""
    random, motion = np.random.default_rng(seed), RangeOfMotion()
    rate, phase = random.uniform(0.1, 0.8, 52), random.uniform(0, 7, 52)
    for index in range(30 * 21):
        motion.offer(index / 30, np.clip(0.9 * np.sin(2 * np.pi * rate * index / 30 + phase), 0, 1))
    assert motion.done
    assert motion.followed < FEWEST_FOLLOWED
    np.testing.assert_array_equal(motion.gains(), np.ones(52))


def test_one_frame_after_a_gap_shows_nothing_kept_and_time_that_goes_back_begins_the_step_anew() -> None:
    motion, jaw = RangeOfMotion(), weights_of({"jawOpen": 0.5})
    motion.offer(100.0, None)
    motion.offer(100.7, weights_of({}))
    motion.offer(101.9, jaw)
    assert motion.prompt.startswith("1/7")
    motion.offer(3.0, jaw)
    assert motion.seconds_left == 3
    for index in range(40):
        motion.offer(3.0 + index / 30, jaw)
    assert motion.prompt.startswith("2/7")


def test_frames_without_a_face_tell_nothing() -> None:
    motion = RangeOfMotion()
    for index in range(700):
        motion.offer(index / 30, None)
    assert motion.done
    assert motion.prompt == ""
    assert motion.followed == 0
    np.testing.assert_array_equal(motion.gains(), np.ones(52))
