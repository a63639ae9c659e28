"""Who is driven, of files: any head that carries ARKit shapes of its own, prepared as if it had none.

Its artist has taught the program nothing, so the template stays as it is shipped. Displacements are compared in metres
of a human face as large as this one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.rig_heads import RigHead, judged_head, without_shapes
from calib.avatar import Avatar, prepare_avatar
from calib.preparation_options import PreparationOptions
from calib.rig.own_shapes import units_among
from calib.survey.placement import FACE_HEIGHT
from core.camera import transform_points
from core.errors import InputError
from core.mesh import Mesh
from render.mesh.mesh_io import load_mesh
from tools.rigs.rig import EYES, MOUTH, SKIN, ArtistRig

UNTAUGHT = "they are hidden from the preparation, and their artist has taught the program nothing"
FACE_M = 0.18  # from a person's hairline to the chin: FACE_HEIGHT of avatar units


@dataclass(frozen=True)
class HeadFile:
    """A binary glTF file (.glb, .vrm) with shapes, and landmarks placed on it by hand where it is no human head."""

    path: Path
    landmarks: Path | None = None

    def read(self) -> tuple[Mesh, dict[str, int]]:
        """The mesh with its shapes, and the number of the shape of each ARKit unit that it has.

        Raises InputError where it cannot be read, or has none.
        """
        if self.path.suffix.lower() not in (".glb", ".vrm"):
            raise InputError(f"{self.path}: expected a binary glTF file (.glb, .vrm); export it as one")
        mesh = load_mesh(self.path, morphs=True)
        found = units_among(mesh)
        if not found or mesh.morphs is None:
            raise InputError(
                f"{self.path}: expected shapes with ARKit names (jawOpen, eyeBlinkLeft, …) to judge by, found none of "
                "them; rename its morph targets, or give another head"
            )
        return mesh, found

    def prepared(self, folder: Path, cache: Path | None) -> RigHead:
        """Prepared from a copy without shapes, written into `folder`. Makes OpenGL contexts.

        Raises InputError where the file has no ARKit shapes, or cannot be read or prepared.
        """
        mesh, found = self.read()
        assert mesh.morphs is not None
        hidden = folder / f"{self.path.stem}.glb"
        hidden.write_bytes(without_shapes(self.path.read_bytes()))
        avatar = prepare_avatar(hidden, PreparationOptions(landmarks=self.landmarks), cache_dir=cache)
        if not np.array_equal(avatar.file_mesh.vertices, mesh.vertices):
            raise ValueError(f"{self.path}: without its shapes the file has other vertices")
        T_rig_file = _to_metres(avatar) @ avatar.T_world_file
        shapes = mesh.morphs.displacement
        turn = T_rig_file[:3, :3].T.astype(np.float32)
        units = {unit: shapes[number] @ turn for unit, number in found.items()}
        placed = transform_points(T_rig_file, mesh.vertices.astype(np.float64)).astype(np.float32)
        bare = replace(mesh, vertices=placed, morphs=None)
        rig = ArtistRig(self.path.name, "file", bare, units, _pieces(avatar), self.path)
        return judged_head(rig, avatar, np.arange(len(placed)), T_rig_file)


def _to_metres(avatar: Avatar) -> NDArray[np.float64]:
    """[4, 4] avatar units → metres about the middle of the eyes."""
    T = np.eye(4) * (FACE_M / FACE_HEIGHT)
    T[:3, 3] = -T[0, 0] * np.mean([eye.centre for eye in avatar.rig.eyes], axis=0)
    T[3, 3] = 1.0
    return T


def _pieces(avatar: Avatar) -> NDArray[np.int8]:
    """[V] of PIECES: what the preparation takes for eyeballs, teeth and tongue; all else is skin."""
    count = len(avatar.file_mesh.vertices) if avatar.binding is None else len(avatar.binding.representative)
    piece = np.full(len(avatar.rig.rest), SKIN, dtype=np.int8)
    for eye in avatar.rig.eyes:
        piece[eye.ball] = EYES
    for inside in (avatar.rig.jaw.vertices, avatar.rig.jaw.upper, avatar.rig.jaw.tongue):
        piece[inside] = MOUTH
    own = piece[:count]
    return own if avatar.binding is None else own[avatar.binding.corners[:, 0]]
