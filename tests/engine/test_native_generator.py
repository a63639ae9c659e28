"""Kernels for this project's own networks: the whole live graph against PyTorch."""

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

NOTHING = torch.zeros(1, 4, 1, 1)
SIZES = [  # image size, widths from 4 pixels on, pixel scale
    (16, (16, 8, 8), 1),
    (16, (8, 24, 40), 2),
    (64, (32, 72, 16, 24, 8), 2),
    (128, (24, 16, 8, 8, 16, 8), 2),
]


def live_graph(size: int, widths: tuple[int, ...], scale: int, seed: int = 0, *, coded: bool = True) -> MotionNetwork:
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
    return MotionNetwork(network.eval().requires_grad_(False), source, coded=coded)


def generator_of(live: MotionNetwork) -> NativeGenerator:
    kernels = generator_kernels()
    return NativeGenerator(packed_generator(live, kernels.panel_width()), kernels)


def farthest_off(
    run: NativeGenerator, live: MotionNetwork, offset: torch.Tensor, driving: torch.Tensor = NOTHING
) -> tuple[float, float, float]:
    """Pixels of flow, depth and mask between kernels and float64, less five times what float32 in PyTorch is off: rough
    features of random weights are looked up at another place where a number was rounded."""
    exact = live.double()(driving.double(), offset.double())
    rounded = live.float()(driving, offset)
    fields = run(driving.numpy(), offset.numpy())
    assert fields.mask is not None
    np.testing.assert_allclose(fields.alpha, exact[2].numpy(), atol=1e-5)
    off = [
        np.abs(own - exact[i].numpy()).max() - 5 * (rounded[i] - exact[i]).abs().max().item()
        for i, own in ((0, fields.flow), (1, fields.depth), (3, fields.mask))
    ]
    return off[0] * len(fields.depth) / 2, off[1], off[2]


@pytest.mark.parametrize(("size", "widths", "scale"), SIZES)
def test_it_answers_as_the_live_graph_does(size: int, widths: tuple[int, ...], scale: int) -> None:
    live = live_graph(size, widths, scale)
    run = generator_of(live)
    still = None
    for seed in (0, 1, 0):  # nothing of one frame is left in the next
        _, offset = sample_inputs(live.config, seed)
        px, depth, mask = farthest_off(run, live, offset)
        assert px < 1e-3
        assert depth < 1e-4
        assert mask < 1e-4
        moved = run(NOTHING.numpy(), offset.numpy()).flow.copy()
        assert still is None or np.abs(moved - still).max() > 1e-3, "else this tests one frame"
        still = moved


@pytest.mark.parametrize(("size", "widths", "scale"), SIZES)
def test_networks_that_see_the_driver_do_so(size: int, widths: tuple[int, ...], scale: int) -> None:
    live = live_graph(size, widths, scale, coded=False)
    run = generator_of(live)
    codes = []
    for seed in (3, 4, 3):
        driving, offset = sample_inputs(live.config, seed)
        px, depth, mask = farthest_off(run, live, offset, driving)
        assert px < 1e-3
        assert depth < 1e-4
        assert mask < 1e-4
        codes.append(run(driving.numpy(), offset.numpy()).alpha)
    assert np.abs(codes[1] - codes[0]).max() > 0.01, "else nothing is seen"
    np.testing.assert_array_equal(codes[2], codes[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_codes_that_are_no_codes_look_nowhere_else(value: float) -> None:
    """Where a pixel looks is an address: it has to stay within the avatar's features whatever comes."""
    live = live_graph(*SIZES[1])
    run = generator_of(live)
    good = sample_inputs(live.config, 0)[1].numpy()
    before = run(NOTHING.numpy(), good).flow.copy()
    wrong = good.copy()
    wrong[0, ::2] = value
    run(NOTHING.numpy(), wrong)
    np.testing.assert_array_equal(run(NOTHING.numpy(), good).flow, before)


@pytest.mark.parametrize("coded", [True, False])
def test_the_shipped_network_answers_as_its_live_graph_does(prepared: Avatar, coded: bool) -> None:
    loaded = load_checkpoint(COMPACT_FILE)
    live = live_network(network_picture(prepared, head_motion=False), loaded, coded=coded)
    driving = NOTHING if coded else sample_inputs(live.config, 8)[0]
    run = generator_of(live)
    generator = torch.Generator().manual_seed(3)
    for offset in (torch.zeros(1, UNIT_COUNT), torch.rand(1, UNIT_COUNT, generator=generator) ** 4):
        px, depth, mask = farthest_off(run, live, offset, driving)
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
    live = live_graph(*SIZES[2], coded=False)
    driving, offset = sample_inputs(live.config, 0)
    kernels = native_generator._prepared(ctypes.CDLL(str(library)))
    run = NativeGenerator(packed_generator(live, kernels.panel_width()), kernels)
    px, depth, mask = farthest_off(run, live, offset, driving)
    assert px < 1e-3
    assert depth < 1e-4
    assert mask < 1e-4


def test_auto_takes_it_and_what_there_is_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = CompileRequest(live_graph(*SIZES[0]), "key", "avatar")
    taken = select_backend("auto", request)
    assert (taken.name, taken.precision) == ("native", "fp32")
    assert isinstance(taken.run, NativeGenerator)
    monkeypatch.setattr(native, "missing", lambda: "no C compiler found")
    taken = select_backend("auto", request)
    assert taken.name == "openvino"
    assert "not native: no C compiler found" in taken.why
    assert "--backend auto" not in taken.why, "what was chosen"
    told = [each.getMessage() for each in caplog.records if each.name.startswith("engine")]
    assert not told, "its line says so"


@pytest.mark.parametrize(("widths", "scale"), [((16, 12, 8), 2), ((16, 8, 8), 4)])
def test_other_sizes_are_left_to_others(widths: tuple[int, ...], scale: int) -> None:
    request = CompileRequest(live_graph(16, widths, scale), "key", "avatar")
    with pytest.raises(OtherSizesError, match=r"--backend native: .* use --backend openvino"):
        proven(NativeBackend(), request)
