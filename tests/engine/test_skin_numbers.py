"""A pose as numbers is the pose: of them the graphics side makes the vertices and the picture that the engine makes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import moderngl
import numpy as np
import pytest
from numpy.typing import NDArray

from calib.avatar import Avatar, prepare_avatar
from calib.framing import avatar_view
from capture.synthetic import builtin_avatar_path
from core.errors import InputError
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.face_motion import FaceMotion
from core.rigid_motion import rotation_matrix
from engine.expression.expression_engine import ExpressionEngine
from engine.motion.protocol import AvatarPose, DeferredPose
from render.gl.gl_context import create_context, is_software, release_context
from render.gl.gpu_mesh import GpuMesh
from render.skin.moving_skin import SkinPose
from render.window.viewer import Viewer

HEAD_MM, HEAD = 230.0, 2.0  # height of an average head, and of an avatar's: from the chin to the crown
ALLOWED = 0.05 / HEAD_MM * HEAD
MOST_BYTES = 1024
SIZE = (320, 240)
SQUINTS = [UNIT_NAMES.index(name) for name in ("eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft")]


def motions(count: int = 24) -> list[FaceMotion]:
    """Rest, then faces that open, shut, wink, look round, press and pull lips, on heads that turn and lean."""
    rng = np.random.default_rng(7)
    made = [FaceMotion.at_rest()]
    for number in range(count):
        weights = np.clip(rng.normal(0.1, 0.4, UNIT_COUNT), 0.0, 1.0) * (rng.random(UNIT_COUNT) < 0.5)
        weights[UNIT_NAMES.index("jawOpen")] = (number % 3) / 2
        weights[UNIT_NAMES.index("eyeBlinkLeft")] = (number % 5) / 4
        weights[UNIT_NAMES.index("eyeBlinkRight")] = (number % 4) / 3
        weights[SQUINTS] *= 0.3
        T = np.eye(4)
        T[:3, :3] = rotation_matrix(rng.normal(0, 0.35, 3))
        T[:3, 3] = rng.normal(0, 0.02, 3)
        made.append(FaceMotion(weights, rng.uniform(-0.4, 0.4, (2, 2)), T))
    return made


def engine_of(avatar: Avatar) -> ExpressionEngine:
    engine = ExpressionEngine(avatar)
    engine.defers = True
    return engine


def poses(engine: ExpressionEngine) -> list[AvatarPose]:
    """Far apart in time, so that each is shown as it is."""
    return [engine.follow(motion, 10.0 * number, number) for number, motion in enumerate(motions())]


@pytest.fixture(scope="module", params=["lowpoly", "realistic", "stylized"])
def avatar(request: pytest.FixtureRequest, lowpoly: Avatar) -> Avatar:
    return lowpoly if request.param == "lowpoly" else prepare_avatar(builtin_avatar_path(request.param))


@pytest.fixture
def ctx() -> Iterator[moderngl.Context]:
    try:
        context = create_context()
    except InputError as error:
        pytest.skip(str(error))
    yield context
    release_context(context)


def test_the_graphics_side_puts_vertices_where_the_engine_does(avatar: Avatar, ctx: moderngl.Context) -> None:
    mesh, moved = GpuMesh(ctx, avatar.display_mesh, None, False, None), 0.0
    crossing = 0
    for pose in poses(engine_of(avatar)):
        assert pose.skin is not None
        mesh.set_pose(pose.skin)
        found = mesh.posed_vertices()
        assert np.linalg.norm(found - pose.vertices, axis=1).max() < ALLOWED
        moved = max(moved, float(np.abs(found - avatar.display_mesh.vertices).max()))
        crossing += pose.skin.crossing
    assert moved > 0.2, "faces that hardly move would show nothing"
    if not avatar.name.startswith("stylized"):  # whose lids have room enough
        assert crossing, "among them should be one whose lids the units make cross"
    mesh.release()


class Counted:
    """Bytes that go to the graphics side, counted where moderngl takes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        for kind in (moderngl.Buffer, moderngl.Texture, moderngl.Uniform):
            monkeypatch.setattr(kind, "write", self._counting(kind.write))
        value: Any = moderngl.Uniform.value
        assigned = self._counting(value.fset)
        monkeypatch.setattr(moderngl.Uniform, "value", property(value.fget, assigned))
        for name in ("buffer", "texture"):
            monkeypatch.setattr(moderngl.Context, name, self._counting_made(getattr(moderngl.Context, name)))

    def _counting(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(to: Any, data: Any, *more: Any, **named: Any) -> Any:
            if not isinstance(data, moderngl.Buffer):  # of its own from one place to another
                self.bytes += memoryview(data).nbytes if isinstance(data, bytes | memoryview) else 4 * np.size(data)
            return write(to, data, *more, **named)

        return counted

    def _counting_made(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def counted(ctx: Any, *given: Any, **named: Any) -> Any:
            for data in (*given, *named.values()):
                self.bytes += memoryview(data).nbytes if isinstance(data, bytes | memoryview) else 0
            return make(ctx, *given, **named)

        return counted


@pytest.fixture
def viewer(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> Iterator[Viewer]:
    """One that draws as on a graphics card, whatever draws here."""
    for module in ("render.window.viewer", "render.gl.mesh_renderer"):
        monkeypatch.setattr(f"{module}.is_software", lambda _: False)
    try:
        made = Viewer(avatar.display_mesh, SIZE, headless=True, intrinsics=avatar_view(avatar))
    except InputError as error:
        pytest.skip(str(error))
    if not made.takes_poses:
        pytest.skip("OpenGL without multisampling")
    with made:
        yield made


def picture(viewer: Viewer, shape: NDArray[np.float32] | SkinPose, pose: AvatarPose) -> NDArray[np.int64]:
    viewer.show(shape, pose.T_world_head, None, "")
    return viewer.read_rgb().astype(np.int64)


def test_the_picture_is_the_same_and_takes_a_kilobyte_a_frame(
    avatar: Avatar, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, taken, before = Counted(monkeypatch), [], None
    for pose in poses(engine_of(avatar))[:8]:
        assert pose.skin is not None
        expected = picture(viewer, pose.vertices, pose)
        counted.bytes = 0
        found = picture(viewer, pose.skin, pose)
        taken.append(counted.bytes)
        apart = np.abs(found - expected).max(axis=2)
        assert apart.mean() < 0.02
        assert (apart > 8).mean() < 2e-3, "only at edges, where a sample may fall to either side"
        assert before is None or np.abs(found - before).max() > 40, "all the same picture"
        before = found
    assert taken[0] > 100 * MOST_BYTES, "what never changes goes up with the first pose"
    assert max(taken[1:]) <= MOST_BYTES
    assert min(taken[1:]) >= pose.skin.skin.pose_bytes


def test_vertices_are_taken_again_after_a_pose(lowpoly: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("render.window.viewer", "render.gl.mesh_renderer"):
        monkeypatch.setattr(f"{module}.is_software", lambda _: False)
    shown = poses(engine_of(lowpoly))
    with Viewer(lowpoly.display_mesh, SIZE, headless=True, intrinsics=avatar_view(lowpoly)) as viewer:
        if not viewer.takes_poses:
            pytest.skip("OpenGL without multisampling")
        assert shown[3].skin is not None
        first = picture(viewer, shown[2].vertices, shown[2])
        picture(viewer, shown[3].skin, shown[3])
        np.testing.assert_array_equal(picture(viewer, shown[2].vertices, shown[2]), first)


def test_where_the_processor_draws_vertices_are_asked_for(lowpoly: Avatar, ctx: moderngl.Context) -> None:
    if not is_software(ctx):
        pytest.skip("a graphics card draws here")
    with Viewer(lowpoly.display_mesh, SIZE, headless=True) as viewer:
        assert not viewer.takes_poses


def test_vertices_left_out_are_those_that_would_have_been_there(lowpoly: Avatar) -> None:
    deferring, usual = engine_of(lowpoly), ExpressionEngine(lowpoly)
    for left_out, there in zip(poses(deferring), poses(usual), strict=True):
        assert isinstance(left_out, DeferredPose)
        assert there.skin is None
        np.testing.assert_array_equal(left_out.vertices, there.vertices)
        assert left_out.vertices is left_out.vertices
        np.testing.assert_array_equal(left_out.T_world_head, there.T_world_head)
        assert (left_out.index, left_out.tracked) == (there.index, there.tracked)


def test_a_neck_that_reaches_into_the_eyes_is_told_as_vertices(lowpoly: Avatar) -> None:
    rig = lowpoly.rig
    neck = replace(rig.neck, share=np.full_like(rig.neck.share, 0.5))
    engine = engine_of(replace(lowpoly, rig=replace(rig, neck=neck)))
    assert all(pose.skin is None for pose in poses(engine)[:3])


def test_numbers_of_another_length_are_refused(lowpoly: Avatar) -> None:
    skin = poses(engine_of(lowpoly))[0].skin
    assert skin is not None
    with pytest.raises(ValueError, match=f"expected {skin.skin.count} numbers"):
        SkinPose(skin.skin, skin.numbers[1:])
