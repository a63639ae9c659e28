"""The axis a lower jaw turns about: the one of the built-in head, whose teeth move as an artist has it, on this avatar.

Where the ears are says too little: long hair hides them, and an open jaw also slides, so that the axis of the whole way
lies lower than the joint: Gallo et al., "Description of mandibular finite helical axis pathways in asymptomatic
subjects" (J. Dent. Res. 1997).
"""

import functools

import numpy as np
from numpy.typing import NDArray

from calib.rig.template_units import template_data
from calib.rigging.template_fit import TemplateFit
from calib.rigging.template_head import TemplateHead
from capture.synthetic.head.head_model import face_size
from core.face_regions import CHIN


def jaw_hinge(template: TemplateHead, fit: TemplateFit) -> NDArray[np.float64]:
    """[3] middle of the axis in avatar units. It lies as far from the chin as on the built-in head, in sizes of faces:
    the chin's skin goes along with `jawOpen` of that head, and teeth turn with the skin over them."""
    data = template.data
    chin = template.landmarks[np.array(CHIN)].mean(axis=0)
    size = face_size(fit.base, data) / face_size(data.vertices.astype(np.float64), data)
    from_chin = template_hinge() - np.asarray(chin @ data.vertices).ravel()
    return np.asarray(fit.to_avatar((np.asarray(chin @ fit.base).ravel() + size * from_chin)[None])[0])


@functools.cache
def template_hinge() -> NDArray[np.float64]:
    """[3] on the built-in head, metres: what stays where it is while its lower teeth go all the way of `jawOpen`."""
    data = template_data()
    teeth = data.part_vertices("teeth_lower")
    before = data.vertices[teeth].astype(np.float64)
    after = before + data.dense("unit/jawOpen")[teeth]
    (y, z), (y_after, z_after) = ((points - points.mean(axis=0)).T[1:] for points in (before, after))
    angle = np.arctan2((y * z_after - z * y_after).sum(), (y * y_after + z * z_after).sum())  # least squares, about x
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = after.mean(axis=0)[1:] - turn @ before.mean(axis=0)[1:]
    return np.array([0.0, *np.linalg.solve(np.eye(2) - turn, shift)])
