"""The 52 expression units on any head: how every vertex and controller of an avatar goes along with them."""

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.rig.template_units import template_data
from capture.synthetic.head.eyelids import COLUMNS
from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.head.head_topology import HeadTopology, make_topology
from capture.synthetic.head.local_proportions import in_proportion
from capture.synthetic.head.unit_contacts import LidPoints
from core.array_checks import expect
from core.sparse_arrays import csr_from_arrays, csr_to_arrays

if TYPE_CHECKING:
    from calib.rig.face_rig import JawRig

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExpressionBasis:
    """How R vertices and K controllers go along with the template's skin.

    Attributes:
        base: [V, 3] float64 template on this avatar, metres.
        linear: [3, 3] float64 template displacement in metres → avatar units.
        columns: [F] int64 finished skin vertices of the template that anything goes along with.
        vertices: [R, F] float32.
        controllers: [K, F] float32.
        corrections: [R, K] float32 how vertices follow controllers that leave the place the units give them.
    """

    base: Points
    linear: NDArray[np.float64]
    columns: NDArray[np.int64]
    vertices: sparse.csr_matrix
    controllers: sparse.csr_matrix
    corrections: sparse.csr_matrix

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for `numpy.savez`; `from_arrays` is the inverse."""
        plain: dict[str, NDArray[Any]] = {
            "base": self.base.astype(np.float64),
            "linear": self.linear.astype(np.float64),
            "columns": self.columns.astype(np.int64),
        }
        for name in ("vertices", "controllers", "corrections"):
            plain |= csr_to_arrays(name, getattr(self, name))
        return {f"basis_{name}": value for name, value in plain.items()}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]], vertices: int, controllers: int) -> "ExpressionBasis":
        """For R `vertices` and K `controllers`. Raises KeyError or ValueError where the arrays are not such."""
        a = {name.removeprefix("basis_"): value for name, value in arrays.items() if name.startswith("basis_")}
        skin, base = template_topology().matrix.shape
        columns = expect(a, "columns", np.int64, None, below=skin)
        shapes = {
            "vertices": (vertices, len(columns)),
            "controllers": (controllers, len(columns)),
            "corrections": (vertices, controllers),
        }
        matrices = {name: csr_from_arrays(name, a, shape) for name, shape in shapes.items()}
        linear = expect(a, "linear", np.float64, 3, 3)
        return ExpressionBasis(expect(a, "base", np.float64, base, 3), linear, columns, **matrices)


@dataclass(frozen=True, eq=False)
class UnitFields:
    """How R vertices and K controllers go along with what `UnitSum` lists, for sums that are made elsewhere.

    Attributes:
        units: [R, 3U] and [K, 3U] float32 displacement in avatar units by each unit (U triples).
        lips: [R, P] and [K, P] how far they go along with P points of the lips, which all part in the direction
            `parting` [3].
        lids: [R, N] and [K, N] how far they go along with N points of lids that are kept from crossing.
        lid_points: those, in metres on the template; None where there are none. to_avatar: [3, 3] float32, what
            displacements there are multiplied by from the right.
    """

    units: tuple[NDArray[np.float32], NDArray[np.float32]]
    lips: tuple[sparse.csr_matrix, sparse.csr_matrix]
    parting: NDArray[np.float32]
    lids: tuple[sparse.csr_matrix, sparse.csr_matrix]
    lid_points: LidPoints | None = None
    to_avatar: NDArray[np.float32] = field(default_factory=lambda: np.eye(3, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class UnitSum:
    """What unit weights come to, beside `UnitFields`.

    Attributes:
        units: [U] float32 weights.
        lips: [P] float32 how far points of the lips are parted.
        lids: [N, 3] float32 displacement in avatar units of the points of lids; None where none would cross.
        overlaps: [28] float32 radians by which margins of both eyes would overlap, from column to column.
    """

    units: NDArray[np.float32]
    lips: NDArray[np.float32]
    lids: NDArray[np.float32] | None
    overlaps: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2 * COLUMNS, dtype=np.float32))


class ExpressionUnits:
    """Moves one avatar by unit weights. Owned by one thread. Making one takes some tenths of a second.

    Attributes:
        names: of the 52 units, in the order of the weights.
        shut_lids: whether its blinks are made for this head and shut its eyes; these are another head's.
        complete: whether they shut eyes and move teeth themselves.
        turn_eyes: whether they turn eyes themselves.
    """

    shut_lids = False
    complete: bool = False
    turn_eyes: bool = False

    def __init__(self, basis: ExpressionBasis) -> None:
        self._basis = basis
        topology = template_topology()
        self._model = HeadModel(data=template_data(), topology=topology, base=basis.base, bend=in_proportion)
        self._contacts = self._model.unit_contacts()
        self.names = self._model.unit_names
        matrix = topology.matrix[basis.columns].astype(np.float32)
        self._used = np.unique(matrix.indices)
        self._subdivide = matrix[:, self._used].tocsr()
        self._linear = basis.linear.T.astype(np.float32)

    def displacement(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Displacement of the vertices [R, 3] and of the controllers [K, 3] in avatar units for weights [52]."""
        moved = self._model.moved_base(weights)[self._used] - self._model.base[self._used]
        skin = self._subdivide @ (moved.astype(np.float32) @ self._linear)
        vertices = [self._basis.vertices @ axis for axis in np.ascontiguousarray(skin.T)]  # SciPy: faster one by one
        return np.stack(vertices, axis=1), self._basis.controllers @ skin

    def fields(self) -> UnitFields:
        """The same for who adds it up himself, from what `summed` says of the weights. Takes some hundredths of a
        second."""
        units = np.ascontiguousarray((self._model.units[:, self._used] @ self._linear).transpose(1, 0, 2))
        skin = self._subdivide @ units.reshape(len(units), -1)
        lips = self._subdivide @ self._contacts.lips[self._used].astype(np.float32)
        lids = self._subdivide @ sparse.csr_matrix(self._used[:, None] == self._contacts.lid_vertices, dtype=np.float32)
        both = self._basis.vertices, self._basis.controllers
        return UnitFields(
            (both[0] @ skin, both[1] @ skin),
            ((both[0] @ lips).tocsr(), (both[1] @ lips).tocsr()),
            self._linear[1],
            ((both[0] @ lids).tocsr(), (both[1] @ lids).tocsr()),
            self._contacts.lid_points(),
            self._linear,
        )

    def tongue(self, jaw: "JawRig") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The tongue's vertices [T], and their displacement [T, 3] in avatar units where it is out, as the jaw is at
        rest."""
        return jaw.tongue, jaw.tongue_out

    def summed(self, weights: NDArray[np.float64]) -> UnitSum:
        """What weights [52] come to, for `fields`."""
        parted = self._contacts.parted_lids(weights)
        plain, lips = weights.astype(np.float32), self._contacts.parted_lips(weights).astype(np.float32)
        if parted is None:
            return UnitSum(plain, lips, None)
        lids, overlaps = parted
        return UnitSum(plain, lips, lids.astype(np.float32) @ self._linear, overlaps.ravel().astype(np.float32))


@functools.cache
def template_topology() -> HeadTopology:
    """The template's finished surface, with chest and upper arms. Shared."""
    return make_topology(load_head_data(), bust=False)
