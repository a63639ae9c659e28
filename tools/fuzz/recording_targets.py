"""Recordings that a killed process left, damaged: what `vfa session repair` makes of them."""

from pathlib import Path

import numpy as np

from realtime.recording.animation_file import AnimationWriter
from realtime.recording.preview import PreviewWriter
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME
from realtime.recording.repair import repair
from tools.fuzz.target import Target


def _unfinished(folder: Path) -> list[Path]:
    place = folder / "recording"
    place.mkdir()
    animation = AnimationWriter(place / ANIMATION_NAME, 6)
    film = PreviewWriter(place / PREVIEW_NAME, height=32)
    rng = np.random.default_rng(0)
    for number in range(40):
        animation.append(rng.normal(size=(6, 3)).astype(np.float32), np.eye(4), number / 30, True)
        film.append(np.full((32, 32, 3), number, np.uint8), np.zeros((32, 32, 3), np.uint8), number / 30)
    animation._let_go()  # as the operating system does for a killed process
    film._file.release()
    return [place]


def _finish(folder: Path) -> None:
    repair(folder)
    archive = folder / ANIMATION_NAME
    if archive.exists():
        with np.load(archive, allow_pickle=False) as arrays:
            counts = {len(arrays[name]) for name in ("vertices", "T_world_head", "timestamps_s", "tracked")}
            if len(counts) != 1 or not np.isfinite(arrays["T_world_head"]).all():
                raise AssertionError(f"the finished archive is not sound: {counts}")


TARGETS = [Target("unfinished recording", _unfinished, _finish)]
