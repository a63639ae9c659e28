"""The native kernels: each against PyTorch, and the whole live graph against eager."""

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import random as random_sparse
from torch.nn import functional as F

from core.native import compiled_library
from core.native.compiled_library import NativeError, built, missing, pointer
from core.networks.alignment import aligned
from engine.flow.backends import native_library
from engine.flow.backends.backend import CompileRequest, proven
from engine.flow.backends.compiled import BackendError
from engine.flow.backends.native import NativeBackend
from engine.flow.backends.native_library import Plan, Scratch, flow_kernels
from engine.flow.backends.native_motion import NativeMotion, Winograd, affine, run_taps, style_weights
from engine.flow.backends.native_packing import packed, square_taps, tap_weights, winograd_weights
from engine.flow.backends.native_split import Filtering, SplitConv, SplitPicture, SplitSame, strided_offsets
from engine.flow.network.config import NetworkConfig
from engine.flow.network.layers import filter_2d, fir_kernel
from engine.flow.network.motion_network import MotionNetwork, sample_inputs
from engine.flow.network.network import FaceNetwork
from engine.flow.published.published_retarget import _SparseProduct
from tests.engine.stand_in import picture, published_network, small_network

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"native kernels: {missing()}")

WIDE = NetworkConfig(image_size=32, widths={4: 128, 8: 128, 16: 64, 32: 64}, style_dim=24, motion_dim=6)


def channels_first(x: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(x.copy()).permute(2, 0, 1)[None]


def random_picture(size: int, channels: int, seed: int = 0) -> NDArray[np.float32]:
    x = aligned(size, size, channels)
    x[:] = np.random.default_rng(seed).standard_normal(x.shape)
    return x


@pytest.mark.parametrize(("size", "c_in", "c_out"), [(4, 64, 64), (8, 128, 64), (32, 64, 128), (64, 64, 64)])
def test_winograd_equals_direct_convolution(size: int, c_in: int, c_out: int) -> None:
    torch.manual_seed(size)
    weight, bias = torch.randn(c_out, c_in, 3, 3) / np.sqrt(9 * c_in), torch.randn(c_out)
    style, scale = torch.rand(c_in) + 0.5, torch.rand(c_out) + 0.5
    scratch = Scratch()
    conv = Winograd(flow_kernels(), scratch, winograd_weights(weight), bias.numpy(), size)
    scratch.allocate()
    x, out = random_picture(size, c_in), aligned(size, size, c_out)
    conv(x, out, style.numpy(), scale.numpy())
    expected = F.conv2d(channels_first(x).double() * style[:, None, None], weight.double(), padding=1)
    expected = F.leaky_relu(expected * scale[:, None, None] + bias[:, None, None], 0.2)
    assert np.abs(out - expected[0].permute(1, 2, 0).numpy()).max() < 3e-4


def matrix_unit() -> bool:
    return missing() is None and flow_kernels().matrix_parts() > 0


needs_matrix_unit = pytest.mark.skipif(not matrix_unit(), reason="this processor has no AMX")
UNITS = pytest.mark.parametrize("matrix", [False, pytest.param(True, marks=needs_matrix_unit)])


@needs_matrix_unit
@pytest.mark.parametrize(("size", "c_in", "c_out"), [(4, 64, 64), (8, 128, 64), (32, 64, 128), (64, 64, 64)])
def test_matrix_unit_equals_direct_convolution(size: int, c_in: int, c_out: int) -> None:
    torch.manual_seed(size)
    weight, bias = torch.randn(c_out, c_in, 3, 3) / np.sqrt(9 * c_in), torch.randn(c_out)
    style, scale = torch.rand(c_in) + 0.5, torch.rand(c_out) + 0.5
    split = SplitPicture(flow_kernels())
    conv = SplitSame(split, square_taps(weight), bias.numpy(), size)
    split.allocate()
    split._buffer.fill(np.nan)  # what an earlier picture left there
    x, out = random_picture(size, c_in), aligned(size, size, c_out)
    conv(x, out, style.numpy(), scale.numpy())
    expected = F.conv2d(channels_first(x).double() * style[:, None, None], weight.double(), padding=1)
    expected = F.leaky_relu(expected * scale[:, None, None] + bias[:, None, None], 0.2)
    assert np.abs(out - expected[0].permute(1, 2, 0).numpy()).max() < 1e-4  # nearer than Winograd's


@needs_matrix_unit
def test_matrix_unit_strided_convolution_of_a_filtered_picture() -> None:
    weight, bias = torch.randn(128, 64, 3, 3) / 24, torch.randn(128)
    kernels, scratch, split = flow_kernels(), Scratch(), SplitPicture(flow_kernels())
    scratch.wish(40 * 64)
    scratch.allocate()
    split.wish(17, 64, phases=2)
    split.allocate()
    split._buffer.fill(np.nan)
    conv = SplitConv(kernels, square_taps(weight), (8, 8), 9, strided_offsets(9))
    x, out = random_picture(16, 64), aligned(8, 8, 128)
    out += 1
    conv(split.filtered(x, Filtering(2, 1), scratch, phases=2), out, bias=bias.numpy(), add=True)
    blurred = filter_2d(channels_first(x), fir_kernel(), (2, 2))
    expected = F.leaky_relu(F.conv2d(blurred, weight, bias, stride=2), 0.2) + 1
    np.testing.assert_allclose(out, expected[0].permute(1, 2, 0).numpy(), atol=1e-4)


@pytest.mark.parametrize(("pad", "stride", "gain"), [(2, 1, 1.0), (1, 2, 1.0), (1, 1, 2.0)])
def test_filter_equals_the_network_s(pad: int, stride: int, gain: float) -> None:
    scratch = Scratch()
    scratch.wish(40 * 64)
    scratch.allocate()
    x = random_picture(17, 64)
    expected = filter_2d(channels_first(x), fir_kernel(gain**2), (pad, pad), stride)[0].permute(1, 2, 0).numpy()
    out = aligned(*expected.shape)
    numbers = [ctypes.c_long(n) for n in (17, len(out), 64, pad, stride)]
    flow_kernels().filter_picture(
        pointer(x), None, None, pointer(out), *numbers, ctypes.c_float(gain), scratch.pointers
    )
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_taps_equal_strided_convolution() -> None:
    weight = torch.randn(128, 64, 3, 3)
    x, out = random_picture(17, 64), aligned(8, 8, 128)
    offsets = np.array([i * 17 * 64 + j * 64 for i in range(3) for j in range(3)], np.int64)
    weights = tap_weights([weight[:, :, i, j] for i in range(3) for j in range(3)])
    run_taps(flow_kernels(), x, weights, out, (8, 8), (2 * 17 * 64, 2 * 64), (8 * 128, 128), offsets)
    expected = F.conv2d(channels_first(x), weight, stride=2)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(out, expected, atol=2e-4)


@pytest.mark.parametrize("rows", [1, 50, 1001])
def test_sparse_product(rows: int) -> None:
    matrix = random_sparse(rows, 30, density=0.2, random_state=0, format="csr", dtype=np.float32)
    x = np.random.default_rng(1).standard_normal((30, 4)).astype(np.float32)
    np.testing.assert_allclose(_SparseProduct(matrix)(x), matrix @ x, atol=1e-5)


def test_sparse_product_divided_by_its_share() -> None:
    matrix = random_sparse(301, 30, density=0.3, random_state=0, format="csr", dtype=np.float32)
    x = np.random.default_rng(1).random((30, 4)).astype(np.float32)
    x[:, 3] = np.arange(30) < 20
    product = _SparseProduct(matrix)
    for divide in (False, True):
        for last in (False, True):
            plain = product._without_kernel(x, divide, last)
            np.testing.assert_allclose(product(x, divide_by_share=divide, last=last), plain, atol=1e-5)


@UNITS
@pytest.mark.parametrize("seed", [0, 1])
def test_whole_graph_equals_eager(seed: int, matrix: bool) -> None:
    torch.manual_seed(seed)
    network = FaceNetwork(WIDE).eval().requires_grad_(False)
    live = MotionNetwork(network, picture(seed, 32))
    compiled, proof = proven(NativeBackend(matrix_unit=matrix), CompileRequest(live, "weights", "avatar"))
    assert proof.flow_px < 1e-3
    assert proof.depth < 1e-4
    driving, offset = sample_inputs(WIDE, 7)
    expected = live(driving, offset)
    fields = compiled(driving.numpy(), offset.numpy())
    np.testing.assert_allclose(fields.alpha, expected[2].numpy(), atol=1e-4)
    first = fields.flow.copy(), fields.depth.copy()
    compiled(-driving.numpy(), 2 * offset.numpy())
    again = compiled(driving.numpy(), offset.numpy())
    np.testing.assert_array_equal(again.flow, first[0])  # nothing is left over from the call before
    np.testing.assert_array_equal(again.depth, first[1])
    np.testing.assert_array_equal(again.alpha, fields.alpha)


@UNITS
def test_published_size_gives_the_golden_flow_and_depth(shared_reference: Path, matrix: bool) -> None:
    golden = np.load(shared_reference / "network.npz", allow_pickle=False)

    def enlarged(name: str) -> torch.Tensor:
        lowres = torch.from_numpy(golden[f"{name}_lowres"])
        return F.interpolate(lowres, size=(256, 256), mode="bilinear", align_corners=True).clamp(-1, 1)

    live = MotionNetwork(published_network(shared_reference), enlarged("source"))
    run = NativeBackend(matrix_unit=matrix).compile(CompileRequest(live, "weights", "avatar"))
    nothing = np.zeros((1, 20), np.float32)
    start = run(enlarged("start").numpy(), nothing).alpha
    fields = run(enlarged("driving").numpy(), live.source_alpha.numpy() - start)
    assert np.abs(fields.flow - golden["flow"][0]).max() * 128 < 1e-3
    assert np.abs(fields.depth - golden["depth"][0, 0]).max() < 1e-3


@needs_matrix_unit
def test_weights_for_a_matrix_unit_are_refused_without_one() -> None:
    class Without:
        def matrix_parts(self) -> int:
            return 0

    live = MotionNetwork(FaceNetwork(WIDE).eval().requires_grad_(False), picture(0, 32))
    with pytest.raises(NativeError, match="packed for a processor with AMX"):
        NativeMotion(packed(live, for_matrix_unit=True), Without())  # type: ignore[arg-type]


def test_a_forked_process_works_on_alone() -> None:
    """Worker threads do not survive a fork; waiting for them would hang for ever."""
    import os

    matrix = random_sparse(200, 30, density=0.2, random_state=0, format="csr", dtype=np.float32)
    product, x = _SparseProduct(matrix), np.ones((30, 4), np.float32)
    expected = product(x).copy()
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(product(x), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_several_threads_may_ask_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def many(seed: int) -> bool:
        matrix = random_sparse(500, 30, density=0.2, random_state=seed, format="csr", dtype=np.float32)
        product, x = _SparseProduct(matrix), np.full((30, 4), seed + 1.0, np.float32)
        return all(np.allclose(product(x), matrix @ x, atol=1e-4) for _ in range(50))

    with ThreadPoolExecutor(3) as threads:
        assert all(threads.map(many, range(3)))


def test_a_plan_does_nothing_until_it_is_run() -> None:
    x, y = np.arange(6, dtype=np.float32), np.zeros(6, np.float32)
    summand = np.ones(6, np.float32)
    plan = Plan(flow_kernels(), lambda: style_weights(flow_kernels(), x, y, summand=summand))
    other = np.zeros(6, np.float32)
    style_weights(flow_kernels(), x, other, x)  # what is called beside it is done at once
    np.testing.assert_array_equal(other, x * x)
    assert not y.any()
    plan()
    np.testing.assert_array_equal(y, x + 1)
    x += 10
    plan()
    np.testing.assert_array_equal(y, x + 1)


@pytest.mark.parametrize(("rows", "columns"), [(3, 20), (100, 64), (65, 5)])
def test_affine_and_demodulation(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    matrix, x = rng.random((rows, columns), np.float32), rng.standard_normal(columns).astype(np.float32)
    bias, y = rng.standard_normal(rows).astype(np.float32), np.zeros(rows, np.float32)
    affine(flow_kernels(), matrix, x, bias, y)
    np.testing.assert_allclose(y, matrix @ x + bias, atol=1e-4)
    affine(flow_kernels(), matrix, x, None, y)
    np.testing.assert_allclose(y, 1 / np.sqrt(matrix @ (x * x)), rtol=1e-5)


def test_other_channel_counts_are_refused() -> None:
    with pytest.raises(BackendError, match="divisible by 64"):
        proven(NativeBackend(), CompileRequest(MotionNetwork(small_network(), picture(0, 32)), "w", "a"))


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_library, "compiler", lambda: None)
    assert "no C compiler" in (NativeBackend().missing() or "")
    with pytest.raises(NativeError, match="no C compiler"):
        flow_kernels(Path("/nowhere"))


def test_a_compiler_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiled_library, "_FLAGS", ("--no-such-flag",))
    with pytest.raises(NativeError, match="refuses them") as caught:
        flow_kernels(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.so"))


def _built(folder: Path) -> Path:
    """The kernels' library, whatever the compiler wrote."""
    return built(native_library.SOURCE, folder, lambda _: None)


def test_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = _built(tmp_path)
    monkeypatch.setattr(compiled_library.subprocess, "run", _only_version(compiled_library.subprocess.run))
    assert _built(tmp_path) == first


def _only_version(run: Any) -> Any:
    def checked(command: list[str], **options: Any) -> Any:
        assert command[1:] == ["--version"], "compiled again"
        return run(command, **options)

    return checked


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A compiler that writes its source's name, at once."""
    program = tmp_path / "cc"
    program.write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" = -o ] && echo "compiled" > "$2"; shift; done\n')
    program.chmod(0o700)
    monkeypatch.setenv("CC", str(program))


@pytest.mark.usefixtures("quick_compiler")
def test_a_library_that_others_could_have_written_is_not_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "native"
    first = _built(folder)
    assert first.parent == folder
    folder.chmod(0o777)
    apart = _built(folder)
    assert apart.parent != folder
    assert apart.read_bytes() == first.read_bytes()
    assert f"not loaded, because others may write {folder} (mode 0777)" in caplog.text
    folder.chmod(0o700)
    first.chmod(0o666)
    assert _built(folder) == first, "the file alone was wrong: it is written anew"
    assert first.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("quick_compiler")
def test_a_damaged_library_is_compiled_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = _built(tmp_path / "native")
    whole = first.read_bytes()
    first.write_bytes(whole[:-1])
    assert _built(tmp_path / "native") == first
    assert first.read_bytes() == whole
    assert "it is damaged" in caplog.text


def test_the_library_works_without_a_cache(tmp_path: Path) -> None:
    place = tmp_path / "native"
    place.write_text("a file where the folder would be")
    assert flow_kernels(place).winograd_scratch(ctypes.c_long(8), ctypes.c_long(64)) > 0


def test_loading_the_library_leaves_small_numbers_alone() -> None:
    """Some compilers' fast arithmetic changes the processor's state for everybody: subnormal numbers become zero."""
    program = (
        "import numpy as np; from engine.flow.backends.native_library import flow_kernels; flow_kernels(); "
        "assert (np.array([2.3e-308]) / 4)[0] > 0, 'subnormal numbers are flushed to zero'"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
