"""Likeness: does an unrigged head repeat the driver's face? Measured against ground truth.

    python -m benchmarks.likeness [--quick] [--only independent|transfer|own] [--json FILE] …

Two judges, of which the first counts:

*Independent artists* (`likeness_independent`): performers and avatars by different artists, of neither of whom the
program has learned anything. Needs their rigs (`tools.artist_rigs`). `--only transfer` judges the units' way onto these
heads alone: true weights, no video, a few seconds once the heads are prepared; so does `--transfer` for others.
`--only stylised`: heads that are cartoons or coarse. `--avatar FILE.glb`: any head that carries ARKit shapes, prepared
without them and held against them (`--landmarks FILE.json` where it is not human). `--performers` and `--avatars` name
others; `--prior-basis cc0 ict` says by whose performers the prior under test was trained, `--network-basis cc0 ict` by
whose people the network of `--checkpoint` was; `--all-artists` takes the
template as it is shipped, instead of one made without the avatar's artist.

*Own* (`--only own`): test people of the CC0 head, whose artist is the engine's, none of whom any model was trained on,
perform before simulated depth cameras. Other heads (`likeness_heads.HEADS`: CC0 people, other topologies, scales and
proportions, units bent off the CC0 basis), written to files as bare meshes and prepared as any avatar, are driven by
what `vfa animate --head-pose fixed` runs, and compared with the same heads performing the same units themselves.
Figures: `likeness_metrics`. Besides the engines:

- webcam coefficients: the tracker's 52 scores on the head's own true units (a perfect rig);
- oracle controllers: the true motion at the avatar's controllers, carried by its weights;
- nothing: the head stays neutral.

JSON: `independent`: figures of every driver, head, row and expression; of the own judge `rows` of {engine, avatar_rig,
sensor, turn_deg, light, explained, error_mm, p95_mm, lips_mm, lids_mm, jitter_mm, lag_ms, …}, means over heads and
drivers of one condition, and `takes` with every head and driver; `settings`.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.artists_known import NETWORK_BASES, PRIOR_BASES, TEMPLATE_BASES, Learned
from benchmarks.likeness_cases import FPS, REST_S, Condition, Driver, filmed
from benchmarks.likeness_heads import Head, make_heads
from benchmarks.likeness_independent import (
    AVATARS,
    DRIVERS,
    QUICK_AVATARS,
    QUICK_DRIVERS,
    QUICK_STYLISED,
    STYLISED_AVATARS,
    Independent,
    run_independent,
    tables,
)
from benchmarks.likeness_methods import FLOW_CODES, Method, Poses, engine_names, flow_options, methods
from benchmarks.likeness_metrics import Take, likeness, mean_or_nan
from benchmarks.likeness_picture import PictureBook
from benchmarks.rig_file import HeadFile
from calib.avatar import Avatar
from capture.synthetic.studio.clip_studio import ClipStudio
from core.cache_folder import cache_folder
from core.errors import InputError
from tools.rigs.rig import BASES

STILL_S = 0.7  # of the rest at the end, after what was moving has settled
SECONDS, QUICK_SECONDS = 8.0, 4.4
HEADS, QUICK_HEADS = 8, 3
KINECT = Condition("kinect")
CONDITIONS = (
    Condition("truedepth"), Condition("ideal"), Condition("webcam"), Condition("kinect", turn_deg=25.0),
    Condition("kinect", light="side"), Condition("kinect", light="dim"),
)  # fmt: skip
COLUMNS = {
    "explained": "explained", "explained_pooled": "pooled", "error_mm": "error", "p95_mm": "p95",
    "lips_explained": "lips", "lids_explained": "lids", "brows_explained": "brows",
    "jaw_explained": "jaw", "cheeks_explained": "cheeks",
    "lips_mm": "lips mm", "lids_mm": "lids mm", "lip_aperture_mm": "aperture", "lip_corner_mm": "corner",
    "lips_closed": "closed", "lips_through_mm": "through", "lids_closure": "shut", "blinks_closed": "blinks",
    "jitter_mm": "jitter", "lag_ms": "lag ms", "aperture_r": "r",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is run."""

    seconds: float
    heads: int
    drivers: int
    seed: int
    conditions: tuple[Condition, ...]

    def clips(self) -> Iterator[tuple[int, Condition]]:
        """Drivers before a Kinect, then the first of them under the other conditions."""
        yield from ((self.seed + number, KINECT) for number in range(self.drivers))
        yield from ((self.seed, condition) for condition in self.conditions)


def run(
    settings: Settings, ways: list[Method], cache: Path, films: Path | None, book: PictureBook | None
) -> list[dict[str, Any]]:
    """One dict of figures for every clip, head and method."""
    takes: list[dict[str, Any]] = []
    heads = list(_prepared(settings.heads, cache))
    for number, condition in settings.clips():
        started = time.perf_counter()
        driver = filmed(number, round(settings.seconds * FPS), condition, ClipStudio, films)
        tracked = float(np.mean([each.tracked for each in driver.observations]))
        seconds = time.perf_counter() - started
        print(f"{driver.name}, {condition.label()}: tracked {tracked:.1%}, {seconds:.0f} s", file=sys.stderr)
        for head, avatar in heads:
            takes += _judge(head, avatar, driver, ways, book)
    return takes


def _prepared(count: int, cache: Path) -> Iterator[tuple[Head, Avatar]]:
    """Heads and their avatars; says so where one cannot be prepared, since that is a failure, too."""
    with tempfile.TemporaryDirectory() as folder:
        for head in make_heads(count):
            try:
                yield head, head.prepared(Path(folder), cache)
            except InputError as error:
                print(f"NOT PREPARED, missing in all figures: {error}", file=sys.stderr)


def _judge(
    head: Head, avatar: Avatar, driver: Driver, ways: list[Method], book: PictureBook | None
) -> Iterator[dict[str, Any]]:
    true = head.displacement_m(driver.weights)
    still = driver.times_s > driver.times_s[-1] - STILL_S
    for way in ways:
        started = time.perf_counter()
        poses: Poses | None = [] if book is not None and way is ways[0] else None
        predicted = way.run(head, avatar, driver, poses)
        seconds = time.perf_counter() - started
        take = Take(head.rest_m(), true, predicted, driver.times_s, still)
        if book is not None and poses:
            book.offer(head, avatar, driver, take, poses)
        condition = driver.condition
        yield {
            "engine": way.engine,
            "avatar_rig": way.avatar_rig,
            "sensor": condition.sensor,
            "turn_deg": condition.turn_deg,
            "light": condition.light,
            "head": head.name,
            "kind": head.kind,
            "driver": driver.name,
            "ms_per_frame": 1e3 * seconds / len(driver.times_s),
        } | likeness(take, head.anatomy)


def summarise(takes: list[dict[str, Any]], by: tuple[str, ...]) -> list[dict[str, Any]]:
    """Means of the figures over takes that agree in the fields `by`, in order of appearance."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for take in takes:
        groups.setdefault(tuple(take[field] for field in by), []).append(take)
    rows = []
    for key, members in groups.items():
        figures = {
            name: mean_or_nan(np.array([member[name] for member in members], dtype=float))
            for name, value in members[0].items() if isinstance(value, float) and name not in by
        }  # fmt: skip
        rows.append(dict(zip(by, key, strict=True)) | {"takes": len(members)} | figures)
    return rows


def table(title: str, rows: list[dict[str, Any]], by: tuple[str, ...]) -> Table:
    """For the terminal."""
    out = Table(*by, *COLUMNS.values(), title=title, title_justify="left")
    for row in rows:
        out.add_row(*(str(row[field]) for field in by), *(_figure(name, row[name]) for name in COLUMNS))
    return out


def _figure(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if name == "lag_ms" else f"{value:.3f}" if name == "jitter_mm" else f"{value:.2f}"


def _without_nan(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--quick", action="store_true", help="two performers, three heads; own judge: one driver")
    parser.add_argument(
        "--only", choices=("independent", "transfer", "stylised", "own"), help="one judge, or the transfer alone"
    )
    parser.add_argument("--transfer", action="store_true", help="of what is judged, true units alone: no video")
    parser.add_argument("--performers", nargs="+", metavar="RIG", help="independent drivers; RIG:plain without paint")
    parser.add_argument("--avatars", nargs="+", metavar="RIG", help="independent heads")
    parser.add_argument("--avatar", type=Path, metavar="FILE.glb", help="any head with ARKit shapes, judged by these")
    parser.add_argument("--landmarks", type=Path, metavar="FILE.json", help="placed by hand on the head of --avatar")
    parser.add_argument("--prior-basis", nargs="+", choices=BASES, default=sorted(PRIOR_BASES), metavar="BASIS")
    parser.add_argument("--network-basis", nargs="+", choices=BASES, default=sorted(NETWORK_BASES), metavar="BASIS")
    parser.add_argument("--all-artists", action="store_true", help="the shipped template, the avatar's artist in it")
    parser.add_argument("--heads", type=int, help=f"number of avatars (default {HEADS})")
    parser.add_argument("--drivers", type=int, help="number of drivers before the Kinect (default 4)")
    parser.add_argument("--seconds", type=float, help=f"length of a clip (default {SECONDS:g})")
    parser.add_argument("--seed", type=int, default=0, help="number of the first driver")
    parser.add_argument(
        "--engine", action="append", help="own judge: only this one (may be repeated); flow: independent judge, too"
    )
    parser.add_argument("--checkpoint", type=Path, help="a network of your own: more rows for the flow engine")
    parser.add_argument(
        "--code", choices=FLOW_CODES, nargs="+", default=FLOW_CODES, help="of the flow engine: only this"
    )
    parser.add_argument(
        "--tune", type=float, metavar="MINUTES", help="independent judge: the flow network tuned to each head, too"
    )
    parser.add_argument("--sensors-only-kinect", action="store_true", help="leave the other conditions out")
    parser.add_argument("--picture", type=Path, help="driver, avatar and truth of the worst, median and best moment")
    parser.add_argument("--cache", type=Path, default=cache_folder("likeness"))
    parser.add_argument("--keep-films", action="store_true", help="keep tracked clips in the cache (0.1 GB each)")
    options = parser.parse_args()
    quick = options.quick
    if options.avatar is not None:
        try:  # before performers are filmed for it
            HeadFile(options.avatar).read()
        except InputError as error:
            parser.error(str(error))
    settings = Settings(
        seconds=options.seconds or (QUICK_SECONDS if quick else SECONDS),
        heads=options.heads or (QUICK_HEADS if quick else HEADS),
        drivers=options.drivers or (1 if quick else 4),
        seed=options.seed,
        conditions=() if quick or options.sensors_only_kinect else CONDITIONS,
    )
    if settings.seconds < REST_S + 2:
        parser.error(f"--seconds {settings.seconds:g}: expected {REST_S + 2:g} or more")
    started = time.perf_counter()
    console = Console(width=260)
    content: dict[str, Any] = {"settings": vars(options) | {"seconds": settings.seconds}}
    if options.only != "own":
        independent = Independent(
            tuple(options.performers or (QUICK_DRIVERS if quick else DRIVERS)),
            _avatars(options),
            Learned(
                frozenset(options.prior_basis),
                own_network=frozenset(options.network_basis),
                template=TEMPLATE_BASES if options.all_artists else frozenset(),
            ),
            transfer_only=options.transfer or options.only == "transfer",
            all_artists=options.all_artists,
            flows=flow_options(options.checkpoint, options.code)
            if options.checkpoint or "flow" in (options.engine or [])
            else {},
            tune_minutes=options.tune,
        )
        results = run_independent(independent, options.cache)
        content["independent"] = _without_nan(results)
        for each in tables(results):
            console.print(each)
    if options.only in (None, "own") and options.avatar is None:
        content |= _judge_on_own_heads(options, settings, console)
    if options.json:
        options.json.write_text(json.dumps(content, indent=1, default=str))
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)


def _avatars(options: argparse.Namespace) -> tuple[str | HeadFile, ...]:
    """Whom the independent judge drives."""
    if options.avatar:
        return (HeadFile(options.avatar, options.landmarks),)
    if options.only == "stylised":
        return tuple(options.avatars or (QUICK_STYLISED if options.quick else STYLISED_AVATARS))
    return tuple(options.avatars or (QUICK_AVATARS if options.quick else AVATARS))


def _judge_on_own_heads(options: argparse.Namespace, settings: Settings, console: Console) -> dict[str, Any]:
    """The judge that shares the engine's artist: prints its tables; what goes into the JSON."""
    book = PictureBook() if options.picture else None
    films = options.cache if options.keep_films else None
    takes = run(
        settings,
        methods(options.engine or engine_names(), options.checkpoint, options.code),
        options.cache,
        films,
        book,
    )
    rows = summarise(takes, ("engine", "avatar_rig", "sensor", "turn_deg", "light"))
    console.print(table("own artist, per condition", rows, ("engine", "sensor", "turn_deg", "light")))
    console.print(table("per kind of head, all conditions", summarise(takes, ("engine", "kind")), ("engine", "kind")))
    if book is not None:
        book.save(options.picture)
    return {"rows": _without_nan(rows), "takes": _without_nan(takes)}


if __name__ == "__main__":
    main()
