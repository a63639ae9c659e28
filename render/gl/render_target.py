"""Where pictures are drawn to and read from.

Pictures are drawn with their top row first in memory, so that reading one needs no flip; a window, which counts rows
from below, shows them upside down (`unlocked_gl.copy_box`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from render.gl.unlocked_gl import copy_box, finish, has_screen_order, store_as_screen, write_as_screen
from render.mesh.openings import Box, around

if TYPE_CHECKING:
    import moderngl

    from render.gl.backdrop import Backdrop


class RenderTarget:
    """A picture to draw: colour, a depth test and, on request, exact camera depth and face numbers.

    Args:
        samples: 0, or how many samples per pixel the hardware takes.
        geometry: keep float colour, depth and face numbers as well (then without multisampling).
    """

    def __init__(
        self, ctx: moderngl.Context, width: int, height: int, *, samples: int = 0, geometry: bool = False
    ) -> None:
        if geometry and samples:
            raise ValueError("depth and face numbers are per pixel: expected no samples")
        self.ctx = ctx
        self.width, self.height = width, height
        self.samples = samples
        size = (width, height)
        self.texture = ctx.texture(size, 4, dtype="f4" if geometry else "f1")
        if not geometry:
            store_as_screen(self.texture)
        attachments: list[Any] = [self.texture]
        if geometry:
            attachments.append(ctx.texture(size, 2, dtype="f4"))
        depth = None if samples else ctx.depth_renderbuffer(size)
        self._framebuffer = ctx.framebuffer(attachments, depth)
        self._drawn = self._framebuffer
        if samples:
            color = ctx.renderbuffer(size, 4, samples=samples)
            self._drawn = ctx.framebuffer([color], ctx.depth_renderbuffer(size, samples=samples))
        self._geometry = geometry
        self._copy: moderngl.Framebuffer | None = None
        self._copied: moderngl.Texture | None = None
        self._box = self._whole = (0, 0, width, height)  # what may be drawn in, and was since the backdrop was whole
        self._behind: Backdrop | None = None
        self._put: NDArray[np.uint32] | None = None  # the picture, where no OpenGL drew it
        self._put_missing: Box = (0, 0, 0, 0)  # what of it is not on the graphics side
        self._put_changed: Box | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def framebuffer(self) -> moderngl.Framebuffer:
        """What holds the finished picture."""
        if self._put is not None and 0 not in self._put_missing[2:]:
            write_as_screen(self.texture, self._put, self._put_missing)
            self._put_missing = (0, 0, 0, 0)
        return self._framebuffer

    def put(self, picture: NDArray[np.uint32], changed: Box | None = None) -> None:
        """Take a finished picture [H, W] 0xAARRGGBB, alpha multiplied in, first row at the top, instead of drawing it.

        It is not copied, and goes to the graphics side only when it is wanted there. `changed`: outside of this box it
        is the picture put before, in the same array. Raises ValueError where it is of another size, or OpenGL cannot
        take its order of bytes (`has_screen_order`).
        """
        if picture.shape != (self.height, self.width) or not has_screen_order():
            raise ValueError(f"expected [{self.height}, {self.width}] and OpenGL's own library, got {picture.shape}")
        known = changed is not None and self._put is picture
        self._put_missing = around(self._put_missing, changed) if known and changed is not None else self._whole
        self._put, self._behind = picture, None
        self._put_changed = changed if known else None

    def holds(self, picture: NDArray[np.uint32]) -> bool:
        """Whether this array was the last that was put."""
        return self._put is picture

    def bgra(self) -> tuple[NDArray[np.uint32], Box | None]:
        """[H, W] 0xAARRGGBB as `put` takes it, not to be written to; and the box outside of which it is what it was
        before, where that is known."""
        if self._put is not None:
            return self._put, self._put_changed
        rgba = np.frombuffer(self.framebuffer.read(components=4, alignment=1), dtype=np.uint8)
        pixels = cv2.cvtColor(rgba.reshape(self.height, self.width, 4), cv2.COLOR_RGBA2BGRA)
        return np.ascontiguousarray(pixels).view(np.uint32)[..., 0], None

    def begin_whole(self) -> None:
        """Bind what holds the finished picture, to be filled from end to end; nothing else is left of it."""
        self._put = self._behind = None
        self._framebuffer.scissor = self._whole
        self._framebuffer.use()

    @property
    def drawn(self) -> moderngl.Framebuffer:
        """The framebuffer that drawing goes to."""
        return self._drawn

    def begin(self, backdrop: Backdrop | None, box: Box | None = None) -> None:
        """Bind, and clear to the backdrop, or to black with alpha 0.

        Over a backdrop, drawing until the next `begin` is kept inside `box` (None: everywhere), and only there, and
        where was drawn before, is it painted anew.
        """
        self._put = None
        self._drawn.use()
        self.ctx.disable(self.ctx.BLEND)
        if backdrop is None:
            self._drawn.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
            self._box, self._behind = self._whole, None
            return
        stale = around(self._box, box or self._whole) if self._behind is backdrop else self._whole
        self._box, self._behind = box or self._whole, backdrop
        backdrop.paint(self, stale)
        self._drawn.scissor = stale
        self._drawn.use()
        self._drawn.color_mask = (False, False, False, False)
        self._drawn.clear(depth=1.0)
        self._drawn.color_mask = (True, True, True, True)
        self._drawn.scissor = self._box
        self._drawn.use()  # only this makes the restored mask, and the box, count for drawing

    def snapshot(self) -> moderngl.Texture:
        """The colours drawn so far, as a texture to read while drawing goes on (single-sampled targets only).

        Beyond the box of `begin` it may be of an earlier picture.
        """
        if self._copy is None or self._copied is None:
            self._copied = self.ctx.texture(self.size, 4)
            store_as_screen(self._copied)
            self._copy = self.ctx.framebuffer([self._copied])
        finish(self.ctx)
        copy_box(self.ctx, self._copy, self._drawn, self._box)
        self._drawn.use()
        return self._copied

    def finish(self) -> None:
        """Bring what was drawn into `texture`, and wait until it is there."""
        finish(self.ctx)
        self._drawn.scissor = self._whole
        self._drawn.use()
        if self._drawn is not self._framebuffer:
            self.ctx.copy_framebuffer(self._framebuffer, self._drawn)

    def rgb(self) -> NDArray[np.uint8]:
        """[H, W, 3] uint8, R first."""
        if self._geometry:
            return np.asarray(np.rint(self.float_rgb() * 255.0).clip(0, 255), dtype=np.uint8)
        if self._put is not None:
            bgra = self._put.view(np.uint8).reshape(self.height, self.width, 4)
            return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB), dtype=np.uint8)
        rgba = np.frombuffer(self.framebuffer.read(components=4, alignment=1), dtype=np.uint8)
        return np.asarray(cv2.cvtColor(rgba.reshape(self.height, self.width, 4), cv2.COLOR_RGBA2RGB), dtype=np.uint8)

    def rgba(self) -> NDArray[np.uint8]:
        """[H, W, 4] uint8, R first, the colours not multiplied by their alpha (as PNG has them); 0 where it is 0."""
        if self._put is not None:
            bgra = self._put.view(np.uint8).reshape(self.height, self.width, 4)
            rgba = np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA), dtype=np.uint8)
        else:
            data = self.framebuffer.read(components=4, alignment=1)
            rgba = np.frombuffer(bytearray(data), dtype=np.uint8).reshape(self.height, self.width, 4)
        rows, columns = np.nonzero((rgba[..., 3] > 0) & (rgba[..., 3] < 255))  # few: along the outlines
        soft = rgba[rows, columns].astype(np.float32)
        soft[:, :3] = np.rint(soft[:, :3] * 255.0 / soft[:, 3:]).clip(0, 255)
        rgba[rows, columns] = soft.astype(np.uint8)
        return rgba

    def float_rgb(self) -> NDArray[np.float32]:
        """[H, W, 3] float32 colours of a geometry target, not clipped."""
        return np.asarray(self._read_floats(0, 4)[..., :3])

    def depth(self) -> NDArray[np.float32]:
        """[H, W] float32 camera-space depth at pixel centres, 0 where empty. Geometry targets only."""
        return np.ascontiguousarray(self._read_floats(1, 2)[..., 0])

    def face_id(self) -> NDArray[np.int32]:
        """[H, W] int32 number of the face as it was drawn, -1 where empty. Geometry targets only."""
        return np.asarray(self._read_floats(1, 2)[..., 1], dtype=np.int32) - 1

    def _read_floats(self, attachment: int, components: int) -> NDArray[np.float32]:
        if not self._geometry:
            raise ValueError("this target keeps colours only: make it with geometry=True")
        data = self.framebuffer.read(components=components, attachment=attachment, dtype="f4", alignment=1)
        return np.frombuffer(data, dtype=np.float32).reshape(self.height, self.width, components).copy()

    def release(self) -> None:
        """Free the memory on the graphics side."""
        for framebuffer in {self._framebuffer, self._drawn, self._copy} - {None}:
            assert framebuffer is not None
            for attachment in framebuffer.color_attachments:
                attachment.release()
            if framebuffer.depth_attachment is not None:
                framebuffer.depth_attachment.release()
            framebuffer.release()
