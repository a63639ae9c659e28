"""The canonical face read out of the model bundle."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from capture.face.face_model_file import find_face_model
from core.canonical_face import AVERAGE_IPD_M, CanonicalFace, load_canonical_face
from core.errors import InputError
from core.face_regions import FACE_OVAL, IRISES, LOWER_MOUTH_LINE, UPPER_MOUTH_LINE


def test_it_has_the_size_and_the_axes_of_a_face(face: CanonicalFace) -> None:
    points = face.points
    assert points.shape == (478, 3)
    assert np.linalg.norm(points[IRISES[1][0]] - points[IRISES[0][0]]) == pytest.approx(AVERAGE_IPD_M, rel=0.02)
    assert points[263, 0] > 0 > points[33, 0]  # the person's left eye is at image right
    assert points[10, 1] > points[152, 1]  # forehead above chin
    assert points[1, 2] > points[234, 2] + 0.05  # nose in front of the ears


def test_it_is_symmetric(face: CanonicalFace) -> None:
    mirrored = face.points * (-1, 1, 1)
    apart = np.linalg.norm(mirrored[:, None] - face.points[None], axis=2).min(axis=1)
    assert apart.max() < 1e-3


def test_triangles_form_one_sheet_seen_from_the_front(face: CanonicalFace) -> None:
    edges = {(a, b) for tri in face.triangles.tolist() for a, b in zip(tri, (*tri[1:], tri[0]), strict=True)}
    assert len(edges) == 3 * len(face.triangles)  # every directed edge once: consistently wound
    assert {a for a, b in edges if (b, a) not in edges} == set(FACE_OVAL)  # whose only rim is the outline
    a, b, c = (face.points[face.triangles[:, corner]] for corner in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).mean() > 0.95


def test_stable_weights_are_on_bone_only(face: CanonicalFace) -> None:
    moving = [*UPPER_MOUTH_LINE, *LOWER_MOUTH_LINE[1:-1], *FACE_OVAL[9:28], 145, 159, 374, 386, *IRISES[0], *IRISES[1]]
    assert (face.stable_weights[moving] == 0).all()
    assert face.stable_weights[[168, 33, 263, 9]].min() > 0
    assert (face.stable_weights > 0).sum() > 60


@pytest.mark.parametrize("content", [b"", b"\x0a\xff\xff", b"\x0a\x05abc"])
def test_a_damaged_bundle_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.task"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("geometry_pipeline_metadata_landmarks.binarypb", content)
    with pytest.raises(InputError, match=r"broken\.task"):
        load_canonical_face(path)


def test_a_bundle_without_geometry_is_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.task"
    with zipfile.ZipFile(path, "w") as bundle, zipfile.ZipFile(find_face_model(url=None)) as official:
        bundle.writestr("face_detector.tflite", official.read("face_detector.tflite"))
    with pytest.raises(InputError, match="geometry"):
        load_canonical_face(path)
