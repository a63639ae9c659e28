"""The pose that a viewer shows, drawn a second time: before another background, or in another size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from render.gl.backdrop import Backdrop
from render.gl.background import Background
from render.gl.render_target import RenderTarget

if TYPE_CHECKING:
    import moderngl


class SidePicture:
    """Where one such picture is drawn, again and again.

    Args:
        background: what stands behind the head; None: the studio.
    """

    def __init__(self, ctx: moderngl.Context, background: Background | None, samples: int) -> None:
        self._ctx, self._samples = ctx, samples
        self._backdrop = Backdrop(ctx, background)
        self._target: RenderTarget | None = None

    def drawn(self, size: tuple[int, int], render: Callable[[RenderTarget, Backdrop], None]) -> RenderTarget:
        """What `render` draws onto a target of this width and height."""
        if self._target is None or self._target.size != size:
            self._forget()
            self._target = RenderTarget(self._ctx, *size, samples=self._samples)
        render(self._target, self._backdrop)
        return self._target

    def _forget(self) -> None:
        if self._target is not None:
            self._target.release()
            self._target = None

    def release(self) -> None:
        """Free the memory on the graphics side."""
        self._forget()
        self._backdrop.release()
