"""Who is driven, of other artists: heads whose own shapes are hidden from the preparation, and how they truly move.

What is written for the preparation never holds a morph target: VALID's files are copied without theirs, other rigs are
written anew, at rest, with their parts, names and looks.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calib.avatar import Avatar, prepare_avatar
from core.camera import Intrinsics, look_at, transform_points
from core.expression_units import UNIT_NAMES
from core.face_regions import (
    BROWS,
    CHIN,
    FACE_LANDMARKS,
    FACE_OVAL,
    FOREHEAD,
    LOWER_LID_FOLDS,
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LID_FOLDS,
    UPPER_LIDS,
    UPPER_LIP,
)
from core.mesh import MeshPart
from render.gl.rgbd import RgbdCamera
from tools.assets.glb_file import save_glb
from tools.rigs.rig import SKIN, ArtistRig

REGIONS = ("lips", "lids", "brows", "jaw", "cheeks, nose")
BELOW_CHIN_M = 0.012  # so far under the chin's landmark the face is judged
_SEEN_FROM = ((0.0, 0.0), (0.6, 0.0), (-0.6, 0.0), (0.0, 0.5), (0.0, -0.5))  # yaw and pitch, radians
_SHOWN: tuple[dict[str, float], ...] = (
    {},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"jawOpen": 0.3},
)  # what skin shows itself in
_PICTURE = 640
_GLB, _JSON = 0x46546C67, 0x4E4F534A


@dataclass(frozen=True, eq=False)
class RigHead:
    """One prepared head, and the rig that says how it should move.

    Attributes:
        avatar: prepared from a file without shapes.
        of_file: [V] vertex of the rig's mesh for each of the file's vertices.
        judged: [E] file vertices: the face's skin as far as it can be seen.
        to_rig: [3, 3] float32 displacements in the file's coordinates → metres of the rig.
        regions: of REGIONS → [E] bool; each judged vertex is in one.
    """

    rig: ArtistRig
    avatar: Avatar
    of_file: NDArray[np.int64]
    judged: NDArray[np.int64]
    regions: dict[str, NDArray[np.bool_]]
    to_rig: NDArray[np.float32]

    @cached_property
    def units_m(self) -> NDArray[np.float32]:
        """[52, E, 3] the artist's units at the judged vertices, metres; 0 where there is none."""
        rows = self.of_file[self.judged]
        none = np.zeros((len(rows), 3), dtype=np.float32)
        return np.stack([self.rig.units[unit][rows] if unit in self.rig.units else none for unit in UNIT_NAMES])

    def truth_m(self, weights: NDArray[np.floating]) -> NDArray[np.float32]:
        """[..., E, 3] displacement of the judged vertices for weights [..., 52] of UNIT_NAMES, as the artist has it."""
        return np.tensordot(weights.astype(np.float32), self.units_m, axes=1)

    def moved_m(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """[E, 3] displacement in metres of an engine's vertices [R, 3] in avatar units."""
        moved = self.avatar.to_file(vertices)[self.judged] - self.avatar.file_mesh.vertices[self.judged]
        return np.asarray(moved @ self.to_rig.T, dtype=np.float32)


def prepared_head(rig: ArtistRig, folder: Path, cache: Path | None) -> RigHead:
    """Write the rig's head without its shapes into `folder` and prepare it like any file. Makes OpenGL contexts.

    Raises InputError where it cannot be prepared.
    """
    path = folder / f"{rig.name.replace(':', '-')}.glb"
    of_file = write_hidden(rig, path)
    avatar = prepare_avatar(path, cache_dir=cache)
    apart = avatar.file_mesh.vertices.astype(np.float64) - rig.mesh.vertices[of_file]
    if np.abs(apart - apart.mean(axis=0)).max() > 1e-4:
        raise ValueError(f"{rig.name}: the file's vertices are not the rig's")
    T_rig_file = np.eye(4)
    T_rig_file[:3, 3] = -apart.mean(axis=0)
    return judged_head(rig, avatar, of_file, T_rig_file)


def judged_head(rig: ArtistRig, avatar: Avatar, of_file: NDArray[np.int64], T_rig_file: NDArray[np.float64]) -> RigHead:
    """Which vertices are compared, and what they belong to. `T_rig_file`: [4, 4] the file's coordinates → the rig's."""
    T_rig_world = np.asarray(T_rig_file @ np.linalg.inv(avatar.T_world_file), np.float64)
    landmarks = transform_points(T_rig_world, avatar.landmarks.astype(np.float64))[:FACE_LANDMARKS]
    skin = visible_skin(rig) & (rig.mesh.vertices[:, 1] > landmarks[152, 1] - BELOW_CHIN_M)
    judged = np.flatnonzero(skin[of_file])
    regions = face_regions(rig.mesh.vertices[of_file[judged]], landmarks)
    return RigHead(rig, avatar, of_file, judged, regions, T_rig_file[:3, :3].astype(np.float32))


def write_hidden(rig: ArtistRig, path: Path) -> NDArray[np.int64]:
    """Write the head at rest, without any shape; [V] vertex of the rig's mesh for each vertex of the file."""
    if rig.file is not None:
        path.write_bytes(without_shapes(rig.file.read_bytes()))
        return np.arange(len(rig.mesh.vertices))
    save_glb(rig.mesh, path)
    return np.concatenate([np.unique(_faces_of(rig, part)) for part in rig.mesh.parts])


def without_shapes(content: bytes) -> bytes:
    """A binary glTF file whose meshes have lost their morph targets and these targets' names."""
    length = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + length])
    for mesh in document["meshes"]:
        mesh.pop("weights", None)
        mesh.pop("extras", None)
        for primitive in mesh["primitives"]:
            primitive.pop("targets", None)
    for node in document["nodes"]:
        node.pop("weights", None)
    document.pop("animations", None)
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    head = struct.pack("<IIIII", _GLB, 2, 20 + len(text) + len(rest), len(text), _JSON)
    return head + text + rest


def visible_skin(rig: ArtistRig) -> NDArray[np.bool_]:
    """[V] skin that someone sees who looks at the face, at rest, with shut eyes or slightly open mouth."""
    seen = np.zeros(len(rig.mesh.vertices), dtype=bool)
    focal = 2.2 * _PICTURE
    camera = Intrinsics(focal, focal, _PICTURE / 2, _PICTURE / 2, _PICTURE, _PICTURE)
    middle = np.array([0.0, -0.03, 0.0])
    with RgbdCamera(rig.mesh) as studio:
        for weights in _SHOWN:
            if not set(weights) <= set(rig.units):
                continue
            moved = rig.vertices(weights)
            for yaw, pitch in _SEEN_FROM:
                way = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
                picture = studio.take(look_at(middle + 0.6 * way, middle), camera, moved)
                seen[rig.mesh.faces[np.unique(picture.face_id[picture.face_id >= 0])]] = True
    return np.asarray(seen & (rig.piece == SKIN))


def face_regions(points: NDArray[np.floating], landmarks: NDArray[np.floating]) -> dict[str, NDArray[np.bool_]]:
    """Which region each of these points [E, 3] is in: that of the nearest of the 468 landmarks [468, 3]."""
    region = np.full(FACE_LANDMARKS, REGIONS.index("cheeks, nose"))
    lower_oval = [point for point in FACE_OVAL if landmarks[point, 1] < landmarks[LOWER_LIP[-1][5], 1]]
    folds = (*UPPER_LID_FOLDS, *LOWER_LID_FOLDS)
    for name, chains in (
        ("jaw", (CHIN, tuple(lower_oval))),
        ("brows", (*BROWS, FOREHEAD)),
        ("lids", (*UPPER_LIDS, *LOWER_LIDS, *folds)),
        ("lips", (*UPPER_LIP, *LOWER_LIP)),
    ):
        region[[point for chain in chains for point in chain]] = REGIONS.index(name)
    _, nearest = cKDTree(landmarks).query(points)
    return {name: region[nearest] == number for number, name in enumerate(REGIONS)}


def weight_row(weights: Mapping[str, float]) -> NDArray[np.float64]:
    """[52] weights of UNIT_NAMES."""
    return np.array([weights.get(unit, 0.0) for unit in UNIT_NAMES])


def _faces_of(rig: ArtistRig, part: MeshPart) -> NDArray[np.int32]:
    return rig.mesh.faces[part.first_face : part.first_face + part.face_count]
