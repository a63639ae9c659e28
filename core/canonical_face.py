"""The canonical face: where each of the 478 landmarks lies on an average face, and the triangles between them.

Positions and triangles of the first 468 come out of the face landmarker bundle itself (its geometry metadata holds
the canonical metric mesh the landmarks were defined on), so nothing of it is shipped here. The ten iris landmarks are
not part of that mesh; they are placed between the lids.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.face_regions import ALL_LANDMARKS, FACE_LANDMARKS, IRISES, SKULL_PARTS
from core.untrusted import opened_zip, zip_entry

AVERAGE_IPD_M = 0.063  # distance between the pupils of an average adult
_LARGEST_FACE_M = 1.0
_LARGEST_GEOMETRY = 4 << 20
IRIS_RADIUS_M = 0.0059  # the visible iris is 11.7 mm across in nearly everybody

_LIDS = (33, 133, 159, 145), (263, 362, 386, 374)  # corners and middles, picture-left eye first
_IRIS_ABOVE_LIDS_M = np.array([0.0, 0.001, 0.0])


@dataclass(frozen=True, eq=False)
class CanonicalFace:
    """An average face in the head frame (x to the face's left, y up, z out of the face), metres.

    Attributes:
        points: [478, 3] float64.
        triangles: [898, 3] int32 over the first 468 points, counter-clockwise seen from the front; eyes and mouth are
            covered too.
    """

    points: NDArray[np.float64]
    triangles: NDArray[np.int32]

    @cached_property
    def stable_weights(self) -> NDArray[np.float64]:
        """[478] trust in each landmark for the rigid head pose; 0 for what expressions move."""
        weights = np.zeros(ALL_LANDMARKS)
        for weight, indices in SKULL_PARTS:
            weights[list(indices)] = weight
        return weights


@lru_cache(maxsize=2)
def load_canonical_face(model_path: Path) -> CanonicalFace:
    """The canonical face of a face landmarker bundle. Raises InputError where the bundle holds none."""
    member = "geometry_pipeline_metadata_landmarks.binarypb"
    try:
        with opened_zip(model_path) as bundle:
            vertices, indices = _parse_geometry(zip_entry(bundle, member, str(model_path), _LARGEST_GEOMETRY))
    except (LookupError, ValueError, ArithmeticError, struct.error) as error:
        raise InputError(
            f"{model_path}: expected a face landmarker bundle with {member}, could not read it ({error}); "
            "give the official face_landmarker.task"
        ) from None
    numbered = ((indices >= 0) & (indices < FACE_LANDMARKS)).all()
    if vertices.shape != (FACE_LANDMARKS, 5) or indices.size % 3 or not numbered:
        raise InputError(
            f"{model_path}: expected a canonical face of {FACE_LANDMARKS} vertices, got {len(vertices)}; "
            "give the official face_landmarker.task"
        )
    points = _with_irises(vertices[:, :3])
    if not np.abs(points).max() < _LARGEST_FACE_M:
        raise InputError(
            f"{model_path}: expected the canonical face of a person, got points that form none; "
            "give the official face_landmarker.task"
        )
    return CanonicalFace(points, np.ascontiguousarray(indices.reshape(-1, 3), dtype=np.int32))


def _with_irises(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale the mesh to an average pupil distance and add the irises: [478, 3]."""
    eyes = mesh[list(_LIDS[1][:2])].mean(axis=0) - mesh[list(_LIDS[0][:2])].mean(axis=0)
    points = np.empty((ALL_LANDMARKS, 3))
    with np.errstate(all="ignore"):  # eyes in one place, or nowhere: the caller refuses what comes out
        points[:FACE_LANDMARKS] = mesh * (AVERAGE_IPD_M / np.linalg.norm(eyes))
    ring = IRIS_RADIUS_M * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    for iris, lids in zip(IRISES, _LIDS, strict=True):
        points[list(iris)] = points[list(lids)].mean(axis=0) + _IRIS_ABOVE_LIDS_M + ring
    return points


# Protocol buffer field numbers of mediapipe's GeometryPipelineMetadata and its Mesh3d.
_CANONICAL_MESH, _VERTEX_BUFFER, _INDEX_BUFFER = 1, 3, 4
_VERTEX_FLOATS = 5  # x, y, z, u, v


def _parse_geometry(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    mesh = next((value for field, value in _fields(data) if field == _CANONICAL_MESH), b"")
    if not isinstance(mesh, bytes) or not mesh:
        raise ValueError("it holds no mesh")
    floats: list[float] = []
    indices: list[int] = []
    for field, value in _fields(mesh):
        if field == _VERTEX_BUFFER:
            packed = value if isinstance(value, bytes) else struct.pack("<I", value)
            floats.extend(struct.unpack(f"<{len(packed) // 4}f", packed))
        elif field == _INDEX_BUFFER:
            indices.extend(_varints(value) if isinstance(value, bytes) else [value])
    return np.array(floats).reshape(-1, _VERTEX_FLOATS), np.array(indices, dtype=np.int64)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protocol buffer message: (number, varint or fixed32 as its bits, or the bytes of the rest)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield field, value
        elif wire_type == 5:
            yield field, struct.unpack_from("<I", data, at)[0]
            at += 4
        elif wire_type == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("message cut short")
            yield field, data[at : at + length]
            at += length
        else:
            raise ValueError(f"unexpected wire type {wire_type}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _varints(data: bytes) -> list[int]:
    at, values = 0, []
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
