"""Material pictures on the graphics side: mip-mapped, not larger than useful, without fringes at transparent edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from render.gl.gl_context import is_software

if TYPE_CHECKING:
    import moderngl

_MAX_SIDE = 4096


def upload_texture(ctx: moderngl.Context, picture: NDArray[np.uint8], *, repeat: bool) -> moderngl.Texture:
    """A mip-mapped texture of a picture [h, w, 3 or 4] uint8; its first row lies at coordinate 0."""
    height, width = picture.shape[:2]
    scale = _MAX_SIDE / max(height, width)
    if scale < 1:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    rgba = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA), np.uint8) if picture.shape[2] == 3 else bleed(picture)
    texture = ctx.texture((rgba.shape[1], rgba.shape[0]), 4, np.ascontiguousarray(rgba).data, alignment=1)
    texture.build_mipmaps()
    texture.repeat_x = texture.repeat_y = repeat
    if is_software(ctx):  # blending two levels costs the processor 2 ms a frame more than taking the nearer one
        texture.filter = (ctx.LINEAR_MIPMAP_NEAREST, ctx.LINEAR)
    else:
        texture.filter = (ctx.LINEAR_MIPMAP_LINEAR, ctx.LINEAR)
        texture.anisotropy = 8.0
    return texture


def bleed(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give transparent pixels the colour of visible ones nearby, which filtering mixes in at the edges."""
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    if float(alpha.min()) > 0.0:
        return rgba
    color = rgba[..., :3].astype(np.float32)
    weighted, weight = color * alpha, alpha[..., 0].copy()
    result = color.copy()
    todo = alpha[..., 0] < 1 / 255
    for radius in (2, 8, 32, 128):
        kernel = (2 * radius + 1, 2 * radius + 1)
        near, share = cv2.blur(weighted, kernel), cv2.blur(weight, kernel)
        found = todo & (share > 1e-5)
        result[found] = near[found] / share[found][:, None]
        todo &= ~found
    return np.dstack([np.rint(result).clip(0, 255).astype(np.uint8), rgba[..., 3]])
