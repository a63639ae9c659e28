"""What a user can say about a head before it is prepared, with the help text under each field."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from core.errors import InputError

Vector = tuple[float, float, float]
MorphsUse = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class PreparationOptions:
    """How the head's file is taken."""

    bfm: Path | None = None
    """BFM09_model_info.mat, the model that --avatar COEFFICIENTS.npy belongs to."""

    texture: Path | None = None
    """Picture for the mesh's texture coordinates, when the file does not name one."""

    up: str | None = None
    """Axis of the file that points up (x, -x, y, -y, z, -z). Guessed and shown when not given."""

    front: str | None = None
    """Axis of the file the face looks along. Guessed and shown when not given."""

    landmarks: Path | None = None
    """Landmarks placed by hand (.json) for heads that are not human; vfa prepare --place-landmarks makes the file."""

    morphs: MorphsUse = "auto"
    """Whether the head is moved by the ARKit morph targets of its own file (.glb, .gltf, .vrm) instead of those worked
    out for it: auto does so where nearly all 52 are there; on (also --morphs alone) from 20 on; off never."""

    def __post_init__(self) -> None:
        if self.morphs not in (known := get_args(MorphsUse)):
            raise InputError(f"morphs = {self.morphs!r}: expected one of {', '.join(known)}")
