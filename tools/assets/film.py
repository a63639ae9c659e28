"""Renders the performer's minute and packs it small (generator only)."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from capture.synthetic.performer.performance import make_performance
from capture.synthetic.performer.performer import DEPTH_STEP_M, FPS, INTRINSICS, NEAREST_M, WALL_DEPTH_M, write_outline
from tools.assets.performer_studio import Shot, Studio

COLOR_OPTIONS = {"crf": "23", "preset": "veryslow", "g": "600"}
# Depth is not looked at but measured with: no psycho-visual decisions, no filters across its edges.
DEPTH_PARAMETERS = {
    "log-level": "error", "keyint": "600", "psy-rd": "0", "psy-rdoq": "0", "aq-mode": "0", "no-sao": "1",
    "bframes": "8", "ref": "5", "deblock": "-6,-6", "pools": "none", "frame-threads": "1",
}  # fmt: skip
DEPTH_OPTIONS = {"crf": "6", "preset": "slow"}


def make_film(film: Path, outline: Path) -> None:
    """Render all frames and write both files; takes some minutes."""
    with Studio() as studio:
        performance = make_performance(studio.model.unit_names)
        masks = pack(studio.shoot_all(performance), film)
    write_outline(masks, outline)


def pack(shots: Iterable[Shot], film: Path) -> list[NDArray[np.bool_]]:
    """Write colour and depth streams; returns the person's mask of every frame."""
    masks = []
    with av.open(str(film), "w") as container:
        color = _stream(container, "libx264", "yuv420p", COLOR_OPTIONS)
        parameters = ":".join(f"{name}={value}" for name, value in DEPTH_PARAMETERS.items())
        depth = _stream(container, "libx265", "gray12le", DEPTH_OPTIONS | {"x265-params": parameters})
        for shot in shots:
            mask = shot.depth_m < WALL_DEPTH_M - 1e-3
            masks.append(mask)
            container.mux(color.encode(av.VideoFrame.from_ndarray(shot.rgb, format="rgb24")))
            stored = av.VideoFrame.from_ndarray(stored_depth(shot.depth_m, mask), format="gray12le")
            container.mux(depth.encode(stored))
        container.mux(color.encode())
        container.mux(depth.encode())
    return masks


def stored_depth(depth_m: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """[H, W] 12-bit depth: the person's, running on smoothly outside, where it costs least to code.

    Raises ValueError where the person is nearer or further than 12 bits hold.
    """
    steps = np.rint((depth_m - NEAREST_M) / DEPTH_STEP_M)
    if mask.any() and not (steps[mask].min() >= 0 and steps[mask].max() <= 4095):
        raise ValueError(f"depth from {depth_m[mask].min():.3f} to {depth_m[mask].max():.3f} m does not fit 12 bits")
    filled = np.where(mask, steps, _run_on(steps.astype(np.float32), mask.astype(np.float32)))
    return np.clip(np.rint(filled), 0, 4095).astype(np.uint16)


def _run_on(values: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill what is not known from ever coarser averages of what is (pull-push)."""
    levels = [(values * known, known)]
    while min(levels[-1][1].shape) > 2:
        total, weight = (np.asarray(cv2.pyrDown(plane), dtype=np.float32) for plane in levels[-1])
        levels.append((total, weight))
    filled = levels[-1][0] / np.maximum(levels[-1][1], 1e-6)
    for total, weight in levels[-2::-1]:
        above = np.asarray(cv2.pyrUp(filled, dstsize=(weight.shape[1], weight.shape[0])), dtype=np.float32)
        share = np.clip(weight, 0, 1)
        filled = np.where(weight > 1e-3, total / np.maximum(weight, 1e-6) * share + above * (1 - share), above)
    return np.asarray(filled, dtype=np.float32)


def _stream(
    container: av.container.OutputContainer, codec: str, pixels: str, options: dict[str, str]
) -> av.video.stream.VideoStream:
    stream = container.add_stream(codec, rate=round(FPS), options=options)
    assert isinstance(stream, av.video.stream.VideoStream)
    stream.width, stream.height, stream.pix_fmt = INTRINSICS.width, INTRINSICS.height, pixels
    stream.time_base = Fraction(1, round(FPS))
    return stream
