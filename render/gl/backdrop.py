"""What stands behind the head, as both ways of drawing take it: painted onto a target, or as a picture in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from render.gl.background import Background
from render.gl.render_target import RenderTarget
from render.gl.shader_programs import make_program, set_uniforms
from render.gl.unlocked_gl import copy_box, store_as_screen
from render.mesh.openings import Box

if TYPE_CHECKING:
    import moderngl


class Backdrop:
    """One background on the graphics side. It is made once per size and copied from then on.

    Args:
        background: None is the studio's: a neutral gradient from `centre` to `corner` (sRGB, 0 to 1).
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        background: Background | None = None,
        *,
        centre: tuple[float, float, float] = (0.36, 0.365, 0.38),
        corner: tuple[float, float, float] = (0.115, 0.118, 0.128),
    ) -> None:
        self._ctx = ctx
        self._background = background
        self._program = make_program(ctx, "screen", "backdrop" if background is None else "still", frozenset())
        if background is None:
            set_uniforms(self._program, centre_color=centre, corner_color=corner)
        self._screen = ctx.vertex_array(self._program, [])
        self._kept: moderngl.Framebuffer | None = None
        self._texture: moderngl.Texture | None = None
        self._picture: NDArray[np.uint32] | None = None

    def paint(self, target: RenderTarget, box: Box) -> None:
        """Fill the colours of `target` in a box; its depth is left as it is."""
        if not target.samples:
            copy_box(self._ctx, target.drawn, self._of_size(target.size), box)
        else:
            if self._background is not None:
                self._of_size(target.size)
            self._draw(target.drawn, target.size)

    def picture(self, size: tuple[int, int]) -> NDArray[np.uint32]:
        """[H, W] 0xAARRGGBB, first row at the top; the same array until another size is asked for."""
        if self._picture is None or self._picture.shape != size[::-1]:
            if self._background is None:
                data = self._of_size(size).read(components=4, alignment=1)
                rgba = np.frombuffer(data, dtype=np.uint8).reshape(size[1], size[0], 4)
            else:
                rgba = self._background.pixels(*size)
            bgra = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)
            self._picture = np.ascontiguousarray(bgra).view(np.uint32)[..., 0]
        return self._picture

    def _of_size(self, size: tuple[int, int]) -> moderngl.Framebuffer:
        if self._kept is None or self._kept.size != size:
            self._forget()
            self._texture = self._ctx.texture(size, 4)
            store_as_screen(self._texture)
            self._kept = self._ctx.framebuffer([self._texture])
            if self._background is None:
                self._draw(self._kept, size)
            else:
                self._texture.write(np.ascontiguousarray(self._background.pixels(*size)).data, alignment=1)
        return self._kept

    def _draw(self, onto: moderngl.Framebuffer, size: tuple[int, int]) -> None:
        onto.scissor = (0, 0, *size)
        onto.use()
        self._ctx.disable(self._ctx.DEPTH_TEST | self._ctx.CULL_FACE | self._ctx.BLEND)
        if self._background is not None and self._texture is not None:
            self._texture.use(0)
        set_uniforms(self._program, size=size)
        self._screen.render(vertices=3)

    def _forget(self) -> None:
        if self._kept is not None:
            self._kept.release()
            self._kept = None
        if self._texture is not None:
            self._texture.release()
            self._texture = None

    def release(self) -> None:
        """Free the memory on the graphics side."""
        self._forget()
        self._screen.release()
        self._program.release()
