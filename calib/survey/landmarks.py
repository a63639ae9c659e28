"""The driver's landmarks found on the avatar itself, on its surface."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.survey.face_finder import FaceFinder, FaceLookedFor, Finder, NoFaceError, PatientFinder
from calib.survey.placement import FACE_HEIGHT
from calib.survey.views import View, front_camera
from core.camera import Intrinsics
from core.face_regions import (
    ALL_LANDMARKS,
    FACE_LANDMARKS,
    LOWER_LID_FOLDS,
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LID_FOLDS,
    UPPER_LIDS,
    UPPER_LIP,
    mask,
)
from core.mesh import Mesh
from core.rigid_motion import fit_similarity

LookWorld = Callable[[NDArray[np.float64], Intrinsics], View]
"""Renders the placed head: (T_camera_world, intrinsics) → View."""


@dataclass(frozen=True, eq=False)
class LandmarksSeen:
    """What landmarks [L] see from the front: the number of a component (-1: nothing), and its depth."""

    component: NDArray[np.int64]
    depth: NDArray[np.float32]


DETECT_PIXELS = 768
_MAX_SPREAD = 0.02  # avatar units; faces come out at 0.004 to 0.008, a cow at 0.04
_LEAST_VIEWS = 3
_VIEWS = ((0.0, 0.0), (0.16, 0.0), (-0.16, 0.0), (0.0, 0.13), (0.0, -0.13))  # yaw, pitch in radians


def find_landmarks(name: str, look: LookWorld, finder: FaceFinder, *, axes_stated: bool = False) -> NDArray[np.float64]:
    """[478, 3] landmarks of a placed head, each the median of what a few slightly turned views say.

    `axes_stated`: the user said how the head stands.

    One view errs by about half a percent of the face's height, differently in each; the median halves that.
    Raises NoFaceError where too few views show a face, or their faces are not the same.
    """
    views = [look(*front_camera(np.zeros(3), FACE_HEIGHT * 0.83, DETECT_PIXELS, *turn)) for turn in _VIEWS]
    seen = _looked_for(views, finder)
    if sum(each.points is not None for each in seen) < _LEAST_VIEWS:
        seen = _looked_for(views, PatientFinder(finder))
    found = [view.lift(each.points)[0] for view, each in zip(views, seen, strict=True) if each.points is not None]
    middle = np.median(np.array(found), axis=0) if found else np.zeros((0, 3))
    spread = np.median([np.linalg.norm(each - middle, axis=1) for each in found]) if found else np.inf
    if len(found) < _LEAST_VIEWS:
        raise _no_sure_face(name, f"found one in {len(found)} of {len(_VIEWS)}", seen, axes_stated)
    if spread > _MAX_SPREAD:
        percent = 100 / FACE_HEIGHT
        raise _no_sure_face(
            name,
            f"found one whose points lie {percent * spread:.1f} % of its height apart from view to view, at most "
            f"{percent * _MAX_SPREAD:.1f} % is a face",
            seen,
            axes_stated,
        )
    return np.asarray(middle)


def _no_sure_face(name: str, found: str, seen: tuple[FaceLookedFor, ...], axes_stated: bool) -> NoFaceError:
    axes = "look whether it stands as --up and --front say" if axes_stated else "state --up and --front"
    return NoFaceError(
        f"{name}: expected a human face that looks the same from slightly turned views, {found}; "
        f"{axes}, give its --texture, or place landmarks by hand: "
        "vfa prepare --place-landmarks FILE.json, then --landmarks FILE.json",
        seen,
    )


def _looked_for(views: list[View], finder: Finder) -> tuple[FaceLookedFor, ...]:
    """Each view with its landmarks, if it shows a face."""
    found = [finder.find(view.rgb) for view in views]
    return tuple(
        FaceLookedFor(view.rgb, None if points is None else points[:, :2])
        for view, points in zip(views, found, strict=True)
    )


def topology_landmarks(mesh: Mesh, vertices: NDArray[np.float64], finder: FaceFinder) -> NDArray[np.float64] | None:
    """[478, 3] landmarks of a mesh that is the landmark mesh itself, as face capture exports it; None for any other.

    Eyes and mouth may be left open. `vertices` [V, 3] are the mesh's, in the coordinates asked for.
    """
    if len(vertices) not in (FACE_LANDMARKS, ALL_LANDMARKS) or mesh.faces.max() >= FACE_LANDMARKS:
        return None
    own, known = (
        {tuple(sorted(face)) for face in faces.tolist()} for faces in (mesh.faces, finder.canonical.triangles)
    )
    if len(own & known) < 0.9 * len(known) or own - known:
        return None
    if len(vertices) == ALL_LANDMARKS:
        return vertices.copy()
    scale, rotation, shift = fit_similarity(finder.canonical.points[:FACE_LANDMARKS], vertices)
    irises = scale * finder.canonical.points[FACE_LANDMARKS:] @ rotation.T + shift
    return np.concatenate([vertices, irises])


def landmark_components(
    look: LookWorld, landmarks: NDArray[np.float64], component_of_face: NDArray[np.int64]
) -> tuple[NDArray[np.int64], LandmarksSeen]:
    """[C] how many face landmarks, those of lids and lips aside, see each connected component from the front, and what
    each of them sees."""
    plain = ~mask(*UPPER_LIDS, *LOWER_LIDS, *UPPER_LID_FOLDS, *LOWER_LID_FOLDS, *UPPER_LIP, *LOWER_LIP)
    view = look(*front_camera(np.zeros(3), FACE_HEIGHT * 0.83, DETECT_PIXELS))
    pixel = np.floor(view.project(landmarks[:FACE_LANDMARKS][plain])).astype(int).clip(0, DETECT_PIXELS - 1)
    face = view.face_id[pixel[:, 1], pixel[:, 0]]
    on = np.where(face >= 0, component_of_face[face], -1)
    counts = np.bincount(on[on >= 0], minlength=int(component_of_face.max()) + 1)
    return counts, LandmarksSeen(on, view.depth[pixel[:, 1], pixel[:, 0]])
