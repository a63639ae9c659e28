"""Edits of a session's motion: what each does to a track, that none touches what was recorded, and the list of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.face_motion import FaceMotion, MotionTrack, gaze_of, with_gaze
from core.rigid_motion import rotation_matrix, rotation_vector
from realtime.editing import channels
from realtime.editing.edit_list import EDITS_NAME, applied, edited, read_edits, write_edits
from realtime.editing.edits import (
    EDITS,
    BlendGaps,
    Cut,
    Edit,
    GaussianFilter,
    Mirror,
    OneEuroFilter,
    Retime,
    Trim,
    of_content,
    to_content,
)
from realtime.export.take import open_recorded, open_take
from realtime.recording.animation_file import AnimationWriter
from realtime.session_command import (
    ClearOptions,
    CutOptions,
    EditOptions,
    FilterOptions,
    ShowOptions,
    UndoOptions,
    session,
)

FPS = 30.0
JAW = UNIT_NAMES.index("jawOpen")
ALL: tuple[Edit, ...] = (
    Trim(0.1, 1.5), Cut(0.5, 1.0), Retime(2.0), Retime(1.0, 24.0), OneEuroFilter(2.0, 3.0, "face"),
    GaussianFilter(0.1, "head"), Mirror(), BlendGaps(1.0),
)  # fmt: skip


def talking(frames: int = 60, begins_s: float = 100.0, seed: int = 0) -> MotionTrack:
    """A face that moves smoothly and all over, with a head that turns and walks about."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(frames) / FPS
    phase = rng.uniform(0, 2 * np.pi, UNIT_COUNT)
    gaze = 0.3 * np.sin(time_s[:, None, None] * 2 + rng.uniform(0, 6, (2, 2)))
    weights = with_gaze(0.5 + 0.4 * np.sin(3 * time_s[:, None] + phase), gaze)
    T = np.tile(np.eye(4), (frames, 1, 1))
    for frame, t in enumerate(time_s):
        T[frame, :3, :3] = rotation_matrix(0.6 * np.sin(t * np.array([1.0, 1.7, 0.6]) + 1))
        T[frame, :3, 3] = 0.05 * np.cos(t * np.array([1.0, 0.4, 2.0]))
    return MotionTrack(begins_s + time_s, np.ones(frames, bool), weights, gaze, T)


def copied(track: MotionTrack) -> MotionTrack:
    return MotionTrack(*(getattr(track, name).copy() for name in MotionTrack.__dataclass_fields__))


def same(one: MotionTrack, other: MotionTrack, atol: float = 0.0) -> None:
    for name in MotionTrack.__dataclass_fields__:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("edit", ALL, ids=lambda edit: edit.told())
def test_no_edit_touches_what_it_is_given_and_each_leaves_a_sound_motion(edit: Edit) -> None:
    track = talking()
    track.tracked[20:25] = False
    before = copied(track)
    after = edit(track)
    same(track, before)
    assert (np.diff(after.timestamps_s) > 0).all()
    assert after.timestamps_s[0] == pytest.approx(track.timestamps_s[0], abs=1e-9)
    turned = after.T_neutral_head[:, :3, :3]
    np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.tile(np.eye(3), (len(after), 1, 1)), atol=1e-9)
    for frame in range(0, len(after), 7):
        np.testing.assert_allclose(gaze_of(after.weights[frame]), after.gaze[frame], atol=1e-9)
    assert of_content(json.loads(json.dumps(to_content(edit)))) == edit


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(ALL), max_size=5), st.integers(2, 50), st.integers(0, 5))
def test_edits_one_after_the_other_leave_a_sound_motion_or_say_why_not(
    edits: list[Edit], frames: int, seed: int
) -> None:
    track = talking(frames, seed=seed)
    track.tracked[:] = np.random.default_rng(seed).random(frames) > 0.3
    try:
        after = applied(track, edits)
    except InputError:  # nothing would be left, or there is nothing to cut
        return
    assert len(after) > 0
    assert (np.diff(after.timestamps_s) > 0).all()
    assert all(np.isfinite(getattr(after, name)).all() for name in MotionTrack.__dataclass_fields__)


def test_a_table_of_numbers_and_back_is_the_same_motion() -> None:
    track = talking()
    same(channels.to_track(track.timestamps_s, track.tracked, channels.of_track(track)), track, atol=1e-12)


def test_turns_beyond_half_a_turn_do_not_jump_in_the_table() -> None:
    angles = np.linspace(0, 4.5, 60)
    T = np.tile(np.eye(4), (60, 1, 1))
    T[:, :3, :3] = [rotation_matrix(np.array([0.0, angle, 0.0])) for angle in angles]
    track = replace(talking(), T_neutral_head=T)
    np.testing.assert_allclose(channels.of_track(track)[:, channels.HEAD[0]][:, 1], angles, atol=1e-9)


def test_trim_keeps_the_part_as_it_was() -> None:
    track = talking()
    part = Trim(0.5, 1.0)(track)
    np.testing.assert_array_equal(part.weights, track.weights[15:31])
    np.testing.assert_allclose(part.timestamps_s, track.timestamps_s[:16])
    with pytest.raises(InputError, match="nothing would be left"):
        Trim(5, 6)(track)


def test_a_cut_joins_what_is_left_without_a_jump() -> None:
    track = talking(90)
    hard, soft = Cut(1.0, 2.0, 0.0)(track), Cut(1.0, 2.0, 0.3)(track)
    for after in (hard, soft):
        np.testing.assert_allclose(np.diff(after.timestamps_s), 1 / FPS)
        np.testing.assert_array_equal(after.weights[:30], track.weights[:30])
    np.testing.assert_array_equal(hard.weights[30:], track.weights[61:])
    jump, slope = (np.abs(np.diff(channels.of_track(each)[:, UNIT_COUNT:], axis=0)).max() for each in (hard, soft))
    usual = np.abs(np.diff(channels.of_track(track)[:, UNIT_COUNT:], axis=0)).max()
    assert jump > 3 * usual, "or the test shows nothing"
    assert slope < usual + 0.25 * jump
    np.testing.assert_allclose(soft.weights[40:], track.weights[71:], atol=1e-12)
    np.testing.assert_allclose(soft.T_neutral_head[40:], track.T_neutral_head[71:], atol=1e-9)
    with pytest.raises(InputError, match="no frame between 50 and 60"):
        Cut(50, 60)(track)
    with pytest.raises(InputError, match="nothing would be left"):
        Cut(0, 60)(track)
    np.testing.assert_array_equal(Cut(0, 1)(track).weights, track.weights[31:], "nothing to blend with")


def test_retime_plays_faster_and_at_another_rate() -> None:
    track = talking(91)
    fast = Retime(2.0)(track)
    np.testing.assert_allclose(fast.timestamps_s - 100, (track.timestamps_s - 100) / 2)
    np.testing.assert_array_equal(fast.weights, track.weights)
    even = Retime(1.0, 60.0)(track)
    assert len(even) == 181
    same(channels.taken(even, np.arange(181) % 2 == 0), track, atol=1e-9)
    middle = rotation_vector(track.T_neutral_head[0, :3, :3]) + rotation_vector(track.T_neutral_head[1, :3, :3])
    np.testing.assert_allclose(rotation_vector(even.T_neutral_head[1, :3, :3]), middle / 2, atol=1e-9)
    half = Retime(0.5, 10.0)(track)
    assert (len(half), half.timestamps_s[-1]) == (61, pytest.approx(106.0))


@pytest.mark.parametrize("part", ["all", "face", "gaze", "head"])
@pytest.mark.parametrize("kind", [GaussianFilter(0.1), OneEuroFilter(1.0, 0.0)], ids=["gaussian", "one-euro"])
def test_filters_calm_their_part_and_leave_the_others(kind: GaussianFilter | OneEuroFilter, part: str) -> None:
    track = talking(120)
    values = channels.of_track(track)
    noise = np.random.default_rng(1).normal(0, 0.02, values.shape)
    shaky = channels.of_track(channels.to_track(track.timestamps_s, track.tracked, values + noise))
    smooth = channels.of_track(
        replace(kind, part=part)(channels.to_track(track.timestamps_s, track.tracked, values + noise))
    )

    def roughness(table: np.ndarray, columns: slice) -> float:
        return float(np.abs(np.diff(table[10:-10, columns], 2, axis=0)).mean())

    look = [name.startswith("eyeLook") for name in UNIT_NAMES]  # these follow the gaze
    of = {"face": (channels.FACE,), "gaze": channels.GAZE, "head": channels.HEAD}
    for name, all_columns in of.items():
        for columns in all_columns:
            one, other = shaky.copy(), smooth.copy()
            if name == "face":
                one[:, :UNIT_COUNT][:, look] = other[:, :UNIT_COUNT][:, look] = 0
            if part in ("all", name):
                assert roughness(other, columns) < 0.5 * roughness(one, columns)
            else:
                np.testing.assert_allclose(other[:, columns], one[:, columns], atol=1e-9)


def test_a_gaussian_filter_lags_behind_nothing_and_keeps_what_is_still() -> None:
    track = talking(61)
    still = channels.to_track(track.timestamps_s, track.tracked, np.tile(channels.of_track(track)[:1], (61, 1)))
    same(GaussianFilter(0.2)(still), still, atol=1e-12)
    weights = np.zeros((61, UNIT_COUNT))
    weights[30, JAW] = 1.0
    smooth = GaussianFilter(0.05)(replace(still, weights=weights)).weights[:, JAW]
    assert smooth.argmax() == 30
    np.testing.assert_allclose(smooth, smooth[::-1], atol=1e-12)
    assert smooth.sum() == pytest.approx(1.0, abs=1e-6)
    assert smooth[31] / smooth[30] == pytest.approx(np.exp(-0.5 * (1 / FPS / 0.05) ** 2))


def test_mirror_is_what_a_mirror_shows() -> None:
    track = talking()
    there = Mirror()(track)
    same(Mirror()(there), track, atol=1e-12)
    for left in ("eyeBlinkLeft", "jawLeft", "mouthSmileLeft", "eyeLookInLeft"):
        right = left.replace("Left", "Right")
        np.testing.assert_array_equal(
            there.weights[:, UNIT_NAMES.index(right)], track.weights[:, UNIT_NAMES.index(left)]
        )
    np.testing.assert_array_equal(there.weights[:, JAW], track.weights[:, JAW])
    np.testing.assert_array_equal(there.gaze[:, 0], track.gaze[:, 1] * [-1, 1])
    turn, mirrored = (rotation_vector(each.T_neutral_head[5, :3, :3]) for each in (track, there))
    np.testing.assert_allclose(mirrored, turn * [1, -1, -1], atol=1e-12)
    np.testing.assert_array_equal(there.T_neutral_head[:, 0, 3], -track.T_neutral_head[:, 0, 3])


def eased(track: MotionTrack, first: int, back: int) -> MotionTrack:
    """As a recording has a loss: on the way to rest from `first` on, no face until `back`, then the way back."""
    share = np.ones(len(track))
    share[first : first + 8] = np.linspace(1, 0, 8)
    share[first + 8 : back] = 0.0
    share[back : back + 12] = np.linspace(0, 1, 12)
    tracked = track.tracked.copy()
    tracked[first:back] = False
    values = channels.of_track(track) * share[:, None]
    return channels.to_track(track.timestamps_s, tracked, values)


def test_a_gap_without_a_face_is_led_over() -> None:
    whole = talking(120)
    track = eased(whole, 50, 70)
    after = BlendGaps()(track)
    assert after.tracked.all()
    assert len(after) == len(track)
    np.testing.assert_allclose(after.weights[:50], whole.weights[:50], atol=1e-12)
    np.testing.assert_allclose(after.weights[83:], whole.weights[83:], atol=1e-12)
    jaw, before = after.weights[49:83, JAW], track.weights[49:83, JAW]
    assert before.min() < 0.05, "it went to rest"
    low, high = sorted((whole.weights[49, JAW], whole.weights[82, JAW]))
    assert low - 1e-9 <= jaw.min() <= jaw.max() <= high + 1e-9
    assert np.abs(np.diff(jaw)).max() < 2.5 * (high - low) / len(jaw) + 1e-6
    same(BlendGaps(0.5)(track), track)  # a longer gap stays


def test_frames_are_put_where_there_were_none() -> None:
    whole = talking(90)
    track = channels.taken(whole, (np.arange(90) < 30) | (np.arange(90) >= 45))
    after = BlendGaps(ease_s=0.0)(track)
    assert len(after) == 90
    np.testing.assert_allclose(after.timestamps_s, whole.timestamps_s)
    assert after.tracked.all()
    np.testing.assert_allclose(after.weights[[29, 45]], whole.weights[[29, 45]], atol=1e-12)
    assert np.abs(np.diff(after.weights[29:46, JAW])).max() < 0.2
    same(BlendGaps(0.2)(track), track)


def test_gaps_at_the_ends_and_motions_without_a_face_stay() -> None:
    track = talking()
    track.tracked[:10] = track.tracked[-10:] = False
    same(BlendGaps()(track), track)
    track.tracked[:] = False
    same(BlendGaps()(track), track)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Trim(2.0, 1.0), "an end after the beginning"),
        (lambda: Cut(-1.0, 1.0), "begin -1"),
        (lambda: Cut(0.0, float("nan")), "end nan"),
        (lambda: Retime(), "neither"),
        (lambda: Retime(0.0), "speed 0"),
        (lambda: Retime(1.0, 1e9), "fps"),
        (lambda: GaussianFilter(0.0), "sigma 0"),
        (lambda: GaussianFilter(0.1, "nose"), "part 'nose'"),  # type: ignore[arg-type]
        (lambda: OneEuroFilter(-1.0), "min-cutoff"),
        (lambda: BlendGaps(float("inf")), "longest inf"),
        (lambda: FilterOptions().edit(), "give one of the two"),
        (lambda: FilterOptions(gaussian=0.1, beta=1.0).edit(), "give one of the two"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused(make: object, told: str) -> None:
    with pytest.raises(InputError) as raised:
        make()  # type: ignore[operator]
    assert told in str(raised.value)


# --- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_beside_a_session(tmp_path: Path) -> None:
    track = talking()
    assert read_edits(tmp_path, track) == ()
    assert edited(tmp_path, track) is track
    write_edits(tmp_path, ALL[:3], track)
    assert read_edits(tmp_path, track) == ALL[:3]
    same(edited(tmp_path, track), applied(track, ALL[:3]))
    write_edits(tmp_path, [Trim(500, 600)], track)
    with pytest.raises(InputError, match=r"edits\.json: edit 1, trim: nothing would be left"):
        edited(tmp_path, track)
    for other in (talking(59), Retime(1.01)(track)):
        with pytest.raises(InputError, match="edits of another recording"):
            edited(tmp_path, other)
    write_edits(tmp_path, (), track)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="1001 edits"):
        write_edits(tmp_path, [Mirror()] * 1001, track)


CUT = {"edit": "cut", "from_s": 1, "to_s": 2.0, "blend_s": 0.1}
GOOD = {"format": "vfa edits", "version": 1, "frames": 60, "seconds": 59 / FPS, "edits": [CUT]}


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\0", b"[]", {**GOOD, "seconds": "1"}, {**GOOD, "format": "x"}, {**GOOD, "version": 2},
        {**GOOD, "edits": {}}, {**GOOD, "edits": [3]},
        {**GOOD, "edits": [{"edit": ["cut"]}]},
        {**GOOD, "edits": [{"edit": "erase"}]}, {**GOOD, "edits": [{"edit": "cut"}]},
        {**GOOD, "edits": [{"edit": "cut", "from_s": "1", "to_s": 2}]},
        {**GOOD, "edits": [{"edit": "cut", "from_s": True, "to_s": 2}]},
        {**GOOD, "edits": [{"edit": "cut", "from_s": 3, "to_s": 2}]},
        {**GOOD, "edits": [{"edit": "cut", "from_s": None, "to_s": 2}]},
        {**GOOD, "edits": [{"edit": "mirror", "more": 1}]},
        {**GOOD, "edits": [{"edit": "gaussian", "sigma_s": 0.1, "part": 3}]},
        {**GOOD, "edits": [{"edit": "mirror"}] * 1001},
    ],
)  # fmt: skip
def test_a_list_that_is_none_is_one_line(content: object, tmp_path: Path) -> None:
    path = tmp_path / EDITS_NAME
    path.write_text(json.dumps(GOOD))
    track = talking()
    assert read_edits(tmp_path, track) == (Cut(1, 2.0, 0.1),)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(InputError, match=r"edits\.json") as raised:
        read_edits(tmp_path, track)
    assert "\n" not in str(raised.value)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    track = talking(40, begins_s=0.0)
    writer = AnimationWriter(tmp_path / "animation.npz", 5)
    for frame, time_s in enumerate(track.timestamps_s):
        motion = FaceMotion(track.weights[frame], track.gaze[frame], track.T_neutral_head[frame])
        writer.append(np.zeros((5, 3), np.float32), np.eye(4), float(time_s), True, motion)
    writer.close()
    return tmp_path


def test_edits_apply_to_what_is_exported_and_leave_the_recording(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (recording / "animation.npz").read_bytes()
    session(EditOptions(session=recording, change=CutOptions(0.2, 0.5)))
    session(EditOptions(session=recording, change=FilterOptions(gaussian=0.05)))
    session(ShowOptions(session=recording))
    told = capsys.readouterr().err
    assert "  2  gaussian: " in told
    assert "40 frames" in told
    assert "30 frames" in told
    take = open_take(recording)
    assert take.motion is not None
    assert take.recorded is None
    track = open_recorded(recording).motion
    assert track is not None
    same(take.motion, applied(track, read_edits(recording, track)))
    assert len(take.times_s) == len(take.tracked) == 30
    same(open_take(recording / "animation.npz").motion, take.motion)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nothing would be left"):
        session(EditOptions(session=recording, change=CutOptions(0.0, 60.0)))
    assert len(read_edits(recording, track)) == 2, "what cannot be is not kept"
    session(EditOptions(session=recording, change=UndoOptions()))
    assert read_edits(recording, track) == (Cut(0.2, 0.5),)
    with pytest.raises(InputError, match="1 edit is there"):
        session(EditOptions(session=recording, change=UndoOptions(2)))
    session(EditOptions(session=recording, change=ClearOptions()))
    assert open_take(recording).recorded is not None
    assert sorted(path.name for path in recording.iterdir()) == ["animation.npz"]
    assert (recording / "animation.npz").read_bytes() == before
    write_edits(recording, [Mirror()], talking(7))  # an earlier recording's, made over since
    with pytest.raises(InputError, match="another recording"):
        open_take(recording)
    session(EditOptions(session=recording, change=ClearOptions()))
    assert open_take(recording).recorded is not None


def test_a_folder_without_a_session_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none"):
        session(ShowOptions(session=tmp_path / "none"))
    with pytest.raises(InputError, match="animation"):
        session(ShowOptions(session=tmp_path))
    assert len(EDITS) == len({kind.name for kind in EDITS})
