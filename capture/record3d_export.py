"""What Record3D writes beside its exports: `metadata.json` of a folder, and the text inside an RGBD video."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from render.camera import Intrinsics

FOLDER_FILE = "metadata.json"
LARGEST_TEXT = 64 << 20
_SEARCHED = 1 << 20  # bytes at either end of a video
_MARK = b'{"intrinsicMatrix"'


@dataclass(frozen=True)
class ExportCamera:
    """Intrinsics of the colour, and fps or the range of the coded depth in metres where the export says it."""

    intrinsics: Intrinsics
    fps: float | None = None
    depth_range_m: tuple[float, float] | None = None


def folder_camera(folder: Path) -> ExportCamera | None:
    """Of an exported folder; None where there is no `metadata.json`. Raises ValueError, KeyError, TypeError, OSError
    where it is not Record3D's."""
    path = folder / FOLDER_FILE
    if not path.is_file():
        return None
    if path.stat().st_size > LARGEST_TEXT:
        raise ValueError(f"it is larger than {LARGEST_TEXT >> 20} MB")
    content = json.loads(path.read_text(encoding="utf-8"))
    intrinsics = _from_columns(content["K"], int(content["w"]), int(content["h"]))
    fps = float(content.get("fps") or 0)
    return ExportCamera(intrinsics, fps if 1 <= fps <= 1000 else None)


def video_camera(path: Path, width: int, height: int) -> ExportCamera | None:
    """Of an exported RGBD video whose colour half is width × height; None where it carries no such text, or one that
    does not fit the picture."""
    content = _embedded(path)
    try:
        if content is None:
            return None
        intrinsics = _from_columns(content["intrinsicMatrix"], width, height)
        near_m, far_m = (float(value) for value in content.get("rangeOfEncodedDepth") or (0.0, 3.0))
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    inside = 0 < intrinsics.cx < width and 0 < intrinsics.cy < height
    ordered = math.isfinite(far_m) and 0 <= near_m < far_m
    return ExportCamera(intrinsics, None, (near_m, far_m)) if inside and ordered else None


def _from_columns(matrix: list[Any], width: int, height: int) -> Intrinsics:
    """K column after column: fx 0 0, 0 fy 0, cx cy 1."""
    fx, fy, cx, cy = (float(matrix[at]) for at in (0, 4, 6, 7))
    return Intrinsics(fx, fy, cx, cy, width, height)


def _embedded(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as file:
        start = file.read(_SEARCHED)
        file.seek(max(0, path.stat().st_size - _SEARCHED))
        for data in (file.read(_SEARCHED), start):
            at = data.rfind(_MARK)
            if at < 0:
                continue
            try:
                content, _ = json.JSONDecoder().raw_decode(data[at : at + 65536].decode("utf-8", errors="replace"))
            except ValueError:
                continue
            return content if isinstance(content, dict) else None
    return None
