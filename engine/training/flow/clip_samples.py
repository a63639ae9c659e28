"""Published training samples: a clip's first frame and another one of it, augmented alike.

Two normalisations of colour exist in the released code. Running live, and by default here, colours are scaled from
0…255 to [-1, 1]. The released training instead subtracts each picture's mean over the foreground and divides by twice
its standard deviation, so that its networks meet colours live that they were not trained on; it is kept as
`normalisation="published"` for exact repetition.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.face.preprocess import network_input
from core.errors import InputError
from engine.training.flow.clip_reader import FrameReader, find_clips
from engine.training.flow.sample_options import SampleOptions
from engine.training.loop.jitter import Picture, draw_jitter, mirrored
from engine.training.loop.names import Normalisation

_TRIES = 5  # clips that turn out too short are passed over
_STRENGTH = 0.5
_KEPT = 256  # first frames kept in memory


class ClipSamples:
    """Samples of all clips below a folder, by number (see `engine.training.loop.feed`).

    Args:
        size: side of the network's pictures.

    Raises InputError where there are no clips, and when a sample is asked for whose clip cannot be read.
    """

    def __init__(
        self,
        root: Path,
        size: int,
        options: SampleOptions | None = None,
    ) -> None:
        self._options = options = options or SampleOptions()
        with_depth = options.channels == 4
        self.clips = find_clips(root, depth=with_depth)
        self._size, static = size, options.static_source
        self._static = find_clips(static, depth=with_depth)[0] if static is not None else None
        self._firsts: dict[str, Picture] = {}

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng([self._options.seed, number])
        clip, frame = self._choose(rng)
        source = self._first(self._static or clip)
        driving = self._picture(clip, frame)
        if self._options.augment:
            jitter = draw_jitter(rng, self._size, strength=_STRENGTH).without_noise()
            source, driving = (mirrored(jitter.apply(picture, rng), jitter.mirrored) for picture in (source, driving))
        return {"source": source, "driving": driving, "target": driving}

    def _choose(self, rng: np.random.Generator) -> tuple[FrameReader, int]:
        for _ in range(_TRIES):
            clip = self.clips[int(rng.integers(len(self.clips)))]
            if clip.count > 1:
                return clip, int(rng.integers(1, clip.count))
        raise InputError(f"{clip.name}: expected at least two frames, as in other clips beside it; remove it")

    def _first(self, clip: FrameReader) -> Picture:
        """A clip's first frame, kept for the next time."""
        if clip.name not in self._firsts:
            if len(self._firsts) >= _KEPT:
                self._firsts.pop(next(iter(self._firsts)))
            self._firsts[clip.name] = self._picture(clip, 0)
        return self._firsts[clip.name]

    def _picture(self, clip: FrameReader, frame: int) -> Picture:
        rgb, depth = clip.read(frame)
        if rgb.shape[:2] != (self._size, self._size):
            shape = (self._size, self._size)
            rgb = np.asarray(cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA), np.uint8)
            depth = None if depth is None else cv2.resize(depth, shape, interpolation=cv2.INTER_NEAREST)
        return normalised(rgb, depth, self._options.normalisation)[: self._options.channels]


def normalised(rgb: NDArray[np.uint8], depth: NDArray[Any] | None, way: Normalisation) -> Picture:
    """[4, H, W] in [-1, 1] (background: black and -1; depth all -1 where there is none)."""
    planes = network_input(rgb, np.zeros(rgb.shape[:2], np.float32) if depth is None else depth)
    if way == "published":
        foreground = np.ones(rgb.shape[:2], bool) if depth is None else depth > 0
        shown = rgb[foreground].astype(np.float64) if foreground.any() else rgb.reshape(-1, 3).astype(np.float64)
        mean, spread = shown.mean(), max(2 * shown.std(), 1e-6)
        planes[:3] = np.clip((rgb.transpose(2, 0, 1) - mean) / spread, -1, 1)
    return planes
