"""Flow to vertices: the published loops against look-up tables and sparse products, in one run.

python -m benchmarks.retarget --vertices 35000 --controllers 144 --json retarget.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from benchmarks.published import blend_and_smooth, track_by_loops
from benchmarks.timing import in_turn
from core.camera import PUBLISHED_INTRINSICS, look_at
from engine.flow.published.flow_tracking import FlowControllers, FlowTracker
from engine.flow.published.published_retarget import PublishedRetarget

_K = 10


def measure(vertices: int, controllers: int, rounds: int) -> dict[str, Any]:
    """A curved patch with controllers spread over it, and a smooth flow."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(vertices)))
    x, y = (axis.ravel()[:vertices] for axis in np.meshgrid(np.linspace(-0.9, 0.9, side), np.linspace(-0.9, 0.9, side)))
    points = np.stack([x, y, 0.5 - 0.4 * (x**2 + y**2)], axis=1)
    cells = rng.permutation(24 * 24)[:controllers]
    pixels = np.stack(np.divmod(cells, 24), axis=1) * 9 + 20
    at = FlowControllers(pixels, np.full(controllers, 7.8), (7.4, 8.6), PUBLISHED_INTRINSICS, look_at((0.0, 0.0, 8.0)))
    weights, index = _nearest(cKDTree((pixels - 128) / 128), points[:, :2])
    smoothing, neighbours = _nearest(cKDTree(points), points)
    line = np.linspace(-1, 1, 256, dtype=np.float32)
    grid_x, grid_y = np.meshgrid(line, line)
    moved = grid_x + 0.02 * np.sin(3 * grid_y), grid_y + 0.03 * np.cos(2 * grid_x)
    flow = np.stack(moved, axis=-1).astype(np.float32)
    depth = (0.6 * np.cos(grid_x * 2) * np.cos(grid_y)).astype(np.float32)
    tracker = FlowTracker(at)
    retarget = PublishedRetarget(_sparse(weights, index, controllers), _sparse(smoothing, neighbours, vertices))

    def ours() -> Any:
        return retarget.vertices_delta(*tracker.track(flow, depth))

    def published() -> Any:
        return blend_and_smooth(weights, index, smoothing, neighbours, *track_by_loops(at, flow, depth))

    difference = float(np.abs(ours() - published()).max())
    slow = in_turn({"published": published}, max(1, rounds // 20))["published"]
    fast = in_turn({"all": ours, "track": lambda: tracker.track(flow, depth)}, rounds)
    return {
        "vertices": vertices,
        "controllers": controllers,
        "flow_to_vertices_ms": fast["all"],
        "flow_to_controllers_ms": fast["track"],
        "published_ms": slow,
        "flow_to_vertices_speedup": slow / fast["all"],
        "greatest_difference": difference,
    }


def _nearest(tree: cKDTree, at: Any) -> tuple[Any, Any]:
    distance, index = tree.query(at, k=_K)
    weight = 1 / (distance**2 + 1e-3)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32), index


def _sparse(weights: Any, index: Any, columns: int) -> csr_matrix:
    rows, k = weights.shape
    return csr_matrix((weights.ravel(), index.ravel(), np.arange(0, rows * k + 1, k)), shape=(rows, columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vertices", type=int, default=35_000)
    parser.add_argument("--controllers", type=int, default=144)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.vertices, arguments.controllers, arguments.rounds)
    print(
        f"{result['vertices']} vertices, {result['controllers']} controllers: {result['flow_to_vertices_ms']:.2f} ms, "
        f"published way {result['published_ms']:.0f} ms, {result['flow_to_vertices_speedup']:.0f}x, "
        f"greatest difference {result['greatest_difference']:.1e}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
