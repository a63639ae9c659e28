"""The published per-frame network against the live graph, every backend and precision in one run.

python -m benchmarks.network --json network.json
python -m benchmarks.network --one-core        processor time on one core: means something on a busy machine, too
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.published import PublishedFrame, stand_in_network
from benchmarks.timing import in_turn
from core.native.compiled_library import missing
from core.networks.openvino import library
from engine.flow.backends.backend import Backend, CompileRequest, proven
from engine.flow.backends.compiled import BackendError
from engine.flow.backends.names import BackendName
from engine.flow.backends.native import NativeBackend
from engine.flow.backends.native_library import flow_kernels
from engine.flow.backends.select import make_backend, select_backend
from engine.flow.network.checkpoint import load_checkpoint
from engine.flow.network.motion_network import MotionNetwork, sample_inputs
from engine.flow.ours.shipped import COMPACT_FILE

_ON_CPU: tuple[BackendName, ...] = ("eager", "native", "openvino", "openvino-mixed", "openvino-int8")
_ON_GPU: tuple[BackendName, ...] = ("cuda", "tensorrt")


def gflop(call: Any) -> float:
    """Multiply-adds of convolutions and matrix products, counted as two operations each, in units of 1e9."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        call()
    return counter.get_total_flops() / 1e9


def on_one_core() -> None:
    """Leave this process one core and one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def library_has_matrix_unit() -> bool:
    return missing() is None and flow_kernels().matrix_parts() > 0


def peak_gflops(clock: Callable[[], float], rounds: int = 12) -> float:
    """The machine's fp32 peak as measured: the better of a large matrix product and a chain of large 3x3 convolutions.

    Shares of it count the operations of direct convolution, so that Winograd's kernels may exceed it.
    """
    openvino = library()
    import openvino.opset13 as ops

    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    rng, chain = np.random.default_rng(0), 6
    node = x = ops.parameter([1, 256, 64, 64], np.float32)
    for _ in range(chain):
        kernel = ops.constant((rng.standard_normal((256, 256, 3, 3)) / 48).astype(np.float32))
        node = ops.convolution(node, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(openvino.Model([node], [x], "peak"), "CPU", settings).create_infer_request()
    picture = rng.standard_normal((1, 256, 64, 64)).astype(np.float32)
    work = {"product": 2 * 2048**3 / 1e9, "convolution": chain * 2 * 9 * 256 * 256 * 64 * 64 / 1e9}
    ways = {"product": lambda: torch.mm(a, b), "convolution": lambda: request.infer([picture], share_inputs=True)}
    ms = in_turn(ways, rounds, clock)
    return max(work[name] / ms[name] * 1e3 for name in work)


def measure(checkpoint: Path | None, rounds: int, *, one_core: bool = False) -> dict[str, Any]:
    clock = time.process_time if one_core else time.perf_counter
    network = load_checkpoint(checkpoint).network if checkpoint else stand_in_network()
    source, _ = sample_inputs(network.config, 11)
    start, _ = sample_inputs(network.config, 12)
    driving, _ = sample_inputs(network.config, 13)
    published = PublishedFrame(network, source, start)
    live = MotionNetwork(network, source)
    assert live.encoder is not None, "networks that look at pictures have one"
    offset = live.neutral_offset(live.encoder(start))
    request = CompileRequest(live, "benchmark", "benchmark")
    backends: dict[str, Backend] = {name: make_backend(name) for name in (("native",) if one_core else _ON_CPU)}
    if library_has_matrix_unit():
        backends["native-winograd"] = NativeBackend(matrix_unit=False)  # what processors without AMX run
    if torch.cuda.is_available() and not one_core:
        backends |= {name: make_backend(name) for name in _ON_GPU}
    ways: dict[str, Any] = {"published": lambda: published(driving)}
    runs, refused = {}, {}
    for name, backend in backends.items():
        try:
            runs[name] = proven(backend, request)[0]
        except BackendError as error:
            refused[name] = str(error)
            continue
        ways[name] = lambda run=runs[name]: run(driving.numpy(), offset.numpy())
    ms = in_turn(ways, rounds, clock)
    expected = published(driving)
    flow, depth = expected.motion.flow[0].numpy(), expected.rgbd.depth[0, 0].numpy()
    live_gflop, peak = gflop(lambda: live(driving, offset)), peak_gflops(clock)
    rows: list[dict[str, Any]] = []
    for name, run in runs.items():
        fields = run(driving.numpy(), offset.numpy())
        rows.append(
            {
                "backend": name,
                "precision": backends[name].precision,
                "ms": ms[name],
                "speedup": ms["published"] / ms[name],
                "gflops": live_gflop / ms[name] * 1e3,
                "share_of_fp32_peak": live_gflop / ms[name] * 1e3 / peak,
                "flow_error_px": float(np.abs(fields.flow - flow).max()) * network.config.image_size / 2,
                "depth_error": float(np.abs(fields.depth - depth).max()),
            }
        )
    exact = min((row for row in rows if row["precision"] == "fp32"), key=lambda row: row["ms"])
    return {
        "ms_published": ms["published"],
        "ms_exact": exact["ms"],
        "speedup_exact": exact["speedup"],
        "flow_error_px": exact["flow_error_px"],
        "depth_error": exact["depth_error"],
        "backend_exact": exact["backend"],
        "gflop_published": gflop(lambda: published(driving)),
        "gflop_live": live_gflop,
        "peak_fp32_gflops": peak,
        "backends": rows,
        "refused": refused,
        "one_core": one_core,
    }


def measure_compact(checkpoint: Path | None, rounds: int = 200) -> dict[str, Any]:
    """The compact network: median time of a frame on the fastest backend that takes it, and its weights' size."""
    network = load_checkpoint(checkpoint or COMPACT_FILE).network
    source, driving = (sample_inputs(network.config, seed)[0] for seed in (11, 13))
    live = MotionNetwork(network, source)
    backend = select_backend("auto", CompileRequest(live, "compact", "compact"))
    offset = torch.zeros(1, network.config.motion_dim)
    ms = in_turn({"compact": lambda: backend.run(driving.numpy(), offset.numpy())}, rounds)["compact"]
    values = network.state_dict().values()
    return {
        "compact_ms": ms,
        "compact_backend": backend.why,
        "compact_gflop": gflop(lambda: live(driving, offset)),
        "compact_megabytes": sum(value.numel() * value.element_size() for value in values) / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="a network checkpoint; seeded weights when not given")
    parser.add_argument("--compact", type=Path, help="a checkpoint of the compact network; the shipped one otherwise")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compact-only", action="store_true", help="leave the published network out")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one-core", action="store_true", help="published and native, processor time on one core")
    arguments = parser.parse_args()
    if arguments.one_core:
        on_one_core()  # before anything starts threads
    compact = {} if arguments.one_core else measure_compact(arguments.compact)
    if compact:
        print(f"compact: {compact['compact_ms']:.1f} ms, {compact['compact_gflop']:.2f} GFLOP", end=", ")
        print(compact["compact_backend"])
    if arguments.compact_only:
        if arguments.json:
            arguments.json.write_text(json.dumps(compact, indent=1) + "\n")
        return
    result = measure(arguments.checkpoint, arguments.rounds, one_core=arguments.one_core) | compact
    ms, work, peak = result["ms_published"], result["gflop_published"], result["peak_fp32_gflops"]
    print(f"published {ms:.0f} ms, {work:.1f} GFLOP; live graph {result['gflop_live']:.1f}; peak {peak:.0f} GFLOP/s")
    for row in result["backends"]:
        print(
            f"{row['backend']:16} {row['precision']:6} {row['ms']:7.1f} ms  {row['speedup']:5.1f}x  "
            f"{row['share_of_fp32_peak']:5.0%} of peak  {row['flow_error_px']:.2g} px  depth {row['depth_error']:.2g}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
