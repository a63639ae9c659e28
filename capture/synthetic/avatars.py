"""The avatars that come with the program: unrigged heads in mesh files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from capture.synthetic.head.head_data import DATA_FOLDER
from core.errors import InputError

AvatarName = Literal["realistic", "stylized", "lowpoly"]
AVATAR_NAMES: tuple[str, ...] = get_args(AvatarName)


def builtin_avatar_path(name: str) -> Path:
    """The .glb of a built-in avatar, to be loaded like any other head (`render.mesh.mesh_io.load_mesh`).

    Metres, y up, facing +z, neutral, lips closed. Parts: skin, eye_left, eye_right, teeth_upper, teeth_lower, tongue,
    and lashes or brow_left and brow_right. No rig and no morph targets. Raises InputError for another name.
    """
    if name not in AVATAR_NAMES:
        raise InputError(f'no built-in avatar "{name}": choose one of {", ".join(AVATAR_NAMES)}, or give a mesh file')
    path = DATA_FOLDER / f"{name}.glb"
    if not path.is_file():
        raise InputError(f"{path}: the built-in avatar is missing; install the package again")
    return path
