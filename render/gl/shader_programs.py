"""Shader programs from the files in shaders/, with switches set by #define."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import moderngl

_set_last: WeakKeyDictionary[moderngl.Program, dict[str, Any]] = WeakKeyDictionary()


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


def make_transform(ctx: moderngl.Context, vertex: str, results: tuple[str, ...]) -> moderngl.Program:
    """Compile `shaders/VERTEX.vert.glsl` to work out these outputs for each vertex, one after the other, undrawn."""
    return ctx.program(vertex_shader=_source(f"{vertex}.vert"), varyings=results)


def set_uniforms(program: moderngl.Program, **values: Any) -> None:
    """Set uniforms by name; bytes are written as they are. Names the compiler dropped as unused are passed over, and
    values that were set last: drivers copy a program's uniforms whenever one is set."""
    last = _set_last.setdefault(program, {})
    for name, value in values.items():
        uniform: Any = program.get(name, None)
        if uniform is None or last.get(name) == value:
            continue
        last[name] = value
        if isinstance(value, bytes):
            uniform.write(value)
        else:
            uniform.value = value
