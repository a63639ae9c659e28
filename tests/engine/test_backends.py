"""Backends: each proves itself against eager; caches hold only for what they were made from."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.networks.engine_cache import CacheEntry
from engine.flow.backends import select
from engine.flow.backends.backend import CompileRequest, proven
from engine.flow.backends.compiled import REDUCED, BackendError, MotionFields, Tolerance
from engine.flow.backends.eager import CudaGraphBackend, EagerBackend, EagerMotion
from engine.flow.backends.openvino import OpenVinoBackend
from engine.flow.backends.select import candidates, make_backend, select_backend
from engine.flow.backends.tensorrt import TensorRtBackend
from engine.flow.network.config import NetworkConfig
from engine.flow.network.motion_network import MotionNetwork, sample_inputs
from engine.flow.network.network import FaceNetwork
from tests.engine.stand_in import picture
from tests.fakes import torch_tensorrt_vendor as vendor
from tests.fakes.cuda_graphs import FakeCudaGraphs

SMALL = NetworkConfig(
    image_size=16, widths={4: 36, 8: 36, 16: 32}, style_dim=8, motion_dim=4, inpaint_widths=(2, 2, 2), inpaint_blocks=1
)


@cache
def live_network() -> MotionNetwork:
    torch.manual_seed(0)
    network = FaceNetwork(SMALL).eval().requires_grad_(False)
    for name, value in network.named_parameters():
        if "to_flows" in name and name.endswith("conv.weight"):
            value.mul_(0.1)  # flow of a few pixels, as a trained network gives
    return MotionNetwork(network, picture(0, 16))


def request(cache_dir: Path | None = None, weights: str = "weights", avatar: str = "avatar") -> CompileRequest:
    return CompileRequest(live_network(), weights, avatar, cache_dir)


@pytest.fixture
def exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All these engines are of one network, and tracing it is what takes the time."""
    monkeypatch.setattr(torch.export, "export", lambda *_: _program())


@cache
def _program() -> Any:
    return TRUE_EXPORT(live_network(), sample_inputs(SMALL))


TRUE_EXPORT = torch.export.export


@pytest.mark.usefixtures("exported_once")
@pytest.mark.parametrize("precision", ["fp32", "int8", "mixed"])
def test_openvino_is_within_its_tolerance(precision: Any) -> None:
    _, proof = proven(OpenVinoBackend(precision), request())
    if precision == "fp32":
        assert proof.flow_px < 1e-3
        assert proof.depth < 1e-4
    else:
        assert 1e-5 < proof.flow_px < REDUCED.flow_px  # it is another precision


@pytest.mark.usefixtures("exported_once")
def test_openvino_reloads_its_own_engine_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = proven(OpenVinoBackend(), request(tmp_path))
    assert len(list(tmp_path.glob("*.blob"))) == 1
    monkeypatch.setattr("engine.flow.backends.openvino.converted", lambda *_: pytest.fail("converted again"))
    again, _ = proven(OpenVinoBackend(), request(tmp_path))
    inputs = tuple(value.numpy() for value in sample_inputs(SMALL, 5))
    np.testing.assert_array_equal(first(*inputs).flow, again(*inputs).flow)
    for other in (request(tmp_path, weights="others"), request(tmp_path, avatar="another")):
        with pytest.raises(pytest.fail.Exception, match="converted again"):
            proven(OpenVinoBackend(), other)


@pytest.mark.usefixtures("exported_once")
def test_openvino_compiles_again_where_the_file_is_damaged(tmp_path: Path) -> None:
    proven(OpenVinoBackend(), request(tmp_path))
    blob = next(tmp_path.glob("*.blob"))
    blob.write_bytes(blob.read_bytes()[:-100])
    proven(OpenVinoBackend(), request(tmp_path))
    assert CacheEntry(blob, facts_of(blob)).content() is not None


def facts_of(engine: Path) -> dict[str, str]:
    """What its label says it was built from."""
    content = engine.read_bytes()
    label = json.loads(content[-8 - int.from_bytes(content[-8:], "little") : -8])
    return dict(label["facts"])


def test_openvino_sends_nothing_to_its_makers() -> None:
    assert OpenVinoBackend().missing() is None
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__.endswith("telemetry_stub")


def tensorrt(cuda: vendor.FakeCuda | None = None, precision: str = "fp16") -> TensorRtBackend:
    return TensorRtBackend(precision, device="cpu", cuda=cuda or vendor.FakeCuda())


@pytest.mark.usefixtures("exported_once")
def test_tensorrt_builds_once_saves_and_reloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = vendor.install(monkeypatch)
    proven(tensorrt(), request(tmp_path))
    assert (fake.builds, fake.loads) == (1, 0)
    assert fake.settings["require_full_compilation"]
    assert fake.settings["autocast_low_precision_type"] is torch.float16
    assert torch.ops.aten.grid_sampler_2d.default in fake.settings["autocast_excluded_ops"]
    proven(tensorrt(), request(tmp_path))
    assert (fake.builds, fake.loads) == (1, 1)


@pytest.mark.usefixtures("exported_once")
@pytest.mark.parametrize("change", ["weights", "avatar", "gpu", "tensorrt", "torch_tensorrt", "driver", "precision"])
def test_a_foreign_tensorrt_engine_is_rebuilt(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.install(monkeypatch)
    proven(tensorrt(), request(tmp_path))
    fake = vendor.install(
        monkeypatch,
        version="2.13.1" if change == "torch_tensorrt" else "2.13.0",
        tensorrt="11.0.1" if change == "tensorrt" else "11.0.0",
    )
    if change == "driver":
        monkeypatch.setattr("engine.flow.backends.tensorrt._driver_version", lambda: "13050")
    asked = request(
        tmp_path, "other" if change == "weights" else "weights", "other" if change == "avatar" else "avatar"
    )
    cuda = vendor.FakeCuda("Other GPU" if change == "gpu" else "Fake GPU")
    proven(tensorrt(cuda, "fp32" if change == "precision" else "fp16"), asked)
    assert (fake.builds, fake.loads) == (1, 0)


@pytest.mark.usefixtures("exported_once")
def test_a_changed_engine_file_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = vendor.install(monkeypatch)
    proven(tensorrt(), request(tmp_path))
    engine = next(tmp_path.glob("*.pt2"))
    engine.write_bytes(engine.read_bytes() + b"x")
    proven(tensorrt(), request(tmp_path))
    assert (fake.builds, fake.loads) == (2, 0)


@pytest.mark.usefixtures("exported_once")
def test_an_engine_that_does_not_load_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = vendor.install(monkeypatch)
    proven(tensorrt(), request(tmp_path))
    engine = next(tmp_path.glob("*.pt2"))
    CacheEntry(engine, facts_of(engine)).write(lambda path: path.write_bytes(b"rubbish"))
    proven(tensorrt(), request(tmp_path))
    assert (fake.builds, fake.loads) == (2, 1)


@pytest.mark.usefixtures("exported_once")
def test_a_backend_that_gives_other_numbers_is_refused_with_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.install(monkeypatch).scale = 1.3
    with pytest.raises(BackendError, match=r"differs from eager by \d.* px of flow") as caught:
        proven(tensorrt(), request())
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("exported_once")
def test_a_build_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.install(monkeypatch).fails = True
    with pytest.raises(BackendError, match=r"conversion failed for aten\.something") as caught:
        proven(tensorrt(), request())
    assert "\n" not in str(caught.value)


def test_tensorrt_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch_tensorrt", None)
    assert "no CUDA device" in (tensorrt(vendor.FakeCuda(available=False)).missing() or "")
    assert "[tensorrt]" in (tensorrt().missing() or "")


def test_cuda_graph_is_captured_once_and_replayed() -> None:
    made: list[Any] = []
    cuda = FakeCudaGraphs(lambda: made[0])
    asked = request()
    made.append(CudaGraphBackend(cuda=cuda, device="cpu").compile(asked))
    for seed in (1, 2):
        driving, offset = sample_inputs(SMALL, seed)
        fields = made[0](driving.numpy(), offset.numpy())
        flow, depth, alpha = asked.network(driving, offset)
        np.testing.assert_allclose(fields.flow, flow.numpy(), atol=1e-6)
        np.testing.assert_allclose(fields.depth, depth.numpy(), atol=1e-5)
        np.testing.assert_allclose(fields.alpha, alpha.numpy(), atol=1e-5)
    assert cuda.log == ["wait", "warm up", "wait", "capture", "synchronize", "synchronize"]


def test_nothing_of_a_vendors_is_imported_unasked() -> None:
    import subprocess
    import sys

    script = (
        "import sys, engine.flow.backends.select as s; [s.make_backend(n) for n in ('tensorrt', 'openvino', 'cuda')];"
        "sys.exit(any(m in sys.modules for m in ('torch_tensorrt', 'tensorrt', 'openvino', 'onnx')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@dataclass
class Falsified:
    """Eager with an error added."""

    flow_px: float
    depth: float
    name: str = "falsified"
    precision: str = "fp32"

    def missing(self) -> str | None:
        return None

    def compile(self, asked: CompileRequest) -> Any:
        true = EagerMotion(asked.network)

        def run(driving: NDArray[np.float32], offset: NDArray[np.float32]) -> MotionFields:
            fields = true(driving, offset)
            wrong = fields.flow.copy()
            wrong[3, 5, 0] += self.flow_px / 8
            return MotionFields(wrong, fields.depth + np.float32(self.depth), fields.alpha)

        return run


@pytest.mark.parametrize(("flow_px", "depth", "passes"), [(0.1, 0.0, True), (0.6, 0.0, False), (0.0, 0.2, False)])
def test_one_wrong_pixel_is_enough_to_refuse(flow_px: float, depth: float, passes: bool) -> None:
    limit = Tolerance(0.5, 0.1)
    if passes:
        assert proven(Falsified(flow_px, depth), request(), limit)[1].flow_px == pytest.approx(flow_px, abs=1e-4)
        return
    with pytest.raises(BackendError, match="refused"):
        proven(Falsified(flow_px, depth), request(), limit)


def test_not_a_number_is_refused() -> None:
    with pytest.raises(BackendError, match="nan"):
        proven(Falsified(float("nan"), 0.0), request())


def test_auto_says_which_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = select_backend("auto", request())  # channel counts the native kernels do not take
    assert chosen.name == "openvino"
    assert chosen.why.startswith("openvino fp32: no faster device; not native: it runs networks of other sizes; ")
    assert "px and" in chosen.why
    offered = {"native": Falsified(5.0, 0.0), "openvino": Falsified(5.0, 0.0), "eager": EagerBackend()}
    monkeypatch.setattr(select, "make_backend", lambda name: offered[name])
    fallen = select_backend("auto", request())
    assert fallen.name == "eager"
    assert "not openvino: --backend falsified (fp32): differs from eager by 5 px" in fallen.why


def test_auto_prefers_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert candidates()[-1] == "eager"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert candidates()[:2] == ["tensorrt", "cuda"]


def test_a_named_backend_that_cannot_work_is_an_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for name in ("cuda", "tensorrt"):
        with pytest.raises(BackendError, match="no CUDA device"):
            select_backend(name, request())  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="expected auto"):
        make_backend("quantum")  # type: ignore[arg-type]
