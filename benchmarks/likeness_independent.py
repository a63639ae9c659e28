"""Likeness where performer, avatar and the program's own units are the work of three different artists.

Part of `python -m benchmarks.likeness`, which prints it first. Rigs: `tools.artist_rigs`; who plays what:
`rig_performers`; what is driven: `rig_heads`. Performer and avatar of one artist are never paired: the same shapes on
both sides prove nothing. What the program has learned of artists is in two places:

- its template's units are a consensus of several: for each head it is made anew without that head's artist
  (`leave_out`), unless `all_artists` asks for what is shipped, and what the prior says in the shipped units is brought
  to the size of these;
- its prior has seen performers by the artists in PRIOR_BASES, its flow network people of those in NETWORK_BASES: pairs
  with one of these stand in rows of their own (`artists_known`).

Rows:

- tracker's coefficients, own rig: what the face landmarker says, less what it says at rest, on the avatar's own units;
- our estimate, own rig: the engine's estimated weights on the avatar's own units (the estimate alone);
- ours, bare mesh: what a user gets;
- true units, bare mesh: the performer's weights through the engine's transfer (the transfer alone);
- flow …, bare mesh: the flow engine instead (`--engine flow`), for either source of its motion code; its row of true
  units is the generator alone, without estimate or video.

Figures: explained motion as in `likeness_metrics`, mean over the frames of what is held, of vertices that truly move;
by region: pooled over an expression's frames where the region truly moves by 1 mm RMS; amplitude: regression slope of
predicted on true displacement. Means are taken over expressions, then over pairs.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.artists_known import KNOWN, Learned
from benchmarks.leave_out import sizes_over_shipped, without
from benchmarks.likeness_methods import tuned_flow
from benchmarks.likeness_metrics import EXPRESSIVE_M, MOVING_M, explained_per_frame, explained_pooled, mean_or_nan
from benchmarks.rig_file import UNTAUGHT, HeadFile
from benchmarks.rig_heads import REGIONS, RigHead, prepared_head, weight_row
from benchmarks.rig_performers import EXPRESSIONS, NEUTRAL_FRAME, RigDriver, film, playable
from core.errors import InputError
from core.expression_units import SCORE_NAMES, UNIT_NAMES
from engine.expression.expression_engine import ExpressionEngine
from engine.flow.ours.compact_flow_engine import CompactFlowEngine
from realtime.config import MotionOptions
from realtime.engines import make_engine
from tools.artist_rigs import load_rig

TRACKER, ESTIMATE, OURS, TRUE = (
    "tracker's coefficients, own rig", "our estimate, own rig", "ours, bare mesh", "true units, bare mesh",
)  # fmt: skip
ROWS = (TRACKER, ESTIMATE, OURS, TRUE)
DRIVERS = ("ict:1", "ict:2:plain", "ict:4", "valid:X_MENA_F_1", "valid:Black_M_2", "valid:X_NHPI_M_1:plain")
AVATARS = (
    "ict:9", "ict:5", "ict:6", "valid:White_M_1", "valid:Asian_F_2", "valid:MENA_M_3", "valid:Black_F_1",
    "valid:X_AIAN_F_1",
)  # fmt: skip
QUICK_DRIVERS = ("ict:1", "valid:X_MENA_F_1")
QUICK_AVATARS = ("ict:9", "valid:White_M_1", "valid:X_AIAN_F_1")
"""Of ICT's, heads on which its blink, the same for all of them, shuts the eyes."""
STYLISED_AVATARS = (
    "ict:9+cartoon", "valid:White_M_1+cartoon", "ict:5+doll", "valid:X_AIAN_F_1+doll", "ict:6+toon",
    "valid:MENA_M_3+toon", "ict:9+coarse1500", "valid:White_M_1+coarse1500", "ict:5+coarse3000",
    "valid:X_AIAN_F_1+coarse3000",
)  # fmt: skip
QUICK_STYLISED = ("ict:9+cartoon", "valid:X_AIAN_F_1+doll", "valid:MENA_M_3+toon", "ict:5+coarse3000",
                  "valid:White_M_1+coarse1500")  # fmt: skip
"""Heads of proportions and meshes that no artist of humans makes: `tools.rigs.reshaped`."""
COLUMNS = ("explained", *REGIONS, "amplitude", "error_mm")


@dataclass(frozen=True)
class Independent:
    """What is run. Names of drivers may end in ":plain". `tune_minutes`: the flow network is tuned to each avatar so
    long (`vfa prepare --tune-flow`), and judged beside the general one."""

    drivers: tuple[str, ...]
    avatars: tuple[str | HeadFile, ...]
    learned: Learned = field(default_factory=Learned)
    transfer_only: bool = False
    all_artists: bool = False
    flows: dict[str, MotionOptions] = field(default_factory=dict)
    tune_minutes: float | None = None

    def template(self, avatar: str) -> AbstractContextManager[None]:
        """The template that an avatar of this basis is judged with."""
        return nullcontext() if self.all_artists else without(avatar)


def run_independent(settings: Independent, cache: Path) -> list[dict[str, Any]]:
    """One dict of figures for every driver, head, row and expression."""
    results: list[dict[str, Any]] = []
    drivers = [] if settings.transfer_only else list(_drivers(settings, cache))
    with tempfile.TemporaryDirectory() as folder:
        for avatar in settings.avatars:
            started = time.process_time()
            try:
                head = prepared(avatar, Path(folder), cache)
            except InputError as error:
                print(f"NOT PREPARED, missing in all figures: {error}", file=sys.stderr)
                continue
            basis = head.rig.basis
            with settings.template(basis):
                flows = settings.flows | tuned_flow(head.avatar, settings.tune_minutes, cache)
                results += _transfer(head, settings.learned, flows)
                for driver in drivers:
                    if driver.basis != basis:
                        results += _pair(head, driver, settings.learned, flows)
            spent = time.process_time() - started
            print(f"{head.rig.name}: {spent:.0f} s of processor time", file=sys.stderr)
    return results


def prepared(avatar: str | HeadFile, folder: Path, cache: Path) -> RigHead:
    """A head of `tools.artist_rigs` by its name, or of a file. Raises InputError where it cannot be prepared."""
    if isinstance(avatar, HeadFile):
        head = avatar.prepared(folder, cache)
        print(f"{head.rig.name}: judged by its own {len(head.rig.units)} shapes; {UNTAUGHT}", file=sys.stderr)
        return head
    return prepared_head(load_rig(avatar), folder, cache)


def _drivers(settings: Independent, cache: Path) -> Iterator[RigDriver]:
    for number, name in enumerate(settings.drivers):
        rig, plain = load_rig(name.removesuffix(":plain")), name.endswith(":plain")
        driver = film(rig, plain=plain, seed=number, cache=cache)
        seen = float(np.mean([each.tracked for each in driver.observations]))
        print(f"{driver.name}: tracked {seen:.1%}", file=sys.stderr)
        yield driver


def _transfer(head: RigHead, learned: Learned, flows: Mapping[str, MotionOptions]) -> Iterator[dict[str, Any]]:
    """True weights through the engine's units, and through flow networks that take units as their code: no video, no
    time."""
    engines: dict[str, ExpressionEngine | CompactFlowEngine] = {TRUE: ExpressionEngine(head.avatar, "fixed")}
    known = {TRUE: learned.units_on(head.rig.basis)}
    for label, options in flows.items():
        if options.flow.code == "prior":
            engine = make_engine(options, head.avatar)
            assert isinstance(engine, CompactFlowEngine)
            engines[f"{label}: {TRUE}"] = engine
            known[f"{label}: {TRUE}"] = learned.units_on(head.rig.basis, options)
    for name in playable(head.rig.units):
        weights = weight_row(EXPRESSIONS[name])
        true = head.truth_m(weights)[None]
        for row, engine in engines.items():
            predicted = head.moved_m(engine.posed(weights, np.zeros((2, 2))))[None]
            yield _labels(head, "", row, name, known[row]) | judged(true, predicted, head.regions)


def _pair(
    head: RigHead, driver: RigDriver, learned: Learned, flows: Mapping[str, MotionOptions]
) -> Iterator[dict[str, Any]]:
    engine = ExpressionEngine(head.avatar, "fixed")
    engine.gains = scale = sizes_over_shipped()
    engine.calibrate(driver.observations[NEUTRAL_FRAME])
    order = [engine.unit_names.index(unit) for unit in UNIT_NAMES]
    estimated, moved = [], []
    kept = {int(frame) for frames in driver.held.values() for frame in frames}
    for number, observation in enumerate(driver.observations):
        pose = engine.animate(observation)
        estimated.append((engine.unit_weights / scale)[order])
        moved.append(head.moved_m(pose.vertices) if number in kept else None)
    scores = _scores(driver)
    others = {f"{label}, bare mesh": _played(head, driver, options, kept) for label, options in flows.items()}
    known = dict.fromkeys(ROWS, learned.pair(driver.basis, head.rig.basis))
    known |= {f"{label}, bare mesh": learned.pair(driver.basis, head.rig.basis, flows[label]) for label in flows}
    for name in playable(head.rig.units):
        if name not in driver.held:
            continue
        frames = driver.held[name]
        true = head.truth_m(driver.weights[frames])
        answers = {
            TRACKER: head.truth_m(scores[frames]),
            ESTIMATE: head.truth_m(np.stack([estimated[frame] for frame in frames])),
            OURS: np.stack([each for each in (moved[frame] for frame in frames) if each is not None]),
        }
        answers |= {row: np.stack([by_frame[frame] for frame in frames]) for row, by_frame in others.items()}
        for row, predicted in answers.items():
            weights = _strongest(estimated, frames) if row == ESTIMATE else []
            yield (
                _labels(head, driver.name, row, name, known[row])
                | judged(true, predicted, head.regions)
                | {"weights": weights}
            )


def _played(head: RigHead, driver: RigDriver, options: MotionOptions, kept: set[int]) -> dict[int, NDArray[np.float32]]:
    """[E, 3] how the engine of these options moves the head, for each of the frames that are kept."""
    engine = make_engine(options, head.avatar)
    engine.calibrate(driver.observations[NEUTRAL_FRAME])
    poses = ((number, engine.animate(each)) for number, each in enumerate(driver.observations))
    return {number: head.moved_m(pose.vertices) for number, pose in poses if number in kept}


def _strongest(estimated: list[NDArray[np.float64]], frames: NDArray[np.int64]) -> list[str]:
    mean = np.mean([estimated[frame] for frame in frames], axis=0)
    return [f"{UNIT_NAMES[unit]} {mean[unit]:.2f}" for unit in np.argsort(-mean)[:6]]


def _scores(driver: RigDriver) -> NDArray[np.float64]:
    """[T, 52] the tracker's coefficients above those at rest, in the order of UNIT_NAMES."""
    columns = [SCORE_NAMES.index(unit) if unit in SCORE_NAMES else -1 for unit in UNIT_NAMES]
    scores = np.stack([np.append(each.scores, 0.0)[columns] for each in driver.observations]).astype(np.float64)
    return np.asarray(np.clip(scores - scores[NEUTRAL_FRAME], 0, 1), np.float64)


def _labels(head: RigHead, driver: str, row: str, expression: str, known: str) -> dict[str, Any]:
    return {
        "row": row,
        "known": known,
        "driver": driver,
        "head": head.rig.name,
        "expression": expression,
        "loose": bool(set(EXPRESSIONS[expression]) & head.rig.loose),
    }


def judged(
    true: NDArray[np.float32], predicted: NDArray[np.float32], regions: dict[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """Figures of an expression held for T frames, displacements [T, E, 3], metres; NaN where nothing truly moves."""
    error, size = np.linalg.norm(predicted - true, axis=2), np.linalg.norm(true, axis=2)
    moving = size > MOVING_M
    figures = {
        "explained": mean_or_nan(explained_per_frame(error, size)),
        "amplitude": slope(true, predicted),
        "error_mm": 1e3 * mean_or_nan(error[moving]),
    }
    for name, region in regions.items():
        there = moving[:, region]
        enough = there.any() and float(np.sqrt(np.mean(np.square(size[:, region][there])))) >= EXPRESSIVE_M
        figures[name] = explained_pooled(error[:, region], size[:, region], there) if enough else math.nan
    return figures


def slope(true: NDArray[np.float32], predicted: NDArray[np.float32]) -> float:
    """Regression slope of `predicted` on `true` displacements: 1 as large, 0 unrelated."""
    square = float(np.square(true, dtype=np.float64).sum())
    return float((true.astype(np.float64) * predicted).sum() / square) if square > 0 else math.nan


def over(results: Iterable[dict[str, Any]], *by: str) -> dict[tuple[Any, ...], dict[str, float]]:
    """Means over the expressions of a pair, then over pairs, for each value of the fields `by`."""
    groups: dict[tuple[Any, ...], dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for each in results:
        pairs = groups.setdefault(tuple(each[field] for field in by), {})
        pairs.setdefault((each["driver"], each["head"]), []).append(each)
    return {
        key: {
            column: mean_or_nan(
                np.array([mean_or_nan(np.array([take[column] for take in takes])) for takes in pairs.values()])
            )
            for column in COLUMNS
        }
        | {"pairs": len(pairs)}
        for key, pairs in groups.items()
    }


def tables(results: Sequence[dict[str, Any]]) -> list[Table]:
    """For the terminal: by row; by expression and by head, of what is most independent in each row."""
    first = Table("", "artist known", "pairs", *COLUMNS, title="independent artists, skin only", title_justify="left")
    means = over(results, "known", "row")
    for known in KNOWN:
        for row in _rows(results):
            if (known, row) in means:
                figures = means[known, row]
                first.add_row(row, known, str(figures["pairs"]), *(_figure(figures[column]) for column in COLUMNS))
    own = [each for each in results if each["known"] == _least_known(results, each["row"])]
    second = _by_row(own, "expression", [name for name in EXPRESSIONS if any(e["expression"] == name for e in own)])
    third = _by_row(own, "head", list(dict.fromkeys(each["head"] for each in own)))
    return [first, second, third]


def _least_known(results: Sequence[dict[str, Any]], row: str) -> str:
    """The first of KNOWN for which there are results of this row."""
    there = {each["known"] for each in results if each["row"] == row}
    return next(known for known in KNOWN if known in there)


def _by_row(results: Sequence[dict[str, Any]], by: str, values: Sequence[str]) -> Table:
    """Explained motion by one field and row; "~": some artist's shape is a near relation of the unit only."""
    rows = _rows(results)
    out = Table(f"explained, by {by}", *rows)
    means = over(results, by, "row")
    for value in values:
        loose = by == "expression" and any(each["loose"] for each in results if each[by] == value)
        cells = [means.get((value, row), {}).get("explained", math.nan) for row in rows]
        out.add_row(f"{value}{' ~' if loose else ''}", *(_figure(cell) for cell in cells))
    return out


def _rows(results: Sequence[dict[str, Any]]) -> list[str]:
    """ROWS, and those of other engines."""
    return list(dict.fromkeys([*ROWS, *(each["row"] for each in results)]))


def _figure(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
