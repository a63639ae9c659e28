"""Meshes from files: .obj, .ply, .glb, .gltf, .vrm. Whatever comes out is whole: finite, indexed in range, oriented."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.mesh import MAX_FACES, MAX_VERTICES, Mesh, MeshPart
from render.mesh.gltf_format import load_gltf
from render.mesh.gltf_morphs import load_gltf_morphs
from render.mesh.mesh_save import save_obj, save_ply
from render.mesh.obj_format import load_obj
from render.mesh.pictures import load_texture, texture_beside
from render.mesh.ply_format import load_ply
from render.mesh.texture_seams import is_upside_down

__all__ = ["GLTF_ENDINGS", "load_mesh", "save_obj", "save_ply"]

_LOG = logging.getLogger(__name__)
_LOADERS: dict[str, Callable[[Path], Mesh]] = {
    ".obj": load_obj,
    ".ply": load_ply,
    ".glb": load_gltf,
    ".gltf": load_gltf,
    ".vrm": load_gltf,
}
GLTF_ENDINGS = (".glb", ".gltf", ".vrm")
_MAX_FILE_BYTES = 1 << 30
_FARTHEST = 1e9  # coordinates beyond it, of texture too, are damage: their squares leave what 32 bits can hold
_WHITE = (1.0, 1.0, 1.0, 1.0)


def load_mesh(path: Path | str, texture: Path | str | None = None, *, morphs: bool = False) -> Mesh:
    """Read a mesh file; the suffix says which kind. Vertices keep the file's order and coordinates.

    Polygons become triangles. Faces that wind clockwise as a whole are turned, so that fronts face outwards. A mesh
    with texture coordinates but no texture takes the picture beside it that carries its name, and the log says so.

    Args:
        path: .obj (with .mtl), .ply, .glb, .gltf or .vrm.
        texture: a picture to use for every material that has none; where all have one, for the largest part's.
        morphs: read the morph targets of a .glb, .gltf or .vrm, too.

    Raises InputError, one line, for anything that keeps the file from being a usable mesh.
    """
    path = Path(path)
    mesh = _load_file(path)
    _check(path, mesh)
    mesh = _outward(mesh)
    if morphs:
        if path.suffix.lower() not in GLTF_ENDINGS:
            raise InputError(
                f"{path}: expected a .glb, .gltf or .vrm file, only these hold morph targets; leave --morphs out"
            )
        mesh = replace(mesh, morphs=load_gltf_morphs(path))
    if texture is not None:
        return _with_stated_texture(path, mesh, Path(texture))
    if mesh.uvs is not None and all(material.texture is None for material in mesh.materials):
        mesh = _with_found_texture(path, mesh)
    if mesh.vertex_colors is not None and path.suffix.lower() in (".obj", ".ply"):
        return _colors_alone(mesh)
    return mesh


def _load_file(path: Path) -> Mesh:
    loader = _LOADERS.get(path.suffix.lower())
    if loader is None:
        known = ", ".join(_LOADERS)
        found = (
            f"got '{path.suffix}'; Blender reads most others, and File > Export > glTF 2.0 writes .glb"
            if path.exists()
            else "there is no such file"
        )
        raise InputError(f"{path}: expected a mesh file ({known}), {found}")
    try:
        _check_file(path)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is told below, as a number that is none
            return loader(path)
    except OSError as error:
        raise InputError(f"{path}: the mesh file cannot be read ({error.strerror}); check its permissions") from None


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, ValueError):  # ValueError: a null byte in the path
        raise InputError(f"{path}: there is no such mesh file; check the path") from None
    if not S_ISREG(status.st_mode):
        raise InputError(f"{path}: expected a mesh file, this is a folder or device; name the file inside it")
    size = status.st_size
    if size > _MAX_FILE_BYTES:
        raise InputError(f"{path}: {size >> 20} MB, at most {_MAX_FILE_BYTES >> 20} can be read; simplify the mesh")


def _check(path: Path, mesh: Mesh) -> None:
    vertices, faces = mesh.vertices, mesh.faces
    if len(faces) == 0 or len(vertices) == 0:
        raise InputError(
            f"{path}: expected a surface, got {len(vertices)} vertices without faces; export it with faces"
        )
    if len(vertices) > MAX_VERTICES or len(faces) > MAX_FACES:
        raise InputError(
            f"{path}: {len(vertices)} vertices and {len(faces)} faces; at most {MAX_VERTICES} and {MAX_FACES} can be "
            "used; simplify the mesh"
        )
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces[(faces < 0) | (faces >= len(vertices))][0]
        raise InputError(
            f"{path}: a face refers to vertex {wrong} of {len(vertices)}; the file is damaged, export it again"
        )
    uvs, faces_uv = mesh.uvs, mesh.faces_uv
    if uvs is not None and faces_uv is not None and (faces_uv.min() < 0 or faces_uv.max() >= len(uvs)):
        raise InputError(f"{path}: a face refers to a texture coordinate outside the {len(uvs)} given; export it again")
    for what, values in (("positions", vertices), ("colours", mesh.vertex_colors), ("texture coordinates", mesh.uvs)):
        if values is not None and not _within(values).all():
            row = int(np.flatnonzero(~_within(values).all(axis=1))[0])
            raise InputError(
                f"{path}: {what} must be finite numbers, none above {_FARTHEST:g}, but number {row} is {values[row]}; "
                "repair the mesh"
            )
    for material in mesh.materials:
        if not np.isfinite([*material.base_color, material.alpha_cutoff]).all():
            raise InputError(f"{path}: the colour of material '{material.name}' is not a number; export the mesh again")
    if not np.ptp(vertices[faces.reshape(-1)], axis=0).max() > 0:
        raise InputError(f"{path}: all its faces lie in one point; export the mesh again")


def _within(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which are finite and of a size that can be worked with."""
    return np.abs(values) <= _FARTHEST


def signed_volume(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> float:
    """Volume under the faces seen from the vertices' mean: positive where most fronts face outwards, open or closed."""
    corners = (vertices - vertices.mean(axis=0, dtype=np.float64))[faces].astype(np.float64)
    return float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


def _outward(mesh: Mesh) -> Mesh:
    if signed_volume(mesh.vertices, mesh.faces) >= 0:
        return mesh
    _LOG.info("the faces of this mesh wind clockwise: turned, so that fronts face outwards")
    faces_uv = None if mesh.faces_uv is None else np.ascontiguousarray(mesh.faces_uv[:, ::-1])
    return replace(mesh, faces=np.ascontiguousarray(mesh.faces[:, ::-1]), faces_uv=faces_uv)


def _with_stated_texture(path: Path, mesh: Mesh, texture: Path) -> Mesh:
    picture = load_texture(texture, str(texture))
    if mesh.uvs is None:
        raise InputError(f"{path}: a texture was given, but the mesh has no texture coordinates; export it with UVs")
    bare = {index for index, material in enumerate(mesh.materials) if material.texture is None}
    if not bare:
        largest: MeshPart = max(mesh.parts, key=lambda part: part.face_count)
        bare = {largest.material}
    return _textured(mesh, _upright(path, mesh, picture), bare)


def _with_found_texture(path: Path, mesh: Mesh) -> Mesh:
    picture = texture_beside(path)
    if picture is None:
        if mesh.vertex_colors is None:
            _LOG.warning(
                "%s has texture coordinates but names no texture: shown in plain colour. Put the picture beside it as "
                "%s.jpg, or state one",
                path,
                path.stem,
            )
        return mesh
    _LOG.info("%s names no texture: taking %s, which carries its name", path, picture)
    pixels = _upright(path, mesh, load_texture(picture, str(picture)))
    return _textured(mesh, pixels, set(range(len(mesh.materials))))


def _upright(path: Path, mesh: Mesh, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if path.suffix.lower() in GLTF_ENDINGS and is_upside_down(mesh, picture):
        _LOG.info("%s: its texture fits the seams of its texture coordinates upside down: turned", path)
        return np.ascontiguousarray(picture[::-1])
    return picture


def _textured(mesh: Mesh, picture: NDArray[np.uint8], which: set[int]) -> Mesh:
    """The plain colour and the vertex colours stood in for the picture: both give way to it."""
    transparent = picture.shape[2] == 4 and int(picture[..., 3].min()) < 255
    materials = tuple(
        replace(m, texture=picture, base_color=_WHITE, alpha_mode="BLEND" if transparent else m.alpha_mode)
        if index in which
        else m
        for index, m in enumerate(mesh.materials)
    )
    everywhere = len(which) == len(mesh.materials)
    return replace(mesh, materials=materials, vertex_colors=None if everywhere else mesh.vertex_colors)


def _colors_alone(mesh: Mesh) -> Mesh:
    """In OBJ and PLY vertex colours replace a material's colour (in glTF they are multiplied), a texture beats both."""
    if all(material.texture is not None for material in mesh.materials):
        return replace(mesh, vertex_colors=None)
    materials = tuple(
        m if m.texture is not None else replace(m, base_color=(*_WHITE[:3], m.base_color[3])) for m in mesh.materials
    )
    return replace(mesh, materials=materials)
