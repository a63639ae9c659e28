"""What an engine needs of a prepared avatar: controllers, weights, lids, lips, eyeballs and jaw. Nothing is animated by
hand: all of it is worked out from where the landmarks lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.controllers import Controllers
from calib.expression_basis import ExpressionBasis
from calib.sparse_arrays import csr_from_arrays, csr_to_arrays


@dataclass(frozen=True, eq=False)
class EyeRig:
    """One eye. Arrays in avatar units.

    Attributes:
        frame: [3, 3] rows along the eye, upwards across it, out of the face.
        width: between its corners.
        upper, lower: [33, 3] the rims at rest, from picture-left to picture-right.
        aperture: [33] open distance of the lids in the avatar's neutral face.
        lower_rest: [33] height of the open lower rim over where it rests; not zero for eyes that are shut in the file.
        centre: of the eyeball, or of a sphere the lids slide on where there is no eyeball.
        profile: [16] its outer radius at angles from straight ahead (first) to straight back: corneas bulge.
        ball: vertices that turn with the gaze.
        cover: skin vertices that must stay in front of the eyeball.
    """

    frame: NDArray[np.float64]
    width: float
    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    aperture: NDArray[np.float64]
    lower_rest: NDArray[np.float64]
    centre: NDArray[np.float64]
    profile: NDArray[np.float64]
    ball: NDArray[np.int64]
    cover: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MouthRig:
    """The mouth. Arrays in avatar units.

    Attributes:
        frame: [3, 3] rows along the mouth, upwards across it, out of the face.
        width: between its corners.
        upper, lower: [33, 3] the rims at rest, from picture-left to picture-right.
        closed: the lips touch at rest.
    """

    frame: NDArray[np.float64]
    width: float
    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    closed: bool


@dataclass(frozen=True, eq=False)
class JawRig:
    """The lower jaw, and the teeth of both.

    Attributes:
        hinge: [3] middle of the axis it turns about.
        vertices: those that go with it as one piece: lower teeth, tongue.
        upper: those that stay with the skull: upper teeth.
    """

    hinge: NDArray[np.float64]
    vertices: NDArray[np.int64]
    upper: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FaceRig:
    """How R vertices follow K controllers.

    Attributes:
        rest: [R, 3] float32 vertices at rest, avatar units: the file's first, then added ones.
        weights: [R, K] float32, rows of zeros for what does not move with the skin.
        basis: how they follow the 52 expression units.
    """

    rest: NDArray[np.float32]
    controllers: Controllers
    weights: sparse.csr_matrix
    mouth: MouthRig
    eyes: tuple[EyeRig, EyeRig]
    jaw: JawRig
    basis: ExpressionBasis

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Plain arrays, for `numpy.savez`; `from_arrays` is the inverse."""
        arrays: dict[str, NDArray[np.generic]] = {
            "rest": self.rest,
            **{f"controllers_{name}": getattr(self.controllers, name) for name in Controllers.__dataclass_fields__},
            **csr_to_arrays("weights", self.weights),
            **{f"mouth_{name}": np.asarray(getattr(self.mouth, name)) for name in MouthRig.__dataclass_fields__},
            "jaw_hinge": self.jaw.hinge,
            "jaw_vertices": self.jaw.vertices,
            "jaw_upper": self.jaw.upper,
            **self.basis.to_arrays(),
        }
        for index, eye in enumerate(self.eyes):
            for name in EyeRig.__dataclass_fields__:
                arrays[f"eye{index}_{name}"] = np.asarray(getattr(eye, name))
        return {f"rig_{name}": np.asarray(value) for name, value in arrays.items()}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[np.generic]]) -> "FaceRig":
        """Raises KeyError or ValueError where the arrays are not those of a rig."""
        a = {name.removeprefix("rig_"): value for name, value in arrays.items() if name.startswith("rig_")}
        shape = (len(a["rest"]), len(a["controllers_rest"]))
        weights = csr_from_arrays("weights", a, shape)
        left, right = (
            EyeRig(
                **{
                    name: float(a[f"eye{index}_{name}"]) if name == "width" else a[f"eye{index}_{name}"]  # type: ignore[arg-type]
                    for name in EyeRig.__dataclass_fields__
                }
            )
            for index in range(2)
        )
        return FaceRig(
            a["rest"],  # type: ignore[arg-type]
            Controllers(*(a[f"controllers_{name}"] for name in Controllers.__dataclass_fields__)),  # type: ignore[arg-type]
            weights,
            MouthRig(
                a["mouth_frame"],  # type: ignore[arg-type]
                float(a["mouth_width"]),
                a["mouth_upper"],  # type: ignore[arg-type]
                a["mouth_lower"],  # type: ignore[arg-type]
                bool(a["mouth_closed"]),
            ),
            (left, right),
            JawRig(a["jaw_hinge"], a["jaw_vertices"], a["jaw_upper"]),  # type: ignore[arg-type]
            ExpressionBasis.from_arrays(a),
        )
