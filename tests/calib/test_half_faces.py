"""Meshes that end in the middle of a face."""

from dataclasses import replace

import numpy as np
import pytest

from calib.survey.head_survey import missing_half
from calib.survey.looking import looked_at
from calib.survey.views import Studio
from capture.face.face_model_file import find_face_model
from capture.synthetic.head.head_model import HeadModel
from core.canonical_face import load_canonical_face


@pytest.mark.parametrize(("sign", "side"), [(1.0, "left"), (-1.0, "right")])
def test_a_warning_says_which_half_of_a_face_is_missing(
    sign: float, side: str, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = HeadModel().mesh()
    kept = (sign * mesh.vertices[mesh.faces][:, :, 0]).min(axis=1) > -0.001
    faces = mesh.faces.copy()
    faces[~kept] = faces[~kept][:, :1]
    half = replace(mesh, faces=faces)
    with Studio(half) as studio:
        survey = looked_at("half.glb", half, studio, points=None, up="y", front="z")
    assert f"half.glb: half of its face is missing, that at the {side} of the picture" in caplog.text
    assert survey.describe().startswith("half of the face missing")


@pytest.mark.parametrize("turn", [-20.0, 0.0, 20.0])
def test_a_face_with_both_sides_lacks_none(turn: float) -> None:
    angle = np.radians(turn)
    about_y = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    assert missing_half(load_canonical_face(find_face_model()).points @ about_y.T) is None
