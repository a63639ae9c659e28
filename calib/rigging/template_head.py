"""The built-in head as a template: the space of human heads it spans, and where landmarks and rims lie on it."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from calib.survey.surface import point_normals
from capture.synthetic.head.eyelids import LOWER, UPPER
from capture.synthetic.head.head_data import HeadData, load_head_data
from capture.synthetic.head.identity import random_identity, target_weights
from capture.synthetic.head.subdivision import triangulated
from core.array_checks import expect
from core.errors import InputError
from core.face_regions import ALL_LANDMARKS, FACE_LANDMARKS
from core.untrusted import read_arrays

_LARGEST_BYTES = 1 << 20
LANDMARK_FILE = Path(__file__).parents[1] / "data" / "template_landmarks.npz"
_CONTACT_RING = 1  # of lids and lips: where the two sides meet
_HIDDEN = 0.3
_PEOPLE, _DIRECTIONS, _STRENGTH = 2500, 120, 1.2
_FACE_M, _HEAD_M = 0.020, 0.050  # from the nearest landmark
_FRONTAL = -0.1


@dataclass(frozen=True, eq=False)
class TemplateHead:
    """A head whose topology is known. Metres, the head frame of `capture.synthetic.head.head_data`.

    Attributes:
        data: base mesh, units and masks.
        faces: [F, 3] triangles of the skin's base mesh.
        mean: [V, 3] average person.
        directions: [C, V, 3] independent directions people vary in, one standard deviation each.
        landmarks: [478, V] barycentric weights of the face landmarks.
        landmark_spread_m: [478] how far the landmark model strays from these places, from person to person.
        lids: for the picture-left and picture-right eye, the base vertices of the upper and the lower rim.
        lips: base vertices of the upper and the lower rim, corners left out.
        mouth_corners: [2] base vertices, picture-left first.
        face, head: base vertices near the landmarks that look forwards, and those of everything the landmarks span.
    """

    data: HeadData
    faces: NDArray[np.int64]
    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    landmarks: sparse.csr_matrix
    landmark_spread_m: NDArray[np.float64]
    lids: tuple[tuple[NDArray[np.int32], NDArray[np.int32]], tuple[NDArray[np.int32], NDArray[np.int32]]]
    lips: tuple[NDArray[np.int32], NDArray[np.int32]]
    mouth_corners: NDArray[np.int32]
    face: NDArray[np.int64]
    head: NDArray[np.int64]

    def skin(self) -> NDArray[np.int64]:
        """[S] base vertices of the skin, ascending."""
        return np.unique(self.faces)


@functools.cache
def load_template() -> TemplateHead:
    """The template, made once. Takes about half a second. Raises InputError where a shipped file is damaged."""
    data = load_head_data()
    faces = triangulated(data.parts["skin"]).astype(np.int64)
    mean, directions = _people(data)
    landmarks, spread = read_landmarks(LANDMARK_FILE, len(mean))
    outer = np.unique(outer_faces(data))
    near, _ = cKDTree(landmarks[:FACE_LANDMARKS] @ mean).query(mean[outer])
    forward = point_normals(mean, faces)[outer, 2] > _FRONTAL
    ring = data.lip_rings[_CONTACT_RING]
    left = int(np.argmax(data.vertices[ring, 0]))
    right_eye, left_eye = (data.lid_rings[side][_CONTACT_RING] for side in ("right", "left"))
    return TemplateHead(
        data,
        faces,
        mean,
        directions,
        landmarks,
        spread,
        ((right_eye[UPPER], right_eye[LOWER]), (left_eye[UPPER], left_eye[LOWER])),
        (ring[1:left], ring[left + 1 :]),
        ring[[0, left]],
        outer[(near < _FACE_M) & forward],
        outer[near < _HEAD_M],
    )


def outer_faces(data: HeadData) -> NDArray[np.int64]:
    """[F, 3] triangles of the skin that can be seen from outside: not the mouth's inside, not the sockets."""
    hidden = (data.masks["mouth_inside"] > _HIDDEN) | (data.masks["sockets"] > _HIDDEN)
    faces = triangulated(data.parts["skin"]).astype(np.int64)
    return np.asarray(faces[~hidden[faces].any(axis=1)])


def _people(data: HeadData) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [V, 3] and principal directions [C, V, 3] of random people's base meshes.

    Heads are linear in their target weights, so the covariance of these few hundred numbers gives that of all vertices.
    """
    names = sorted(name for name in data.targets if not name.startswith("unit/"))
    column = {name: index for index, name in enumerate(names)}
    rng, weights = np.random.default_rng(0), np.zeros((_PEOPLE, len(names)))
    for row in weights:
        for name, weight in target_weights(random_identity(rng, data, _STRENGTH), data).items():
            row[column[name]] = weight
    targets = np.stack([data.dense(name) for name in names]).reshape(len(names), -1).astype(np.float64)
    variance, axes = np.linalg.eigh(np.cov(weights.T))
    real = variance > 1e-12
    spread = (axes[:, real] * np.sqrt(variance[real])).T @ targets
    size, combination = np.linalg.eigh(spread @ spread.T)
    largest = np.argsort(-size)[:_DIRECTIONS]
    mean = data.vertices + (weights.mean(axis=0) @ targets).reshape(-1, 3)
    return mean, (combination[:, largest].T @ spread).reshape(_DIRECTIONS, -1, 3)


def read_landmarks(path: Path, count: int) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """Weights [478, count] of the landmarks among the template's `count` vertices, and their spread [478] in metres.

    Raises InputError where the file is no such file.
    """
    try:
        stored = read_arrays(path, _LARGEST_BYTES, ("vertices", "bary", "spread_m"))
        kinds = {name: array.dtype for name, array in stored.items()}
        vertices = expect(stored, "vertices", kinds["vertices"], ALL_LANDMARKS, 3, below=count)
        bary = expect(stored, "bary", kinds["bary"], ALL_LANDMARKS, 3)
        spread = expect(stored, "spread_m", kinds["spread_m"], ALL_LANDMARKS)
        if [kinds[name].kind for name in ("vertices", "bary", "spread_m")] != ["i", "f", "f"]:
            raise ValueError(f"expected indices and two arrays of numbers, got {kinds}")
    except (InputError, KeyError, ValueError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: cannot be read ({reason}); install the package again") from None
    rows = np.repeat(np.arange(ALL_LANDMARKS), 3)
    weights = sparse.csr_matrix((bary.astype(np.float64).ravel(), (rows, vertices.ravel())), (ALL_LANDMARKS, count))
    return weights, spread.astype(np.float64)
