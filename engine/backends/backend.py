"""What a backend is: it compiles one avatar's live graph for a device, and has to prove itself against eager."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from engine.motion_network import MotionNetwork, sample_inputs
from render.errors import InputError


class BackendError(InputError):
    """A backend cannot be used here; says why and what else there is."""


@dataclass(frozen=True, eq=False)
class MotionFields:
    """One frame's result.

    Attributes:
        flow: [N, N, 2] float32 in [-1, 1], x first: where in the avatar's picture each pixel looks.
        depth: [N, N] float32 generated depth.
        alpha: [1, M] float32 motion code of the driving picture.
    """

    flow: NDArray[np.float32]
    depth: NDArray[np.float32]
    alpha: NDArray[np.float32]


class CompiledMotion(Protocol):
    """A live graph ready to run. Owned by one thread; results stay valid until the next call."""

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        """driving [1, 4, N, N] in [-1, 1], alpha_offset [1, M]."""


class Backend(Protocol):
    """One way to run the live graph."""

    name: str

    @property
    def precision(self) -> str:
        """fp32 is held to be exact; any other name is reduced precision."""

    def missing(self) -> str | None:
        """Why it cannot work on this machine, in a few words, or None."""

    def compile(self, request: "CompileRequest") -> CompiledMotion:
        """Raises BackendError where the device or the vendor's software refuses."""


@dataclass(frozen=True, eq=False)
class CompileRequest:
    """What to compile, and what identifies it in caches.

    Attributes:
        network: the live graph, on the CPU.
        weights_key: `Checkpoint.key`.
        avatar_key: identifies the source picture and depth.
        cache_dir: where compiled engines are kept, or None for no cache.
    """

    network: MotionNetwork
    weights_key: str
    avatar_key: str
    cache_dir: Path | None = None


@dataclass(frozen=True)
class Tolerance:
    """The greatest error of a backend against eager on samples: flow in pixels, depth in its units of about [-1, 1]."""

    flow_px: float
    depth: float


EXACT, REDUCED = Tolerance(0.02, 1e-3), Tolerance(0.5, 0.05)
"""What fp32 is held to, and every lower precision: half a pixel of 256, and depth to a fortieth of its range."""


@dataclass(frozen=True)
class Proof:
    """Greatest error against eager over the samples."""

    flow_px: float
    depth: float

    def within(self, tolerance: Tolerance) -> bool:
        return self.flow_px <= tolerance.flow_px and self.depth <= tolerance.depth  # False for NaN


def prove(compiled: CompiledMotion, network: MotionNetwork, samples: int = 1) -> Proof:
    """Run samples through `compiled` and through eager, and measure."""
    half = network.config.image_size / 2
    flow_errors, depth_errors = [], []
    for seed in range(samples):
        driving, offset = sample_inputs(network.config, seed)
        with torch.inference_mode():
            flow, depth, _ = network(driving, offset)
        fields = compiled(driving.numpy(), offset.numpy())
        flow_errors.append(np.abs(fields.flow - flow.numpy()) * np.float32(half))
        depth_errors.append(np.abs(fields.depth - depth.numpy()))
    flow_error, depth_error = np.stack(flow_errors), np.stack(depth_errors)
    return Proof(float(flow_error.max()), float(depth_error.max()))


def proven(
    backend: Backend, request: CompileRequest, tolerance: Tolerance | None = None
) -> tuple[CompiledMotion, Proof]:
    """Compile and check. Raises BackendError, with the error measured, where the result is not eager's."""
    if reason := backend.missing():
        raise BackendError(f"--backend {backend.name}: {reason}; choose another or --backend auto")
    compiled = backend.compile(request)
    limit = tolerance or (EXACT if backend.precision == "fp32" else REDUCED)
    proof = prove(compiled, request.network)
    if not proof.within(limit):
        raise BackendError(
            f"--backend {backend.name} ({backend.precision}): differs from eager by {proof.flow_px:.3g} px of flow and "
            f"{proof.depth:.3g} of depth, allowed {limit.flow_px:g} and {limit.depth:g}; refused, use another"
        )
    return compiled, proof
