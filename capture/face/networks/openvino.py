"""The face landmarker's networks compiled by OpenVINO for the CPU, with the steps of MediaPipe's public graph between.

The networks are read from the same model file, and compute in fp32 on one thread. Before they are believed they have to
give MediaPipe's answer for one picture, which is kept with the program.
"""

import functools
import hashlib
import importlib
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.compiled import LANDMARKS_PX, CompiledNetworks, NetworkName
from core.cache_folder import cache_folder
from core.errors import InputError
from core.networks.engine_cache import CacheEntry
from core.networks.openvino import compiled_model, last_line, library, processor
from core.spans import span
from core.untrusted import opened_zip, zip_entry

THREADS = 1
"""The one that asks: the networks are small, and the other cores draw (`realtime.threads.cores`)."""
_LARGEST_MEMBER = 16 << 20
_GRAPH_VERSION = "1"
"""To be raised whenever what is compiled from one and the same model file changes."""

_COMPILING = threading.Lock()
"""Held while the networks are compiled: whoever needs them at the same time waits, and has them, too."""


def compiled_networks(model_path: Path, cache_dir: Path | None = None) -> CompiledNetworks:
    """Compile the networks of a model file, once in a process; after the first time they come from the cache.

    Args:
        cache_dir: where they are kept; the user's cache folder by default.

    Raises InputError where OpenVINO is missing, or refuses the file.
    """
    stat = model_path.stat()
    with _COMPILING:
        return _compiled(model_path, cache_dir or cache_folder("networks"), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=2)
def _compiled(model_path: Path, cache_dir: Path, *_changes: int) -> CompiledNetworks:
    try:
        library()
    except ImportError as error:
        raise InputError(f"OpenVINO does not import ({error}); use --tracker mediapipe") from None
    steps: tuple[tuple[NetworkName, Callable[[Any], Any]], ...] = (
        ("face_detector", _as_it_is),
        ("face_landmarks_detector", _landmarker),
        ("face_blendshapes", _as_it_is),
    )
    try:
        with opened_zip(model_path) as bundle:
            members = [zip_entry(bundle, f"{name}.tflite", str(model_path), _LARGEST_MEMBER) for name, _ in steps]
        made = [_compile(name, content, step, cache_dir) for (name, step), content in zip(steps, members, strict=True)]
    except RuntimeError as error:
        raise InputError(
            f"{model_path}: OpenVINO refuses a network in it ({last_line(error)}); use --tracker mediapipe"
        ) from None
    except OSError as error:  # a full folder of temporary files
        raise InputError(f"OpenVINO cannot be given {model_path} ({error}); use --tracker mediapipe") from None
    compiled: dict[NetworkName, Any] = {name: each for (name, _), each in zip(steps, made, strict=True)}
    return CompiledNetworks(lambda name: _Request(compiled[name]), "openvino", "openvino fp32")


def _compile(name: str, content: bytes, step: Callable[[Any], Any], cache_dir: Path) -> Any:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": THREADS,
        "ENABLE_CPU_PINNING": False,  # the thread is the caller's, who does other things as well
    }
    facts = {
        "backend": name,
        "model": hashlib.sha256(content).hexdigest(),
        "graph": _GRAPH_VERSION,
        "settings": str(sorted(settings.items())),
        "openvino": library().__version__,
        "device": processor(),
    }

    def read() -> Any:
        with tempfile.TemporaryDirectory() as folder:  # networks of this format are read from files only
            path = Path(folder) / f"{name}.tflite"
            path.write_bytes(content)
            return step(library().Core().read_model(path))

    return compiled_model(read, settings, CacheEntry.of(cache_dir, facts, ".blob"))


# --- what is compiled: the networks as they are in the file, for pictures as they are in memory -----------------------


def _as_it_is(model: Any) -> Any:
    return model


def _landmarker(model: Any) -> Any:
    """Without the outputs nobody asks for, with fewer steps, and for colours of 0..255."""
    model.reshape([1, LANDMARKS_PX, LANDMARKS_PX, 3])
    asked = [result for result in model.get_results() if len(result.get_output_shape(0)) == 4]
    model = library().Model(asked, model.get_parameters(), "landmarks")
    _scale_input(model, 1 / 255)
    fold_depthwise_biases(model)
    model.validate_nodes_and_infer_types()
    return model


def _scale_input(model: Any, scale: float) -> None:
    """Multiply the first convolution's weights instead of its input."""
    first = next(node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution")
    weights = _constant(first)
    assert weights is not None
    _replace_constant(first, weights * np.float32(scale))


def fold_depthwise_biases(model: Any) -> int:
    """Put the bias after each depthwise convolution through the 1×1 convolution that follows, into the bias there:
    OpenVINO adds it in a pass of its own. How many there were. The result is the same but for rounding."""
    folded = 0
    for depthwise in model.get_ordered_ops():
        bias = _only_user(depthwise, "Add") if depthwise.get_type_name() == "GroupConvolution" else None
        pointwise = None if bias is None else _only_user(bias, "Convolution")
        next_bias = None if pointwise is None else _only_user(pointwise, "Add")
        if bias is None or pointwise is None or next_bias is None:
            continue
        weights, added, then = _constant(pointwise), _constant(bias), _constant(next_bias)
        if weights is None or added is None or then is None or weights.shape[2:] != (1, 1):
            continue
        through = weights[:, :, 0, 0].astype(np.float64) @ added.ravel().astype(np.float64)
        _replace_constant(next_bias, (then + through.reshape(1, -1, 1, 1)).astype(np.float32))
        pointwise.input(0).replace_source_output(depthwise.output(0))
        folded += 1
    return folded


def _only_user(node: Any, kind: str) -> Any | None:
    users = list(node.output(0).get_target_inputs())
    return users[0].get_node() if len(users) == 1 and users[0].get_node().get_type_name() == kind else None


def _constant(node: Any) -> NDArray[np.float32] | None:
    """The value of the only input that does not depend on the picture."""
    values = [value for _, value in _constants(node)]
    return values[0] if len(values) == 1 else None


def _replace_constant(node: Any, value: NDArray[np.float32]) -> None:
    ((number, _),) = _constants(node)
    constant = importlib.import_module("openvino.opset13").constant(value)
    node.input(number).replace_source_output(constant.output(0))


def _constants(node: Any) -> list[tuple[int, NDArray[np.float32]]]:
    values = ((number, _value(node.input_value(number).get_node())) for number in range(node.get_input_size()))
    return [(number, value) for number, value in values if value is not None]


def _value(node: Any) -> NDArray[np.float32] | None:
    """What a node gives if that is a constant of the file: there in fp16, and in another shape."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.asarray(node.get_data(), np.float32)
    below = _value(node.input_value(0).get_node()) if kind in ("Convert", "Unsqueeze", "Reshape") else None
    return None if below is None else below.reshape(tuple(node.get_output_shape(0)))


# --- running them -----------------------------------------------------------------------------------------------------


class _Request:
    """One inference request, with its tensors as arrays: they stay where they are from run to run."""

    def __init__(self, compiled: Any) -> None:
        request = compiled.create_infer_request()
        self._infer = functools.partial(request.infer, share_outputs=True)
        self.given: NDArray[Any] = request.get_input_tensor().data[0]
        found = [request.get_output_tensor(number).data for number in range(len(compiled.outputs))]
        self.found: list[NDArray[np.float32]] = [_plain(each) for each in found]

    def run(self) -> None:
        with span("infer"):
            self._infer()


def _plain(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same numbers without axes of length one; one number is an array of its own."""
    view = np.atleast_1d(np.squeeze(array))
    assert np.shares_memory(view, array)
    return view
