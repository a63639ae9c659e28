"""Units judged one by one: how near are the shapes worked out for a head to those its own artist made?

    python -m benchmarks.rig [RIG…] [--avatar FILE.glb [--landmarks FILE.json]] [--all-artists] [--json FILE]
        [--sheet FOLDER]

Heads of `tools.artist_rigs` are prepared from files without their shapes; then each unit at weight 1 is compared with
the artist's, over the face's visible skin. The template's units are made anew without that artist (`leave_out`), unless
`--all-artists` asks for what is shipped. `--avatar` judges any head that carries ARKit shapes, by these. Figures, by
unit:

- error_mm: mean distance between both over the vertices that truly move more than 0.5 mm;
- all_mm: the same over the whole face, as published learned riggers report it;
- cosine: mean of the cosine between both directions, weighted by the true length;
- amplitude: regression slope of ours on the artist's;
- explained, as in `benchmarks.likeness`, and by region.

"~" marks units for which an artist's shape is a near relation only; they are left out of the means.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.leave_out import without
from benchmarks.likeness_independent import AVATARS, judged, prepared
from benchmarks.likeness_metrics import MOVING_M, mean_or_nan
from benchmarks.rig_file import HeadFile
from benchmarks.rig_heads import REGIONS, RigHead, weight_row
from core.cache_folder import cache_folder
from core.camera import AVATAR_VIEW, PUBLISHED_EYE, look_at, transform_points
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from engine.expression.expression_engine import ExpressionEngine
from render.gl.rgbd import RgbdCamera

COLUMNS = ("error_mm", "all_mm", "cosine", "amplitude", "explained", *REGIONS)
_CELL, _PER_ROW = 210, 4


def judge_units(head: RigHead) -> Iterator[dict[str, Any]]:
    """Figures of every unit the artist made."""
    engine = ExpressionEngine(head.avatar, "fixed")
    for unit in UNIT_NAMES:
        if unit not in head.rig.units:
            continue
        true = head.truth_m(weight_row({unit: 1.0}))
        if np.linalg.norm(true, axis=1).max() < MOVING_M:
            continue  # nothing of it shows on the skin, as with the tongue
        ours = head.moved_m(engine.posed(weight_row({unit: 1.0}), np.zeros((2, 2))))
        loose = unit in head.rig.loose
        yield {"head": head.rig.name, "unit": unit, "loose": loose} | unit_figures(true, ours, head.regions)


def unit_figures(
    true: NDArray[np.float32], ours: NDArray[np.float32], regions: dict[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """Figures of one unit: displacements [E, 3], metres."""
    length = np.linalg.norm(true, axis=1)
    both = np.maximum(length * np.linalg.norm(ours, axis=1), 1e-12)
    moving = length > MOVING_M
    cosine = (true * ours).sum(axis=1) / both
    return judged(true[None], ours[None], regions) | {
        "all_mm": 1e3 * float(np.linalg.norm(ours - true, axis=1).mean()),
        "cosine": float(np.average(cosine[moving], weights=length[moving])) if moving.any() else math.nan,
    }


def draw_comparison(head: RigHead) -> NDArray[np.uint8]:
    """[H, W, 3] every unit twice: as worked out, and beside it as the artist made it. Makes OpenGL contexts."""
    avatar = head.avatar
    engine = ExpressionEngine(avatar, "fixed")
    camera = AVATAR_VIEW.fitted(_CELL, _CELL)
    pose = look_at(np.array([0.35, 0.0, PUBLISHED_EYE[2]]))
    linear = (avatar.T_world_file[:3, :3] @ np.linalg.inv(head.to_rig)).astype(np.float32)
    rest = transform_points(avatar.T_world_file, avatar.file_mesh.vertices)
    cells = []
    with RgbdCamera(avatar.display_mesh) as ours, RgbdCamera(replace(avatar.file_mesh, vertices=rest)) as artist:
        for unit in head.rig.units:
            moved = rest + head.rig.units[unit][head.of_file] @ linear.T
            pair = [
                ours.take(pose, camera, engine.posed(weight_row({unit: 1.0}), np.zeros((2, 2)))).rgb,
                artist.take(pose, camera, moved).rgb,
            ]
            cell = np.ascontiguousarray(np.concatenate(pair, axis=1))
            cv2.putText(cell, unit, (4, _CELL - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
            cells.append(cell)
    cells += [np.zeros_like(cells[0])] * (-len(cells) % _PER_ROW)
    return np.concatenate([np.concatenate(cells[at : at + _PER_ROW], axis=1) for at in range(0, len(cells), _PER_ROW)])


def tables(results: Sequence[dict[str, Any]]) -> list[Table]:
    """For the terminal: by unit, and by head; units with a "~" are in neither mean."""
    by_unit = Table("unit", "heads", *COLUMNS, title="units at weight 1, skin only", title_justify="left")
    for unit in UNIT_NAMES:
        members = [each for each in results if each["unit"] == unit]
        if members:
            loose = any(each["loose"] for each in members)
            by_unit.add_row(f"{unit}{' ~' if loose else ''}", str(len(members)), *_means(members))
    by_head = Table("head", "units", *COLUMNS)
    sure = [each for each in results if not each["loose"]]
    for name in dict.fromkeys(each["head"] for each in sure):
        members = [each for each in sure if each["head"] == name]
        by_head.add_row(name, str(len(members)), *_means(members))
    by_head.add_row("mean", str(len(sure)), *_means(sure))
    return [by_unit, by_head]


def _means(members: Sequence[dict[str, Any]]) -> list[str]:
    values = [mean_or_nan(np.array([each[column] for each in members], dtype=float)) for column in COLUMNS]
    return [f"{value:.2f}" if math.isfinite(value) else "–" for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rigs", nargs="*", metavar="RIG")
    parser.add_argument("--avatar", type=Path, metavar="FILE.glb", help="any head with ARKit shapes, judged by these")
    parser.add_argument("--landmarks", type=Path, metavar="FILE.json", help="placed by hand on the head of --avatar")
    parser.add_argument("--all-artists", action="store_true", help="the shipped template, the head's artist in it")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--sheet", type=Path, metavar="FOLDER", help="a picture per head: ours beside the artist's")
    parser.add_argument("--cache", type=Path, default=cache_folder("likeness"))
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    if options.avatar is not None:
        try:  # before performers are filmed for it
            HeadFile(options.avatar).read()
        except InputError as error:
            parser.error(str(error))
    heads = [HeadFile(options.avatar, options.landmarks)] if options.avatar else options.rigs or AVATARS
    with tempfile.TemporaryDirectory() as folder:
        for each in heads:
            try:
                head = prepared(each, Path(folder), options.cache)
            except InputError as error:
                print(f"NOT PREPARED, missing in all figures: {error}", file=sys.stderr)
                continue
            with nullcontext() if options.all_artists else without(head.rig.basis):
                results += judge_units(head)
                if options.sheet is not None:
                    options.sheet.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(draw_comparison(head)).save(
                        options.sheet / f"{head.rig.name.replace(':', '-')}.png"
                    )
    console = Console(width=200)
    for table in tables(results):
        console.print(table)
    if options.json is not None:
        known = [
            {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in e.items()} for e in results
        ]
        options.json.write_text(json.dumps({"units": known, "settings": vars(options)}, indent=1, default=str))


if __name__ == "__main__":
    main()
