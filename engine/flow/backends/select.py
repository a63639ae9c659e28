"""Choosing a backend: by name, or the fastest that works here and proves itself, saying why."""

import logging

import torch

from engine.flow.backends.backend import Backend, CompileRequest, proven
from engine.flow.backends.compiled import BackendError, OtherSizesError, SelectedBackend
from engine.flow.backends.eager import CudaGraphBackend, EagerBackend
from engine.flow.backends.names import BackendName
from engine.flow.backends.native import NativeBackend
from engine.flow.backends.openvino import OpenVinoBackend
from engine.flow.backends.tensorrt import TensorRtBackend

log = logging.getLogger(__name__)


def make_backend(name: BackendName) -> Backend:
    """The backend of that name; "auto" is no single one. Imports nothing of any vendor's."""
    if name == "native":
        return NativeBackend()
    if name == "eager":
        return EagerBackend()
    if name == "cuda":
        return CudaGraphBackend()
    if name == "tensorrt":
        return TensorRtBackend()
    if name == "openvino-int8":
        return OpenVinoBackend("int8")
    if name == "openvino-mixed":
        return OpenVinoBackend("mixed")
    if name == "openvino":
        return OpenVinoBackend()
    raise BackendError(
        f"--backend {name}: expected auto, native, openvino, openvino-mixed, openvino-int8, eager, cuda or tensorrt"
    )


def candidates() -> list[BackendName]:
    """What "auto" tries on this machine, best first. Lower precision on the CPU is for those who ask for it."""
    on_gpu: list[BackendName] = ["tensorrt", "cuda"] if torch.cuda.is_available() else []
    return [*on_gpu, "native", "openvino", "eager"]


def select_backend(name: BackendName, request: CompileRequest) -> SelectedBackend:
    """Raises BackendError where the named backend cannot be used; "auto" falls to the next and keeps the reasons."""
    if name != "auto":
        return _selected(make_backend(name), request, "as asked")
    refused: list[str] = []
    for candidate in candidates():
        backend = make_backend(candidate)
        if reason := backend.missing():
            refused.append(f"not {candidate}: {reason}")
            continue
        device = "CUDA device found" if candidate in ("tensorrt", "cuda") else "no faster device"
        try:
            return _selected(backend, request, "; ".join([device, *refused]))
        except BackendError as error:
            if isinstance(error, OtherSizesError):  # no fault of this machine, and no news for its user
                refused.append(f"not {candidate}: it runs networks of other sizes")
                continue
            log.warning("%s", error)
            refused.append(f"not {candidate}: {error}")
    raise BackendError(f"--backend auto: none works here ({'; '.join(refused)})")


def _selected(backend: Backend, request: CompileRequest, why: str) -> SelectedBackend:
    run, proof = proven(backend, request)
    return SelectedBackend(
        run, backend.name, backend.precision, proof, f"{backend.name} {backend.precision}: {why}; {proof}"
    )
