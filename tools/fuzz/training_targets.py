"""What networks are trained on: clips, pictures, rendered pairs, recorded faces, and the report of preprocessing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.face_regions import ALL_LANDMARKS
from engine.training.expression.clip_record import VIEWS, ClipRecord, load_records
from engine.training.flow.clip_samples import ClipSamples
from engine.training.flow.clip_writer import ClipWriter
from engine.training.flow.pair_samples import PairSamples
from engine.training.flow.pairs import PairFolder
from engine.training.flow.preprocess import REPORT_NAME, read_reports
from engine.training.flow.preprocess_clip import ClipReport
from engine.training.flow.sample_options import SampleOptions
from tools.fuzz.target import Target

_SIDE, _FRAMES = 16, 3


def _picture(number: int, side: int) -> NDArray[np.uint8]:
    colors = np.mgrid[:side, :side].sum(axis=0)[..., None] * np.arange(1, 4) + 9 * number
    return np.asarray(colors % 256, dtype=np.uint8)


def _video_seeds(folder: Path) -> list[Path]:
    with ClipWriter(folder / "clips" / "ann", "take", 30.0) as writer:
        for number in range(_FRAMES):
            writer.append(_picture(number, 256), np.full((256, 256), 9 * number, np.uint16))
        writer.keep()
    return [folder / "clips"]


def _picture_seeds(folder: Path) -> list[Path]:
    home = folder / "pictures" / "ann"
    home.mkdir(parents=True)
    for number, suffix in enumerate(("png", "jpg", "png")):
        Image.fromarray(_picture(number, _SIDE)).save(home / f"{number}.{suffix}")
    return [folder / "pictures"]


def _load_clips(path: Path, channels: Literal[3, 4]) -> None:
    samples = ClipSamples(path, size=_SIDE, options=SampleOptions(channels=channels, normalisation="published"))
    for clip in samples.clips:
        for number in range(clip.count):
            clip.read(number)
    for number in range(2):
        _all_finite(samples(number))


def _pair_seeds(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)

    def words(count: int) -> NDArray[np.int16]:
        return rng.integers(-9000, 9000, (count, 4, _SIDE, _SIDE)).astype(np.int16)

    driver: dict[str, NDArray[Any]] = {"driver": words(_FRAMES), "color_only": words(_FRAMES)}
    driver["weights"] = rng.random((_FRAMES, 52)).astype(np.float32)
    avatar: dict[str, NDArray[Any]] = {"source": words(1), "target": words(_FRAMES)}
    avatar["offset"] = rng.normal(0, 0.1, (_FRAMES, _SIDE, _SIDE, 2)).astype(np.float16)
    avatar["known"] = np.full((_FRAMES, _SIDE, _SIDE), 200, np.uint8)
    PairFolder.write(folder / "pairs" / "ann", **driver, **avatar)
    PairFolder.write(folder / "drivers" / "ann", **driver)
    return [folder / "pairs", folder / "drivers"]


def _load_pairs(path: Path) -> None:
    faces = PairSamples(path, "code")
    for number in range(2):
        _all_finite(faces(number))
    if faces.people[0].has_avatar:
        pictures = PairSamples(path, "generator")
        for number in range(3):
            _all_finite(pictures(number))


def _record_seeds(folder: Path) -> list[Path]:
    shape = (_FRAMES, len(VIEWS))
    record = ClipRecord(
        np.zeros((*shape, ALL_LANDMARKS, 3), np.float32),
        np.broadcast_to(np.eye(4), (*shape, 4, 4)).copy(),
        np.zeros((_FRAMES, 52), np.float32),
        np.ones(shape, bool),
        np.zeros((_FRAMES, 52), np.float32),
        "kinect",
    )
    (folder / "train").mkdir()
    record.save(folder / "train" / "000001.npz")
    return [folder / "train"]


def _load_records(path: Path) -> None:
    for record in load_records(path):
        for frame in range(len(record.units)):
            _all_finite({"landmarks": record.observation(frame, 1).landmarks_m, "units": record.units[frame]})


def _report_seeds(folder: Path) -> list[Path]:
    reports = [ClipReport("a.mp4", "ann/a", 30, {"no face": 2}), ClipReport("b.mp4", "ann/b", skipped="too short")]
    home = folder / "out"
    home.mkdir()
    (home / REPORT_NAME).write_text("".join(json.dumps(asdict(report)) + "\n" for report in reports))
    return [home]


def _load_reports(path: Path) -> None:
    for report in read_reports(path):
        if not isinstance(report["recording"], str):
            raise AssertionError("a report of nothing")
        bool(report["skipped"])


def _all_finite(arrays: dict[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise AssertionError(f"{name} has numbers that are none")


TARGETS = [
    Target("training_videos", _video_seeds, lambda path: _load_clips(path, 4)),
    Target("training_pictures", _picture_seeds, lambda path: _load_clips(path, 3)),
    Target("training_pairs", _pair_seeds, _load_pairs),
    Target("training_records", _record_seeds, _load_records),
    Target("preprocess_report", _report_seeds, _load_reports),
]
