"""What preparing a head worked out, as a file of plain arrays. Nothing that is read back is relied on unchecked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.rig.face_rig import FaceRig
from calib.surgery.pieces import piece_material
from calib.survey.coarse_mesh import Binding
from core.array_checks import expect
from core.camera import PUBLISHED_INTRINSICS
from core.face_regions import ALL_LANDMARKS
from core.mesh import Mesh, MeshPart
from core.untrusted import parse_json, read_arrays

_LARGEST_BYTES = 4 << 30  # a scan of a million vertices takes some four hundred megabytes
_LARGEST_TEXT = 1 << 20
_PLACED = 1e-3  # avatar units: where the file's vertices lie, give or take
_BOUND = 0.1  # of the reach: vertices that follow coarse ones lie near these
_RIGID = 1e-6


@dataclass(frozen=True, eq=False)
class PreparedArrays:
    """The part of `calib.avatar.Avatar` that its cache holds; see there."""

    display_mesh: Mesh
    T_world_file: NDArray[np.float64]
    T_camera_world: NDArray[np.float64]
    source_rgb: NDArray[np.uint8]
    source_depth: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    rig: FaceRig
    description: str
    binding: Binding | None = None

    def save(self, path: Path, file_mesh: Mesh) -> None:
        """Write them; materials of `file_mesh` are left out. Raises OSError."""
        mesh = self.display_mesh
        arrays: dict[str, Any] = {
            f"mesh_{name}": np.asarray(getattr(mesh, name), kind)
            for name, kind in _MESH.items()
            if getattr(mesh, name) is not None
        }
        arrays |= {name: np.asarray(getattr(self, name), kind) for name, (kind, *_) in _PLAIN.items()}
        parts = [(part.name, part.first_face, part.face_count, part.material) for part in mesh.parts]
        added = [material.name for material in mesh.materials[len(file_mesh.materials) :]]
        arrays["text"] = np.array(json.dumps({"parts": parts, "added": added, "description": self.description}))
        with path.open("wb") as file:
            bound = {} if self.binding is None else self.binding.to_arrays()
            np.savez(file, **(arrays | self.rig.to_arrays() | bound))

    @staticmethod
    def load(path: Path, file_mesh: Mesh) -> "PreparedArrays":
        """The inverse. Raises InputError, KeyError or ValueError where the file is no prepared avatar of that mesh."""
        arrays = read_arrays(path, _LARGEST_BYTES)
        plain = {name: expect(arrays, name, kind, *shape) for name, (kind, *shape) in _PLAIN.items()}
        _check_transforms(plain["T_world_file"], plain["T_camera_world"])
        if plain["source_depth"].min() < 0:
            raise ValueError("source_depth has negative depths")
        parts, added, description = _text(arrays["text"], path)
        materials = (*file_mesh.materials, *(piece_material(name) for name in added))
        display = _display_mesh(arrays, parts, materials)
        bound = any(name.startswith("binding_") for name in arrays)
        binding = Binding.from_arrays(arrays, len(file_mesh.vertices)) if bound else None
        _check_placed(display, file_mesh, plain["T_world_file"], binding)
        rig = FaceRig.from_arrays(arrays)
        if rig.rest.shape != display.vertices.shape:
            raise ValueError(f"the rig has {len(rig.rest)} vertices, the mesh {len(display.vertices)}")
        return PreparedArrays(display, **plain, rig=rig, description=description, binding=binding)


_MESH = {
    "vertices": np.float32,
    "faces": np.int32,
    "uvs": np.float32,
    "faces_uv": np.int32,
    "vertex_colors": np.float32,
}
_SIDE = PUBLISHED_INTRINSICS.width
_PLAIN: dict[str, tuple[Any, ...]] = {
    "T_world_file": (np.float64, 4, 4),
    "T_camera_world": (np.float64, 4, 4),
    "source_rgb": (np.uint8, _SIDE, _SIDE, 3),
    "source_depth": (np.float32, _SIDE, _SIDE),
    "landmarks": (np.float32, ALL_LANDMARKS, 3),
}


def _text(array: NDArray[Any], path: Path) -> tuple[tuple[MeshPart, ...], list[str], str]:
    """Parts, names of added materials, and the description."""
    if array.dtype.kind != "U" or array.nbytes > _LARGEST_TEXT:
        raise ValueError(f"expected a text, got {array.dtype}")
    text = parse_json(str(array), str(path))
    parts = tuple(MeshPart(*part) for part in text["parts"])
    for part in parts:
        numbers = (part.first_face, part.face_count, part.material)
        if not isinstance(part.name, str) or not all(type(number) is int for number in numbers):
            raise ValueError(f"{part} is no part of a mesh")
    return parts, [str(name) for name in text["added"]], str(text["description"])


def _display_mesh(arrays: dict[str, NDArray[Any]], parts: tuple[MeshPart, ...], materials: tuple[Any, ...]) -> Mesh:
    vertices = expect(arrays, "mesh_vertices", np.float32, None, 3)
    faces = expect(arrays, "mesh_faces", np.int32, None, 3, below=len(vertices))
    uvs = faces_uv = colors = None
    if "mesh_uvs" in arrays:
        uvs = expect(arrays, "mesh_uvs", np.float32, None, 2)
        faces_uv = expect(arrays, "mesh_faces_uv", np.int32, len(faces), 3, below=len(uvs))
    if "mesh_vertex_colors" in arrays:
        colors = expect(arrays, "mesh_vertex_colors", np.float32, len(vertices), 3)
    ends = [0]
    for part in parts:
        if part.first_face != ends[-1] or part.face_count < 0 or not 0 <= part.material < len(materials):
            raise ValueError(f"{part} does not go on at face {ends[-1]} with one of {len(materials)} materials")
        ends.append(part.first_face + part.face_count)
    if ends[-1] != len(faces):
        raise ValueError(f"the parts have {ends[-1]} faces, the mesh {len(faces)}")
    return Mesh(vertices, faces, uvs, faces_uv, colors, parts, materials)


def _check_transforms(T_world_file: NDArray[np.float64], T_camera_world: NDArray[np.float64]) -> None:
    """A similarity, and a rigid motion."""
    for name, T in (("T_world_file", T_world_file), ("T_camera_world", T_camera_world)):
        linear = T[:3, :3]
        size = np.cbrt(np.linalg.det(linear)) if name == "T_world_file" else 1.0
        rigid = size > 0 and np.abs(linear @ linear.T / size**2 - np.eye(3)).max() < _RIGID
        if not rigid or not np.array_equal(T[3], [0, 0, 0, 1]):
            raise ValueError(f"{name} is no placement")


def _check_placed(display: Mesh, file_mesh: Mesh, T_world_file: NDArray[np.float64], binding: Binding | None) -> None:
    """The file's vertices come first, where the placement puts them; or coarse ones, which lie among them."""
    count = len(file_mesh.vertices) if binding is None else len(binding.representative)
    if len(display.vertices) < count:
        raise ValueError(f"expected at least {count} vertices, got {len(display.vertices)}")
    placed = file_mesh.vertices @ T_world_file[:3, :3].T + T_world_file[:3, 3]
    reach = 1 + float(np.abs(placed).max(initial=0.0))
    own = display.vertices[:count] if binding is None else binding.spread(display.vertices)
    if not (np.abs(own - placed) <= (_PLACED if binding is None else _BOUND) * reach).all():
        raise ValueError("the vertices do not lie where the file's do")
