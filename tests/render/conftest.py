"""Shapes to draw, a context to draw them with, and comparison with golden pictures."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from core.mesh import Material, Mesh, MeshPart
from render.gl.gl_context import create_context, is_software, make_current, release_context
from render.window.viewer import Viewer

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def shared_ctx() -> Iterator[object]:
    try:
        context = create_context(headless=True)
    except InputError as error:
        pytest.skip(str(error))
    yield context
    release_context(context)


@pytest.fixture
def ctx(shared_ctx) -> object:
    """A context without a display, current."""
    make_current(shared_ctx)
    return shared_ctx


def make_sphere(rows: int = 24, columns: int = 48, radius: float = 1.0, centre=(0.0, 0.0, 0.0), open_below=0.0) -> Mesh:
    """A sphere with texture coordinates whose seam runs down its back. `open_below`: drop faces with y below it."""
    v, u = np.mgrid[0 : rows + 1, 0 : columns + 1].astype(np.float64)
    theta, phi = np.pi * v / rows, 2 * np.pi * u / columns
    points = np.stack([-np.sin(theta) * np.sin(phi), np.cos(theta), -np.sin(theta) * np.cos(phi)], -1)
    points[:, -1] = points[:, 0]  # both sides of the seam in exactly the same place
    corner = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    points = np.round(points.reshape(-1, 3), 9)
    sharp = points[faces]
    area = np.linalg.norm(np.cross(sharp[:, 1] - sharp[:, 0], sharp[:, 2] - sharp[:, 0]), axis=1)
    faces = faces[(area > 1e-9) & ((sharp[:, :, 1].mean(1) > open_below) if open_below else True)].astype(np.int32)
    uvs = np.stack([u / columns, 1 - v / rows], -1).reshape(-1, 2).astype(np.float32)
    vertices = (points * radius + np.array(centre)).astype(np.float32)
    return Mesh(vertices, faces, uvs, faces.copy(), None, (MeshPart("skin", 0, len(faces), 0),))


def join(*pieces: tuple[str, Mesh, Material]) -> Mesh:
    """One mesh of several parts, each with its name and material."""
    vertices, faces, uvs, parts, count, first = [], [], [], [], 0, 0
    for number, (name, mesh, _) in enumerate(pieces):
        parts.append(MeshPart(name, first, len(mesh.faces), number))
        vertices.append(mesh.vertices)
        faces.append(mesh.faces + count)
        uvs.append(mesh.uvs)
        count, first = count + len(mesh.vertices), first + len(mesh.faces)
    joined = np.concatenate(faces).astype(np.int32)
    materials = tuple(material for _, _, material in pieces)
    return Mesh(np.concatenate(vertices), joined, np.concatenate(uvs), joined.copy(), None, tuple(parts), materials)


def make_card(low, high, z: float) -> Mesh:
    """An upright rectangle that faces +z."""
    (x0, y0), (x1, y1) = low, high
    vertices = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], dtype=np.float32)
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
    return Mesh(vertices, faces, uvs, faces.copy(), None, (MeshPart("card", 0, 2, 0),))


@pytest.fixture
def sphere() -> Callable[..., Mesh]:
    return make_sphere


@pytest.fixture
def card() -> Callable[..., Mesh]:
    return make_card


@pytest.fixture
def join_parts() -> Callable[..., Mesh]:
    return join


@pytest.fixture
def toy_head() -> Mesh:
    """A round head, open at the neck: stubble on its chin, eyes, lashes, a fringe of see-through hair."""
    rows = np.linspace(0, 1, 64)[:, None, None]
    skin = np.broadcast_to(np.array([226, 172, 146]) * (1 - 0.35 * (rows > 0.68)), (64, 128, 3)).astype(np.uint8)
    strands = np.zeros((64, 64, 4), np.uint8)
    strands[..., :3] = (70, 44, 28)
    strands[..., 3] = np.where(np.arange(64) % 8 < 5, np.linspace(255, 0, 64)[:, None], 0)
    pieces = [("skin", make_sphere(open_below=-0.85), Material("skin", (1, 1, 1, 1), skin))]
    for side, x in (("left", 0.33), ("right", -0.33)):
        eye = make_sphere(12, 20, 0.16, (x, 0.15, 0.87))
        pieces.append((f"eye_{side}", eye, Material("white", (0.93, 0.92, 0.9, 1))))
        for i in range(7):
            at = x + (i - 3) * 0.04
            lash = make_card((at, 0.3), (at + 0.002, 0.4), 1.05)
            pieces.append(("lashes", lash, Material("dark", (0.05, 0.04, 0.04, 1))))
    fringe = make_card((-0.6, 0.45), (0.6, 0.95), 0.95)
    pieces.append(("hair", fringe, Material("hair", (1, 1, 1, 1), strands, "BLEND", double_sided=True)))
    return join(*pieces)


@pytest.fixture
def check_golden(ctx, tmp_path) -> Callable[[str, np.ndarray], None]:
    """Compare a picture with tests/render/golden/NAME.png; VFA_REGENERATE_GOLDEN=1 writes it anew instead."""

    def check(name: str, rgb: np.ndarray) -> None:
        if not is_software(ctx):
            pytest.skip("golden pictures are of the software rasteriser")
        path = GOLDEN / f"{name}.png"
        if os.environ.get("VFA_REGENERATE_GOLDEN") == "1":
            Image.fromarray(rgb).save(path, optimize=True)
        golden = np.asarray(Image.open(path).convert("RGB"))
        assert golden.shape == rgb.shape
        difference = np.abs(golden.astype(int) - rgb.astype(int)).max(axis=2)
        if difference.mean() > 0.5 or np.quantile(difference, 0.995) > 12:
            for label, picture in (("drawn", rgb), ("difference", (difference * 8).clip(0, 255).astype(np.uint8))):
                Image.fromarray(picture).save(tmp_path / f"{name}-{label}.png")
            pytest.fail(
                f"{name}: differs from its golden picture (mean {difference.mean():.2f}, most {difference.max()}); "
                f"see {tmp_path}; if it is meant to, run again with VFA_REGENERATE_GOLDEN=1"
            )

    return check


@pytest.fixture
def head(sphere) -> Mesh:
    mesh = sphere(6, 8)
    parts = (MeshPart("skin", 0, 40, 0), MeshPart("eye_left", 40, len(mesh.faces) - 40, 1))
    colors = np.random.default_rng(0).uniform(size=mesh.vertices.shape).astype(np.float32)
    white = (1.0, 1.0, 1.0, 1.0)
    return replace(mesh, parts=parts, materials=(Material("skin", white), Material("eye", white)), vertex_colors=colors)


@pytest.fixture
def viewer(ctx, toy_head):
    with Viewer(toy_head, (320, 240), headless=True) as made:
        yield made
