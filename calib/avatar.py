"""An avatar: any head file, worked out once for driving, and kept in a cache by its content."""

import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.avatar_arrays import PreparedArrays
from calib.head_file import load_head
from calib.preparation_options import PreparationOptions
from calib.rig.controllers import Controllers
from calib.rig.face_rig import FaceRig
from calib.survey.coarse_mesh import MOST_FACES, Binding, coarsened
from calib.survey.hand_landmarks import Points, load_hand_landmarks
from calib.survey.placement import check_axes
from core.cache_folder import alone, cache_folder, keep, reading
from core.camera import PUBLISHED_EYE, PUBLISHED_INTRINSICS, Intrinsics, look_at
from core.errors import InputError
from core.mesh import Mesh

if TYPE_CHECKING:
    from calib.survey.head_survey import HeadSurvey
    from calib.survey.views import Studio

PREPARATION_VERSION = 49  # raised when the same file would come out differently
_KEPT = "the prepared avatar"
_ODD_HEAD = (ValueError, ArithmeticError, LookupError, RuntimeError)
log = logging.getLogger(__name__)

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how many steps are behind, and of how many."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Avatar:
    """A prepared head. Units: see `calib.survey.placement`; the world's x is picture-right, y up, z out of the face.

    Attributes:
        name: of its file.
        file_mesh: as loaded, in file coordinates.
        display_mesh: what is drawn, in avatar units: the file's V vertices first, in file order, then those added where
            the mesh was too coarse or closed, for the mouth's inside and for eyeballs.
        binding: for files of too many triangles to be worked out: a coarse mesh stands in for the file's, its vertices
            come first in `display_mesh`, and this is how the file's follow them.
        T_world_file: [4, 4] similarity from file coordinates to avatar units.
        intrinsics, T_camera_world: the camera of `source_rgb`, as published, whatever the avatar is shown by.
        source_rgb: [256, 256, 3] uint8 and source_depth: [256, 256] float32 (0 where empty), seen by that camera.
        landmarks: [478, 3] float32 avatar units.
        rig: how the vertices follow.
        description: one line on how the file was taken.
        content_key: changes with anything that would make it another avatar.
        by_hand: a person placed its landmarks: its proportions may be no human's.
        shapes_asked: the user asked for the shapes of the file (`PreparationOptions.morphs` is "on").
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
    shapes_asked: bool = False
    binding: Binding | None = None
    _T_file_world: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_T_file_world", np.linalg.inv(self.T_world_file))

    def as_bare_mesh(self, need: str) -> "Avatar":
        """The same without the shapes of its file, for what cannot use them.

        Raises InputError, with `need`, where the user asked for them, or its face was found by them.
        """
        if self.file_mesh.morphs is None:
            return self
        if self.rig.moves_nothing:
            raise InputError(
                f"{self.name}: no face was found on it but by the shapes in its file, which only the expression engine "
                f"moves; leave out {need}, or place landmarks by hand: vfa prepare --place-landmarks FILE.json, then "
                "--landmarks FILE.json --morphs off"
            )
        if self.shapes_asked:
            raise InputError(
                f"{self.name}: moved by the shapes in its file, as --morphs says, which only the expression engine "
                f"does; leave out --morphs or {need}"
            )
        log.info("%s: moved as a bare mesh, not by the shapes in it, which only the expression engine does", self.name)
        return replace(self, file_mesh=replace(self.file_mesh, morphs=None))

    @property
    def controllers(self) -> Controllers:
        return self.rig.controllers

    @property
    def weights(self) -> sparse.csr_matrix:
        """[R, K] float32 controlling weights."""
        return self.rig.weights

    def to_file(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vertices [R, 3] in avatar units → the file's own V vertices in file order and coordinates."""
        if self.binding is not None:
            moved = self.binding.spread(vertices - self.rig.rest)
            return np.asarray(self.file_mesh.vertices + moved @ self._T_file_world[:3, :3].T.astype(np.float32))
        own = vertices[: len(self.file_mesh.vertices)].astype(np.float64)
        return (own @ self._T_file_world[:3, :3].T + self._T_file_world[:3, 3]).astype(np.float32)

    def motion_to_file(self, T_world_head: NDArray[np.float64]) -> NDArray[np.float64]:
        """A rigid motion [4, 4] of the world → the same motion in the file's coordinates."""
        return np.asarray(self._T_file_world @ T_world_head @ self.T_world_file)


def prepare_avatar(
    path: Path | str,
    options: PreparationOptions | None = None,
    *,
    cache_dir: Path | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
) -> Avatar:
    """Load a head and work out everything that driving it needs, or take that from the cache.

    Args:
        path: .obj, .ply, .glb, .gltf or .vrm; coefficients (.npy) where `options` names the Basel Face Model.
        options: how the file is taken and the head placed; guessed, and as published, where left out.
        cache_dir: where prepared avatars are kept; refresh: prepare again whatever is there.
        progress: called before each step where the avatar is not in the cache; what it raises ends the preparation.

    Makes an OpenGL context of its own, for the calling thread, where the avatar is not in the cache.
    Raises InputError where the file is no usable mesh or shows no human face.
    """
    options = options or PreparationOptions()
    check_axes(options.up, options.front)
    mesh = load_head(Path(path), options)
    points = None if options.landmarks is None else load_hand_landmarks(options.landmarks, mesh)
    key = _content_key(mesh, options, points)
    place = (cache_dir or default_cache_dir()) / f"{key}.npz"
    name = Path(path).name
    told_of = partial(replace, by_hand=points is not None, shapes_asked=options.morphs == "on")

    def found() -> Avatar | None:
        with reading(place, _KEPT):
            if place.is_file():
                return told_of(_load(place, name, mesh, key))
        return None

    if not refresh and (avatar := found()) is not None:
        return avatar
    tell = progress or (lambda _what, _done, _total: None)
    waited = False

    def waiting() -> None:
        nonlocal waited
        waited = True
        tell("another vfa is preparing this head", 0, None)

    with alone(place, waiting):
        if waited and (avatar := found()) is not None:
            return avatar
        return told_of(_made(path, name, mesh, key, options, points, place, tell))


def _made(
    path: Path | str,
    name: str,
    mesh: Mesh,
    key: str,
    options: PreparationOptions,
    points: Points | None,
    place: Path,
    tell: Progress,
) -> Avatar:
    """Prepared now, and kept in `place`."""
    from calib.survey.looking import looked_at

    up, front = options.up, options.front
    where = str(path) if options.landmarks is None else str(options.landmarks)
    try:
        avatar = _prepare(name, mesh, key, partial(looked_at, where, points=points, up=up, front=front), tell)
    except InputError:
        raise
    except _ODD_HEAD as error:  # a face was found on it, but its surface is like no head's that was thought of
        log.debug("%s: preparation failed", path, exc_info=True)
        raise InputError(
            f"{path}: a face was found on it, but its mesh cannot be worked out ({type(error).__name__}: {error}); "
            "repair the mesh (holes, stray and doubled triangles), or place its landmarks by hand: "
            "vfa prepare --place-landmarks FILE.json, then --landmarks FILE.json"
        ) from error
    keep(place, partial(_save, avatar=avatar), _KEPT)
    return avatar


def default_cache_dir() -> Path:
    """Folder of the user's cache that prepared avatars are kept in."""
    return cache_folder("avatars")


def _prepare(
    name: str,
    mesh: Mesh,
    key: str,
    look_at_head: Callable[[Mesh, "Studio"], "HeadSurvey"],
    tell: Progress,
) -> Avatar:
    from calib.rigging.assemble import STEPS, assemble
    from calib.rigging.shapes_alone import shapes_alone
    from calib.rigging.template_head import load_template
    from calib.survey.views import Studio

    T_camera_world = look_at(PUBLISHED_EYE)
    worked, binding, size = mesh, None, ""
    if len(mesh.faces) > MOST_FACES:
        tell("fewer triangles", 0, len(STEPS) + 1)
        worked, binding = coarsened(mesh)
        size = f"; of {len(mesh.faces):,} triangles {len(worked.faces):,} are worked out and shown, the others follow"
        log.info("%s%s", name, size)
    tell("the face", 0, len(STEPS) + 1)
    with ThreadPoolExecutor(1) as beside, Studio(worked) as studio:
        beside.submit(load_template)
        survey = look_at_head(worked, studio)
        source = studio.look(survey.placement.T_world_file, T_camera_world, PUBLISHED_INTRINSICS)
    if survey.by_shapes:
        display, rig = shapes_alone(survey)
    else:
        display, rig = assemble(survey, lambda what: tell(what, STEPS.index(what) + 1, len(STEPS) + 1))
    return Avatar(
        name=name,
        file_mesh=mesh,
        display_mesh=display,
        T_world_file=survey.placement.T_world_file,
        intrinsics=PUBLISHED_INTRINSICS,
        T_camera_world=T_camera_world,
        source_rgb=source.rgb,
        source_depth=source.depth,
        landmarks=survey.landmarks.astype(np.float32),
        rig=rig,
        description=f"{survey.placement.describe()}; {survey.describe()}{size}",
        content_key=key,
        binding=binding,
    )


def _content_key(mesh: Mesh, options: PreparationOptions, points: Points | None) -> str:
    """Hash of everything the preparation depends on; of the other options that is the mesh itself."""
    digest = hashlib.blake2b(digest_size=16)
    given: dict[str, object] = {name: getattr(options, name) for name in ("up", "front")}
    if points is not None:
        given["landmarks"] = {point: at.tolist() for point, at in sorted(points.items())}
    digest.update(json.dumps([PREPARATION_VERSION, given]).encode())
    arrays = [mesh.vertices, mesh.faces, mesh.uvs, mesh.faces_uv, mesh.vertex_colors]
    if mesh.morphs is not None:  # shapes of `vfa rig` may be corrected without another preparation
        digest.update(b"rigged" if mesh.morphs.rigged else json.dumps(mesh.morphs.names).encode())
        arrays += [] if mesh.morphs.rigged else [mesh.morphs.displacement]
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
        display_mesh=avatar.display_mesh,
        T_world_file=avatar.T_world_file,
        T_camera_world=avatar.T_camera_world,
        source_rgb=avatar.source_rgb,
        source_depth=avatar.source_depth,
        landmarks=avatar.landmarks,
        rig=avatar.rig,
        description=avatar.description,
        binding=avatar.binding,
    ).save(path, avatar.file_mesh)


def _load(path: Path, name: str, mesh: Mesh, key: str) -> Avatar:
    found = PreparedArrays.load(path, mesh)
    return Avatar(
        name=name,
        file_mesh=mesh,
        display_mesh=found.display_mesh,
        T_world_file=found.T_world_file,
        intrinsics=PUBLISHED_INTRINSICS,
        T_camera_world=found.T_camera_world,
        source_rgb=found.source_rgb,
        source_depth=found.source_depth,
        landmarks=found.landmarks,
        rig=found.rig,
        description=found.description,
        content_key=key,
        binding=found.binding,
    )
