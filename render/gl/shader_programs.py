"""Shader programs from the files in shaders/, with switches set by #define."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import moderngl


@cache
def _source(name: str) -> str:
    """A file of shaders/, with its `#include "name"` lines filled in."""
    text = (files("render.gl") / "shaders" / f"{name}.glsl").read_text("utf-8")
    return re.sub(r'^#include "(\w+)"$', lambda found: _source(found[1]), text, flags=re.MULTILINE)


def make_program(ctx: moderngl.Context, vertex: str, fragment: str, switches: frozenset[str]) -> moderngl.Program:
    """Compile `shaders/VERTEX.vert.glsl` and `shaders/FRAGMENT.frag.glsl` with these names defined."""
    defines = "".join(f"#define {name}\n" for name in sorted(switches))
    texts = []
    for name in (f"{vertex}.vert", f"{fragment}.frag"):
        first, _, rest = _source(name).partition("\n")
        texts.append(f"{first}\n{defines}{rest}")
    return ctx.program(vertex_shader=texts[0], fragment_shader=texts[1])


def set_uniforms(program: moderngl.Program, **values: Any) -> None:
    """Set uniforms by name; bytes are written as they are. Names the compiler dropped as unused are passed over."""
    for name, value in values.items():
        uniform: Any = program.get(name, None)
        if uniform is None:
            continue
        if isinstance(value, bytes):
            uniform.write(value)
        else:
            uniform.value = value
