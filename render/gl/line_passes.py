"""What keeps edges smooth where the processor draws and samples are too dear: outlines, and lashes as hairlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from render.gl.shader_programs import make_program, set_uniforms
from render.gl.unlocked_gl import draw_quads

if TYPE_CHECKING:
    import moderngl

    from render.gl.render_target import RenderTarget


class OutlinePass:
    """Blends, along given edges, each pixel an edge crosses with its neighbour beyond."""

    def __init__(self, ctx: moderngl.Context, most_edges: int) -> None:
        self._program = make_program(ctx, "outline", "outline", frozenset())
        self._ends = ctx.buffer(reserve=max(most_edges, 1) * 24, dynamic=True)
        self._array = ctx.vertex_array(self._program, [(self._ends, "3f 3f/i", "in_from", "in_to")])

    def draw(self, target: RenderTarget, ends: NDArray[np.float32], clip_from_head: bytes, nearer: float) -> None:
        """Smooth the edges [n, 2, 3] in what `target` shows; `nearer` pulls them to the eye, in device depth."""
        if len(ends) == 0:
            return
        target.snapshot().use(0)
        self._ends.write(np.ascontiguousarray(ends).data)
        set_uniforms(self._program, clip_from_head=clip_from_head, size=target.size, nearer=nearer)
        target.drawn.depth_mask = False
        draw_quads(self._array, len(ends))
        target.drawn.depth_mask = True

    def release(self) -> None:
        """Free the memory on the graphics side."""
        for made in (self._array, self._ends, self._program):
            made.release()


class HairlinePass:
    """Draws thin faces by how much of each pixel they cover. Their shading is left out: lashes are dark."""

    def __init__(self, ctx: moderngl.Context, faces: NDArray[np.int32], tints: NDArray[np.float32]) -> None:
        """`faces` [n, 3] vertex indices, `tints` [n, 3] sRGB."""
        self._faces = faces
        self._program = make_program(ctx, "hairline", "hairline", frozenset())
        self._corners = ctx.buffer(reserve=max(len(faces), 1) * 36, dynamic=True)
        self._tints = ctx.buffer(np.ascontiguousarray(tints, dtype=np.float32).data)
        content = [(self._corners, "3f 3f 3f/i", "in_a", "in_b", "in_c"), (self._tints, "3f/i", "in_tint")]
        self._array = ctx.vertex_array(self._program, content)

    def draw(self, target: RenderTarget, vertices: NDArray[np.float32], clip_from_head: bytes, nearer: float) -> None:
        """Draw over `target`; blending must be on."""
        self._corners.write(np.ascontiguousarray(vertices[self._faces]).data)
        set_uniforms(self._program, clip_from_head=clip_from_head, size=target.size, nearer=nearer)
        target.drawn.depth_mask = False
        draw_quads(self._array, len(self._faces))
        target.drawn.depth_mask = True

    def release(self) -> None:
        """Free the memory on the graphics side."""
        for made in (self._array, self._corners, self._tints, self._program):
            made.release()
