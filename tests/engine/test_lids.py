"""Lids are visors: they meet on the ball along their length, cover it, stretch evenly and carry their lashes."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.contact_sheet import STATES, posed
from calib.avatar import Avatar, prepare_avatar
from calib.rig.face_rig import EyeRig, FaceRig
from calib.rig.lid_rig import RIM_COLUMNS, LidRig
from capture.synthetic import builtin_avatar_path
from engine.expression import unit_skin
from engine.expression.expression_engine import ExpressionEngine
from engine.motion import lids as lids_module
from engine.motion import retarget
from engine.motion.driver_face import DriverMotion
from engine.motion.lids import Lids, _gentle, finished

WIDTH, RADIUS = 0.2, 0.1
ROWS = 41


@pytest.fixture(autouse=True, params=("compiled", "numpy"))
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it twice: with a compiler and without one."""
    if request.param == "numpy":
        for module in (lids_module, retarget, unit_skin):
            monkeypatch.setattr(module, "compiled_kernels", lambda: None)


def made_up(prepared: Avatar) -> tuple[FaceRig, np.ndarray]:
    """A ball of RADIUS at the origin under a skin with an almond of an opening, with lashes on its upper rim; and the
    [2, ROWS, 33] numbers of the vertices of the upper and the lower lid, from its rim outwards."""
    along = np.linspace(0, 1, RIM_COLUMNS)
    x = (along - 0.5) * WIDTH * 0.9
    half = 0.5 * np.sin(np.pi * along) ** 0.8
    grids = []
    for sign in (1.0, -1.0):
        angle = sign * (half + np.linspace(0, 0.8, ROWS)[:, None])
        flat = np.sqrt((1.05 * RADIUS) ** 2 - x**2)
        grids.append(np.stack([np.broadcast_to(x, angle.shape), flat * np.sin(angle), flat * np.cos(angle)], axis=-1))
    skin = np.concatenate([grid.reshape(-1, 3) for grid in grids])
    numbers = np.arange(2 * ROWS * RIM_COLUMNS).reshape(2, ROWS, RIM_COLUMNS)
    roots = grids[0][0, 4:-4]
    lash = np.stack([roots, roots + np.array([0.0, 0.02, 0.03])], axis=1).reshape(-1, 3)
    share = np.tile(np.clip(1 - np.linspace(0, 1.2, ROWS), 0, 1)[:, None], (1, RIM_COLUMNS)).ravel()
    nothing = np.zeros_like(share)
    rims = np.stack([numbers[0, 0], numbers[1, 0], numbers[1, 8]])
    lids = LidRig(
        numbers.ravel(),
        np.tile(along, 2 * ROWS),
        np.concatenate([share, nothing]),
        np.concatenate([nothing, share]),
        np.tile(np.clip(3 * share - 2, 0, 1), 2),
        np.stack([rims, rims], axis=-1),
        np.zeros((3, RIM_COLUMNS)),
        0.15,
        np.zeros(2),
        len(skin) + np.arange(len(lash)),
        np.repeat(along[4:-4], 2),
        np.ones(len(lash), dtype=bool),
    )
    gap = (grids[0][0] - grids[1][0])[:, 1]
    eye = EyeRig(
        np.eye(3), 0.9 * WIDTH, grids[0][0], grids[1][0], gap, np.zeros(RIM_COLUMNS), np.zeros(3), np.full(16, RADIUS),
        np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64),
    )  # fmt: skip
    rest = np.concatenate([skin, lash]).astype(np.float32)
    return replace(prepared.rig, rest=rest, eyes=(eye, eye), lids=(lids, lids)), numbers


def closed(rig: FaceRig, closing: float) -> np.ndarray:
    vertices = rig.rest.copy()
    lids = Lids(rig, 0)
    lids.apply(vertices, closing)
    lids.place_lashes(vertices)
    return vertices


def test_open_lids_stay_as_they_are(prepared: Avatar) -> None:
    rig, _ = made_up(prepared)
    np.testing.assert_allclose(closed(rig, 0.0), rig.rest, atol=1e-6)


@pytest.mark.parametrize("closing", [0.25, 0.5, 0.75])
def test_lids_close_in_proportion_on_the_ball(prepared: Avatar, closing: float) -> None:
    rig, numbers = made_up(prepared)
    vertices = closed(rig, closing)

    def opening(points: np.ndarray) -> np.ndarray:
        angle = np.arctan2(points[numbers[:, 0], 1], points[numbers[:, 0], 2])
        return np.asarray(angle[0] - angle[1])

    np.testing.assert_allclose(opening(vertices), (1 - closing) * opening(rig.rest), atol=0.01)
    np.testing.assert_allclose(np.linalg.norm(vertices[numbers], axis=-1), 1.05 * RADIUS, rtol=0.02)


def test_shut_lids_show_nothing_of_the_ball(prepared: Avatar) -> None:
    """Rays from the front at every place where the open eye showed its ball meet a lid."""
    rig, numbers = made_up(prepared)
    vertices = closed(rig, 1.0)
    upper, lower = vertices[numbers[0]], vertices[numbers[1]]
    assert (upper[0, :, 1] <= lower[0, :, 1] + 1e-6).all(), "no column stays open"
    for lid in (upper, lower):
        assert np.linalg.norm(lid, axis=-1).min() > RADIUS, "no lid lies within the ball"
    assert (np.diff(upper[..., 1], axis=0) > -1e-6).all(), "nor does a lid fold over itself"
    crossing = np.abs(upper[0, :, 1] - lower[0, :, 1])
    assert crossing.max() < 0.03 * WIDTH


@pytest.mark.parametrize("inner", [True, False])
def test_a_fold_that_overhangs_a_corner_is_not_pulled_down_below_the_lower_rim(prepared: Avatar, inner: bool) -> None:
    """An epicanthic fold is skin of the upper rim that goes along with the lower lid: no turn of the upper one closes
    it, and none may drag what is beside it over the lower lid."""
    rig, numbers = made_up(prepared)
    upper = numbers[0] if inner else numbers[0, :, ::-1]
    lids, rest = rig.lids[0], rig.rest.copy()
    rest[upper[:, :3]] *= 1.12
    goes_up, goes_down = lids.upper.copy(), lids.lower.copy()
    goes_down[upper[:, :2]] = goes_up[upper[:, :2]]
    goes_up[upper[:, :2]] = 0.0
    folded = replace(lids, upper=goes_up, lower=goes_down)
    vertices = closed(replace(rig, rest=rest, lids=(folded, folded)), 1.0)
    below = rest[numbers[1, 0], 1] - vertices[numbers[0], 1]
    assert below.max() < 0.02 * WIDTH
    rims = vertices[numbers[:, 0]]
    inside = slice(3, -1) if inner else slice(1, -3)
    assert (rims[0, inside, 1] <= rims[1, inside, 1] + 1e-6).all(), "beside the fold lids shut"


def test_a_corner_just_beyond_the_rims_lets_lids_overlap_hardly_more_than_one_at_their_end(prepared: Avatar) -> None:
    rig, numbers = made_up(prepared)

    def below(corner: float) -> float:
        lids = replace(rig.lids[0], corners=np.array([0.0, corner]))
        vertices = closed(replace(rig, lids=(lids, lids)), 1.0)
        return float((vertices[numbers[1, 0], 1] - vertices[numbers[0, 0], 1]).max())

    assert below(0.1) < below(0.0) + 0.01 * WIDTH
    assert below(0.2) > below(0.0) + 0.03 * WIDTH, "over flesh in a corner far beyond they close"


def test_skin_where_both_lids_meet_goes_along_with_the_one_on_whose_side_it_lies(lowpoly: Avatar) -> None:
    """Faces of both lids share the corners of their rims, so the way along the surface does not tell these apart."""
    rig = lowpoly.rig
    for own, lids in zip(rig.eyes, rig.lids, strict=True):
        ends = np.unique(lids.rims[:2])
        shares = np.zeros((len(rig.rest), 2))
        shares[lids.vertices] = np.stack([lids.upper, lids.lower], axis=1)
        along, height = (((rig.rest[ends] - own.upper[0]) @ axis) / own.width for axis in own.frame[:2])
        rims = ((own.upper + own.lower) / 2 - own.upper[0]) @ own.frame[:2].T / own.width
        over = height - np.interp(along, *rims.T)
        for sign, share in ((1, shares[ends, 0]), (-1, shares[ends, 1])):
            chosen = (along > -0.05) & (along < 1.05) & (sign * over > 0.004)
            assert chosen.sum() >= 4
            assert share[chosen].min() > 0.5


def test_coarse_rims_leave_no_slit_between_their_few_corners(prepared: Avatar) -> None:
    """Both rims are straight from every eighth column to the next, out of step with each other."""
    rig, numbers = made_up(prepared)
    columns = np.arange(RIM_COLUMNS)
    rims, share = rig.lids[0].rims.copy(), rig.lids[0].rim_share.copy()
    for row, start in enumerate((0, 4)):
        first = np.clip((columns - start) // 8 * 8 + start, 0, None)
        last = np.minimum(np.where(columns < start, start, first + 8), RIM_COLUMNS - 1)
        rims[row] = np.stack([numbers[row, 0, first], numbers[row, 0, last]], axis=-1)
        share[row] = (columns - first) / np.maximum(last - first, 1)
    coarse = replace(rig.lids[0], rims=rims, rim_share=share)
    vertices = closed(replace(rig, lids=(coarse, coarse)), 1.0)
    upper, lower = (
        vertices[ends[:, 0]] + part[:, None] * (vertices[ends[:, 1]] - vertices[ends[:, 0]])
        for ends, part in zip(rims[:2], share[:2], strict=True)
    )
    over = np.arctan2(lower[:, 1], lower[:, 2]) - np.arctan2(upper[:, 1], upper[:, 2])
    assert over[1:-1].min() > -0.006
    assert over.max() < 0.06


def test_no_edge_of_a_closing_lid_grows_beyond_measure(prepared: Avatar) -> None:
    rig, numbers = made_up(prepared)
    before, after = (np.linalg.norm(np.diff(v[numbers], axis=1), axis=-1) for v in (rig.rest, closed(rig, 1.0)))
    assert (after / before).max() < 4


def test_lashes_stand_on_the_rim_and_look_down_from_a_shut_eye(prepared: Avatar) -> None:
    rig, numbers = made_up(prepared)
    for closing in (0.0, 0.4, 1.0):
        vertices = closed(rig, closing)
        lash = vertices[rig.lids[0].lashes].reshape(-1, 2, 3)
        np.testing.assert_allclose(lash[:, 0], vertices[numbers[0, 0, 4:-4]], atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(lash[:, 1] - lash[:, 0], axis=1), np.hypot(0.02, 0.03), rtol=1e-3)
    tips = lash[:, 1] - lash[:, 0]
    assert (tips[:, 2] > 0).all(), "forwards"
    assert (tips[4:-4, 1] < 0).all(), "and down"


def test_a_shard_in_what_was_carried_to_a_rim_is_evened_out(prepared: Avatar) -> None:
    rig, numbers = made_up(prepared)
    vertices = rig.rest.copy()
    vertices[numbers[1, :3, 15]] += np.array([0.0, 0.05, 0.02], dtype=np.float32)  # a spike over the iris
    Lids(rig, 0).apply(vertices, 0.0)
    left = np.linalg.norm((vertices - rig.rest)[numbers[1, 0]], axis=1)
    assert left.max() < 0.2 * 0.054


def test_the_last_of_the_way_is_finished_and_open_lids_are_left_alone() -> None:
    np.testing.assert_allclose(finished(np.array([-0.2, 0.5, 0.88, 1.0])), [0, 0, 0, 1], atol=1e-9)
    assert (np.diff(finished(np.linspace(0, 1, 50))) >= 0).all()


@pytest.fixture(scope="module", params=["lowpoly", "realistic"])
def builtin(request: pytest.FixtureRequest) -> Avatar:
    if request.param == "lowpoly":
        return request.getfixturevalue("lowpoly")
    return prepare_avatar(builtin_avatar_path(request.param))


def test_built_in_heads_shut_their_eyes_before_the_balls(builtin: Avatar) -> None:
    """In a picture of depth from the front, nothing of an eyeball lies before the skin."""
    engine = ExpressionEngine(builtin)
    shut, open_ = (seen_balls(builtin, posed(engine, STATES[name])) for name in ("shut", "rest"))
    assert open_ > 300, "the test sees eyeballs"
    assert shut < 0.02 * open_


def seen_balls(avatar: Avatar, vertices: np.ndarray) -> int:
    """Pixels of a frontal picture that show eyeballs, 300 to an avatar unit."""
    from core.camera import Intrinsics, look_at
    from render.gl.gl_context import create_context, release_context
    from render.gl.mesh_renderer import MeshRenderer
    from render.gl.render_target import RenderTarget

    ctx = create_context()
    try:
        renderer = MeshRenderer(ctx, avatar.display_mesh, soft_shadows=False)
        target = RenderTarget(ctx, 480, 480, geometry=True)
        renderer.set_vertices(vertices)
        order = renderer.render_flat(target, look_at((0.0, 0.0, 8.0)), Intrinsics(4000, 4000, 240, 360, 480, 480))
        shown = target.face_id()
    finally:
        release_context(ctx)
    eyes = np.concatenate([eye.ball for eye in avatar.rig.eyes])
    is_eye = np.isin(avatar.display_mesh.faces, eyes).all(axis=1)
    return int(is_eye[order[shown[shown >= 0]]].sum())


@pytest.mark.parametrize("state", ["half_shut", "shut", "gaze_up", "gaze_down", "gaze_left", "smile"])
def test_no_edge_around_the_eyes_grows_beyond_measure(builtin: Avatar, state: str) -> None:
    mesh, rig = builtin.display_mesh, builtin.rig
    vertices = posed(ExpressionEngine(builtin), STATES[state])
    skin = mesh.parts[0]
    edges = mesh.faces[skin.first_face : skin.first_face + skin.face_count][:, [0, 1]]
    at = rig.rest[edges].mean(axis=1)
    near = np.any([np.linalg.norm(at - eye.centre, axis=1) < eye.width for eye in rig.eyes], axis=0)
    before, after = (np.linalg.norm(v[edges[near, 0]] - v[edges[near, 1]], axis=1) for v in (rig.rest, vertices))
    real = before > 0.04 * rig.eyes[0].width  # about a pixel of a live picture
    assert (after / before)[real].max() < 4


def test_the_edge_on_which_a_rim_lies_goes_along_fully(builtin: Avatar) -> None:
    """Where it lags behind, its neighbours are turned farther to close the slit, and one of them becomes a spike."""
    for lids in builtin.rig.lids:
        share = dict(zip(lids.vertices.tolist(), lids.upper.tolist(), strict=True))
        middle = lids.rims[0][6:-6]
        assert min(share[vertex] for vertex in middle.ravel().tolist()) > 0.95


def test_skin_above_the_crease_stays_while_an_eye_shuts(builtin: Avatar) -> None:
    """Three artists leave half of a blink 0.13 of the eye's width above the rim, and nothing at 0.3."""
    for eye, lids in zip(builtin.rig.eyes, builtin.rig.lids, strict=True):
        at = (builtin.rig.rest[lids.vertices] - eye.upper[0]) @ eye.frame.T / eye.width
        rim = (eye.upper - eye.upper[0]) @ eye.frame.T / eye.width
        over = at[:, 1] - np.interp(at[:, 0], rim[:, 0], rim[:, 1])
        tallest = float(eye.aperture.max()) / eye.width
        assert lids.upper[over > max(tallest, 0.3)].max(initial=0.0) < 0.05


def test_a_rim_traced_wrongly_in_a_corner_draws_no_skin_out() -> None:
    growth = np.full(RIM_COLUMNS, 0.1)
    growth[[0, 1, -1]] = 0.93, 0.5, 0.4
    gentle = _gentle(growth)
    assert gentle[[0, -1]] == pytest.approx(0.03)
    assert gentle[16] == pytest.approx(0.1)
    assert (gentle <= growth).all()
    assert np.abs(np.diff(gentle)).max() < 0.0301


def test_lash_roots_keep_to_the_edge_of_their_lids() -> None:
    avatar = prepare_avatar(builtin_avatar_path("realistic"))
    rig, engine = avatar.rig, ExpressionEngine(avatar)
    assert len(rig.lids[0].lashes) > 100
    for eye, lids in enumerate(rig.lids):
        rim = Lids(rig, eye)
        rest = rim._roots(rim._rim(rig.rest)) - rim._local(rig.rest[lids.lashes])
        for state in ("shut", "half_shut", "smile", "gaze_down"):
            vertices = posed(engine, STATES[state])
            now = rim._roots(rim._rim(vertices)) - rim._local(vertices[lids.lashes])
            np.testing.assert_allclose(np.linalg.norm(now, axis=1), np.linalg.norm(rest, axis=1), atol=1e-3)


@pytest.mark.parametrize(("openness", "least", "most"), [(0.65, -0.1, 0.12), (0.0, 0.9, 1.0)])
def test_lids_that_follow_a_gaze_down_are_not_shut(lowpoly: Avatar, openness: float, least: float, most: float) -> None:
    class LooksDown:
        def estimate(self, *_: object) -> np.ndarray:
            weights = np.zeros(52)
            for name, weight in {"eyeLookDown": 0.9, "eyeBlink": 1.0 if openness == 0 else 0.0}.items():
                weights[[names.index(f"{name}{side}") for side in ("Left", "Right")]] = weight
            return weights

    engine = ExpressionEngine(lowpoly, prior=LooksDown())  # type: ignore[arg-type]
    names = engine.unit_names
    lids = np.array([[openness, 0.0]] * 2)
    motion = DriverMotion(np.zeros((468, 3)), lids, np.zeros((2, 2)), np.eye(4), 0.3)
    units, state = engine._seen(None, motion, type("Driver", (), {"own": None})())  # type: ignore[arg-type]
    for shut in (*units[[names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")], 0], *-state[:, 0]):
        assert least <= shut <= most


def test_a_blink_that_tracker_and_prior_see_nearly_whole_is_shut_whole(lowpoly: Avatar) -> None:
    class Blinks:
        def estimate(self, *_: object) -> np.ndarray:
            weights = np.zeros(52)
            weights[[names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]] = 0.86
            return weights

    engine = ExpressionEngine(lowpoly, prior=Blinks())  # type: ignore[arg-type]
    names = engine.unit_names
    motion = DriverMotion(np.zeros((468, 3)), np.array([[0.06, 0.0]] * 2), np.zeros((2, 2)), np.eye(4), 0.3)
    _, state = engine._seen(None, motion, type("Driver", (), {"own": None})())  # type: ignore[arg-type]
    np.testing.assert_allclose(state[:, 0], -1.0, atol=1e-9)
