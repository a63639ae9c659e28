"""OpenVINO on the CPU: fp32 is exact; int8 and mixed precision are offered with their measured error only."""

import importlib
import warnings
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from core.networks.engine_cache import CacheEntry
from core.networks.openvino import compiled_model, last_line, library, processor
from engine.flow.backends.backend import CompileRequest
from engine.flow.backends.compiled import GRAPH_VERSION, BackendError, MotionFields
from engine.flow.network.motion_network import MotionNetwork, sample_inputs

Precision = Literal["fp32", "bf16", "int8", "mixed"]
"""mixed: the encoder in int8, the generator, whose output is looked at pixel by pixel, in fp32."""


class OpenVinoBackend:
    """The exported graph through OpenVINO. `threads` 0 leaves the choice to OpenVINO."""

    name = "openvino"

    def __init__(self, precision: Precision = "fp32", *, threads: int = 0) -> None:
        self.precision: Precision = precision
        self._threads = threads

    def missing(self) -> str | None:
        try:
            library()
        except ImportError as error:
            return f"openvino does not import ({error})"
        return None

    def compile(self, request: CompileRequest) -> "OpenVinoMotion":
        try:
            compiled = compiled_model(
                lambda: converted(request.network, self.precision), self._settings(), self._entry(request)
            )
        except RuntimeError as error:
            raise BackendError(f"--backend openvino: refused by OpenVINO ({last_line(error)}); try eager") from error
        return OpenVinoMotion(compiled.create_infer_request(), len(compiled.inputs))

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
        }
        return settings | ({"INFERENCE_NUM_THREADS": self._threads} if self._threads else {})

    def _entry(self, request: CompileRequest) -> CacheEntry | None:
        if request.cache_dir is None:
            return None
        facts = {
            "backend": self.name,
            "precision": self.precision,
            "threads": str(self._threads),
            "weights": request.weights_key,
            "avatar": request.avatar_key,
            "graph": GRAPH_VERSION,
            "openvino": library().__version__,
            "torch": torch.__version__,
            "device": processor(),
        }
        return CacheEntry.of(request.cache_dir, facts, ".blob")


class OpenVinoMotion:
    """One inference request. Of `inputs` 1, only the code's offset is looked at."""

    def __init__(self, request: Any, inputs: int = 2) -> None:
        self._request, self._inputs = request, inputs

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        given = [driving, alpha_offset][-self._inputs :]
        results = self._request.infer(given, share_inputs=True, share_outputs=True)
        return MotionFields(*(results[i] for i in range(len(results))))


def converted(network: MotionNetwork, precision: str) -> Any:
    """The live graph as an OpenVINO model; for "int8" and "mixed" with the quantisation marked in it."""
    inputs = sample_inputs(network.config)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch's own use of what it deprecates
        model = library().convert_model(torch.export.export(network, inputs))
    given = inputs[-len(model.inputs) :]  # a coded graph looks at no driving picture, which is then no input of it
    model.reshape({index: list(value.shape) for index, value in enumerate(given)})
    if precision in ("int8", "mixed"):
        drawn = (sample_inputs(network.config, seed)[-len(given) :] for seed in range(100, 104))
        samples = [tuple(value.numpy() for value in each) for each in drawn]
        _mark_int8(model, samples, encoder_only=precision == "mixed")
    return model


def _mark_int8(model: Any, samples: list[tuple[NDArray[np.float32], ...]], *, encoder_only: bool) -> None:
    """Insert the FakeQuantize pairs that OpenVINO turns into int8 convolutions: activations per tensor by the range
    seen on samples, weights per output channel."""
    kinds = ("Convolution", "ConvolutionBackpropData")
    convolutions = [op for op in model.get_ordered_ops() if op.get_type_name() in kinds and _worthwhile(op)]
    if encoder_only:
        convolutions = [op for op in convolutions if _reaches_only_driving(op)]
    for op, (low, high) in zip(convolutions, _ranges(model, convolutions, samples), strict=True):
        _quantise(op, low, high)
    model.validate_nodes_and_infer_types()


def _worthwhile(op: Any) -> bool:
    """Constant weights over at least 32 input channels: the rest is cheap, and the heads are sensitive."""
    shape = op.input_value(1).get_partial_shape()
    is_constant = op.input_value(1).get_node().get_type_name() == "Constant"
    return bool(is_constant and shape.is_static and shape[1].get_length() >= 32 and shape[0].get_length() >= 32)


def _reaches_only_driving(op: Any) -> bool:
    """Whether the driving picture alone feeds it: the encoder."""
    seen, todo = set(), [op.input_value(0).get_node()]
    while todo:
        node = todo.pop()
        if node.get_friendly_name() in seen:
            continue
        seen.add(node.get_friendly_name())
        if node.get_type_name() == "Parameter" and len(node.get_output_shape(0)) != 4:
            return False  # the motion code's offset
        todo += [node.input_value(i).get_node() for i in range(node.get_input_size())]
    return True


def _ranges(
    model: Any, convolutions: list[Any], samples: list[tuple[NDArray[np.float32], ...]]
) -> list[tuple[float, float]]:
    openvino = library()
    sources = [op.input_value(0) for op in convolutions]
    probe = openvino.Model(sources, model.get_parameters(), "probe")
    request = openvino.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    low, high = np.zeros(len(sources)), np.zeros(len(sources))
    for sample in samples:
        values = request.infer(list(sample))
        for i in range(len(sources)):
            low[i], high[i] = min(low[i], values[i].min()), max(high[i], values[i].max())
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _quantise(op: Any, low: float, high: float) -> None:
    library()
    ops = importlib.import_module("openvino.opset13")

    def constant(value: Any) -> Any:
        return ops.constant(np.asarray(value, np.float32))

    weight = op.input_value(1).get_node().get_data()
    others = (1, 2, 3) if op.get_type_name() == "Convolution" else (0, 2, 3)  # all but the output channel
    peak = np.maximum(np.abs(weight).max(axis=others, keepdims=True), 1e-12)
    bounds = constant(low), constant(max(high, low + 1e-6))
    activation = ops.fake_quantize(op.input_value(0), *bounds, *bounds, levels=256)
    limits = constant(-peak), constant(peak)
    weights = ops.fake_quantize(op.input_value(1), *limits, *limits, levels=255)
    op.input(0).replace_source_output(activation.output(0))
    op.input(1).replace_source_output(weights.output(0))
