"""The rig of a head that its own shapes move, and nothing else: its mesh is drawn as it is, nothing is cut or added."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.rig.controllers import Controllers, Role, landmark_controllers
from calib.rig.expression_basis import ExpressionBasis
from calib.rig.face_rig import PROFILE_BINS, EyeRig, FaceRig, JawRig, MouthRig
from calib.rig.lid_rig import no_lids
from calib.rig.template_units import template_data
from calib.rigging.neck import find_neck
from calib.surgery.mouth_pieces import jaw_corners
from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from calib.survey.parts import Kind
from core.face_regions import FACE_LANDMARKS
from core.mesh import Mesh


def shapes_alone(survey: HeadSurvey) -> tuple[Mesh, FaceRig]:
    """The mesh to draw (avatar units) and a rig whose controllers say where the face is, but move nothing: lips, lids,
    eyes and tongue go as the file's shapes take them (`calib.rigging.morphs`), and the neck bends."""
    mesh = replace(survey.mesh, vertices=survey.vertices.astype(np.float32), morphs=None)
    controllers = landmark_controllers(survey.landmarks[:FACE_LANDMARKS], steady_sides=True)
    controllers = controllers.joined(jaw_corners(survey.mouth), Role.JAW)
    vertices, count = len(mesh.vertices), len(controllers.rest)
    nothing = np.zeros(0, dtype=np.int64)
    base = template_data().vertices.astype(np.float64)
    basis = ExpressionBasis(
        base,
        np.eye(3),
        nothing,
        sparse.csr_matrix((vertices, 0), dtype=np.float32),
        sparse.csr_matrix((count, 0), dtype=np.float32),
        sparse.csr_matrix((vertices, count), dtype=np.float32),
    )
    mouth = survey.mouth
    neck = find_neck(survey, survey.vertices, vertices)
    share = neck.share.copy()
    share[survey.parts.kind == Kind.FOLLOWER] = 1.0  # teeth, tongue and eyes lie behind the chin, and are no neck
    rig = FaceRig(
        mesh.vertices,
        controllers,
        sparse.csr_matrix((vertices, count), dtype=np.float32),
        MouthRig(mouth.frame, mouth.width, mouth.upper, mouth.lower, mouth.closed),
        (_eye(survey.eyes[0]), _eye(survey.eyes[1])),
        JawRig(_between_ears(controllers), nothing, nothing, nothing, np.zeros((0, 3))),
        replace(neck, share=share),
        basis,
        (no_lids(), no_lids()),
    )
    return mesh, rig


def _eye(opening: Opening) -> EyeRig:
    """An eye without a ball of ours: the shapes of the gaze turn what there is."""
    nothing = np.zeros(0, dtype=np.int64)
    return EyeRig(
        frame=opening.frame,
        width=opening.width,
        upper=opening.upper,
        lower=opening.lower,
        aperture=opening.gap(),
        lower_rest=np.zeros(len(opening.upper)),
        centre=opening.centre - opening.width / 2 * opening.frame[2],
        profile=np.zeros(PROFILE_BINS),
        ball=nothing,
        cover=nothing,
    )


def _between_ears(controllers: Controllers) -> NDArray[np.float64]:
    """Middle of the jaw's axis: between the ears, a little below and behind the cheekbones' ends."""
    rest = controllers.rest[:FACE_LANDMARKS]
    ears = rest[[234, 454]].mean(axis=0)
    width = float(np.linalg.norm(rest[234] - rest[454]))
    return np.array([ears[0], ears[1] - 0.02 * width, ears[2] - 0.03 * width])
