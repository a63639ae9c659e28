"""Parts of `benchmarks.gpu`: the networks, each size run in each way, held against eager PyTorch on the processor."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from benchmarks.gpu_setting import MissingError, Setting, Telling, call_ms, importable, nvidia_smi

if TYPE_CHECKING:
    import numpy as np
    import torch

    from engine.flow.backends.backend import CompileRequest
    from engine.flow.backends.compiled import CompiledMotion, MotionFields
    from engine.flow.network.motion_network import MotionNetwork


def flow(size: str, way: str, setting: Setting, tell: Telling) -> None:
    """One network run in one way: `ms` from NumPy to NumPy as the live program calls it, `ms_gpu` on the GPU alone."""
    import torch

    from engine.flow.backends.backend import CompileRequest

    _check(way, setting)
    on_gpu = setting.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise MissingError("no CUDA device is visible to PyTorch")
    live = _live(size)
    request = CompileRequest(live, "benchmark", size)
    for kind in (way, "cuda-graph-tf32") if way == "cuda-graph" else (way,):
        _flow(kind, request, setting, partial(_under, tell, "tf32_" if kind.endswith("tf32") else ""))
    if on_gpu:
        tell(gpu_bytes_peak=torch.cuda.max_memory_allocated(), nvidia_smi=nvidia_smi())


def _under(tell: Telling, prefix: str, **facts: Any) -> None:
    tell(**{prefix + name: value for name, value in facts.items()})


def _check(way: str, setting: Setting) -> None:
    """Whether what the way needs is here, before anything is built for it."""
    if setting.device != "cuda" and way in ("cuda-graph", "tensorrt"):
        raise MissingError("it needs a CUDA device")
    needed = {"tensorrt": ("torch_tensorrt", "tensorrt"), "onnxruntime": ("onnxruntime", "onnx", "onnxscript")}
    if lacking := [name for name in needed.get(way, ()) if not importable(name)]:
        raise MissingError(f"the package {' and the package '.join(lacking)}")


def _flow(way: str, request: CompileRequest, setting: Setting, tell: Telling) -> None:
    from engine.flow.backends.compiled import EXACT, REDUCED, measured
    from engine.flow.network.motion_network import sample_inputs

    live = request.network
    started = time.perf_counter()
    run, alone, precision = _compiled(way, request, setting)
    driving, offset = (value.numpy() for value in sample_inputs(live.config, 13))
    run(driving, offset)
    tell(precision=precision, seconds_to_first_result=round(time.perf_counter() - started, 2))
    limit = EXACT if precision == "fp32" else REDUCED
    proof = measured(run, [_eager(live, seed) for seed in range(1 if setting.short else 3)])
    tell(flow_error_px=proof.flow_px, depth_error=proof.depth, equal=proof.within(limit))
    tell(allowed_flow_px=limit.flow_px, allowed_depth=limit.depth)
    tell(**call_ms(lambda: run(driving, offset), setting))
    if alone is not None and setting.device == "cuda":
        tell(ms_gpu=_event_ms(alone, setting.rounds))


def _live(size: str) -> MotionNetwork:
    from engine.flow.network.motion_network import MotionNetwork, sample_inputs

    if size == "published":
        from benchmarks.published import stand_in_network

        network = stand_in_network()
    else:
        from engine.flow.network.checkpoint import load_checkpoint
        from engine.flow.ours.shipped import COMPACT_FILE

        network = load_checkpoint(COMPACT_FILE).network
    return MotionNetwork(network, sample_inputs(network.config, 11)[0])


def _eager(live: MotionNetwork, seed: int) -> Any:
    from engine.flow.backends.backend import eager_sample

    return eager_sample(live, seed)


def _compiled(
    way: str, request: CompileRequest, setting: Setting
) -> tuple[CompiledMotion, Callable[[], object] | None, str]:
    """What runs it, what launches it on the GPU without waiting (where that can be parted), and its precision."""
    if way == "eager":
        plain = _OnDevice(request.network, setting.device, compiles=False)
        return plain, plain.launch, "fp32"
    if way == "compile":
        compiled = _OnDevice(request.network, setting.device, compiles=True)
        return compiled, compiled.launch, "fp32"
    if way == "onnxruntime":
        return _OnnxRuntime(request.network, setting), None, "fp32"
    if way in ("cuda-graph", "cuda-graph-tf32"):
        from engine.flow.backends.eager import CudaGraphBackend

        captured = CudaGraphBackend(tf32=way == "cuda-graph-tf32")
        graph = captured.compile(request)
        return graph, graph.launch, captured.precision
    from engine.flow.backends.tensorrt import TensorRtBackend

    backend = TensorRtBackend()
    if reason := backend.missing():
        raise MissingError(reason)
    return backend.compile(request), None, backend.precision


class _OnDevice:
    """PyTorch itself, eager or through torch.compile (on a GPU with its own CUDA graphs)."""

    def __init__(self, network: MotionNetwork, device: str, *, compiles: bool) -> None:
        import torch

        from engine.flow.network.motion_network import sample_inputs

        torch.backends.cudnn.allow_tf32 = False  # as exact as the processor; on unless told otherwise
        self._network: Callable[..., tuple[torch.Tensor, ...]] = copy.deepcopy(network).to(device)
        self._device = device
        self._inputs = tuple(value.to(device) for value in sample_inputs(network.config))
        if compiles:
            mode = "reduce-overhead" if device == "cuda" else "default"
            self._network = torch.compile(self._network, mode=mode, fullgraph=True, dynamic=False)

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        import torch

        from engine.flow.backends.compiled import MotionFields

        for held, given in zip(self._inputs, (driving, alpha_offset), strict=True):
            held.copy_(torch.from_numpy(given))
        return MotionFields(*(value.cpu().numpy() for value in self.launch()))

    def launch(self) -> tuple[Any, ...]:
        import torch

        torch.compiler.cudagraph_mark_step_begin()  # results of the launch before may be overwritten
        with torch.no_grad():
            return self._network(*self._inputs)


class _OnnxRuntime:
    """ONNX Runtime on the exported graph."""

    def __init__(self, network: MotionNetwork, setting: Setting) -> None:
        import onnxruntime

        from engine.flow.backends.onnx_export import INPUTS, export_onnx

        provider = "CUDAExecutionProvider" if setting.device == "cuda" else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise MissingError(f"onnxruntime without {provider}; install onnxruntime-gpu")
        if setting.device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # the CUDA libraries that came with PyTorch
        path = setting.out / f"network-{network.config.image_size}.onnx"
        export_onnx(network, path)
        given: Any = (provider, {"use_tf32": "0"}) if setting.device == "cuda" else provider
        self._session = onnxruntime.InferenceSession(str(path), providers=[given])
        path.unlink()
        if self._session.get_providers()[0] != provider:
            raise MissingError(f"onnxruntime's {provider} does not start here")
        self._names = INPUTS

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        from engine.flow.backends.compiled import MotionFields

        given = dict(zip(self._names, (driving, alpha_offset), strict=True))
        return MotionFields(*self._session.run(None, given))


def _event_ms(launch: Callable[[], object], rounds: int) -> float:
    """Milliseconds of one launch among many in a row, by CUDA events."""
    import torch

    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for _ in range(3):
        launch()
    torch.cuda.synchronize()
    begin.record()
    for _ in range(rounds):
        launch()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end) / rounds)
