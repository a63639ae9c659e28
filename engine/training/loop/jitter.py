"""What differs between cameras, cuts and people's looks, drawn at random and applied alike to what belongs together."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

_BLURRED_SHARE, _BLUR_PX = 0.3, (0.3, 1.0)  # lenses out of focus
_BENT_SHARE, _BEND = 0.3, 0.05  # of lenses; standard deviation
_COMPRESSED_SHARE, _QUALITY = 0.3, (20, 90)  # of videos and of photographs on scans
_SOFT_SHARE, _GRAIN = 0.4, 0.02  # of avatars' pictures; largest standard deviation of the noise


@dataclass(frozen=True)
class Jitter:
    """One draw of what differs between cameras, boxes and people's looks.

    Attributes:
        gain, offset: [3] of the colours, which are in [-1, 1].
        noise: standard deviation added to colour and depth.
        blur: standard deviation in pixels of what colour is smoothed by; 0 leaves it sharp.
        T: [2, 3] pixels of the sample → pixels of the stored picture.
        mirrored: left is right; applied by the caller, who must mirror everything alike.
        bend: radial distortion by the lens: a point half the picture's side from its middle is seen farther by this
            share (Brown's k1).
        quality: of JPEG, 1 to 100, by which colour has been compressed; 0 leaves it whole.
    """

    gain: Picture
    offset: Picture
    noise: float
    T: NDArray[np.float64]
    mirrored: bool
    blur: float = 0.0
    bend: float = 0.0
    quality: int = 0

    def without_noise(self) -> "Jitter":
        """For pictures that a network is to draw: it should not learn to draw grain and blocks."""
        return replace(self, noise=0.0, quality=0)

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
        beyond = (-1.0, -1.0, -1.0, empty_depth)
        if self.bend:
            across, down = _bent_way(T, size, self.bend)
            moved = cv2.remap(
                planes, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond
            )
        else:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpAffine(
                planes, T, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond
            )
        out = np.asarray(moved, np.float32).transpose(2, 0, 1).copy()
        if self.blur:
            out[:3] = cv2.GaussianBlur(moved[..., :3], (0, 0), self.blur).transpose(2, 0, 1)
        shown = out[:3].max(axis=0) > -0.99  # the background stays black
        colors = (out[:3] + 1) * self.gain[:, None, None] - 1 + self.offset[:, None, None]
        out[:3] = np.where(shown, colors, out[:3])
        if self.noise:
            noise = rng.standard_normal(out.shape, dtype=np.float32) * np.float32(self.noise)
            out = np.where(shown, out + noise, out)
        if self.quality:
            out[:3] = np.where(shown, compressed(out[:3], self.quality), out[:3])
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
    bend = float(rng.normal(0, _BEND)) * strength if rng.random() < _BENT_SHARE else 0.0
    quality = int(rng.integers(*_QUALITY)) if rng.random() < _COMPRESSED_SHARE else 0
    return Jitter(gain, offset, noise, T, mirrored_too, blur, bend, quality)


def softened(rgbd: Picture, rng: np.random.Generator) -> Picture:
    """[4, N, N] → the same avatar as a worse scan shows it, now and then: colour out of focus, grainy or compressed.
    Depth stays: it is the mesh's own."""
    import cv2

    if rng.random() >= _SOFT_SHARE:
        return rgbd
    shown = rgbd[:3].max(axis=0) > -0.99
    blur = float(rng.uniform(*_BLUR_PX)) / 2
    colors = cv2.GaussianBlur(np.ascontiguousarray(rgbd[:3].transpose(1, 2, 0)), (0, 0), blur).transpose(2, 0, 1)
    colors = colors + rng.standard_normal(colors.shape, dtype=np.float32) * np.float32(rng.uniform(0, _GRAIN))
    out = rgbd.copy()
    out[:3] = np.where(shown, compressed(colors, int(rng.integers(*_QUALITY))), rgbd[:3])
    return out


def compressed(colors: Picture, quality: int) -> Picture:
    """[3, N, N] in [-1, 1] after JPEG of this quality, 1 to 100."""
    import cv2

    values = np.rint((np.clip(colors, -1, 1) + 1) * 127.5).astype(np.uint8)
    done, packed = cv2.imencode(".jpg", values.transpose(1, 2, 0)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    unpacked = cv2.imdecode(packed, cv2.IMREAD_COLOR) if done else None
    if unpacked is None:
        raise RuntimeError(f"JPEG of {values.shape[1:]} at quality {quality}: expected OpenCV to encode and read it")
    return np.asarray(unpacked[..., ::-1].transpose(2, 0, 1), np.float32) / np.float32(127.5) - 1


def _bent_way(T: NDArray[np.float64], size: int, bend: float) -> tuple[Picture, Picture]:
    """[size, size] each: column and row of the stored picture for every pixel of the sample, through a lens that
    bends."""
    middle = (size - 1) / 2
    down, across = np.mgrid[:size, :size] - middle
    grown = 1 + bend * (across**2 + down**2) / (size / 2) ** 2
    seen = np.stack([middle + across * grown, middle + down * grown, np.ones_like(grown)])
    column, row = np.einsum("ij,jhw->ihw", T, seen).astype(np.float32)
    return column, row


def mirrored(picture: Picture, flip: bool) -> Picture:
    """[..., W] flipped left to right."""
    return np.ascontiguousarray(picture[..., ::-1]) if flip else picture
