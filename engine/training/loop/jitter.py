"""What differs between cameras, cuts and people's looks, drawn at random and applied alike to what belongs together."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

_BLURRED_SHARE, _BLUR_PX = 0.3, (0.3, 1.0)  # lenses out of focus, video compressed hard


@dataclass(frozen=True)
class Jitter:
    """One draw of what differs between cameras, boxes and people's looks.

    Attributes:
        gain, offset: [3] of the colours, which are in [-1, 1].
        noise: standard deviation added to colour and depth.
        blur: standard deviation in pixels of what colour is smoothed by; 0 leaves it sharp.
        T: [2, 3] pixels of the sample → pixels of the stored picture.
        mirrored: left is right; applied by the caller, who must mirror everything alike.
    """

    gain: Picture
    offset: Picture
    noise: float
    T: NDArray[np.float64]
    mirrored: bool
    blur: float = 0.0

    def without_noise(self) -> "Jitter":
        return replace(self, noise=0.0)

    def apply(
        self, rgbd: Picture, rng: np.random.Generator, shift_px: float = 0.0, *, empty_depth: float = -1.0
    ) -> Picture:
        """[4, N, N] → the same picture as this camera shows it, its cut off by up to `shift_px` more; beyond its edges
        it is black and of that depth."""
        import cv2

        T = self.T.copy()
        T[:, 2] += rng.normal(0, 1, 2) * shift_px
        size = rgbd.shape[1]
        planes = np.ascontiguousarray(rgbd.transpose(1, 2, 0))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        beyond = (-1.0, -1.0, -1.0, empty_depth)
        moved = cv2.warpAffine(planes, T, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond)
        out = np.asarray(moved, np.float32).transpose(2, 0, 1).copy()
        if self.blur:
            out[:3] = cv2.GaussianBlur(moved[..., :3], (0, 0), self.blur).transpose(2, 0, 1)
        shown = out[:3].max(axis=0) > -0.99  # the background stays black
        colors = (out[:3] + 1) * self.gain[:, None, None] - 1 + self.offset[:, None, None]
        out[:3] = np.where(shown, colors, out[:3])
        if self.noise:
            noise = rng.standard_normal(out.shape, dtype=np.float32) * np.float32(self.noise)
            out = np.where(shown, out + noise, out)
        return np.clip(out, -1, 1).astype(np.float32)


def draw_jitter(rng: np.random.Generator, size: int, *, strength: float = 1.0, mirror: bool = True) -> Jitter:
    import cv2

    bright = rng.normal(0, 0.22 * strength)
    gain = np.exp(bright + rng.normal(0, 0.08 * strength, 3)).astype(np.float32)
    offset = (rng.normal(0, 0.06 * strength) + rng.normal(0, 0.02, 3)).astype(np.float32)
    scale, angle = float(np.exp(rng.normal(0, 0.06 * strength))), float(rng.normal(0, 4.0 * strength))
    T = np.asarray(cv2.getRotationMatrix2D((size / 2 - 0.5, size / 2 - 0.5), angle, scale), np.float64)
    T[:, 2] += rng.normal(0, 0.025 * strength * size, 2)
    noise = float(rng.uniform(0, 0.03)) * strength
    mirrored_too = mirror and bool(rng.random() < 0.5)
    blur = float(rng.uniform(*_BLUR_PX)) * strength if rng.random() < _BLURRED_SHARE else 0.0
    return Jitter(gain, offset, noise, T, mirrored_too, blur)


def mirrored(picture: Picture, flip: bool) -> Picture:
    """[..., W] flipped left to right."""
    return np.ascontiguousarray(picture[..., ::-1]) if flip else picture
