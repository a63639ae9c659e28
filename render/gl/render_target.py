"""Where pictures are drawn to, read from, and what stands behind the head in them.

Pictures are drawn with their top row first in memory, so that reading one needs no flip; for a window, which counts
rows from below, the other way round, so that showing one is a plain copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from render.gl.shader_programs import make_program, set_uniforms
from render.gl.unlocked_gl import finish

if TYPE_CHECKING:
    import moderngl


class RenderTarget:
    """A picture to draw: colour, a depth test and, on request, exact camera depth and face numbers.

    Args:
        samples: 0, or how many samples per pixel the hardware takes.
        geometry: keep float colour, depth and face numbers as well (then without multisampling, top row first).
        top_first: whether the picture's top row comes first in memory.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        width: int,
        height: int,
        *,
        samples: int = 0,
        geometry: bool = False,
        top_first: bool = True,
    ) -> None:
        if geometry and (samples or not top_first):
            raise ValueError("depth and face numbers are per pixel, top row first: expected neither samples nor a flip")
        self.ctx = ctx
        self.width, self.height = width, height
        self.samples = samples
        self.top_first = top_first
        size = (width, height)
        self.texture = ctx.texture(size, 4, dtype="f4" if geometry else "f1")
        attachments: list[Any] = [self.texture]
        if geometry:
            attachments.append(ctx.texture(size, 2, dtype="f4"))
        depth = None if samples else ctx.depth_renderbuffer(size)
        self.framebuffer = ctx.framebuffer(attachments, depth)
        self._drawn = self.framebuffer
        if samples:
            color = ctx.renderbuffer(size, 4, samples=samples)
            self._drawn = ctx.framebuffer([color], ctx.depth_renderbuffer(size, samples=samples))
        self._geometry = geometry
        self._copy: moderngl.Framebuffer | None = None
        self._copied: moderngl.Texture | None = None
        self._bytes = bytearray(width * height * 4)

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def drawn(self) -> moderngl.Framebuffer:
        """The framebuffer that drawing goes to."""
        return self._drawn

    def begin(self, backdrop: Backdrop | None) -> None:
        """Bind, and clear to the backdrop, or to black with alpha 0."""
        self._drawn.use()
        self.ctx.disable(self.ctx.BLEND)
        if backdrop is None:
            self._drawn.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
            return
        backdrop.paint(self)
        self._drawn.use()
        self._drawn.color_mask = (False, False, False, False)
        self._drawn.clear(depth=1.0)
        self._drawn.color_mask = (True, True, True, True)
        self._drawn.use()  # only this makes the restored mask count for drawing

    def snapshot(self) -> moderngl.Texture:
        """The colours drawn so far, as a texture to read while drawing goes on (single-sampled targets only)."""
        if self._copy is None or self._copied is None:
            self._copied = self.ctx.texture(self.size, 4)
            self._copy = self.ctx.framebuffer([self._copied])
        finish(self.ctx)
        self.ctx.copy_framebuffer(self._copy, self._drawn)
        self._drawn.use()
        return self._copied

    def finish(self) -> None:
        """Bring what was drawn into `texture`, and wait until it is there."""
        finish(self.ctx)
        if self._drawn is not self.framebuffer:
            self.ctx.copy_framebuffer(self.framebuffer, self._drawn)

    def rgb(self) -> NDArray[np.uint8]:
        """[H, W, 3] uint8, R first."""
        if self._geometry:
            return np.asarray(np.rint(self.float_rgb() * 255.0).clip(0, 255), dtype=np.uint8)
        self.framebuffer.read_into(self._bytes, components=4, alignment=1)
        rgba = np.frombuffer(self._bytes, dtype=np.uint8).reshape(self.height, self.width, 4)
        rgb = np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), dtype=np.uint8)
        return rgb if self.top_first else np.asarray(cv2.flip(rgb, 0), dtype=np.uint8)

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
        for framebuffer in {self.framebuffer, self._drawn, self._copy} - {None}:
            assert framebuffer is not None
            for attachment in framebuffer.color_attachments:
                attachment.release()
            if framebuffer.depth_attachment is not None:
                framebuffer.depth_attachment.release()
            framebuffer.release()


class Backdrop:
    """A neutral gradient. For single-sampled targets it is drawn once per size and copied from then on."""

    def __init__(
        self,
        ctx: moderngl.Context,
        centre: tuple[float, float, float] = (0.36, 0.365, 0.38),
        corner: tuple[float, float, float] = (0.115, 0.118, 0.128),
    ) -> None:
        self._ctx = ctx
        self._program = make_program(ctx, "screen", "backdrop", frozenset())
        set_uniforms(self._program, centre_color=centre, corner_color=corner)
        self._screen = ctx.vertex_array(self._program, [])
        self._drawn: moderngl.Framebuffer | None = None
        self._drawn_for: tuple[tuple[int, int], bool] | None = None

    def paint(self, target: RenderTarget) -> None:
        """Fill the colours of `target`; its depth is left as it is."""
        if target.samples:
            self._draw(target.drawn, target)
            return
        if self._drawn is None or self._drawn_for != (target.size, target.top_first):
            if self._drawn is not None:
                self._drawn.color_attachments[0].release()
                self._drawn.release()
            self._drawn = self._ctx.framebuffer([self._ctx.texture(target.size, 4)])
            self._drawn_for = (target.size, target.top_first)
            self._draw(self._drawn, target)
        self._ctx.copy_framebuffer(target.drawn, self._drawn)

    def _draw(self, onto: moderngl.Framebuffer, target: RenderTarget) -> None:
        onto.use()
        self._ctx.disable(self._ctx.DEPTH_TEST | self._ctx.CULL_FACE | self._ctx.BLEND)
        set_uniforms(self._program, size=target.size, top_first=float(target.top_first))
        self._screen.render(vertices=3)
