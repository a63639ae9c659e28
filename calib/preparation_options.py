"""What a user can say about a head before it is prepared, with the help text under each field."""

from dataclasses import dataclass
from pathlib import Path

Vector = tuple[float, float, float]


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

    morphs: bool = False
    """Move the head by the ARKit morph targets of its own file (.glb, .gltf, .vrm), not by those worked out for it."""
