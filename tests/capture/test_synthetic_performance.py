"""The minute of acting: neutral at both ends, without jumps, with speech, blinks and gaze as people have them."""

import numpy as np
import pytest

from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.head.posing import NeckPose, T_world_head
from capture.synthetic.performer.performance import FPS, SECONDS, make_performance
from capture.synthetic.performer.script import UTTERANCES
from capture.synthetic.performer.speech import SAME_SHAPE, VISEMES, Utterance, sounds_of, speech_weights
from tools.assets.characters import CHARACTERS

UNITS = load_head_data().names("unit")


@pytest.fixture(scope="module")
def minute():
    return make_performance(UNITS)


def column(minute, name: str) -> np.ndarray:
    return minute.weights[:, UNITS.index(name)]


def test_is_a_minute_and_the_same_every_time(minute):
    again = make_performance(UNITS)
    assert minute.weights.shape == (round(SECONDS * FPS), 52)
    assert np.array_equal(minute.weights, again.weights)
    assert np.array_equal(minute.head_deg, again.head_deg)


def test_starts_with_a_second_of_neutral_and_ends_neutral(minute):
    for part in (slice(0, round(FPS)), slice(-round(FPS), None)):
        assert minute.weights[part].max() == 0
        assert np.abs(minute.head_deg[part]).max() == 0


def test_loops_without_a_seam(minute):
    assert np.abs(minute.weights[0] - minute.weights[-1]).max() == 0
    assert abs(minute.breath[0] - minute.breath[-1]) < 0.05


def test_weights_are_weights_and_nothing_jumps_but_lids_and_eyes(minute):
    assert minute.weights.min() >= 0
    assert minute.weights.max() <= 1
    slow = [i for i, name in enumerate(UNITS) if not name.startswith(("eyeBlink", "eyeLook"))]
    assert np.abs(np.diff(minute.weights[:, slow], axis=0)).max() < 0.45
    assert np.abs(np.diff(minute.head_deg, axis=0)).max() < 4  # degrees a frame


def test_uses_nearly_every_unit(minute):
    unused = {name for name in UNITS if column(minute, name).max() < 0.1}
    assert unused <= {"jawForward", "mouthClose", "mouthShrugUpper"}


def test_blinks_every_few_seconds_and_closes_faster_than_it_opens(minute):
    blink = column(minute, "eyeBlinkLeft")
    shut = np.flatnonzero((blink[1:] > 0.7) & (blink[:-1] <= 0.7))
    assert 12 <= len(shut) <= 30
    gaps = np.diff(shut) / FPS
    assert 2.0 < np.median(gaps) < 5.0
    rising, falling = (blink[1:] > blink[:-1] + 0.02).sum(), (blink[1:] < blink[:-1] - 0.02).sum()
    assert falling > 1.3 * rising


def test_head_turns_both_ways_and_nods(minute):
    turn, nod, tilt = minute.head_deg.T
    assert turn.max() > 25
    assert turn.min() < -25
    assert nod.max() > 6
    assert nod.min() < -6
    assert np.abs(tilt).max() > 5


def test_eyes_hold_the_camera_while_the_head_moves(minute):
    """The eyes turn against the head while the script leaves them on the camera."""
    looking_left = column(minute, "eyeLookOutLeft") - column(minute, "eyeLookInLeft")
    steady = slice(round(29.0 * FPS), round(29.7 * FPS))  # the head turns back from the left, eyes on the camera
    assert np.corrcoef(looking_left[steady], minute.head_deg[steady, 0])[0, 1] < -0.9


def test_gaze_moves_in_jumps(minute):
    speed = np.abs(np.diff(column(minute, "eyeLookOutLeft")))
    assert np.percentile(speed, 99.5) > 8 * np.median(speed[speed > 0])


def test_utterances_do_not_overlap():
    rng = np.random.default_rng(0)
    ends = []
    for utterance in UTTERANCES:
        sounds = sounds_of(utterance, rng)
        if ends:
            assert utterance.start_s > ends[-1] - 0.35
        ends.append(sounds[-1].centre_s)


def test_every_sound_of_the_script_has_a_shape():
    tokens = {token.lstrip("'") for utterance in UTTERANCES for token in utterance.phonemes.split()}
    assert {SAME_SHAPE.get(token, token) for token in tokens - {"|", ","}} <= set(VISEMES)


def test_lips_close_for_m_between_vowels():
    times = np.arange(0, 1.5, 1 / 120)
    sounds = sounds_of(Utterance(0.2, "'AA M 'AA"), np.random.default_rng(1))
    jaw = speech_weights(sounds, times, UNITS)[:, UNITS.index("jawOpen")]
    at = {sound.name: np.searchsorted(times, sound.centre_s) for sound in sounds[1:-1]}
    first_vowel = np.searchsorted(times, sounds[1].centre_s)
    assert jaw[at["M"]] < 0.25 * jaw[first_vowel]


def test_louder_speech_opens_the_mouth_further():
    times = np.arange(0, 2, 1 / 30)
    jaw = []
    for loudness in (0.5, 1.2):
        sounds = sounds_of(Utterance(0.3, "'AA B AA", loudness), np.random.default_rng(2))
        jaw.append(speech_weights(sounds, times, UNITS)[:, UNITS.index("jawOpen")].max())
    assert jaw[1] > 1.2 * jaw[0]


def test_neck_leaves_shoulders_and_turns_the_face_rigidly():
    model = CHARACTERS["performer"].model()
    neck, rest = NeckPose(model), model.vertices()
    pose = np.array([25.0, 8.0, -5.0])
    posed = neck.posed(rest, pose)
    transform = T_world_head(pose)
    eye = model.part("eye_left")
    assert np.allclose(posed[eye], rest[eye] @ transform[:3, :3].T + transform[:3, 3], atol=1e-9)
    template = model.topology.matrix @ model.data.vertices
    shoulders = np.flatnonzero((template[:, 1] < -0.2) & (np.arange(len(template)) < model.part("skin").stop))
    assert np.allclose(posed[shoulders], rest[shoulders])
    assert np.allclose(neck.posed(rest, np.zeros(3)), rest)
    nose = np.argmax(rest[model.part("skin"), 2])
    assert posed[nose, 0] > rest[nose, 0] + 0.02  # a turn to the person's left, +x
