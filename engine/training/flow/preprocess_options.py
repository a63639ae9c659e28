"""What a user can set about making training clips, with the help text under each field; checked when constructed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions:
    """Turn recordings into training clips: the face cut out at 256 pixels, the background gone, bad frames left out."""

    inputs: tyro.conf.Positional[list[Path]]
    """Recordings, or folders of them: videos, color/depth pairs, RGBD folders, Kinect .mkv, Record3D .r3d."""

    out: Path
    """Folder for PERSON/color/NAME.mp4, PERSON/depth/NAME.nut and the report preprocess.jsonl."""

    workers: int = 1
    """Clips that are worked on at once."""

    engine: Literal["local", "ray"] = "local"
    """local: processes of this machine. ray: a Ray cluster, for corpora that outgrow one machine."""

    ray_address: str | None = None
    """Address of the cluster (auto: the one this machine belongs to). Without it, a Ray of this machine alone."""

    least_frames: int = 8
    """Clips with fewer usable frames are skipped."""

    retry: bool = False
    """Try again what an earlier run skipped."""

    face_model: Path | None = None
    """face_landmarker.task to use instead of the installed one."""

    def __post_init__(self) -> None:
        if not self.inputs:
            raise InputError("vfa preprocess: expected recordings or folders of them, got none")
        if self.workers < 1 or self.least_frames < 2:
            raise InputError(f"--workers {self.workers} --least-frames {self.least_frames}: expected at least 1 and 2")
