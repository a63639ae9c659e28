"""How the groups of a mesh look, as blocks of uniforms that are on the graphics side from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from render.mesh.mesh_layout import DrawGroup

if TYPE_CHECKING:
    import moderngl

_BINDING = 1  # 0 is the view's


def material_block(ctx: moderngl.Context, group: DrawGroup) -> moderngl.Buffer:
    """`Material` of shaders/material.glsl for one group, as the std140 layout has it."""
    look, material = group.look, group.material
    block = np.zeros((5, 4), dtype=np.float32)
    block[0] = *(linear(value) for value in material.base_color[:3]), material.base_color[3]
    block[1] = *(linear(value) for value in look.back_color or (0.0, 0.0, 0.0)), look.glint
    block[2] = *(1 / (1 + wrap) for wrap in look.wrap), look.sheen
    block[3] = *(wrap / (1 + wrap) for wrap in look.wrap), material.alpha_cutoff
    block[4, :3] = [0.45 * wrap for wrap in look.wrap]
    return ctx.buffer(block.tobytes())


def use_material(program: moderngl.Program, block: moderngl.Buffer) -> None:
    """Let the program look as the block says."""
    material = program.get("Material", None)
    if material is not None and material.binding != _BINDING:  # type: ignore[union-attr]
        material.binding = _BINDING  # type: ignore[union-attr]
    block.bind_to_uniform_block(_BINDING)


def linear(value: float) -> float:
    """The shader's approximation of the sRGB curve, for single values."""
    return value * (0.0342 + value * (0.5998 + value * 0.3660))
