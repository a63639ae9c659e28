"""The plain twin of every other backend: PyTorch as it is, on the CPU or, replayed as one CUDA graph, on a GPU."""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.flow.backends.backend import CompileRequest
from engine.flow.backends.compiled import MotionFields
from engine.flow.network.motion_network import MotionNetwork, sample_inputs


class EagerBackend:
    """PyTorch on the CPU."""

    name = "eager"
    precision = "fp32"

    def missing(self) -> str | None:
        return None

    def compile(self, request: CompileRequest) -> "EagerMotion":
        return EagerMotion(request.network)


class EagerMotion:
    """A network called as it is."""

    def __init__(self, network: MotionNetwork) -> None:
        self._network = network

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        with torch.inference_mode():
            results = self._network(torch.from_numpy(driving), torch.from_numpy(alpha_offset))
        return MotionFields(*(result.numpy() for result in results))


class CudaGraphBackend:
    """PyTorch on an NVIDIA GPU, without TensorRT: the whole graph is captured once and replayed with one launch.

    `cuda` is `torch.cuda`, or what stands in for it in tests; `device` is where tensors live.
    """

    name = "cuda"

    def __init__(self, *, tf32: bool = False, cuda: Any = None, device: str = "cuda") -> None:
        self.precision = "tf32" if tf32 else "fp32"
        self._tf32, self._cuda, self._device = tf32, cuda or torch.cuda, device

    def missing(self) -> str | None:
        return None if self._cuda.is_available() else "no CUDA device is visible to PyTorch"

    def compile(self, request: CompileRequest) -> "CudaGraphMotion":
        # without TF32 the GPU's convolutions are as exact as the CPU's; cuDNN has it on unless told otherwise
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=self._tf32):
            return CudaGraphMotion(request.network, self._cuda, self._device)


class CudaGraphMotion:
    """A captured graph with its fixed inputs and outputs."""

    _WARM_UP = 3  # cuDNN chooses its kernels and allocates before the capture

    def __init__(self, network: MotionNetwork, cuda: Any, device: str) -> None:
        self._cuda = cuda
        self._network = copy.deepcopy(network).to(device)  # holds the constants that the captured kernels read
        self._inputs = tuple(value.to(device) for value in sample_inputs(network.config))
        stream = cuda.Stream()
        stream.wait_stream(cuda.current_stream())
        with cuda.stream(stream), torch.no_grad():
            for _ in range(self._WARM_UP):
                self._network(*self._inputs)
        cuda.current_stream().wait_stream(stream)
        self._graph = cuda.CUDAGraph()
        with cuda.graph(self._graph), torch.no_grad():
            self._outputs: tuple[Tensor, ...] = self._network(*self._inputs)

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        for held, given in zip(self._inputs, (driving, alpha_offset), strict=True):
            held.copy_(torch.from_numpy(given))
        self.launch()
        self._cuda.synchronize()
        return MotionFields(*(output.cpu().numpy() for output in self._outputs))

    def launch(self) -> None:
        """Replay on what the inputs hold, without waiting for the result: what the GPU alone takes is measured so."""
        self._graph.replay()
