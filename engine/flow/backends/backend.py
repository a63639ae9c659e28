"""What a backend is: it compiles one avatar's live graph for a device, and has to prove itself against eager."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from engine.flow.backends.compiled import (
    EXACT,
    REDUCED,
    BackendError,
    CompiledMotion,
    Proof,
    Sample,
    Tolerance,
    measured,
)
from engine.flow.network.motion_network import MotionNetwork, sample_inputs


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


def eager_sample(network: MotionNetwork, seed: int = 0) -> Sample:
    """What eager makes of the sample inputs of that seed."""
    driving, offset = sample_inputs(network.config, seed)
    with torch.inference_mode():
        flow, depth, *_ = network(driving, offset)
    return Sample(driving.numpy(), offset.numpy(), flow.numpy(), depth.numpy())


def prove(compiled: CompiledMotion, network: MotionNetwork, samples: int = 1) -> Proof:
    """Run samples through `compiled` and through eager, and measure."""
    return measured(compiled, [eager_sample(network, seed) for seed in range(samples)])


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
