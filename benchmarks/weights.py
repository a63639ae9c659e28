"""Controlling weights: the whole preparation of a dense head against one geodesic solve per vertex, as published.

    python benchmarks/weights.py --json FILE [--avatar HEAD] [--vertices 70000]

Subdivides the head until it has so many vertices and prepares it, uncached, as `vfa prepare` would. The published way
is timed on a sample of the same vertices (`sampled`), the factorisation apart, and extrapolated to all of them.
JSON: `vertices`, `seconds`, `seconds_published_way`, `speedup`, `sampled`.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import potpourri3d
import trimesh

from calib.avatar import prepare_avatar
from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path
from core.mesh import Mesh
from render.mesh.mesh_io import load_mesh
from render.mesh.mesh_save import save_ply

SAMPLED = 40


def dense_head(path: Path, least: int) -> Mesh:
    """The head, its triangles split in four until it has at least `least` vertices; texture and parts are dropped."""
    mesh = load_mesh(path)
    vertices, faces = mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64)
    while len(vertices) < least:
        vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def published_seconds(mesh: Mesh) -> float:
    """One heat-method solve per vertex (Crane et al. 2013), extrapolated from a sample."""
    started = time.perf_counter()
    solver = potpourri3d.MeshHeatMethodDistanceSolver(mesh.vertices.astype(np.float64), mesh.faces)
    factored = time.perf_counter()
    for vertex in np.linspace(0, len(mesh.vertices) - 1, SAMPLED).astype(int):
        solver.compute_distance(vertex)
    solved = time.perf_counter()
    return (factored - started) + (solved - factored) / SAMPLED * len(mesh.vertices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avatar", default="realistic")
    parser.add_argument("--vertices", type=int, default=70_000)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    builtin = options.avatar in BUILTIN_AVATARS
    mesh = dense_head(builtin_avatar_path(options.avatar) if builtin else Path(options.avatar), options.vertices)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dense.ply"
        save_ply(mesh, path)
        started = time.perf_counter()
        prepare_avatar(path, cache_dir=Path(folder))
        seconds = time.perf_counter() - started
    published = published_seconds(mesh)
    figures = {
        "vertices": len(mesh.vertices),
        "seconds": round(seconds, 2),
        "seconds_published_way": round(published, 1),
        "speedup": round(published / seconds, 1),
        "sampled": SAMPLED,
    }
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
