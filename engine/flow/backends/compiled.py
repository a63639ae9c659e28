"""What running a compiled live graph takes, and how it proves itself. Free of torch: a graph that was compiled on an
earlier day runs without it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

GRAPH_VERSION = "3"
"""Part of every cache key: to be raised whenever the live graph computes in another way."""


class BackendError(InputError):
    """A backend cannot be used here; says why and what else there is."""


class OtherSizesError(BackendError):
    """A backend is made for networks of other sizes: nothing is wrong, another one takes this one."""


@dataclass(frozen=True, eq=False)
class MotionFields:
    """One frame's result.

    Attributes:
        flow: [N, N, 2] float32 in [-1, 1], x first: where in the avatar's picture each pixel looks.
        depth: [N, N] float32 generated depth.
        alpha: [1, M] float32 motion code of the driving picture.
        mask: [N, N] float32 near 0 where the avatar's picture does not show what the pixel looks for; from networks
            that tell.
    """

    flow: NDArray[np.float32]
    depth: NDArray[np.float32]
    alpha: NDArray[np.float32]
    mask: NDArray[np.float32] | None = None


class CompiledMotion(Protocol):
    """A live graph ready to run. Owned by one thread; results stay valid until the next call."""

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        """driving [1, 4, N, N] in [-1, 1], alpha_offset [1, M]."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Inputs of the live graph and eager's flow [N, N, 2] and depth [N, N] for them."""

    driving: NDArray[np.float32]
    alpha_offset: NDArray[np.float32]
    flow: NDArray[np.float32]
    depth: NDArray[np.float32]


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

    def __str__(self) -> str:
        return f"within {self.flow_px:.2g} px and {self.depth:.2g} depth of eager"


def measured(run: CompiledMotion, samples: list[Sample]) -> Proof:
    """Run the samples and measure."""
    flow_errors, depth_errors = [], []
    for sample in samples:
        fields = run(sample.driving, sample.alpha_offset)
        flow_errors.append(np.abs(fields.flow - sample.flow) * np.float32(len(sample.flow) / 2))
        depth_errors.append(np.abs(fields.depth - sample.depth))
    return Proof(float(np.stack(flow_errors).max()), float(np.stack(depth_errors).max()))  # NaN stays NaN


@dataclass(frozen=True, eq=False)
class SelectedBackend:
    """A compiled graph that has proven itself, and why it was taken (one line)."""

    run: CompiledMotion
    name: str
    precision: str
    proof: Proof
    why: str
