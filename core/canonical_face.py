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
from core.untrusted import opened_zip, zip_entry

LANDMARK_COUNT = 478
MESH_COUNT = 468  # landmarks of the face surface; the rest are the irises
AVERAGE_IPD_M = 0.063  # distance between the pupils of an average adult
_LARGEST_FACE_M = 1.0
_LARGEST_GEOMETRY = 4 << 20
IRIS_RADIUS_M = 0.0059  # the visible iris is 11.7 mm across in nearly everybody

RIGHT_IRIS = range(468, 473)  # centre, then towards image right, up, image left, down
LEFT_IRIS = range(473, 478)
_RIGHT_LIDS, _LEFT_LIDS = (33, 133, 159, 145), (263, 362, 386, 374)
_IRIS_ABOVE_LIDS_M = np.array([0.0, 0.001, 0.0])

# Parts that stay with the skull whatever the face does, and how far to trust each. The outline is left out: its
# landmarks follow the silhouette and slide over the head by centimetres as it turns (measured on rendered heads).
# fmt: off
_STABLE_PARTS: tuple[tuple[float, tuple[int, ...]], ...] = (
    (1.0, (168, 6, 197, 195, 8, 193, 417, 122, 351, 196, 419, 174, 399, 245, 465, 188, 412)),  # bridge of the nose
    (1.0, (33, 133, 263, 362, 243, 463, 244, 464, 112, 341)),  # corners of the eyes
    (0.7, (10, 109, 338, 151, 108, 337, 69, 299, 9)),  # middle of the forehead
    (0.3, (67, 297, 103, 332, 104, 333, 68, 298)),  # its sides
    (0.2, (71, 301, 139, 368, 34, 264, 143, 372)),  # temples
    (0.5, (5, 4, 1, 51, 281, 3, 248, 45, 275, 44, 274, 19, 94, 98, 327)),  # lower nose
    (0.5, (47, 277, 114, 343, 126, 355, 128, 357)),  # flanks of the nose
    (0.5, (117, 346, 118, 347, 111, 340, 35, 265, 226, 446, 31, 261)),  # cheekbones
    (0.3, (100, 329, 101, 330, 119, 348, 120, 349, 116, 345)),  # below the eyes
)
# fmt: on

INNER_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
OUTER_UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER_LIP = (146, 91, 181, 84, 17, 314, 405, 321, 375)
# fmt: off
RIGHT_LID_MARGIN = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_LID_MARGIN = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# fmt: on


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
        weights = np.zeros(LANDMARK_COUNT)
        for weight, indices in _STABLE_PARTS:
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
    if vertices.shape != (MESH_COUNT, 5) or indices.size % 3 or not ((indices >= 0) & (indices < MESH_COUNT)).all():
        raise InputError(
            f"{model_path}: expected a canonical face of {MESH_COUNT} vertices, got {len(vertices)}; "
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
    eyes = mesh[list(_LEFT_LIDS[:2])].mean(axis=0) - mesh[list(_RIGHT_LIDS[:2])].mean(axis=0)
    points = np.empty((LANDMARK_COUNT, 3))
    with np.errstate(all="ignore"):  # eyes in one place, or nowhere: the caller refuses what comes out
        points[:MESH_COUNT] = mesh * (AVERAGE_IPD_M / np.linalg.norm(eyes))
    ring = IRIS_RADIUS_M * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    for iris, lids in ((RIGHT_IRIS, _RIGHT_LIDS), (LEFT_IRIS, _LEFT_LIDS)):
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
