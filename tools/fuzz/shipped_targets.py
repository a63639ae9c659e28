"""Files that come with the program or its libraries: the face model, the built-in head and the performer's film."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import BUNDLE_MEMBERS, find_face_model
from capture.recordings.playback import RecordedSource
from capture.synthetic.head.head_data import MASK_NAMES, PART_NAMES, load_head_data, save_head_data
from capture.synthetic.performer.performer import INTRINSICS, PerformerClip, write_outline
from core.canonical_face import load_canonical_face
from core.face_regions import FACE_LANDMARKS
from core.source import frames_of
from tools.assets.film import pack
from tools.assets.performer_studio import Shot
from tools.fuzz.target import Target


def _face_model_seeds(folder: Path) -> list[Path]:
    """A bundle with everything in its place, whose networks are no networks."""
    path = folder / "face.task"
    with zipfile.ZipFile(path, "w") as bundle:
        for member in BUNDLE_MEMBERS:
            bundle.writestr(member, _geometry() if member.startswith("geometry") else b"network")
    return [path]


def _geometry() -> bytes:
    """mediapipe's message of the canonical mesh: 468 vertices x y z u v, and corners."""
    vertices = np.random.default_rng(0).normal(size=(FACE_LANDMARKS, 5)).astype("<f4")
    corners = b"".join(map(_varint, range(FACE_LANDMARKS)))
    mesh = _field(3, vertices.tobytes()) + _field(4, corners)
    return _varint(2 << 3) + _varint(7) + _field(1, mesh)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    return encoded + struct.pack("B", value)


def _load_face_model(path: Path) -> None:
    face = load_canonical_face(find_face_model(path))
    if not np.isfinite(face.points).all() or not face.stable_weights.any():
        raise AssertionError("a face that is no face")


def _head_seeds(folder: Path) -> list[Path]:
    """A head of eight vertices, with everything that the shipped one has."""
    quads = np.array([[0, 1, 2, 3], [4, 5, 6, 7]], dtype=np.uint16)
    arrays: dict[str, NDArray[np.generic]] = {
        "vertices": np.arange(24, dtype=np.float32).reshape(8, 3),
        "uvs": np.zeros((8, 2), dtype=np.float32),
        "skin_uv": quads,
        "lid_rings_left": np.zeros((11, 28), dtype=np.uint16),
        "lid_rings_right": np.zeros((11, 28), dtype=np.uint16),
        "lip_rings": np.zeros((9, 38), dtype=np.uint16),
        "target_names": np.array(["unit/jaw", "build/wide"]),
        "target_starts": np.array([0, 3, 5], dtype=np.uint32),
        "target_indices": np.array([0, 1, 1, 2, 3], dtype=np.uint16),
    }
    arrays |= {f"target_steps_{axis}": np.arange(5, dtype=np.int16) for axis in "xyz"}
    arrays |= {f"mask_{name}": np.zeros(8, dtype=np.uint8) for name in MASK_NAMES}
    arrays |= {f"quads_{name}": quads for name in PART_NAMES}
    save_head_data(folder / "head.npz", arrays)
    return [folder / "head.npz"]


def _load_head(path: Path) -> None:
    head = load_head_data.__wrapped__(path)  # the cache would keep every case
    for name in head.names("unit"):
        head.dense(f"unit/{name}")


def _film_seeds(folder: Path) -> list[Path]:
    root = folder / "film"
    root.mkdir()
    shape = (INTRINSICS.height, INTRINSICS.width)
    depth = np.full(shape, 1.35, dtype=np.float32)
    depth[100:300, 200:400] = 0.6
    shot = Shot(np.full((*shape, 3), 90, dtype=np.uint8), depth)
    write_outline(pack([shot, shot], root / "film.mkv"), root / "outline.xz")
    return [root]


def _play_film(path: Path) -> None:
    clip = PerformerClip(loop=False, film=path / "film.mkv", outline=path / "outline.xz")
    for _ in frames_of(RecordedSource(clip, realtime=False)):
        pass


TARGETS = [
    Target("face_model", _face_model_seeds, _load_face_model),
    Target("head_data", _head_seeds, _load_head),
    Target("performer_film", _film_seeds, _play_film),
]
