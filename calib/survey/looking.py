"""Looking at a head in the way that is open: by landmarks a person placed, by its face, or by its own shapes."""

import logging

from calib.survey.face_finder import FaceFinder, NoFaceError
from calib.survey.hand_landmarks import Points
from calib.survey.head_survey import HeadSurvey, missing_half, survey_by_hand, survey_head
from calib.survey.shape_survey import contradicted, survey_by_shapes
from calib.survey.views import Studio
from capture.face.face_model_file import find_face_model
from core.canonical_face import load_canonical_face
from core.mesh import Mesh

log = logging.getLogger(__name__)


def looked_at(
    name: str, mesh: Mesh, studio: Studio, *, points: Points | None, up: str | None, front: str | None
) -> HeadSurvey:
    """Everything that looking at a head tells.

    Args:
        name: of its file, or of that with the landmarks, for messages.
        points: landmarks a person placed; None to have them found.
        up, front: axes the user stated.

    Shapes of the file, where it has any that are to move it, tell where its face is if no landmarker sees one, or sees
    one where they open neither eyes nor mouth. Raises InputError where there is no face.
    """
    if points is not None:
        canonical = load_canonical_face(find_face_model()).points
        return survey_by_hand(name, mesh, studio, points, canonical, up, front)
    with FaceFinder() as finder:
        found: HeadSurvey | NoFaceError
        try:
            found = survey_head(name, mesh, studio, finder, up, front)
        except NoFaceError as refusal:
            found = refusal
        if mesh.morphs is not None and (
            isinstance(found, NoFaceError) or (not mesh.morphs.rigged and contradicted(name, found))
        ):
            by_shapes = survey_by_shapes(name, mesh, studio, finder.canonical.points, up, front)
            if by_shapes is not None:
                log.info("%s: found no human face; its eyes and mouth are where its own shapes move them", name)
                return by_shapes
    if isinstance(found, NoFaceError):
        raise found
    if (side := missing_half(found.landmarks)) is not None:
        log.warning(
            "%s: half of its face is missing, that at the %s of the picture: its landmarks stand on the edge where "
            "the mesh ends, and what is there of mouth and eyes will not move rightly; mirror the mesh, or export the "
            "whole head (--picture of vfa prepare shows it)",
            name,
            side,
        )
    return found
