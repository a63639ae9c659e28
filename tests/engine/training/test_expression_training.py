"""How the expression prior is made: clips of people, samples of clips, a fit of samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calib.rig.template_units import template_data
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.studio.artists import ARTISTS
from capture.synthetic.studio.clip_studio import ClipStudio
from capture.synthetic.studio.people import random_person
from core.errors import InputError
from engine.expression.expression_features import FEATURE_COUNT, section
from engine.expression.expression_prior import read_weights, write_weights
from engine.training.expression.clip_record import VIEWS, ClipRecord, load_records
from engine.training.expression.expression_dataset import StillTracker, describing_units, make_plan, record_clip
from engine.training.expression.expression_samples import Samples, make_samples, unit_metric
from engine.training.expression.expression_score import explained_motion
from engine.training.expression.expression_train import PriorTrainingOptions, train


@pytest.fixture(scope="module")
def record() -> ClipRecord:
    plan = make_plan(3, "test", 11, 0.0, 0.0)
    with ClipStudio() as studio, StillTracker() as tracker:
        found = record_clip(studio.shoot(plan), tracker, np.eye(52), plan.sensor)
    assert found is not None
    return found


def test_a_clip_is_seen_with_and_without_depth(record: ClipRecord, tmp_path: Path) -> None:
    count = len(record.units)
    assert count > 8
    assert record.landmarks.shape == (count, len(VIEWS), 478, 3)
    assert not record.measured[:, 0].any()
    assert record.measured[:, 1].all()
    assert not record.units[0].any()
    record.save(tmp_path / "000003.npz")
    (again,) = load_records(tmp_path)
    np.testing.assert_array_equal(again.landmarks, record.landmarks)
    assert again.sensor == record.sensor
    seen = again.observation(2, 1)
    np.testing.assert_allclose(seen.landmarks_head_m(), record.landmarks[2, 1], atol=1e-5)


def test_every_look_is_compared_with_neutral_looks(record: ClipRecord) -> None:
    samples = make_samples([record], seed=0, neutrals=2)
    assert len(samples) == len(record.units) * len(VIEWS) * 2
    assert samples.features.shape[1] == FEATURE_COUNT
    same = np.abs(samples.features[:, section("displacement")]).max(axis=1) < 1e-5
    assert not samples.units[same].any()
    assert same.any()


def test_a_folder_without_clips_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected clips, found none"):
        load_records(tmp_path)


def test_people_who_move_as_the_template_keep_their_units() -> None:
    person = random_person(5, "test")
    model = person.model
    template = HeadModel(model.identity, model.palette, data=template_data(), topology=model.topology)
    np.testing.assert_allclose(describing_units(replace(person, model=template)), np.eye(52), atol=1e-6)


@pytest.mark.parametrize("artist", ARTISTS)
def test_what_an_artist_calls_a_smile_is_a_smile(artist: str) -> None:
    """Each unit is its namesake, as many times as it goes farther; what opens and closes stays in step."""
    person = random_person(5, "test", artists=(artist,))
    labels = describing_units(person)
    gains = dict(zip(person.unit_names, np.diag(labels), strict=True))
    np.testing.assert_array_equal(labels, np.diag(np.diag(labels)))
    assert gains["eyeBlinkLeft"] == gains["tongueOut"] == 1.0
    assert gains["mouthClose"] == gains["jawOpen"]
    assert min(gains["mouthSmileLeft"], gains["jawOpen"]) > 0.25
    assert max(gains["mouthSmileLeft"], gains["jawOpen"]) < 2.0


def test_bent_units_are_described_by_what_they_do() -> None:
    """Gains from 0.6 to 1.5 are found, beside what the units' artist has; a blink, which no one bends, stays one."""
    person = random_person(5, "test", bent=True)
    labels = describing_units(person)
    blink = person.unit_names.index("eyeBlinkLeft")
    gains = np.diag(labels)
    assert gains[blink] == pytest.approx(1.0, abs=0.05)
    bent = np.array([not name.startswith(("eyeLook", "tongue")) for name in person.unit_names])
    seen, own = gains[bent], np.diag(describing_units(random_person(5, "test")))[bent]
    assert 0.3 < np.quantile(seen / own, 0.1) < 0.9  # some units of two artists have little in common
    assert 1.1 < np.quantile(seen / own, 0.9) < 1.8


def test_explained_motion_has_the_ends_it_should() -> None:
    head = random_person(5, "test").model
    truth = np.zeros(52)
    truth[head.unit_names.index("jawOpen")] = 0.8
    assert explained_motion(truth, truth, head) == pytest.approx(1.0)
    assert explained_motion(np.zeros(52), truth, head) == pytest.approx(0.0)
    assert explained_motion(truth, np.zeros(52), head) is None


def test_training_learns_what_can_be_learned() -> None:
    """Units that are a linear function of the displacement are found, on samples that were not trained on."""
    rng = np.random.default_rng(4)
    basis = rng.normal(0, 0.01, (52, FEATURE_COUNT)).astype(np.float32)
    units = np.where(rng.random((1200, 52)) < 0.2, rng.random((1200, 52)), 0).astype(np.float32)
    basis[:, section("displacement").stop :] = 0
    rows = units @ basis
    none = np.zeros(len(units), np.int64)
    options = PriorTrainingOptions(
        Path("unused"), epochs=3, batch=64, hidden=(16,), components=52, shape_components=1, pose_noise=0.0, ridge=0.1
    )
    known = Samples(rows[:1000], units[:1000], none[:1000], none[:1000], np.full(1000, "ideal"))
    weights = train(known, options)
    estimated = np.array([weights.outputs(weights.inputs(row)) for row in rows[1000:]])
    wrong = np.sqrt(np.square(estimated - units[1000:]).mean())
    assert wrong < 0.25 * np.sqrt(np.square(units[1000:]).mean())


def test_training_goes_on_from_a_file(tmp_path: Path) -> None:
    """With a rate of next to nothing, what comes out is what went in."""
    rng = np.random.default_rng(5)
    rows = rng.normal(0, 0.1, (64, FEATURE_COUNT)).astype(np.float32)
    units = rng.random((64, 52)).astype(np.float32)
    none = np.zeros(len(units), np.int64)
    samples = Samples(rows, units, none, none, np.full(len(units), "ideal"))
    options = PriorTrainingOptions(Path("unused"), epochs=1, batch=32, hidden=(8,), components=6, shape_components=2)
    write_weights(tmp_path / "start.npz", train(samples, options))
    before = read_weights(tmp_path / "start.npz")
    after = train(samples, replace(options, start=tmp_path / "start.npz", rate=1e-9, components=99, hidden=(3,)))
    for row in rows[:4]:
        np.testing.assert_allclose(after.outputs(after.inputs(row)), before.outputs(before.inputs(row)), atol=1e-4)


def test_lips_and_jaw_count_in_the_metric() -> None:
    metric = unit_metric()
    size = dict(zip(metric.unit_names, np.sqrt(np.diag(metric.gram)), strict=True))
    assert np.linalg.eigvalsh(metric.gram).min() > -1e-9
    assert size["jawOpen"] > size["mouthSmileLeft"] > size["browInnerUp"] > 0.1
    assert size["mouthSmileLeft"] == pytest.approx(size["mouthSmileRight"], rel=0.05)
