"""Triangle meshes as they come from files: geometry, texture coordinates, materials and named parts."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAX_VERTICES = 5_000_000  # and faces: what any file may bring
MAX_FACES = 10_000_000
MAX_UVS = 10_000_000
MAX_PARTS = 10_000


@dataclass(frozen=True, eq=False)
class Material:
    """How a part looks. `texture` is [h, w, 3 or 4] uint8 with its first row at v = 1, or None.

    Colours are sRGB. Where several are given, they multiply (in linear light): base colour, texture, vertex colour.
    """

    name: str = "default"
    base_color: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 1.0)
    texture: NDArray[np.uint8] | None = None
    alpha_mode: str = "OPAQUE"  # OPAQUE, MASK or BLEND, as in glTF
    alpha_cutoff: float = 0.5
    double_sided: bool = False


@dataclass(frozen=True)
class MeshPart:
    """A run of consecutive faces that share a name and a material."""

    name: str
    first_face: int
    face_count: int
    material: int


@dataclass(frozen=True, eq=False)
class MorphTargets:
    """Shapes that a file brings along: `displacement` [M, V, 3] float32 of its vertices by `names`.

    `rigged`: `vfa rig` has made them, or an artist after it: blinks in them shut the eyes of this very head.
    """

    names: tuple[str, ...]
    displacement: NDArray[np.float32]
    rigged: bool = False


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh. Vertices keep the file's order and coordinates.

    Attributes:
        vertices: [V, 3] float32.
        faces: [F, 3] int32, counter-clockwise seen from outside.
        uvs: [T, 2] float32, v upwards, or None; indexed by `faces_uv` [F, 3] int32.
        vertex_colors: [V, 3] float32 in 0..1 (sRGB), or None.
        parts: consecutive, covering every face.
        materials: indexed by MeshPart.material.
        morphs: shapes of the file, where they were asked for.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uvs: NDArray[np.float32] | None = None
    faces_uv: NDArray[np.int32] | None = None
    vertex_colors: NDArray[np.float32] | None = None
    parts: tuple[MeshPart, ...] = ()
    materials: tuple[Material, ...] = field(default=(Material(),))
    morphs: MorphTargets | None = None
