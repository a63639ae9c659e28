"""Avatars from Basel Face Model coefficients, as the published tool takes them.

The user brings both: coefficients (`.npy`, 257 numbers) and `BFM09_model_info.mat`, which may not be passed on. Shape
and texture are linear in the coefficients; light is nine spherical-harmonics bands for each colour (Deng et al. 2019,
"Accurate 3D Face Reconstruction with Weakly-Supervised Learning", whose layout the file has). For an avatar expression
and pose are set to neutral.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.mat_file import read_mat
from render.errors import InputError
from render.mesh import Mesh, MeshPart
from render.untrusted import read_array

ID, EXPRESSION, TEXTURE, ANGLES, LIGHT, TRANSLATION = 80, 64, 80, 3, 27, 3
COEFFICIENTS = ID + EXPRESSION + TEXTURE + ANGLES + LIGHT + TRANSLATION
AVATAR_TRANSLATION = (0.0, 0.0, 2.0)
_MAX_BYTES = 2**31
_MAX_UNPACKED = 336 << 20  # of the arrays that are used, as float64; the largest model published takes 293
_MAX_COEFFICIENT_BYTES = 1 << 16
_LARGEST = 1e9
_AMBIENT = 0.8  # added to the first light band of each colour, as the reconstruction was trained with
_NAMES = {"meanshape": None, "idBase": ID, "exBase": EXPRESSION, "meantex": None, "texBase": TEXTURE, "tri": None}


@dataclass(frozen=True, eq=False)
class BfmModel:
    """The linear model of V vertices.

    Attributes:
        mean_shape: [V, 3], centred.
        identity: [V, 3, 80]; expression: [V, 3, 64].
        mean_texture: [V, 3] in 0..255; texture: [V, 3, 80].
        faces: [F, 3] int32 from 0.
    """

    mean_shape: NDArray[np.float64]
    identity: NDArray[np.float64]
    expression: NDArray[np.float64]
    mean_texture: NDArray[np.float64]
    texture: NDArray[np.float64]
    faces: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class BfmCoefficients:
    """One face: identity [80], expression [64], texture [80], angles [3] rad, light [3, 9], translation [3]."""

    identity: NDArray[np.float64]
    expression: NDArray[np.float64]
    texture: NDArray[np.float64]
    angles: NDArray[np.float64]
    light: NDArray[np.float64]
    translation: NDArray[np.float64]

    def neutral(self) -> "BfmCoefficients":
        """Expression and pose taken away, placed as the published tool places avatars."""
        return BfmCoefficients(
            self.identity,
            np.zeros(EXPRESSION),
            self.texture,
            np.zeros(ANGLES),
            self.light,
            np.array(AVATAR_TRANSLATION),
        )


def load_coefficients(path: Path) -> BfmCoefficients:
    """Read 257 numbers. Raises InputError for anything else."""
    if not path.is_file():
        raise InputError(
            f"{path}: expected a .npy file of {COEFFICIENTS} BFM coefficients, found no such file; check it"
        )
    values = read_array(path, _MAX_COEFFICIENT_BYTES)
    if values.dtype.kind not in "iuf" or values.size != COEFFICIENTS:
        raise InputError(
            f"{path}: expected {COEFFICIENTS} BFM coefficients, got {values.size} of type {values.dtype}; "
            "pass one face's coefficients"
        )
    values = values.astype(np.float64).ravel()
    if not (np.abs(values) < _LARGEST).all():
        raise InputError(f"{path}: expected finite BFM coefficients of sane size, got others; save it again")
    ends = np.cumsum([ID, EXPRESSION, TEXTURE, ANGLES, LIGHT])
    identity, expression, texture, angles, light, translation = np.split(values, ends)
    return BfmCoefficients(identity, expression, texture, angles, light.reshape(3, 9), translation)


def load_model(path: Path) -> BfmModel:
    """Read `BFM09_model_info.mat`. Raises InputError where it is absent, damaged or laid out differently."""
    if not path.is_file():
        raise InputError(
            f"{path}: expected the Basel Face Model as BFM09_model_info.mat, found no such file; "
            "get it under its own licence and say where it is with --bfm"
        )
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes is more than the Basel Face Model has; check the file")
    content = read_mat(path, _NAMES, _MAX_UNPACKED)
    if missing := [name for name in _NAMES if name not in content]:
        raise InputError(
            f"{path}: expected the entries {', '.join(_NAMES)}, it lacks {', '.join(missing)}; check the file"
        )
    return _checked_model(content, path)


def _checked_model(content: dict[str, NDArray[Any]], path: Path) -> BfmModel:
    count = content["meanshape"].size // 3
    for name, columns in _NAMES.items():
        found = content[name].shape
        wanted = (count * 3,) if columns is None else (count * 3, columns)
        fits = content[name].size == count * 3 if columns is None else found == wanted
        if name != "tri" and not fits:
            raise InputError(
                f"{path}: expected {name} of shape {wanted} for {count} vertices, got {found}; check the file"
            )
        if not (np.abs(content[name]) < _LARGEST).all():
            raise InputError(f"{path}: expected finite numbers of sane size in {name}, got others; copy it again")
    faces = content["tri"].astype(np.int64) - 1  # MATLAB counts from one
    if not np.array_equal(faces + 1, content["tri"]):
        raise InputError(f"{path}: expected whole numbers of vertices in tri, got others; check the file")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.min() < 0 or faces.max() >= count:
        raise InputError(f"{path}: expected tri [F, 3] from 1 to {count}, got {content['tri'].shape}; check the file")
    mean = content["meanshape"].astype(np.float64).reshape(count, 3)
    return BfmModel(
        mean - mean.mean(axis=0),
        content["idBase"].astype(np.float64).reshape(count, 3, ID),
        content["exBase"].astype(np.float64).reshape(count, 3, EXPRESSION),
        content["meantex"].astype(np.float64).reshape(count, 3),
        content["texBase"].astype(np.float64).reshape(count, 3, TEXTURE),
        faces.astype(np.int32),
    )


def shape_of(model: BfmModel, face: BfmCoefficients) -> NDArray[np.float64]:
    """[V, 3] vertices in the model's frame (x right, y up, z out of the face), posed."""
    shape = model.mean_shape + model.identity @ face.identity + model.expression @ face.expression
    posed: NDArray[np.float64] = shape @ rotation(face.angles) + face.translation
    return posed


def rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3], to be applied from the right: transpose of Rz @ Ry @ Rx with pitch, yaw and roll in radians."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turned: NDArray[np.float64] = (about_z @ about_y @ about_x).T
    return turned


def colors_of(model: BfmModel, face: BfmCoefficients) -> NDArray[np.float32]:
    """[V, 3] colours in 0..1: texture lit by nine spherical-harmonics bands (Ramamoorthi and Hanrahan 2001)."""
    albedo = np.clip(model.mean_texture + model.texture @ face.texture, 0.0, 255.0)
    normals = vertex_normals(shape_of(model, face), model.faces)
    light = face.light.copy()
    light[:, 0] += _AMBIENT
    lit = albedo * (harmonics(normals) @ light.T)
    return np.clip(lit / 255.0, 0.0, 1.0).astype(np.float32)


def harmonics(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """[V, 9] first three bands for unit normals [V, 3], with the reconstruction's scale."""
    a0, a1, a2 = np.pi, 2 * np.pi / np.sqrt(3.0), 2 * np.pi / np.sqrt(8.0)
    c0, c1, c2 = 1 / np.sqrt(4 * np.pi), np.sqrt(3.0) / np.sqrt(4 * np.pi), 3 * np.sqrt(5.0) / np.sqrt(12 * np.pi)
    x, y, z = normals.T
    return np.stack(
        [
            np.full(len(normals), a0 * c0),
            -a1 * c1 * y,
            a1 * c1 * z,
            -a1 * c1 * x,
            a2 * c2 * x * y,
            -a2 * c2 * y * z,
            a2 * c2 * 0.5 / np.sqrt(3.0) * (3 * z**2 - 1),
            -a2 * c2 * x * z,
            a2 * c2 * 0.5 * (x**2 - y**2),
        ],
        axis=1,
    )


def vertex_normals(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[V, 3] unit normals, faces weighted by area; z for a vertex without a face."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(normals, faces[:, i], face_normals)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.where(length > 0, length, 1.0), [0.0, 0.0, 1.0])


def bfm_mesh(coefficients: Path, model: Path) -> Mesh:
    """The neutral avatar of a coefficients file, with vertex colours. Raises InputError for unusable files."""
    basis, face = load_model(model), load_coefficients(coefficients).neutral()
    vertices = shape_of(basis, face).astype(np.float32)
    faces = outward(vertices, basis.faces)
    part = MeshPart("face", 0, len(faces), 0)
    return Mesh(vertices, faces, vertex_colors=colors_of(basis, face), parts=(part,))


def outward(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.int32]:
    """The faces, turned round where most of the surface would look away from +z, out of the face."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return faces if np.cross(b - a, c - a)[:, 2].sum() >= 0 else np.ascontiguousarray(faces[:, ::-1])
