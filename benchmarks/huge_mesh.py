"""How long a scan of millions of triangles takes to prepare, and how much memory: a built-in head, divided, with noise.

    python -m benchmarks.huge_mesh                      two million triangles, as PLY
    python -m benchmarks.huge_mesh --format obj         the same as OBJ, which is text
    python -m benchmarks.huge_mesh --head big_scan.obj  any head file

Times are of a process of its own, from the file to the prepared avatar; peak memory is that process's.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.avatar import prepare_avatar
from capture.synthetic import builtin_avatar_path
from core.mesh import Mesh, MeshPart
from render.mesh.mesh_io import load_mesh
from render.mesh.mesh_layout import weld_positions
from render.mesh.mesh_save import save_obj, save_ply

NOISE = 4e-5  # of the head's size: about 0.02 mm, a good scanner's
MEGABYTE = 1 << 20


def halved(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each triangle into four."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    keys, which = np.unique(edges[:, 0] * len(vertices) + edges[:, 1], return_inverse=True)
    middle = (vertices[keys // len(vertices)] + vertices[keys % len(vertices)]) / 2
    a, b, c = faces.T
    ab, bc, ca = len(vertices) + which.reshape(3, -1)
    corners = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    return np.concatenate([vertices, middle]), np.stack([np.stack(each, axis=1) for each in corners], 1).reshape(-1, 3)


def tripled(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each triangle into three, around its middle."""
    middle = len(vertices) + np.arange(len(faces))
    a, b, c = faces.T
    corners = ((a, b, middle), (b, c, middle), (c, a, middle))
    thirds = np.stack([np.stack(each, axis=1) for each in corners], 1).reshape(-1, 3)
    return np.concatenate([vertices, vertices[faces].mean(axis=1)]), thirds


def huge_head(halvings: int = 2, thirds: bool = True) -> Mesh:
    """The built-in realistic head in 44,000 · 4^halvings · 3 noisy triangles, its parts kept, coloured by vertex."""
    mesh = load_mesh(builtin_avatar_path("realistic"))
    faces = mesh.faces.astype(np.int64)
    vertices = np.concatenate([mesh.vertices, _vertex_colors(mesh)], axis=1).astype(np.float64)
    steps = [halved] * halvings + [tripled] * thirds
    for step in steps:
        vertices, faces = step(vertices, faces)
    vertices, colors = vertices[:, :3], vertices[:, 3:].astype(np.float32)
    place = weld_positions(vertices.astype(np.float32))
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=NOISE * float(np.ptp(vertices, axis=0).max()), size=(int(place.max()) + 1, 3))
    times = len(faces) // len(mesh.faces)
    parts = tuple(MeshPart(p.name, times * p.first_face, times * p.face_count, 0) for p in mesh.parts)
    moved = (vertices + noise[place]).astype(np.float32)
    return Mesh(moved, faces.astype(np.int32), vertex_colors=colors, parts=parts)


def _vertex_colors(mesh: Mesh) -> NDArray[np.float64]:
    """[V, 3] of the vertices, or of the textures under them."""
    colors = np.full(mesh.vertices.shape, 0.8) if mesh.vertex_colors is None else mesh.vertex_colors.astype(np.float64)
    for part in mesh.parts:
        texture = mesh.materials[part.material].texture
        if texture is None or mesh.uvs is None or mesh.faces_uv is None:
            continue
        own = slice(part.first_face, part.first_face + part.face_count)
        u, v = mesh.uvs[mesh.faces_uv[own]].reshape(-1, 2).T
        size = np.array(texture.shape[:2])
        row, column = (
            np.clip(((1 - v) * size[0]).astype(int), 0, size[0] - 1),
            np.clip((u * size[1]).astype(int), 0, size[1] - 1),
        )
        colors[mesh.faces[own].reshape(-1)] = texture[row, column, :3] / 255.0
    return colors


def _prepare(path: Path) -> None:
    """In the process that is measured."""
    start = time.perf_counter()
    mesh = load_mesh(path)
    read = time.perf_counter() - start
    count = len(mesh.faces)
    del mesh
    start, worked = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        avatar = prepare_avatar(path, cache_dir=Path(folder))
        prepared, worked = time.perf_counter() - start, time.process_time() - worked
        start = time.perf_counter()
        prepare_avatar(path, cache_dir=Path(folder))
        again = time.perf_counter() - start
    start = time.perf_counter()
    avatar.to_file(avatar.rig.rest)
    avatar.to_file(avatar.rig.rest)
    spread = (time.perf_counter() - start) / 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MEGABYTE if sys.platform == "darwin" else 1024)
    print(f"{count:,} triangles, {path.stat().st_size / MEGABYTE:.0f} MB: read in {read:.1f} s")
    print(
        f"prepared in {prepared:.1f} s with reading ({worked:.1f} s of processor time), from the cache in {again:.1f} s"
    )
    print(f"peak memory {peak / 1024:.2f} GB")
    print(f"all {len(avatar.file_mesh.vertices):,} vertices of a frame: {1e3 * spread:.0f} ms")
    print(avatar.description)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", type=Path, help="a head file of your own")
    parser.add_argument("--format", choices=("ply", "obj"), default="ply")
    parser.add_argument("--measured", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measured is not None:
        _prepare(given.measured)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = given.head or Path(folder) / f"huge.{given.format}"
        if given.head is None:
            (save_ply if given.format == "ply" else save_obj)(huge_head(), path)
        subprocess.run([sys.executable, "-m", "benchmarks.huge_mesh", "--measured", str(path)], check=True)


if __name__ == "__main__":
    main()
