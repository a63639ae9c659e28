"""`vfa synth`: ground-truth clips on disk, for training and judging."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from core.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SynthOptions:
    """Film synthetic people whose motion is known: RGBD clips with weights, head pose, vertices and flow."""

    out: Path
    """Folder that gets one folder per clip."""

    clips: int = 1
    """How many clips."""

    seed: int = 0
    """Number of the first clip; the same numbers give the same clips."""

    split: Literal["train", "test"] = "train"
    """People of the two splits never overlap. Models are trained on train; benchmarks judge on test."""

    kind: Literal["performance", "stills"] = "performance"
    """performance: smooth acting; stills: a new expression in every frame."""

    frames: int = 150
    """Frames per clip; the first one is neutral."""

    fps: float = 30.0
    """Frames per second."""

    size: tuple[int, int] = (256, 256)
    """Width and height of the pictures; the head fills about two thirds of the shorter side."""

    sensor: Literal["random", "ideal", "kinect", "truedepth"] = "random"
    """Depth camera: exact, Azure Kinect (narrow field of view), iPhone."""

    light: Literal["random", "soft", "side", "dim"] = "random"
    """Lighting."""

    max_turn: float | None = None
    """How far heads turn, in degrees. Random when not given."""

    exaggeration: float | None = None
    """1: plausible people; 2: caricatures. Random when not given."""

    bent: bool = False
    """People whose expressions differ in strength and direction from the artists' units."""

    layout: Literal["folder", "pair"] = "folder"
    """folder: color/N.jpg and depth/N.png or .exr; pair: color/X.mp4 and depth/X.nut, as published data has them."""

    flow: bool = False
    """Write flow/N.npz, too: dense flow to the neutral face."""

    overwrite: bool = False
    """Replace clips that are already there."""

    def __post_init__(self) -> None:
        width, height = self.size
        if self.clips < 1 or self.frames < 1 or self.seed < 0:
            raise InputError(
                f"--clips {self.clips} --frames {self.frames} --seed {self.seed}: expected at least 1, 1 and 0"
            )
        if not 1 <= self.fps <= 240:
            raise InputError(f"--fps {self.fps:g}: expected frames per second between 1 and 240")
        if not (64 <= width <= 2048 and 64 <= height <= 2048) or (self.layout == "pair" and (width % 2 or height % 2)):
            raise InputError(
                f"--size {width} {height}: expected width and height between 64 and 2048, even ones for --layout pair"
            )
        if self.max_turn is not None and not 0 <= self.max_turn <= 60:
            raise InputError(f"--max-turn {self.max_turn:g}: expected degrees between 0 and 60")
        if self.exaggeration is not None and not 0 <= self.exaggeration <= 3:
            raise InputError(f"--exaggeration {self.exaggeration:g}: expected a number between 0 and 3")


def synth(options: Annotated[SynthOptions, tyro.conf.arg(name="")]) -> None:
    """Film synthetic people whose motion is known, for training and judging."""
    from capture.synthetic.studio.clip_files import write_clip
    from capture.synthetic.studio.clip_plan import plan_clip
    from capture.synthetic.studio.clip_studio import ClipStudio

    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"{options.out}: expected a folder for the clips, found a file; name another")
    with ClipStudio() as studio:
        for seed in range(options.seed, options.seed + options.clips):
            plan = plan_clip(
                seed,
                frames=options.frames,
                fps=options.fps,
                split=options.split,
                kind=options.kind,
                size=options.size,
                sensor=None if options.sensor == "random" else options.sensor,
                exaggeration=options.exaggeration,
                bent=options.bent,
                max_turn_deg=options.max_turn,
                light=options.light,
            )
            folder = write_clip(
                plan, options.out, studio, layout=options.layout, flow=options.flow, overwrite=options.overwrite
            )
            log.info("%s: %d frames, %s", folder, options.frames, plan.sensor)
