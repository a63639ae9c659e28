"""What Record3D writes beside its exports: `metadata.json` of a folder, and the text inside an RGBD video."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.camera import Intrinsics
from core.picture_limits import number, plausible_fps, stated_intrinsics
from core.untrusted import read_json

FOLDER_FILE = "metadata.json"
LARGEST_TEXT = 64 << 20
_SEARCHED = 1 << 20  # bytes at either end of a video
_FARTHEST_M = 100.0
_MARK = b'{"intrinsicMatrix"'


@dataclass(frozen=True)
class ExportCamera:
    """Intrinsics of the colour, and fps or the range of the coded depth in metres where the export says it."""

    intrinsics: Intrinsics
    fps: float | None = None
    depth_range_m: tuple[float, float] | None = None


def folder_camera(folder: Path) -> ExportCamera | None:
    """Of an exported folder; None where there is no `metadata.json`. Raises ValueError, LookupError, TypeError or
    ArithmeticError where it is not Record3D's."""
    path = folder / FOLDER_FILE
    if not path.is_file():
        return None
    content = read_json(path, LARGEST_TEXT)
    intrinsics = _from_columns(content["K"], number(content, "w"), number(content, "h"))
    fps = float(content.get("fps") or 0)
    return ExportCamera(intrinsics, plausible_fps(fps) or None)


def video_camera(path: Path, width: int, height: int) -> ExportCamera | None:
    """Of an exported RGBD video whose colour half is width × height; None where it carries no such text, or one that
    does not fit the picture."""
    content = _embedded(path)
    try:
        if content is None:
            return None
        intrinsics = _from_columns(content["intrinsicMatrix"], width, height)
        near_m, far_m = (float(value) for value in content.get("rangeOfEncodedDepth") or (0.0, 3.0))
    except (ValueError, LookupError, TypeError, ArithmeticError):
        return None
    inside = 0 < intrinsics.cx < width and 0 < intrinsics.cy < height
    ordered = 0 <= near_m < far_m <= _FARTHEST_M
    return ExportCamera(intrinsics, None, (near_m, far_m)) if inside and ordered else None


def _from_columns(matrix: list[Any], width: float, height: float) -> Intrinsics:
    """K column after column: fx 0 0, 0 fy 0, cx cy 1."""
    fx, fy, cx, cy = (float(matrix[at]) for at in (0, 4, 6, 7))
    return stated_intrinsics(fx, fy, cx, cy, width, height)


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
            except (ValueError, RecursionError):
                continue
            return content if isinstance(content, dict) else None
    return None
