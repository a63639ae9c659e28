"""Heads drawn by the compiled painter: the same pictures as OpenGL's, whole surfaces, and what happens without it."""

import ctypes
import logging
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from core.camera import PUBLISHED_INTRINSICS, look_at
from core.mesh import Material, Mesh
from core.native.compiled_library import NativeError, loaded, missing
from render.gl import mesh_renderer
from render.gl.backdrop import Backdrop
from render.gl.gl_context import is_software
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget
from render.mesh.looks import PartLook
from render.mesh.mesh_edges import MeshEdges
from render.mesh.mesh_layout import make_layout
from render.native import paint_room, painter

FRONT = look_at(np.array([0.0, 0.0, 8.0]))
ASIDE = look_at(np.array([5.0, 3.0, 5.0]))
SIZE = PUBLISHED_INTRINSICS.width


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    if reason := missing():
        pytest.skip(reason)
    try:
        quick = loaded(painter.SOURCE, tmp_path_factory.mktemp("native"), "is_quick").is_quick()
    except NativeError as error:
        pytest.fail(f"there is a compiler, but it does not take painter.c: {error}")
    if not quick:
        pytest.skip("the processor has no AVX2")
    found = painter.compiled_painter()
    assert found is not None
    return found


@pytest.fixture
def both(ctx, compiled, monkeypatch):
    """Draw a mesh by the painter and by OpenGL, with the same target and backdrop."""
    if not is_software(ctx):
        pytest.skip("the painter stands in for the software rasteriser")

    def draw(mesh, view=FRONT, *, looks=None, backdrop=None, vertices=None, pose=None):
        pictures = []
        for found in (compiled, None):
            monkeypatch.setattr(mesh_renderer, "compiled_painter", lambda found=found: found)
            renderer = MeshRenderer(ctx, mesh, looks, detail=1e-6)
            if vertices is not None:
                renderer.set_vertices(vertices)
            target = RenderTarget(ctx, SIZE, SIZE)
            renderer.render(target, view, PUBLISHED_INTRINSICS, pose, backdrop)
            pictures.append(target.rgb().astype(int))
            renderer.release()
            target.release()
        return pictures

    return draw


def opaque(toy_head):
    """The toy head without its fringe, which is transparent and so is OpenGL's."""
    parts = [part for part in toy_head.parts if part.name != "hair"]
    last = max(part.first_face + part.face_count for part in parts)
    return replace(toy_head, faces=toy_head.faces[:last], faces_uv=toy_head.faces_uv[:last], parts=tuple(parts))


def alike(one, other, *, edges=0.004):
    """Equal within rounding, except for a few pixels whose centre lies on an edge."""
    difference = np.abs(one - other).max(axis=2)
    assert difference.mean() < 0.3
    assert (difference > 6).mean() < edges


@pytest.mark.parametrize(
    "view", [FRONT, ASIDE, look_at(np.array([0.0, -5.0, 6.0])), look_at(np.array([1.0, 0.0, -8.0]))]
)
def test_the_same_picture_as_opengl(both, ctx, toy_head, view):
    """Skin with a texture, eyes, lashes as lines, the inside seen through the open neck."""
    alike(*both(opaque(toy_head), view, backdrop=Backdrop(ctx)))


def test_the_same_picture_turned_and_in_motion(both, ctx, toy_head):
    mesh = opaque(toy_head)
    pose = np.eye(4)
    pose[:3, :3] = look_at(np.array([3.0, 1.0, 8.0]))[:3, :3] @ FRONT[:3, :3].T
    moved = (mesh.vertices * [1.0, 1.1, 0.9] + 0.03 * np.sin(4 * mesh.vertices[:, ::-1])).astype(np.float32)
    alike(*both(mesh, vertices=moved, pose=pose, backdrop=Backdrop(ctx)))


@pytest.mark.parametrize(
    "look", [PartLook(glint=0.4), PartLook(back_color=None), PartLook(glint=0.9, ball=True), PartLook(deep=True)]
)
def test_every_kind_of_surface_is_lit_as_opengl_lights_it(both, sphere, look):
    mesh = replace(sphere(open_below=-0.5), materials=(Material("gray", (0.6, 0.5, 0.4, 1)),))
    colors = np.clip(0.5 + 0.5 * mesh.vertices, 0, 1).astype(np.float32)
    alike(*both(replace(mesh, vertex_colors=colors), ASIDE, looks={"skin": look}))


@pytest.mark.parametrize("repeat", [False, True])
def test_textures_of_any_size_up_to_their_edges_and_beyond(both, sphere, repeat):
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (5, 9, 3), dtype=np.uint8).repeat(3, axis=0)
    mesh = sphere()
    uvs = (mesh.uvs * 3.0 - 1.0).astype(np.float32) if repeat else mesh.uvs
    alike(*both(replace(mesh, uvs=uvs, materials=(Material("painted", (1, 1, 1, 1), picture),)), ASIDE), edges=0.02)


def test_no_pixel_is_missing_between_faces(both, sphere):
    """A bright sphere before black: no dark speck inside it, from whatever side."""
    mesh = replace(sphere(40, 80), materials=(Material("white", (1, 1, 1, 1)),))
    for turn in range(6):
        eye = 8 * np.array([np.sin(turn), 0.3 * turn - 0.7, np.cos(turn)])
        painted, _ = both(mesh, look_at(eye))
        rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
        inside = np.hypot(rows, columns) < 0.9 * np.sqrt((painted.max(axis=2) > 0).sum() / np.pi)
        assert painted.max(axis=2)[inside].min() > 30


def test_a_moving_head_leaves_nothing_behind(ctx, compiled, sphere, monkeypatch):
    monkeypatch.setattr(mesh_renderer, "compiled_painter", lambda: compiled)
    mesh = replace(sphere(), materials=(Material("white", (1, 1, 1, 1)),))
    kept, backdrop = MeshRenderer(ctx, mesh, detail=1e-6), Backdrop(ctx)
    targets = [RenderTarget(ctx, SIZE, SIZE) for _ in range(2)]
    for right, away in ((0.0, 0.0), (1.5, 0.0), (-1.6, -1.0), (90.0, 0.0), (0.4, 9.0), (0.2, 0.1)):
        pose = np.eye(4)
        pose[[0, 2], 3] = right, away
        fresh = MeshRenderer(ctx, mesh, detail=1e-6)
        pictures = []
        for renderer in (kept, fresh):
            renderer.render(targets[renderer is kept], FRONT, PUBLISHED_INTRINSICS, pose, backdrop)
            pictures.append(targets[renderer is kept].rgb())
        np.testing.assert_array_equal(*pictures)
        shown = targets[True].framebuffer.read(components=3, alignment=1)
        np.testing.assert_array_equal(np.frombuffer(shown, np.uint8).reshape(SIZE, SIZE, 3), pictures[0])


@pytest.fixture
def paint(ctx, compiled, toy_head, monkeypatch):
    """Paint a head that reaches over all edges of the picture, in a room of so many workers, and what came of it."""
    monkeypatch.setattr(mesh_renderer, "compiled_painter", lambda: compiled)
    given = []

    def noted(self, *args):
        given.append((self, *args[:-1]))
        return original(self, *args)

    original = painter.Painter.paint
    monkeypatch.setattr(painter.Painter, "paint", noted)
    target = RenderTarget(ctx, SIZE, SIZE)
    near = look_at(np.array([0.1, 0.2, 2.4]))
    MeshRenderer(ctx, opaque(toy_head), detail=1e-6).render(target, near, PUBLISHED_INTRINSICS, None, Backdrop(ctx))
    it, *args = given[0]

    def painted(workers):
        room = paint_room.PaintRoom((SIZE, SIZE), it._scene.faces, workers)
        return [original(it, *args, room).copy() for _ in range(8)]

    assert painted(1)[0][:, [0, -1]].max() > 0
    return painted


def test_two_threads_paint_the_same_picture(paint):
    (expected, *again) = paint(1)
    for picture in [*again, *paint(2), *paint(2)]:
        np.testing.assert_array_equal(picture, expected)


IN_A_FORK = """
import os, sys
from tests.render.test_painter import small_painting
before = small_painting()
child = os.fork()
if child == 0:
    os._exit(0 if (small_painting() == before).all() else 3)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert status == 0, status
assert (small_painting() == before).all()
"""


def small_painting():
    """A triangle, painted by two threads."""
    mesh = Mesh(
        np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], np.float32),
        np.array([[0, 2, 1]], np.int32),  # rows count downwards
    )
    edges = MeshEdges(mesh.vertices, mesh.faces, np.arange(1))
    library, tints = painter.compiled_painter(), np.zeros((0, 3), np.float32)
    it = painter.Painter(library, mesh, make_layout(mesh), edges, closed=(), tints=tints, repeat=False)
    view = painter.PaintedView((96, 96), np.eye(4), np.eye(3), (), [], False, 0.0, 0.0)
    ones, nowhere = np.ones(3, np.float32), np.zeros((3, 3), np.float32)
    room = paint_room.PaintRoom((96, 96), 1, 2)
    return it.paint(mesh.vertices, ones, nowhere, view, np.zeros((96, 96), np.uint32), room).copy()


def test_a_process_that_was_forked_paints_on(compiled):
    assert small_painting().max() > 0
    subprocess.run([sys.executable, "-c", IN_A_FORK], check=True, timeout=120)


def test_painters_do_not_wait_for_one_another(compiled):
    """There is one helper: whoever comes second paints alone."""
    expected, wrong = small_painting(), []

    def often():
        wrong.extend(number for number in range(50) if (small_painting() != expected).any())

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not wrong


def test_what_is_put_is_what_opengl_then_shows(ctx):
    target = RenderTarget(ctx, 64, 48)
    picture = np.random.default_rng(0).integers(0, 1 << 24, (48, 64), dtype=np.uint32) | 0xFF000000
    target.put(picture)
    expected = np.stack([picture >> 16 & 255, picture >> 8 & 255, picture & 255], axis=-1).astype(np.uint8)
    np.testing.assert_array_equal(target.rgb(), expected)
    shown = np.frombuffer(target.framebuffer.read(components=3, alignment=1), np.uint8).reshape(48, 64, 3)
    np.testing.assert_array_equal(shown, expected)
    for left, first, width, height in ((5, 7, 11, 3), (20, 30, 4, 18), (0, 0, 64, 1)):
        picture[first : first + height, left : left + width] ^= 0x00F0F0F0
        target.put(picture, (left, first, width, height))
    shown = np.frombuffer(target.framebuffer.read(components=3, alignment=1), np.uint8).reshape(48, 64, 3)
    np.testing.assert_array_equal(shown, target.rgb())
    with pytest.raises(ValueError, match=r"\[48, 64\]"):
        target.put(picture[1:])


def test_only_opaque_smooth_heads_are_painted(toy_head):
    assert not painter.can_paint(make_layout(toy_head))
    assert painter.can_paint(make_layout(opaque(toy_head)))
    faceted = {"skin": PartLook(faceted=True)}
    assert not painter.can_paint(make_layout(opaque(toy_head), faceted))


def test_without_a_compiler_opengl_draws_and_the_log_says_why(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("core.native.compiled_library.compiler", lambda: None)
    with caplog.at_level(logging.INFO):
        assert painter.compiled_painter.__wrapped__(tmp_path) is None
    assert "no C compiler found" in caplog.text
    assert "OpenGL's software rasteriser" in caplog.text


def test_a_processor_that_is_too_slow_for_it_is_left_to_opengl(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(painter, "loaded_if_possible", lambda *_: SimpleNamespace(is_quick=lambda: 0))
    with caplog.at_level(logging.INFO):
        assert painter.compiled_painter.__wrapped__(tmp_path) is None
    assert "AVX2" in caplog.text


def test_compiled_once_for_a_folder(compiled, tmp_path):
    assert isinstance(painter.compiled_painter.__wrapped__(tmp_path), ctypes.CDLL)
    (first,) = tmp_path.glob("painter-*.so")
    written = first.stat().st_mtime_ns
    assert isinstance(painter.compiled_painter.__wrapped__(tmp_path), ctypes.CDLL)
    assert first.stat().st_mtime_ns == written
    assert first.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "script",
    [
        "printf '\\377\\376 error\\n' >&2; exit 1",
        'while [ "$1" != -o ]; do shift; done; printf junk > "$2"',
        'while [ "$1" != -o ]; do shift; done; echo | cc -x c -shared -fPIC -o "$2" -',
    ],
)
def test_a_compiler_that_does_not_do_its_work_leaves_nothing_and_opengl_draws(tmp_path, monkeypatch, script):
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && printf '\\377' && exit 0\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setattr("core.native.compiled_library.compiler", lambda: str(compiler))
    assert painter.compiled_painter.__wrapped__(tmp_path) is None
    assert not list(tmp_path.glob("painter-*.so"))
