"""The expression prior: what it looks at, the shipped file, and what it makes of rendered faces of unseen people."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from capture.synthetic.studio.clip_options import ClipOptions
from capture.synthetic.studio.clip_plan import plan_clip
from capture.synthetic.studio.clip_studio import ClipStudio
from core.errors import InputError
from core.frame import FaceObservation
from engine.expression.expression_features import FEATURE_COUNT, SECTIONS, ExpressionNeutral, features, section
from engine.expression.expression_prior import ExpressionPrior, PriorWeights, read_weights, reduced_count, write_weights
from engine.training.expression.expression_dataset import StillTracker
from engine.training.expression.expression_samples import make_mirror
from engine.training.expression.expression_train import PriorNet

Observe = Callable[..., FaceObservation]

ACTS = {
    "jawOpen": ("jawOpen",),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "pucker": ("mouthPucker",),
    "wink": ("eyeBlinkLeft",),
}


def turn(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    y, p = np.radians([yaw_deg, pitch_deg])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return about_y @ about_x


def grimace(points: np.ndarray) -> np.ndarray:
    moved = points.copy()
    low = points[:, 1] < points[14, 1]
    moved[low, 1] -= 0.012
    return moved


@pytest.fixture(scope="module")
def prior() -> ExpressionPrior:
    return ExpressionPrior.load()


@pytest.fixture(scope="module")
def acted(prior: ExpressionPrior) -> dict[str, dict[int, np.ndarray]]:
    """Act → view (0 colour only, 1 Kinect) → the estimated units of someone no clip of the training showed."""
    weights = np.zeros((1 + len(ACTS), len(prior.unit_names)))
    for row, units in enumerate(ACTS.values(), start=1):
        weights[row, [prior.unit_names.index(unit) for unit in units]] = 0.9
    options = ClipOptions(
        split="test",
        kind="stills",
        frames=len(weights),
        fps=1.0,
        sensor="kinect",
        light="soft",
        max_turn_deg=10.0,
        exaggeration=0.7,
    )
    plan = plan_clip(77, options, weights=weights)
    with ClipStudio() as studio, StillTracker() as tracker:
        looks = [tracker.track(shot.frame) for shot in studio.shoot(plan)]
    neutral = looks[0]
    assert neutral is not None
    result: dict[str, dict[int, np.ndarray]] = {}
    for act, found in zip(ACTS, looks[1:], strict=True):
        assert found is not None
        result[act] = {
            view: prior.estimate(look, ExpressionNeutral.of(rest))
            for view, (look, rest) in enumerate(zip(found, neutral, strict=True))
        }
    return result


def test_features_do_not_change_with_place_and_turn_of_the_head(face_points: np.ndarray, observe: Observe) -> None:
    neutral = ExpressionNeutral.of(observe(face_points))
    straight = features(observe(grimace(face_points)), neutral)
    turned = features(observe(grimace(face_points), 0.1, turn(20, -8), (0.1, 0.0, 0.2)), neutral)
    pose = section("pose")
    assert np.abs(straight[pose] - turned[pose]).max() > 0.1
    straight[pose] = turned[pose] = 0
    np.testing.assert_allclose(turned, straight, atol=1e-4)


def test_features_do_not_change_with_the_size_of_the_face(face_points: np.ndarray, observe: Observe) -> None:
    small, large = (
        features(observe(scale * grimace(face_points)), ExpressionNeutral.of(observe(scale * face_points)))
        for scale in (0.8, 1.2)
    )
    np.testing.assert_allclose(small, large, atol=5e-3)
    assert np.abs(small[section("displacement")]).max() > 0.05


def test_features_have_the_lengths_they_say(face_points: np.ndarray, observe: Observe) -> None:
    vector = features(observe(face_points), ExpressionNeutral.of(observe(face_points)))
    assert vector.shape == (FEATURE_COUNT,)
    assert section("shape").stop == FEATURE_COUNT
    assert np.abs(vector[section("displacement")]).max() < 1e-6


def test_the_mirror_swaps_sides(prior: ExpressionPrior, face_points: np.ndarray, observe: Observe) -> None:
    """Mirroring what is seen and mirroring its features are the same."""
    neutral = ExpressionNeutral.of(observe(face_points))
    mirror = make_mirror(prior.unit_names)
    skew = grimace(face_points) + 0.05 * face_points[:, :1] * np.array([0.0, 1.0, 0.0])
    seen = observe(skew, 0.0, turn(12, 5))
    vector = features(seen, neutral).astype(np.float32)
    mirrored = mirror.features(vector)
    np.testing.assert_allclose(mirror.features(mirrored), vector)
    order = mirror.order[section("displacement")].reshape(-1, 3)[:, 0] // 3
    flipped = skew.copy()
    flipped[:468] = skew[order] * [-1, 1, 1]
    for one, other in ((468, 473), (470, 475), (472, 477), (469, 476), (471, 474)):
        flipped[[one, other]] = skew[[other, one]] * [-1, 1, 1]
    again = features(observe(flipped, 0.0, turn(-12, 5)), neutral)
    for name in ("displacement", "lids", "gaze"):
        np.testing.assert_allclose(again[section(name)], mirrored[section(name)], atol=5e-3)
    assert again[section("pose")][:3] == pytest.approx(mirrored[section("pose")][:3], abs=0.02)


def test_the_runtime_equals_torch(prior: ExpressionPrior) -> None:
    import torch

    weights = _random_weights()
    net = PriorNet(weights.linear, tuple(len(bias) for _, bias in weights.layers[:-1]), 0.1).eval()
    for layer, (matrix, bias) in zip(net.layers, weights.layers, strict=True):
        layer.weight.data, layer.bias.data = torch.from_numpy(matrix), torch.from_numpy(bias)
    inputs = weights.inputs(np.random.default_rng(3).normal(size=FEATURE_COUNT))
    with torch.no_grad():
        expected = net(torch.from_numpy(inputs)[None])[0].numpy()
    np.testing.assert_allclose(weights.outputs(inputs), expected, atol=1e-4)


def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    weights = _random_weights()
    write_weights(tmp_path / "prior.npz", weights)
    again = read_weights(tmp_path / "prior.npz")
    assert again.unit_names == weights.unit_names
    np.testing.assert_allclose(again.layers[0][0], weights.layers[0][0], atol=2e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["prior.npz"]


def test_a_face_at_rest_does_nothing(prior: ExpressionPrior, face_points: np.ndarray, observe: Observe) -> None:
    neutral = ExpressionNeutral.of(observe(face_points))
    at_rest = prior.estimate(observe(face_points, 0.1, turn(10, 3)), neutral)
    assert np.abs(at_rest).max() < 0.15


@pytest.mark.parametrize("view", [0, 1], ids=["colour", "kinect"])
@pytest.mark.parametrize("act", ACTS)
def test_an_unseen_face_is_read(
    prior: ExpressionPrior, acted: dict[str, dict[int, np.ndarray]], act: str, view: int
) -> None:
    estimated = acted[act][view]
    of_act = [prior.unit_names.index(unit) for unit in ACTS[act]]
    assert estimated[of_act].min() > 0.45
    others = np.setdiff1d(np.arange(len(estimated)), of_act)
    assert np.abs(estimated[others]).max() < estimated[of_act].mean()


def test_a_wink_is_not_a_blink(prior: ExpressionPrior, acted: dict[str, dict[int, np.ndarray]]) -> None:
    shut, open_ = (prior.unit_names.index(f"eyeBlink{side}") for side in ("Left", "Right"))
    for estimated in acted["wink"].values():
        assert estimated[shut] - estimated[open_] > 0.4


def test_the_file_is_small_and_fits_the_heads(prior: ExpressionPrior) -> None:
    from capture.synthetic.head.head_data import load_head_data
    from engine.expression.expression_prior import PRIOR_FILE

    assert PRIOR_FILE.stat().st_size < 3_000_000
    assert prior.unit_names == load_head_data().names("unit")


@pytest.mark.parametrize("content", [b"", b"not a zip archive", None], ids=["empty", "other", "missing"])
def test_an_unusable_file_is_said_so(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "prior.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"prior\.npz: expected an expression prior"):
        ExpressionPrior.load(path)


def test_a_file_with_wrong_shapes_is_refused(tmp_path: Path) -> None:
    weights = _random_weights()
    write_weights(tmp_path / "prior.npz", weights)
    with np.load(tmp_path / "prior.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / "short.npz", **(arrays | {"linear": arrays["linear"][:, :-1]}))
    with pytest.raises(InputError, match="finite linear of shape"):
        ExpressionPrior.load(tmp_path / "short.npz")
    np.savez(tmp_path / "newer.npz", **(arrays | {"format": np.array(99)}))
    with pytest.raises(InputError, match="expected format"):
        ExpressionPrior.load(tmp_path / "newer.npz")
    with pytest.raises(ValueError, match="unit names"):
        replace(weights, unit_names=weights.unit_names[:-1])


def _random_weights() -> PriorWeights:
    rng = np.random.default_rng(2)
    inputs = reduced_count(12, 4)

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.05, shape).astype(np.float32)

    return PriorWeights(
        tuple(f"unit{number}" for number in range(52)),
        matrix(12, SECTIONS["displacement"]),
        matrix(4, SECTIONS["shape"]),
        matrix(inputs),
        1 + matrix(inputs),
        matrix(52, inputs),
        ((matrix(16, inputs), matrix(16)), (matrix(8, 16), matrix(8)), (matrix(52, 8), matrix(52))),
    )
