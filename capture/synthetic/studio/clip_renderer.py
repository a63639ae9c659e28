"""Draws people for ground-truth clips: lit colour with smooth edges, and exact geometry at pixel centres.

Apart from `render.gl.mesh_renderer`, which is made for one avatar that people look at for hours, this one is for many
people who are each seen for seconds: it needs no preparation per person, and takes about 30 ms a frame at 256² on one
core of a processor that draws in software.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import moderngl
import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head import hair
from capture.synthetic.studio.clip_plan import Lighting
from capture.synthetic.studio.people import Person
from core.camera import Intrinsics, gl_projection
from render.gl.gl_context import create_context, make_current, release_context
from render.mesh.surface_normals import SurfaceNormals

SUPERSAMPLING = 2  # along each side; on llvmpipe half the time of four samples in every pixel
NEAR_M, FAR_M = 0.15, 4.0
# Gloss of the parts under a lamp, and what comes back of near infrared.
_GLOSS = {
    "skin": 0.10,
    "eye_left": 0.9,
    "eye_right": 0.9,
    "teeth_upper": 0.5,
    "teeth_lower": 0.5,
    "tongue": 0.3,
    "lashes": 0.0,
}
_REFLECTIVITY = {
    "skin": 0.7,
    "eye_left": 0.35,
    "eye_right": 0.35,
    "teeth_upper": 0.5,
    "teeth_lower": 0.5,
    "tongue": 0.4,
    "lashes": 0.3,
}
_LIP_GLOSS = 0.25
_IN_MOUTH, _ON_HAIR = 0.25, 0.15  # reflectivity

_VERTEX = """#version 330
uniform mat4 projection;
in vec3 position; in vec3 normal; in vec3 color; in vec2 surface;
out vec3 at; out vec3 away; out vec3 tint; out vec2 matter;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    at = position; away = normal; matter = surface;
    tint = pow(color, vec3(2.2));
}"""
_LIT = """#version 330
uniform vec3 lamps[3]; uniform vec3 lamp_colors[3]; uniform vec3 sky; uniform vec3 ground;
in vec3 at; in vec3 away; in vec3 tint; in vec2 matter; out vec4 picture;
void main() {
    vec3 n = normalize(away), eye = normalize(-at);
    if (!gl_FrontFacing) n = -n;
    vec3 light = mix(ground, sky, 0.5 - 0.5 * n.y);
    float shine = 0.0;
    vec3 gleam = vec3(0.0);
    const vec3 wrap = vec3(0.32, 0.18, 0.14);  // red light travels farther in skin
    for (int i = 0; i < 3; ++i) {
        light += lamp_colors[i] * max((dot(n, lamps[i]) + wrap) / (1.0 + wrap), 0.0);
        gleam += lamp_colors[i] * pow(max(dot(n, normalize(lamps[i] + eye)), 0.0), mix(14.0, 120.0, matter.x));
    }
    float inner = gl_FrontFacing ? 1.0 : 0.25;
    vec3 color = tint * light * inner + gleam * matter.x * inner;
    color = color / (1.0 + max(color - 0.8, 0.0));
    picture = vec4(pow(color, vec3(1.0 / 2.2)), 1.0);
}"""
_GEOMETRY = """#version 330
in vec3 at; in vec3 away; in vec2 matter; out vec4 measures;
void main() {
    float cosine = abs(dot(normalize(away), normalize(-at)));
    measures = vec4(at.z, float(gl_PrimitiveID + 1), matter.y, cosine);
}"""


@dataclass(frozen=True, eq=False)
class ClipShot:
    """[H, W] each: rgba uint8 (alpha premultiplied), depth_m, cosine, reflectivity float32 and face_id int32;
    0 (face_id: −1) where nobody is."""

    rgba: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    cosine: NDArray[np.float32]
    reflectivity: NDArray[np.float32]
    face_id: NDArray[np.int32]


class ClipRenderer:
    """Draws one person at a time. Owned by one thread; its context is the current one after each call."""

    def __init__(self) -> None:
        self._ctx = create_context(headless=True)
        self._lit = self._ctx.program(vertex_shader=_VERTEX, fragment_shader=_LIT)
        self._measured = self._ctx.program(vertex_shader=_VERTEX, fragment_shader=_GEOMETRY)
        self._body: _Body | None = None
        self._targets: _Targets | None = None

    def take_person(self, person: Person) -> None:
        """Draw this one from now on."""
        make_current(self._ctx)
        mesh = person.mesh()
        if self._body is None or not self._body.fits(mesh.faces, len(mesh.vertices)):
            if self._body is not None:
                self._body.release()
            self._body = _Body(self._ctx, mesh.vertices, mesh.faces, (self._lit, self._measured))
        assert mesh.vertex_colors is not None
        self._body.paint(mesh.vertex_colors, _surfaces(person))

    def take_light(self, light: Lighting) -> None:
        """Light the scene like this from now on."""
        _set(self._lit, "lamps", light.directions)
        _set(self._lit, "lamp_colors", light.colors)
        _set(self._lit, "sky", light.sky)
        _set(self._lit, "ground", light.ground)

    def draw(self, camera_m: NDArray[np.float32], intrinsics: Intrinsics) -> ClipShot:
        """The person with these vertices [n, 3] in the camera's frame."""
        assert self._body is not None
        make_current(self._ctx)
        size = (intrinsics.width, intrinsics.height)
        if self._targets is None or self._targets.size != size:
            if self._targets is not None:
                self._targets.release()
            self._targets = _Targets(self._ctx, size)
        # Drawn upside down in OpenGL's terms, so that what is read back has its top row first.
        projection = np.diag([1.0, -1.0, 1.0, 1.0]) @ gl_projection(intrinsics, NEAR_M, FAR_M)
        for program in (self._lit, self._measured):
            _set(program, "projection", projection.T)
        self._ctx.enable_only(self._ctx.DEPTH_TEST | self._ctx.CULL_FACE)
        self._ctx.cull_face = "back"
        self._ctx.front_face = "cw"
        self._body.move(camera_m)
        return self._targets.shot(self._body)

    def release(self) -> None:
        for item in (self._body, self._targets):
            if item is not None:
                item.release()
        release_context(self._ctx)


class _Body:
    """Buffers of one topology."""

    def __init__(
        self,
        ctx: moderngl.Context,
        vertices: NDArray[np.float32],
        faces: NDArray[np.int32],
        programs: tuple[moderngl.Program, moderngl.Program],
    ) -> None:
        self._faces, self._count = faces, len(vertices)
        self._normals = SurfaceNormals(vertices, faces)
        self._moving = ctx.buffer(reserve=self._count * 24, dynamic=True)
        self._painted = ctx.buffer(reserve=self._count * 20)
        self._indices = ctx.buffer(faces.astype("i4").tobytes())
        moving = (self._moving, "3f 3f", "position", "normal")
        lit, measured = programs
        self.lit = ctx.vertex_array(lit, [moving, (self._painted, "3f 2f", "color", "surface")], self._indices)
        self.measured = ctx.vertex_array(measured, [moving, (self._painted, "12x 2f", "surface")], self._indices)

    def fits(self, faces: NDArray[np.int32], count: int) -> bool:
        return count == self._count and np.array_equal(faces, self._faces)

    def paint(self, colors: NDArray[np.float32], surfaces: NDArray[np.float32]) -> None:
        self._painted.write(np.ascontiguousarray(np.concatenate([colors, surfaces], axis=1), dtype="f4").data)

    def move(self, vertices: NDArray[np.float32]) -> None:
        normals = self._normals.update(vertices)
        self._moving.write(np.ascontiguousarray(np.concatenate([vertices, normals], axis=1), dtype="f4").data)

    def release(self) -> None:
        for item in (self.lit, self.measured, self._moving, self._painted, self._indices):
            item.release()


class _Targets:
    """What is drawn into, for one size of picture."""

    def __init__(self, ctx: moderngl.Context, size: tuple[int, int]) -> None:
        self.size = size
        large = (SUPERSAMPLING * size[0], SUPERSAMPLING * size[1])
        self._large = ctx.framebuffer([ctx.renderbuffer(large, 4)], ctx.depth_renderbuffer(large))
        self._exact = ctx.framebuffer([ctx.renderbuffer(size, 4, dtype="f4")], ctx.depth_renderbuffer(size))

    def shot(self, body: _Body) -> ClipShot:
        shape = (self.size[1], self.size[0], 4)
        self._large.use()
        self._large.clear()
        body.lit.render()
        rgba = np.frombuffer(self._large.read(components=4, alignment=1), np.uint8)
        rgba = rgba.reshape(SUPERSAMPLING * shape[0], SUPERSAMPLING * shape[1], 4)
        smooth = np.asarray(cv2.resize(rgba, self.size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        self._exact.use()
        self._exact.clear()
        body.measured.render()
        measures = np.frombuffer(self._exact.read(components=4, dtype="f4", alignment=1), np.float32).reshape(shape)
        depth, number, reflectivity, cosine = (np.ascontiguousarray(measures[..., channel]) for channel in range(4))
        return ClipShot(smooth, depth, cosine, reflectivity, number.astype(np.int32) - 1)

    def release(self) -> None:
        for framebuffer in (self._large, self._exact):
            for attachment in (*framebuffer.color_attachments, framebuffer.depth_attachment):
                if attachment is not None:
                    attachment.release()
            framebuffer.release()


def _set(program: moderngl.Program, name: str, value: NDArray[np.float64]) -> None:
    uniform = program[name]
    assert isinstance(uniform, moderngl.Uniform)
    uniform.write(value.astype("f4").tobytes())


def _surfaces(person: Person) -> NDArray[np.float32]:
    """[n, 2] gloss and near-infrared reflectivity of every vertex."""
    model = person.model
    surfaces = np.zeros((model.topology.vertex_count, 2), dtype=np.float32)
    for name in _GLOSS:
        surfaces[model.part(name)] = _GLOSS[name], _REFLECTIVITY[name]
    fields, skin = model.skin_fields, model.part("skin")
    surfaces[skin, 0] += (_LIP_GLOSS * fields.lips).astype(np.float32)
    inside = np.clip(fields.mouth_inside, 0, 1)
    surfaces[skin, 1] += (inside * (_IN_MOUTH - surfaces[skin, 1])).astype(np.float32)
    style = model.palette.hair_style
    if style is not None:
        grown = hair.coverage(fields.position, fields.ears, style)
        bright = float(np.mean(model.palette.hair))
        surfaces[skin, 1] += (grown * (_ON_HAIR + 0.35 * bright - surfaces[skin, 1])).astype(np.float32)
        surfaces[skin, 0] *= (1 - 0.5 * grown).astype(np.float32)
    return surfaces
