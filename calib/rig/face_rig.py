"""What an engine needs of a prepared avatar: controllers, weights, lids, lips, eyeballs and jaw. Nothing is animated by
hand: all of it is worked out from where the landmarks lie."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.rig.controllers import Controllers
from calib.rig.expression_basis import ExpressionBasis
from calib.rig.lid_rig import LidRig
from core.array_checks import expect
from core.sparse_arrays import csr_from_arrays, csr_to_arrays

COLUMNS = 33  # samples of a rim, corners included
PROFILE_BINS = 16  # angles of an eyeball's profile


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
        tongue: those of the tongue, which are among `vertices` or follow controllers of the jaw; none where there is
            no tongue.
        tongue_out: [T, 3] how far these go when the tongue is stuck out over teeth and lip, as the jaw is at rest.
    """

    hinge: NDArray[np.float64]
    vertices: NDArray[np.int64]
    upper: NDArray[np.int64]
    tongue: NDArray[np.int64]
    tongue_out: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NeckRig:
    """The neck, as far as the mesh has one. Arrays in avatar units.

    Attributes:
        base, top: [3] middle of the neck where it meets the shoulders, and where it meets the head.
        share: [R] float32 how far each vertex goes along with the head: 1 on the head, 0 on the shoulders and below;
            1 everywhere where the head ends at its neck.
    """

    base: NDArray[np.float64]
    top: NDArray[np.float64]
    share: NDArray[np.float32]


Fields = dict[str, tuple[Any, ...]]
_OPENING: Fields = {
    "frame": (np.float64, 3, 3),
    "width": (np.float64,),
    "upper": (np.float64, COLUMNS, 3),
    "lower": (np.float64, COLUMNS, 3),
}
_MOUTH = _OPENING | {"closed": (np.bool_,)}
_EYE = _OPENING | {
    "aperture": (np.float64, COLUMNS),
    "lower_rest": (np.float64, COLUMNS),
    "centre": (np.float64, 3),
    "profile": (np.float64, PROFILE_BINS),
    "ball": (np.int64, None),
    "cover": (np.int64, None),
}
_NECK: Fields = {"base": (np.float64, 3), "top": (np.float64, 3), "share": (np.float32, None)}
_JAW: Fields = {
    "hinge": (np.float64, 3),
    "vertices": (np.int64, None),
    "upper": (np.int64, None),
    "tongue": (np.int64, None),
    "tongue_out": (np.float64, None, 3),
}
"""Types and shapes of the parts' fields in files. Whole numbers are vertices."""


@dataclass(frozen=True, eq=False)
class FaceRig:
    """How R vertices follow K controllers.

    Attributes:
        rest: [R, 3] float32 vertices at rest, avatar units: the file's first, then added ones.
        weights: [R, K] float32, rows of zeros for what does not move with the skin.
        basis: how they follow the 52 expression units.
        lids: how the lids of both eyes slide over the eyeballs.
    """

    rest: NDArray[np.float32]
    controllers: Controllers
    weights: sparse.csr_matrix
    mouth: MouthRig
    eyes: tuple[EyeRig, EyeRig]
    jaw: JawRig
    neck: NeckRig
    basis: ExpressionBasis
    lids: tuple[LidRig, LidRig]

    @property
    def moves_nothing(self) -> bool:
        """Whether the shapes of the head's file alone move it, see `calib.rigging.shapes_alone`."""
        return int(self.weights.nnz) == 0

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for `numpy.savez`; `from_arrays` is the inverse."""
        arrays: dict[str, NDArray[Any]] = {
            "rest": self.rest.astype(np.float32),
            **self.controllers.to_arrays(),
            **csr_to_arrays("weights", self.weights),
            **self.basis.to_arrays(),
            **self.lids[0].to_arrays("lids0"),
            **self.lids[1].to_arrays("lids1"),
        }
        eyes = [(f"eye{number}", eye, _EYE) for number, eye in enumerate(self.eyes)]
        inside: list[tuple[str, object, Fields]] = [("mouth", self.mouth, _MOUTH), ("jaw", self.jaw, _JAW)]
        for prefix, part, fields in [*inside, ("neck", self.neck, _NECK), *eyes]:
            for name, (kind, *_) in fields.items():
                arrays[f"{prefix}_{name}"] = np.asarray(getattr(part, name), kind)
        return {f"rig_{name}": value for name, value in arrays.items()}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]]) -> "FaceRig":
        """Raises KeyError or ValueError where the arrays are not those of a rig."""
        a = {name.removeprefix("rig_"): value for name, value in arrays.items() if name.startswith("rig_")}
        rest = expect(a, "rest", np.float32, None, 3)
        controllers = Controllers.from_arrays(a)
        count, moved = len(rest), len(controllers.rest)
        return FaceRig(
            rest,
            controllers,
            csr_from_arrays("weights", a, (count, moved)),
            MouthRig(**_part(a, "mouth", _MOUTH, count)),
            (EyeRig(**_part(a, "eye0", _EYE, count)), EyeRig(**_part(a, "eye1", _EYE, count))),
            JawRig(**_part(a, "jaw", _JAW, count)),
            NeckRig(**_part(a, "neck", _NECK | {"share": (np.float32, count)}, count)),
            ExpressionBasis.from_arrays(a, count, moved),
            (LidRig.from_arrays(a, "lids0", count), LidRig.from_arrays(a, "lids1", count)),
        )


def _part(arrays: dict[str, NDArray[Any]], prefix: str, fields: Fields, vertices: int) -> dict[str, Any]:
    """The fields of one part of a rig of so many vertices, single numbers as such."""
    found: dict[str, Any] = {}
    for name, (kind, *shape) in fields.items():
        below = vertices if kind is np.int64 else None
        array = expect(arrays, f"{prefix}_{name}", kind, *shape, below=below)
        found[name] = array if shape else array.item()
    if "tongue" in found and len(found["tongue"]) != len(found["tongue_out"]):
        raise ValueError(f"expected {len(found['tongue'])} rows of tongue_out, got {len(found['tongue_out'])}")
    if not found.get("width", 1.0) > 0:
        raise ValueError(f"expected a positive {prefix}_width, got {found['width']}")
    return found
