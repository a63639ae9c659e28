"""The likeness benchmark judges right: figures on hand-made motion, and heads whose truth is the truth."""

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.likeness import summarise
from benchmarks.likeness_heads import HEADS, Anatomy, SpaceWarp, make_head
from benchmarks.likeness_metrics import (
    Take,
    blinks_closed,
    closure,
    explained_per_frame,
    explained_pooled,
    jitter,
    lag,
    likeness,
    lip_gaps,
)
from benchmarks.retracked import rim_aperture
from calib.avatar import prepare_avatar
from capture.synthetic import builtin_avatar_path
from core.expression_units import UNIT_NAMES
from engine.expression.expression_engine import ExpressionEngine
from render.mesh.mesh_io import load_mesh
from render.mesh.mesh_save import save_ply

T = 90
TIMES = np.arange(T) / 30
STILL = TIMES[-1] - 0.7 < TIMES


def toy_anatomy() -> tuple[np.ndarray, Anatomy]:
    """A face of 25 + 13 lip points, 2 · 14 lid points and 40 of cheek: rest [E, 3] and what is what."""
    x_upper = np.linspace(-0.024, 0.024, 25)
    x_lower = np.linspace(-0.022, 0.022, 13)
    lips = np.concatenate([np.stack([x, np.full_like(x, -0.067), 0 * x], axis=1) for x in (x_upper, x_lower)])
    x_lid = np.linspace(0.02, 0.04, 7)
    lids = [np.stack([sign * x_lid, np.full(7, y), np.zeros(7)], axis=1) for sign in (1, -1) for y in (0.005, -0.005)]
    cheek = np.stack([np.linspace(-0.05, 0.05, 40), np.full(40, -0.04), np.zeros(40)], axis=1)
    rest = np.concatenate([lips, *lids, cheek])
    which = np.arange(len(rest))
    regions = {"lips": which < 38, "lids": (which >= 38) & (which < 66), "cheeks": which >= 66}
    lower = np.array([0, *range(25, 38), 24])
    upper_lids, lower_lids = (np.stack([np.arange(7) + 38 + below, np.arange(7) + 52 + below]) for below in (0, 7))
    return rest, Anatomy(regions, np.arange(25), lower, upper_lids, lower_lids)


def toy_motion(shift_s: float = 0.0) -> np.ndarray:
    """[T, E, 3] a mouth that opens twice, two blinks and a cheek that rises, all at rest at the end."""
    rest, anatomy = toy_anatomy()
    at = TIMES - shift_s
    opening = 0.012 * np.exp(-(((at - 0.7) / 0.15) ** 2)) + 0.008 * np.exp(-(((at - 1.4) / 0.12) ** 2))
    shut = np.exp(-(((at - 0.5) / 0.05) ** 2)) + np.exp(-(((at - 1.2) / 0.05) ** 2))
    motion = np.zeros((T, len(rest), 3), dtype=np.float32)
    motion[:, 25:38, 1] = -opening[:, None]
    motion[:, anatomy.upper_lids.ravel(), 1] = -0.01 * shut[:, None]
    motion[:, 66:, 1] = 0.5 * opening[:, None]
    return motion


def take(predicted: np.ndarray) -> Take:
    return Take(toy_anatomy()[0], toy_motion(), predicted.astype(np.float32), TIMES, STILL)


def test_a_perfect_answer_earns_one_and_no_error() -> None:
    figures = likeness(take(toy_motion()), toy_anatomy()[1])
    for name in ("explained", "explained_pooled", "lips_explained", "lids_explained", "cheeks_explained"):
        assert figures[name] == pytest.approx(1)
    for name in ("error_mm", "p95_mm", "lips_mm", "lids_mm", "lip_aperture_mm", "lip_corner_mm", "jitter_mm", "lag_ms"):
        assert figures[name] == pytest.approx(0, abs=0.02)
    for name in ("lips_closed", "blinks_closed", "aperture_r"):
        assert figures[name] == pytest.approx(1)
    assert figures["lids_closure"] > 0.95


def test_doing_nothing_earns_zero() -> None:
    figures = likeness(take(0 * toy_motion()), toy_anatomy()[1])
    assert figures["explained"] == figures["explained_pooled"] == 0
    assert figures["blinks_closed"] == figures["lids_closure"] == 0
    assert figures["error_mm"] == pytest.approx(
        1e3 * np.linalg.norm(toy_motion(), axis=2)[np.linalg.norm(toy_motion(), axis=2) > 0.0005].mean()
    )
    assert math.isnan(figures["lag_ms"])
    assert math.isnan(figures["aperture_r"])


def test_half_the_motion_is_half_explained_and_the_opposite_is_worse_than_nothing() -> None:
    assert likeness(take(0.5 * toy_motion()), toy_anatomy()[1])["explained"] == pytest.approx(0.5)
    assert likeness(take(-toy_motion()), toy_anatomy()[1])["explained"] == pytest.approx(-1)


def test_still_frames_and_still_vertices_do_not_count() -> None:
    size = np.zeros((2, 50), dtype=np.float32)
    size[0, :10] = 0.004
    error = np.full((2, 50), 0.001, dtype=np.float32)
    scores = explained_per_frame(error, size)
    assert scores[0] == pytest.approx(0.75)
    assert math.isnan(scores[1])
    assert explained_pooled(error, size, size > 0.0005) == pytest.approx(0.75)


def test_lips_that_pass_through_each_other_and_lips_that_gape_are_told() -> None:
    _, anatomy = toy_anatomy()
    through = toy_motion()
    through[10, 25:38, 1] = 0.002
    assert likeness(take(through), anatomy)["lips_through_mm"] == pytest.approx(2, abs=0.01)
    gaping = toy_motion()
    gaping[:, 25:38, 1] -= 0.003
    figures = likeness(take(gaping), anatomy)
    assert figures["lips_closed"] == 0
    assert figures["lip_aperture_mm"] == pytest.approx(3, abs=0.01)
    gaps = lip_gaps(take(gaping), gaping, anatomy)
    assert gaps.shape == (T, 11)
    assert gaps[0] == pytest.approx(np.full(11, 0.003), abs=1e-6)


def test_a_late_blink_has_its_lag_measured_to_a_few_milliseconds() -> None:
    for late_s in (0.015, 0.060):
        figures = likeness(take(toy_motion(late_s)), toy_anatomy()[1])
        assert figures["lag_ms"] == pytest.approx(1e3 * late_s, abs=8)
    assert math.isnan(lag(np.zeros(T), np.zeros(T), TIMES))


def test_lids_that_close_half_way_do_not_count_as_blinks() -> None:
    _, anatomy = toy_anatomy()
    half = toy_motion()
    half[:, anatomy.upper_lids.ravel()] *= 0.5
    figures = likeness(take(half), anatomy)
    assert figures["blinks_closed"] == 0
    assert figures["lids_closure"] == pytest.approx(0.5, abs=0.05)
    assert closure(take(half), toy_motion(), anatomy).max() == pytest.approx(1)
    shut = np.array([[0, 0], [1, 0], [0, 0], [1, 1], [0, 0]], dtype=float)
    assert blinks_closed(shut, shut * [1, 0]) == pytest.approx(2 / 3)


def test_jitter_is_the_spread_about_the_mean() -> None:
    rng = np.random.default_rng(3)
    noisy = (1 + rng.normal(0, 0.0002, (4000, 20, 3))).astype(np.float32)
    assert jitter(noisy) == pytest.approx(0.0002 * np.sqrt(3), rel=0.02)
    assert math.isnan(jitter(noisy[:1]))


def test_summaries_are_means_of_the_known() -> None:
    takes = [
        {"engine": name, "explained": value, "kind": "x"} for name, value in (("a", 1.0), ("a", math.nan), ("b", 0.5))
    ]
    assert summarise(takes, ("engine",)) == [
        {"engine": "a", "takes": 2, "explained": 1.0},
        {"engine": "b", "takes": 1, "explained": 0.5},
    ]


@pytest.mark.parametrize("kind", HEADS)
def test_heads_are_bare_meshes_whose_truth_starts_at_rest(kind: str, tmp_path: Path) -> None:
    head = make_head(HEADS.index(kind), kind)
    neutral = head.truth(np.zeros(52))
    assert np.abs(neutral - head.mesh.vertices).max() < 1e-6 / head.metres
    assert not head.mesh.parts
    save_ply(head.mesh, tmp_path / "head.ply")
    loaded = load_mesh(tmp_path / "head.ply")
    assert np.array_equal(loaded.vertices, head.mesh.vertices)
    weights = np.zeros((2, 52))
    weights[1, head.unit_names.index("jawOpen")] = 1
    weights[1, head.unit_names.index("eyeBlinkLeft")] = 1
    motion = head.displacement_m(weights)
    assert np.abs(motion[0]).max() < 1e-6
    rest, anatomy = head.rest_m(), head.anatomy
    take = Take(rest, motion, motion, np.arange(2) / 30, np.zeros(2, dtype=bool))
    assert 0.008 < lip_gaps(take, motion, anatomy)[1].max() < 0.05
    left, right = closure(take, motion, anatomy)[1]
    assert left == pytest.approx(1, abs=0.02)
    assert abs(right) < 0.1
    height = {name: float(rest[region, 1].mean()) for name, region in anatomy.regions.items()}
    assert height["brows"] > height["lids"] > height["cheeks"] > height["lips"] > height["jaw"]


def test_a_remeshed_head_shares_no_edge_with_the_person_but_lies_on_it() -> None:
    plain, other = make_head(1, "cc0"), make_head(1, "remeshed")
    edges = [
        {tuple(sorted(pair)) for face in head.mesh.faces.tolist() for pair in (face[:2], face[1:], face[::2])}
        for head in (plain, other)
    ]
    place = [np.round(head.mesh.vertices * head.metres, 6) for head in (plain, other)]
    seen = [
        {frozenset((points[a].tobytes(), points[b].tobytes())) for a, b in of if abs(points[a][0]) > 1e-4}
        for points, of in zip(place, edges, strict=True)
    ]
    skin_edges = len(seen[1])
    assert len(seen[0] & seen[1]) < 0.35 * skin_edges  # eyes, teeth and tongue stay as they are
    assert other.metres == 0.01


def test_the_warp_is_smooth_and_not_linear() -> None:
    warp = SpaceWarp(np.random.default_rng(0))
    points = np.random.default_rng(1).uniform(-0.1, 0.1, (500, 3))
    step = np.array([0.01, 0.0, 0.0])
    stretch = np.linalg.norm(warp(points + step) - warp(points), axis=1) / 0.01
    assert stretch.min() > 0.5
    assert stretch.max() < 1.7
    assert stretch.std() > 0.02


def test_the_aperture_of_an_avatars_own_rims_closes_with_its_lids() -> None:
    avatar = prepare_avatar(builtin_avatar_path("lowpoly"))
    engine = ExpressionEngine(avatar, "fixed")
    blink = np.zeros(len(UNIT_NAMES))
    apertures = []
    for weight in (0.0, 0.5, 1.0):
        blink[[UNIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = weight
        apertures.append(rim_aperture(avatar.rig, engine.posed(blink, np.zeros((2, 2)))))
    assert apertures[0] > 0.1
    assert apertures[1] == pytest.approx(apertures[0] / 2, rel=0.15)
    assert apertures[2] < 0.1 * apertures[0]
