"""TensorRT through torch-tensorrt: fp16, built once for this very GPU and software, saved, and checked when reloaded.

Never run on a GPU by this project's own tests: they put a fake `torch_tensorrt` at the import boundary, and hold
every operator of the exported graph against the converters that torch-tensorrt's source registers. TensorRT 11 is
strongly typed; lower precision is asked for by torch-tensorrt's autocast, which keeps what is named here in fp32.
"""

import copy
import logging
import tempfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.cache_folder import temporary_folder
from core.errors import MissingExtraError, last_line
from core.networks.engine_cache import CacheEntry
from engine.flow.backends.backend import CompileRequest
from engine.flow.backends.compiled import GRAPH_VERSION, BackendError, MotionFields
from engine.flow.network.motion_network import sample_inputs

log = logging.getLogger(__name__)


class TensorRtBackend:
    """`precision` "fp16" or "fp32". `device` and `cuda` (torch.cuda) are replaced in tests only."""

    name = "tensorrt"

    def __init__(self, precision: str = "fp16", *, device: str = "cuda", cuda: Any = None) -> None:
        self.precision = precision
        self._device, self._cuda = device, cuda or torch.cuda

    def missing(self) -> str | None:
        if not self._cuda.is_available():
            return "no CUDA device is visible to PyTorch"
        try:
            _vendor()
        except MissingExtraError as error:
            return str(error)
        return None

    def compile(self, request: CompileRequest) -> "TensorRtMotion":
        vendor = _vendor()
        inputs = tuple(value.to(self._device) for value in sample_inputs(request.network.config))
        entry = self._entry(vendor, request)
        module = self._reloaded(vendor, entry) if entry else None
        if module is None:
            module = self._built(vendor, request, inputs)
            if entry:
                entry.write(
                    lambda path: vendor.save(
                        module, str(path), output_format="exported_program", arg_inputs=list(inputs)
                    )
                )
        return TensorRtMotion(module, self._device)

    def _entry(self, vendor: Any, request: CompileRequest) -> CacheEntry | None:
        """An engine belongs to the weights and avatar baked into it, and to the GPU and software it was tuned for."""
        if request.cache_dir is None:
            return None
        import tensorrt

        facts = {
            "backend": self.name,
            "precision": self.precision,
            "weights": request.weights_key,
            "avatar": request.avatar_key,
            "graph": GRAPH_VERSION,
            "gpu": str(self._cuda.get_device_name()),
            "capability": str(self._cuda.get_device_capability()),
            "tensorrt": str(tensorrt.__version__),
            "torch_tensorrt": str(vendor.__version__),
            "torch": torch.__version__,
            "cuda": str(torch.version.cuda),
            "driver": _driver_version(),
        }
        return CacheEntry.of(request.cache_dir, facts, ".pt2")

    def _reloaded(self, vendor: Any, entry: CacheEntry) -> Any | None:
        content = entry.content()
        if content is None:
            return None
        try:
            with tempfile.NamedTemporaryFile(dir=temporary_folder(), suffix=entry.path.suffix) as file:  # without label
                file.write(content.data)
                file.flush()
                return vendor.load(file.name).module()
        except Exception as error:  # whatever a vendor's loader raises, the answer is to build again
            log.warning("%s: does not load (%s); building again", entry.path, last_line(error))
            return None

    def _built(self, vendor: Any, request: CompileRequest, inputs: tuple[torch.Tensor, ...]) -> Any:
        log.info("TensorRT: building the engine for %s; this takes minutes, once", self._cuda.get_device_name())
        network = copy.deepcopy(request.network).to(self._device)
        with torch.no_grad():
            program = torch.export.export(network, inputs)
        try:
            return vendor.dynamo.compile(program, arg_inputs=inputs, **self._settings())
        except Exception as error:  # TensorRT reports an unsupported graph or too little memory in many types
            raise BackendError(
                f"--backend tensorrt: the engine cannot be built ({last_line(error)}); try --backend cuda"
            ) from error

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "require_full_compilation": True,  # no part may fall back to PyTorch unnoticed
            "min_block_size": 1,
            "disable_tf32": True,
            "immutable_weights": True,
            "optimization_level": 5,
        }
        if self.precision == "fp16":
            aten = torch.ops.aten
            settings |= {
                "enable_autocast": True,
                "autocast_low_precision_type": torch.float16,
                # a coordinate in fp16 is good to an eighth of a pixel of 256 only, and rsqrt sums many squares
                "autocast_excluded_ops": {
                    aten.grid_sampler.default,
                    aten.grid_sampler_2d.default,
                    aten.tanh.default,
                    aten.rsqrt.default,
                },
            }
        return settings


class TensorRtMotion:
    """A built engine."""

    def __init__(self, module: Any, device: str) -> None:
        self._module, self._device = module, device

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        inputs = (torch.from_numpy(value).to(self._device) for value in (driving, alpha_offset))
        with torch.no_grad():
            results = self._module(*inputs)
        return MotionFields(*(result.float().cpu().numpy() for result in results))


def _vendor() -> Any:
    try:
        import torch_tensorrt
    except ImportError as error:
        raise MissingExtraError("tensorrt", "--backend tensorrt") from error
    return torch_tensorrt


def _driver_version() -> str:
    """CUDA driver version as PyTorch reports it."""
    query = getattr(torch._C, "_cuda_getDriverVersion", None)
    return str(query()) if query else "unknown"
