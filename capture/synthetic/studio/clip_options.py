"""What can be asked of a ground-truth clip, with the help text under each field; checked when constructed."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import tyro

from core.errors import InputError

Split = Literal["train", "test"]
ClipKind = Literal["performance", "stills"]
SensorName = Literal["ideal", "kinect", "truedepth"]
LightName = Literal["random", "soft", "side", "dim"]
SENSORS: tuple[SensorName, ...] = get_args(SensorName)


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """The clip: who is in it, what happens, and how it is filmed."""

    split: Split = "train"
    """People of the two splits never overlap. Models are trained on train; benchmarks judge on test."""

    kind: ClipKind = "performance"
    """performance: smooth acting; stills: a new expression in every frame, while the head wanders."""

    frames: int = 150
    """Frames per clip; the first one is neutral."""

    fps: float = 30.0
    """Frames per second."""

    size: tuple[int, int] = (256, 256)
    """Width and height of the pictures; the head fills about two thirds of the shorter side."""

    sensor: Literal["random", "ideal", "kinect", "truedepth"] = "random"
    """Depth camera: exact, Azure Kinect (narrow field of view), iPhone."""

    light: LightName = "random"
    """Lighting."""

    max_turn_deg: Annotated[float | None, tyro.conf.arg(name="max-turn")] = None
    """How far heads turn, in degrees. Random when not given."""

    exaggeration: float | None = None
    """1: plausible people; 2: caricatures. Random when not given."""

    bent: bool = False
    """People whose expressions differ in strength and direction from the artists' units."""

    def __post_init__(self) -> None:
        width, height = self.size
        if self.frames < 1:
            raise InputError(f"--frames {self.frames}: expected 1 or more")
        if not 1 <= self.fps <= 240:
            raise InputError(f"--fps {self.fps:g}: expected frames per second between 1 and 240")
        if not (64 <= width <= 2048 and 64 <= height <= 2048):
            raise InputError(f"--size {width} {height}: expected width and height between 64 and 2048")
        if self.max_turn_deg is not None and not 0 <= self.max_turn_deg <= 60:
            raise InputError(f"--max-turn {self.max_turn_deg:g}: expected degrees between 0 and 60")
        if self.exaggeration is not None and not 0 <= self.exaggeration <= 3:
            raise InputError(f"--exaggeration {self.exaggeration:g}: expected a number between 0 and 3")
