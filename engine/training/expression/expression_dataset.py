"""Makes the data the expression prior is trained on: synthetic people act, the face tracker looks at them.

    python -m engine.training.expression.expression_dataset --out DATA --split train --clips 1000
    python -m engine.training.expression.expression_dataset --out DATA --split test --clips 60 --bent-share 0

Every clip becomes one file; what is there already is skipped, so a run that was stopped goes on where it was.
"""

import logging
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from calib.rig.template_units import template_data
from capture.face.depth_sampling import depth_measured
from capture.face.face_landmarker import Landmarker
from capture.face.face_lifting import FaceLifter
from capture.face.face_model_file import find_face_model
from capture.face.networks.select import face_networks
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.studio.artists import AS_THEY_ARE
from capture.synthetic.studio.clip_options import ClipOptions, Split
from capture.synthetic.studio.clip_plan import ClipPlan, plan_clip
from capture.synthetic.studio.clip_studio import ClipFrame, ClipStudio
from capture.synthetic.studio.people import Person, random_person
from core.canonical_face import load_canonical_face
from core.closeable import Closeable
from core.errors import InputError
from core.frame import FaceObservation, RgbdFrame
from engine.training.expression.clip_record import COMMAND, VIEWS, ClipRecord

Array = NDArray[np.float64]

_STILLS_FPS = 3.0  # frames so far apart that the head has moved on
_SETTLE_S = 1.0  # between two looks at one picture: the landmarker's smoothing has forgotten what was before
_RESTS = 9  # every so many frames the face is neutral again, in another pose
_TURNS_DEG = (6.0, 14.0, 24.0, 35.0)
_SIZES = (256, 320)
_EXAGGERATIONS = (0.7, 1.0, 1.0, 1.4)
_LIPS_TOGETHER = 0.2
_SENSORS = ("kinect", "kinect", "truedepth", "ideal")
_PROJECTION_RIDGE = 0.02
_MOST_GAIN = 3.0


log = logging.getLogger(__name__)


class StillTracker(Closeable):
    """The live tracker's parts, for pictures that have nothing to do with each other. A context manager.

    The landmarker follows and smooths, as it does live; so every picture is looked at twice, a second apart, and the
    second look counts (on stills it is within 0.2 pixels of where it settles; a single look at the video rate 2).
    """

    def __init__(self) -> None:
        path = find_face_model(None)
        self._face = load_canonical_face(path)
        self._landmarker = Landmarker(face_networks(path))
        self._clock_s = 0.0
        self._lifters: list[FaceLifter] = []
        self.start()

    def start(self) -> None:
        """Forget the person."""
        self._lifters = [FaceLifter(self._face) for _ in VIEWS]

    def track(self, frame: RgbdFrame) -> list[FaceObservation] | None:
        """The face without depth and with it; None where there is none."""
        found = None
        for _ in range(2):
            self._clock_s += _SETTLE_S
            found = self._landmarker.detect(frame.rgb, self._clock_s)
        if found is None:
            return None
        observations = []
        for lifter, seen in zip(self._lifters, (replace(frame, depth_m=None), frame), strict=True):
            lifted = lifter.lift(found, seen.intrinsics, seen.depth_m)
            px = found.px.astype(np.float32)
            pose = lifted.T_camera_head
            measured = depth_measured(seen.depth_m, px, lifted.landmarks_m)
            observations.append(
                FaceObservation(seen, True, lifted.confidence, px, lifted.landmarks_m, pose, found.scores, measured)
            )
        return observations

    def close(self) -> None:
        self._landmarker.close()


@dataclass(frozen=True)
class DatasetOptions:
    """Attributes:
    out: folder for the clips, one file each; what is there is kept.
    split: which people; those of train and test are never the same.
    clips: how many people.
    frames: expressions of each.
    first_seed: number of the first person.
    bent_share: of people whose units differ from the artists'.
    acted_share: of people who talk and emote as people do, instead of making unrelated faces.
    artists: people who are not bent move as one of these or as a mixture of them, see
        `capture.synthetic.studio.artists`; none: as the built-in head's own artist.
    workers: processes, each with a picture to draw and a tracker.
    """

    out: Path
    split: Split = "train"
    clips: int = 1000
    frames: int = 32
    first_seed: int = 0
    bent_share: float = 0.25
    acted_share: float = 0.0
    artists: tuple[str, ...] = ()
    workers: int = 2


def make_plan(
    seed: int, split: Split, frames: int, bent_share: float, acted_share: float, artists: tuple[str, ...] = ()
) -> ClipPlan:
    """The stills of one person: a new expression in every frame, neutral in frame 0 and in some others.

    Unrelated faces show every mixture of units; moments of a performance show which of them are likely.
    """
    rng = np.random.default_rng([seed, 515])
    size = int(rng.choice(_SIZES))
    exaggeration, sensor = float(rng.choice(_EXAGGERATIONS)), str(rng.choice(_SENSORS))
    bent = bool(rng.random() < bent_share)
    person = random_person(seed, split, exaggeration, artists=artists) if artists and not bent else None
    options = ClipOptions(
        split=split,
        kind="stills",
        frames=frames,
        fps=_STILLS_FPS,
        size=(size, size),
        sensor=sensor,  # type: ignore[arg-type]
        exaggeration=exaggeration,
        bent=bent,
        max_turn_deg=float(rng.choice(_TURNS_DEG)),
    )
    plan = plan_clip(seed, options, person=person)
    weights = plan.weights.copy()
    names = plan.person.unit_names
    # The share of an open jaw that the lips make good: chewing and humming faces keep them together.
    together = np.where(rng.random(frames) < _LIPS_TOGETHER, rng.uniform(0.3, 1.0, frames), 0.0)
    closed = weights[:, names.index("jawOpen")] * together
    if rng.random() < acted_share:
        acting = ClipOptions(split=split, kind="performance", frames=frames, fps=_STILLS_FPS)
        acted = plan_clip(seed, acting, person=plan.person)
        weights = acted.weights.copy()
    else:
        weights[:, names.index("mouthClose")] = closed
    weights[::_RESTS] = 0
    return replace(plan, weights=weights)


def record_clip(frames: Iterator[ClipFrame], tracker: StillTracker, labels: Array, sensor: str) -> ClipRecord | None:
    """Track a clip; None where its neutral face in frame 0 is not found.

    Args:
        labels: [52, 52] from the person's own unit weights to those that describe the face best.
    """
    tracker.start()
    seen: list[list[FaceObservation]] = []
    units: list[Array] = []
    for number, shot in enumerate(frames):
        found = tracker.track(shot.frame)
        if found is not None:
            seen.append(found)
            units.append(labels @ shot.weights)
        elif number == 0:
            return None
    return ClipRecord(
        np.array([[look.landmarks_head_m() for look in looks] for looks in seen]),
        np.array([[look.T_camera_head for look in looks] for looks in seen]),
        np.array([looks[0].scores for looks in seen]),
        np.array([[look.depth_measured for look in looks] for looks in seen]),
        np.array(units, dtype=np.float32),
        sensor,
    )


def describing_units(person: Person) -> Array:
    """[52, 52] matrix from a person's own unit weights to those of the template's units that describe the face best.

    Artists meant the same by a name: each of their units counts as its namesake, as many times as it goes farther.
    Units that are bent off the artists' are described by least squares over the skin, held to each unit's own gain
    where several units could explain the same motion.
    """
    model = person.model
    template = HeadModel(model.identity, model.palette, data=template_data(), topology=model.topology)
    units, own = (unit_displacements(head).reshape(len(person.unit_names), -1) for head in (template, model))
    size = np.maximum(np.einsum("ud,ud->u", units, units), 1e-12)
    labels = np.diag(np.sqrt(np.einsum("ud,ud->u", own, own) / size).clip(0, _MOST_GAIN))
    if person.bent:
        normal, across = units @ units.T, units @ own.T
        ridge = _PROJECTION_RIDGE * float(np.median(size))
        gains = np.diag(np.diag(across) / size)
        labels = np.linalg.solve(normal + ridge * np.eye(len(normal)), across + ridge * gains)
    names = person.unit_names
    close, jaw = names.index("mouthClose"), names.index("jawOpen")
    alone = np.array([name.startswith(AS_THEY_ARE) for name in names])
    labels[:, alone] = np.eye(len(names))[:, alone]
    labels[:, close] = labels[jaw, jaw] * np.eye(len(names))[:, close]  # it closes what the jaw opens, however far
    return np.asarray(labels)


def unit_displacements(model: HeadModel) -> Array:
    """[52, s, 3] metres: what each unit alone does to the skin."""
    skin, rest = model.part("skin"), model.vertices()
    return np.stack([(model.vertices(unit) - rest)[skin] for unit in np.eye(len(model.unit_names))])


def make_dataset(options: DatasetOptions) -> None:
    """Shoot and track what is not there yet, in `options.workers` processes."""
    folder = options.out / options.split
    folder.mkdir(parents=True, exist_ok=True)
    seeds = [
        seed
        for seed in range(options.first_seed, options.first_seed + options.clips)
        if not _file(folder, seed).exists()
    ]
    shares = [seeds[worker :: options.workers] for worker in range(options.workers)]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(options, share)) for share in shares if share]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise InputError(f"{folder}: a worker failed, see its message above; run the same command again to go on")


def _file(folder: Path, seed: int) -> Path:
    return folder / f"{seed:06d}.npz"


def _work(options: DatasetOptions, seeds: Sequence[int]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = options.out / options.split
    with ClipStudio() as studio, StillTracker() as tracker:
        for seed in seeds:
            started = time.perf_counter()
            shares = options.bent_share, options.acted_share
            plan = make_plan(seed, options.split, options.frames, *shares, options.artists)
            labels = describing_units(plan.person)
            record = record_clip(studio.shoot(plan), tracker, labels, plan.sensor)
            if record is None:
                log.info("%s: no face found in the neutral frame; left out", plan.person.name)
                continue
            record.save(_file(folder, seed))
            seconds = time.perf_counter() - started
            log.info("%s: %d of %d frames, %.1f s", plan.person.name, len(record.units), len(plan), seconds)


if __name__ == "__main__":
    make_dataset(tyro.cli(DatasetOptions, prog=COMMAND, description=__doc__))
