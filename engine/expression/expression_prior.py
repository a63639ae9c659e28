"""The learned expression prior at run time: a frame against the person's neutral → 52 unit weights. NumPy only.

What it was trained on and how well it does is written in `engine/data/EXPRESSION_PRIOR.md`; `engine.training` makes it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.expression_units import UNIT_COUNT
from core.frame import FaceObservation
from core.untrusted import read_arrays
from core.whole_file import whole_file
from engine.expression.expression_features import FEATURE_COUNT, SECTIONS, ExpressionNeutral, features, section
from engine.motion.driver_face import DriverMotion

PRIOR_FILE: Final = Path(__file__).parents[1] / "data" / "expression_prior.npz"
FORMAT: Final = 1
LARGEST_BYTES: Final = 16_000_000  # of the file, unpacked: ours has 3
_LARGEST_OUTPUT: Final = 1e15
FARTHEST_INPUT: Final = 6.0  # standard deviations; what lies further out says no more
_PROJECTED = ("displacement", "shape")  # the two long parts of the feature vector, reduced to principal components


@dataclass(frozen=True, eq=False)
class PriorWeights:
    """Everything that was learned. Z inputs are left of the features once the long parts are projected.

    Attributes:
        unit_names: of the 52 outputs, in the order of `capture.synthetic.head.head_model.HeadModel.unit_names`.
        displacement_basis, shape_basis: [K, 1404] principal components (rows) of these parts of the features.
        offset, scale: [Z] inputs are (projected features − offset) · scale.
        linear: [52, Z] the part of the answer that is linear in the inputs.
        layers: matrices [out, in] and biases [out] of a perceptron with SiLU between its layers, added to that.
    """

    unit_names: tuple[str, ...]
    displacement_basis: NDArray[np.float32]
    shape_basis: NDArray[np.float32]
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]
    linear: NDArray[np.float32]
    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]

    def __post_init__(self) -> None:
        """Raises ValueError where shapes do not fit or a number is not finite."""
        inputs = reduced_count(len(self.displacement_basis), len(self.shape_basis))
        expected = {
            "displacement_basis": (self.displacement_basis, (len(self.displacement_basis), SECTIONS["displacement"])),
            "shape_basis": (self.shape_basis, (len(self.shape_basis), SECTIONS["shape"])),
            "offset": (self.offset, (inputs,)),
            "scale": (self.scale, (inputs,)),
            "linear": (self.linear, (UNIT_COUNT, inputs)),
        }
        width = inputs
        for number, (matrix, bias) in enumerate(self.layers):
            rows = UNIT_COUNT if number == len(self.layers) - 1 else len(bias)
            expected |= {f"matrix_{number}": (matrix, (rows, width)), f"bias_{number}": (bias, (rows,))}
            width = rows
        for name, (array, shape) in expected.items():
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"expected finite {name} of shape {shape}, got {array.shape}")
        if len(self.unit_names) != UNIT_COUNT:
            raise ValueError(f"expected {UNIT_COUNT} unit names, got {len(self.unit_names)}")
        if not self.layers:
            raise ValueError("expected at least one layer, got none")
        if not self._largest_output() < _LARGEST_OUTPUT:
            raise ValueError("its numbers are so large that no face could be estimated")

    def _largest_output(self) -> float:
        """A bound of what `outputs` can come to, which is finite in single precision if this is small enough."""
        limit = np.full(len(self.offset), FARTHEST_INPUT)
        reached = [limit]
        for matrix, bias in self.layers:
            reached.append(np.abs(matrix).astype(np.float64) @ reached[-1] + np.abs(bias))
        linear = np.abs(self.linear).astype(np.float64) @ limit
        return max(float(values.max(initial=0.0)) for values in (*reached, linear))

    def inputs(self, vector: NDArray[np.float64]) -> NDArray[np.float32]:
        """[Z] what the networks see of a feature vector [FEATURE_COUNT]."""
        values = vector.astype(np.float32)
        reduced = np.concatenate(
            [
                self.displacement_basis @ values[section("displacement")],
                values[section("displacement").stop : section("shape").start],
                self.shape_basis @ values[section("shape")],
            ]
        )
        inputs = np.clip((reduced - self.offset) * self.scale, -FARTHEST_INPUT, FARTHEST_INPUT)
        return np.asarray(inputs, dtype=np.float32)

    def outputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """[52] unit weights for inputs [Z]."""
        hidden = inputs
        for number, (matrix, bias) in enumerate(self.layers):
            if number:
                hidden = hidden / (1 + np.exp(np.minimum(-hidden, 80)))  # SiLU; beyond, floats overflow
            hidden = matrix @ hidden + bias
        return hidden + self.linear @ inputs


class ExpressionPrior:
    """Estimates what a face does, in ARKit-named units. Immutable; may be shared between threads."""

    def __init__(self, weights: PriorWeights) -> None:
        self._weights = weights
        self.unit_names = weights.unit_names

    @staticmethod
    def load(path: Path = PRIOR_FILE) -> "ExpressionPrior":
        """The shipped prior, or another made by `engine.training.expression.expression_train`. Raises InputError."""
        return ExpressionPrior(read_weights(path))

    def estimate(
        self, observation: FaceObservation, neutral: ExpressionNeutral, motion: DriverMotion | None = None
    ) -> NDArray[np.float64]:
        """[52] weights of the units in the order of `unit_names`; 0 neutral, 1 the full unit.

        They may exceed 1 or go below 0 where the driver does more than the units do. Takes 0.5 ms, of which 0.4 are
        `engine.motion.driver_face.measure`: hand over its answer as `motion` where it is known.
        """
        return self.estimate_from(features(observation, neutral, motion))

    def estimate_from(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same from a feature vector [FEATURE_COUNT] of `engine.expression.expression_features`."""
        if vector.shape != (FEATURE_COUNT,):
            raise ValueError(f"expected a feature vector of {FEATURE_COUNT}, got shape {vector.shape}")
        return self._weights.outputs(self._weights.inputs(vector)).astype(np.float64)


def reduced_count(displacement_components: int, shape_components: int) -> int:
    """How many inputs are left once the long parts of the features are projected."""
    short = sum(length for name, length in SECTIONS.items() if name not in _PROJECTED)
    return displacement_components + short + shape_components


def write_weights(path: Path, weights: PriorWeights) -> None:
    """Write in half precision, which is finer than the landmarks are."""
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(FORMAT),
        "unit_names": np.array(weights.unit_names),
        "offset": weights.offset,
        "scale": weights.scale,
        "displacement_basis": weights.displacement_basis.astype(np.float16),
        "shape_basis": weights.shape_basis.astype(np.float16),
        "linear": weights.linear.astype(np.float16),
    }
    for number, (matrix, bias) in enumerate(weights.layers):
        arrays |= {f"matrix_{number}": matrix.astype(np.float16), f"bias_{number}": bias}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_weights(path: Path) -> PriorWeights:
    """The inverse of `write_weights`. Raises InputError where there is no usable file."""
    try:
        return _weights(read_arrays(path, LARGEST_BYTES))
    except (InputError, KeyError, ValueError) as error:
        reason = " ".join(str(error).removeprefix(f"{path}: ").split())
        raise InputError(
            f"{path}: expected an expression prior, could not read it ({reason}); "
            "install the package again or train one with  python -m engine.training.expression.expression_train"
        ) from None


def _weights(arrays: dict[str, NDArray[Any]]) -> PriorWeights:
    """Raises KeyError or ValueError where the arrays are not a prior's."""
    names = arrays.pop("unit_names")
    if arrays["format"].shape or arrays["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {arrays['format']}")
    if names.dtype.kind != "U":
        raise ValueError(f"expected names of units, got {names.dtype}")
    if wrong := [name for name, array in arrays.items() if array.dtype.kind not in "fi"]:
        raise ValueError(f"expected numbers in {', '.join(wrong)}")
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    layers = sum(name.startswith("matrix_") for name in single)
    return PriorWeights(
        tuple(names.ravel().tolist()),
        single["displacement_basis"],
        single["shape_basis"],
        single["offset"],
        single["scale"],
        single["linear"],
        tuple((single[f"matrix_{n}"], single[f"bias_{n}"]) for n in range(layers)),
    )
