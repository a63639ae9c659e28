"""An avatar: any head file, worked out once for driving, and kept in a cache by its content."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.avatar_arrays import PreparedArrays
from calib.bfm import bfm_mesh
from calib.controllers import Controllers
from calib.extent import check_extent
from calib.hand_landmarks import Points, load_hand_landmarks
from calib.morphs import arkit_morphs
from calib.placement import check_axes
from calib.rig import FaceRig
from render.cache_folder import cache_folder, keep, kept
from render.camera import PUBLISHED_EYE, PUBLISHED_INTRINSICS, Intrinsics, look_at
from render.errors import InputError
from render.mesh import Mesh
from render.mesh_io import load_mesh

if TYPE_CHECKING:
    from calib.survey import HeadSurvey
    from calib.views import Studio

PREPARATION_VERSION = 16  # raised when the same file would come out differently
_KEPT = "the prepared avatar"
log = logging.getLogger(__name__)

Vector = tuple[float, float, float]
Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how many steps are behind, and of how many."""


@dataclass(frozen=True, eq=False)
class Avatar:
    """A prepared head. Avatar units: see `calib.placement`; the world's x is picture-right, y up, z out of the face.

    Attributes:
        name: of its file.
        file_mesh: as loaded, in file coordinates.
        display_mesh: what is drawn, in avatar units: the file's V vertices first, in file order, then those added where
            the mesh was too coarse or closed, for the mouth's inside and for eyeballs.
        T_world_file: [4, 4] similarity from file coordinates to avatar units.
        intrinsics, T_camera_world: the avatar's camera, as published unless stated.
        source_rgb: [256, 256, 3] uint8 and source_depth: [256, 256] float32 (0 where empty), seen by that camera.
        landmarks: [478, 3] float32 avatar units.
        rig: how the vertices follow.
        description: one line on how the file was taken.
        content_key: changes with anything that would make it another avatar.
        by_hand: a person placed its landmarks: its proportions may be no human's.
    """

    name: str
    file_mesh: Mesh
    display_mesh: Mesh
    T_world_file: NDArray[np.float64]
    intrinsics: Intrinsics
    T_camera_world: NDArray[np.float64]
    source_rgb: NDArray[np.uint8]
    source_depth: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    rig: FaceRig
    description: str
    content_key: str
    by_hand: bool = False
    _T_file_world: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_T_file_world", np.linalg.inv(self.T_world_file))

    @property
    def controllers(self) -> Controllers:
        return self.rig.controllers

    @property
    def weights(self) -> sparse.csr_matrix:
        """[R, K] float32 controlling weights."""
        return self.rig.weights

    def to_file(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vertices [R, 3] in avatar units → the file's own V vertices in file order and coordinates."""
        own = vertices[: len(self.file_mesh.vertices)].astype(np.float64)
        return (own @ self._T_file_world[:3, :3].T + self._T_file_world[:3, 3]).astype(np.float32)

    def motion_to_file(self, T_world_head: NDArray[np.float64]) -> NDArray[np.float64]:
        """A rigid motion [4, 4] of the world → the same motion in the file's coordinates."""
        return np.asarray(self._T_file_world @ T_world_head @ self.T_world_file)


def prepare_avatar(
    path: Path | str,
    *,
    texture: Path | str | None = None,
    up: str | None = None,
    front: str | None = None,
    eye: Vector | None = None,
    translation: Vector | None = None,
    landmarks: Path | None = None,
    morphs: bool = False,
    bfm: Path | None = None,
    cache_dir: Path | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
) -> Avatar:
    """Load a head and work out everything that driving it needs, or take that from the cache.

    Args:
        path: .obj, .ply, .glb or .gltf; texture: a picture for its texture coordinates.
        up, front: file axes that point up and out of the face ("x", "-x", …); guessed where None.
        eye, translation: the avatar's camera and a shift of the avatar before it, in avatar units.
        bfm: the Basel Face Model, where `path` holds its coefficients (`calib.bfm`).
        landmarks: file of landmarks placed by hand (`calib.hand_landmarks`), for heads that are not human.
        morphs: keep the file's morph targets, as its `file_mesh.morphs`; see `calib.morphs`.
        cache_dir: where prepared avatars are kept; refresh: prepare again whatever is there.

    Makes an OpenGL context where the avatar is not in the cache: call it from the main thread.
    Raises InputError where the file is no usable mesh or shows no human face.
    """
    check_axes(up, front)
    tell = progress or (lambda _what, _done, _total: None)
    mesh = load_mesh(path, texture, morphs=morphs) if bfm is None else bfm_mesh(Path(path), bfm)
    check_extent(str(path), mesh)
    if morphs:
        arkit_morphs(str(path), mesh)  # too few are told before anything is prepared
    points = None if landmarks is None else load_hand_landmarks(landmarks, mesh)
    options: dict[str, object] = {"up": up, "front": front, "eye": eye, "translation": translation}
    if points is not None:
        options["landmarks"] = {point: at.tolist() for point, at in sorted(points.items())}
    key = _content_key(mesh, options)
    place = (cache_dir or default_cache_dir()) / f"{key}.npz"
    name = Path(path).name
    by_hand = points is not None
    if not refresh and (cached := kept(place, partial(_load, name=name, mesh=mesh, key=key), _KEPT)) is not None:
        return replace(cached, by_hand=by_hand)
    survey = partial(_survey, str(path), mesh, points=points, axes=(up, front), hand_file=str(landmarks))
    avatar = _prepare(name, mesh, key, survey, (eye, translation), tell)
    keep(place, partial(_save, avatar=avatar), _KEPT)
    log.info("%s: %s", path, avatar.description)
    return replace(avatar, by_hand=by_hand)


def default_cache_dir() -> Path:
    """Folder of the user's cache that prepared avatars are kept in."""
    return cache_folder("avatars")


def avatar_camera(eye: Vector | None, translation: Vector | None) -> NDArray[np.float64]:
    """T_camera_world [4, 4] of a camera at `eye` looking at the origin, before which the avatar is shifted."""
    if eye is not None and not np.linalg.norm(eye) > 0.1:
        raise InputError(f"--eye {' '.join(map(str, eye))}: expected a point away from the head; the default is 0 0 8")
    shift = np.eye(4)
    shift[:3, 3] = translation or (0.0, 0.0, 0.0)
    return np.asarray(look_at(eye or PUBLISHED_EYE) @ shift)


def _survey(
    path: str,
    mesh: Mesh,
    studio: "Studio",
    *,
    points: Points | None,
    axes: tuple[str | None, str | None],
    hand_file: str,
) -> "HeadSurvey":
    """Look at the head, with the landmarks a person placed or those that are found."""
    from calib.face_finder import FaceFinder
    from calib.survey import survey_by_hand, survey_head
    from capture.canonical_face import load_canonical_face
    from capture.face_model_file import find_face_model

    if points is not None:
        return survey_by_hand(hand_file, mesh, studio, points, load_canonical_face(find_face_model()).points, *axes)
    with FaceFinder() as finder:
        return survey_head(path, mesh, studio, finder, *axes)


def _prepare(
    name: str,
    mesh: Mesh,
    key: str,
    look_at_head: Callable[["Studio"], "HeadSurvey"],
    camera: tuple[Vector | None, Vector | None],
    tell: Progress,
) -> Avatar:
    from calib.assemble import assemble
    from calib.views import Studio

    T_camera_world = avatar_camera(*camera)
    tell("looking for the face", 0, 3)
    with Studio(mesh) as studio:
        survey = look_at_head(studio)
        source = studio.look(survey.placement.T_world_file, T_camera_world, PUBLISHED_INTRINSICS)
    tell("controllers and weights", 1, 3)
    display, rig = assemble(survey)
    tell("ready", 3, 3)
    return Avatar(
        name,
        mesh,
        display,
        survey.placement.T_world_file,
        PUBLISHED_INTRINSICS,
        T_camera_world,
        source.rgb,
        source.depth,
        survey.landmarks.astype(np.float32),
        rig,
        f"{survey.placement.describe()}; {survey.describe()}",
        key,
    )


def _content_key(mesh: Mesh, options: dict[str, object]) -> str:
    """Hash of everything the preparation depends on."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([PREPARATION_VERSION, options]).encode())
    arrays = [mesh.vertices, mesh.faces, mesh.uvs, mesh.faces_uv, mesh.vertex_colors]
    for array in [*arrays, *(material.texture for material in mesh.materials)]:
        digest.update(b"none" if array is None else f"{array.shape}{array.dtype}".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    looks = [(m.name, m.base_color, m.alpha_mode, m.alpha_cutoff, m.double_sided) for m in mesh.materials]
    parts = [(p.name, p.first_face, p.face_count, p.material) for p in mesh.parts]
    digest.update(json.dumps([looks, parts]).encode())
    return digest.hexdigest()


def _save(path: Path, avatar: Avatar) -> None:
    PreparedArrays(
        avatar.display_mesh,
        avatar.T_world_file,
        avatar.T_camera_world,
        avatar.source_rgb,
        avatar.source_depth,
        avatar.landmarks,
        avatar.rig,
        avatar.description,
    ).save(path, avatar.file_mesh)


def _load(path: Path, name: str, mesh: Mesh, key: str) -> Avatar:
    found = PreparedArrays.load(path, mesh)
    return Avatar(
        name,
        mesh,
        found.display_mesh,
        found.T_world_file,
        PUBLISHED_INTRINSICS,
        found.T_camera_world,
        found.source_rgb,
        found.source_depth,
        found.landmarks,
        found.rig,
        found.description,
        key,
    )
