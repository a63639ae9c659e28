"""Kernels for networks that are told the motion code: the whole generator against PyTorch."""

import ctypes
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from calib.avatar import Avatar
from calib.close_up import network_picture
from core.expression_units import UNIT_COUNT
from core.native import compiled_library
from core.native.compiled_library import compiler, missing
from engine.flow.backends import native, native_generator
from engine.flow.backends.backend import CompileRequest, proven
from engine.flow.backends.compiled import OtherSizesError
from engine.flow.backends.generator_packing import packed_generator
from engine.flow.backends.native import NativeBackend
from engine.flow.backends.native_generator import SOURCE, NativeGenerator, generator_kernels
from engine.flow.backends.select import select_backend
from engine.flow.flow_network import live_network
from engine.flow.network.checkpoint import load_checkpoint
from engine.flow.network.config import NetworkConfig
from engine.flow.network.motion_network import MotionNetwork, sample_inputs
from engine.flow.network.network import FaceNetwork
from engine.flow.ours.shipped import COMPACT_FILE

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"native kernels: {missing()}")

NOTHING = np.zeros((1, 4, 1, 1), np.float32)
SIZES = [  # image size, widths from 4 pixels on, pixel scale
    (16, (16, 8, 8), 1),
    (16, (8, 24, 40), 2),
    (64, (32, 72, 16, 24, 8), 2),
    (128, (24, 16, 8, 8, 16, 8), 2),
]


def coded_network(size: int, widths: tuple[int, ...], scale: int, seed: int = 0) -> MotionNetwork:
    """A live graph of random weights, none of which is zero."""
    torch.manual_seed(seed)
    sizes = {4 << number: width for number, width in enumerate(widths)}
    config = NetworkConfig(size, sizes, style_dim=24, motion_dim=9, pixel_scale=scale, head_motion=False)
    network = FaceNetwork(config)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("bias") and "modulation" not in name:
                value.normal_(0, 0.1)
    source, _ = sample_inputs(config, seed + 1)
    return MotionNetwork(network.eval().requires_grad_(False), source, coded=True)


def generator_of(live: MotionNetwork) -> NativeGenerator:
    kernels = generator_kernels()
    return NativeGenerator(packed_generator(live, kernels.panel_width()), kernels)


def farthest_off(run: NativeGenerator, live: MotionNetwork, offset: torch.Tensor) -> tuple[float, float, float]:
    """Pixels of flow, depth and mask between kernels and float64; of pixels, what float32 in PyTorch is off is taken
    away five times: random weights make rough features, in which roundings are looked up at another place."""
    flow, depth, _, mask = live.double()(torch.from_numpy(NOTHING).double(), offset.double())
    rounded = live.float()(torch.from_numpy(NOTHING), offset)[0]
    fields = run(NOTHING, offset.numpy())
    assert fields.mask is not None
    half = len(depth) / 2
    px = np.abs(fields.flow - flow.numpy()).max() * half - 5 * (rounded - flow).abs().max().item() * half
    return px, np.abs(fields.depth - depth.numpy()).max(), np.abs(fields.mask - mask.numpy()).max()


@pytest.mark.parametrize(("size", "widths", "scale"), SIZES)
def test_it_answers_as_the_live_graph_does(size: int, widths: tuple[int, ...], scale: int) -> None:
    live = coded_network(size, widths, scale)
    run = generator_of(live)
    still = None
    for seed in (0, 1, 0):  # nothing of one frame is left in the next
        _, offset = sample_inputs(live.config, seed)
        px, depth, mask = farthest_off(run, live, offset)
        assert px < 1e-3
        assert depth < 1e-4
        assert mask < 1e-4
        moved = run(NOTHING, offset.numpy()).flow.copy()
        assert still is None or np.abs(moved - still).max() > 1e-3, "else this tests one frame"
        still = moved


def test_the_shipped_network_answers_as_its_live_graph_does(prepared: Avatar) -> None:
    loaded = load_checkpoint(COMPACT_FILE)
    live = live_network(network_picture(prepared, head_motion=False), loaded, coded=True)
    run = generator_of(live)
    generator = torch.Generator().manual_seed(3)
    for offset in (torch.zeros(1, UNIT_COUNT), torch.rand(1, UNIT_COUNT, generator=generator) ** 4):
        px, depth, mask = farthest_off(run, live, offset)
        assert px < 1e-3
        assert depth < 1e-4
        assert mask < 1e-4


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names of x86 processors")
@pytest.mark.parametrize("processor", ["x86-64-v4", "x86-64-v3", "x86-64"])
def test_processors_without_wide_vectors_answer_the_same(processor: str, tmp_path: Path) -> None:
    """What is compiled differs: the number of registers, and what stands for instructions that are not there."""
    if processor == "x86-64-v4" and "avx512vl" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX-512")
    library = tmp_path / "kernels.so"
    flags = ["-march=" + processor if flag == "-march=native" else flag for flag in compiled_library._FLAGS]
    command = [str(compiler()), *flags, "-Wall", "-Werror", "-Wno-psabi", "-o", library, SOURCE, "-lm"]
    subprocess.run(command, check=True)
    live = coded_network(*SIZES[2])
    kernels = native_generator._prepared(ctypes.CDLL(str(library)))
    run = NativeGenerator(packed_generator(live, kernels.panel_width()), kernels)
    px, depth, mask = farthest_off(run, live, sample_inputs(live.config, 0)[1])
    assert px < 1e-3
    assert depth < 1e-4
    assert mask < 1e-4


def test_auto_takes_it_and_what_there_is_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    request = CompileRequest(coded_network(*SIZES[0]), "key", "avatar")
    taken = select_backend("auto", request)
    assert (taken.name, taken.precision) == ("native", "fp32")
    assert isinstance(taken.run, NativeGenerator)
    monkeypatch.setattr(native, "missing", lambda: "no C compiler found")
    taken = select_backend("auto", request)
    assert taken.name == "openvino"
    assert "no C compiler found" in taken.why


@pytest.mark.parametrize(("widths", "scale"), [((16, 12, 8), 2), ((16, 8, 8), 4)])
def test_other_sizes_are_left_to_others(widths: tuple[int, ...], scale: int) -> None:
    request = CompileRequest(coded_network(16, widths, scale), "key", "avatar")
    with pytest.raises(OtherSizesError, match=r"--backend native: .* use --backend openvino"):
        proven(NativeBackend(), request)
