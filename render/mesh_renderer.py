"""Draws a mesh whose vertices change every frame: under studio light for people, or flat for the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from render.camera import Intrinsics, gl_projection
from render.gl_context import is_software
from render.looks import PartLook
from render.mesh import Mesh
from render.mesh_layout import DrawGroup, is_closed, make_layout
from render.occlusion import bake_openness
from render.openings import Openings
from render.render_target import Backdrop, RenderTarget
from render.shader_programs import make_program, set_uniforms
from render.surface_normals import Outlines, SurfaceNormals
from render.textures import upload_texture

if TYPE_CHECKING:
    import moderngl

_TOP_ROW_FIRST = np.diag([1.0, -1.0, 1.0, 1.0])
_OPENCV_TO_VIEW = np.diag([1.0, -1.0, -1.0])
_OUTLINE_PULL = 0.02  # of the mesh's radius
_DENSE_EDGE_PX = 24.0
_ROOM_TO_MOVE = 2.5  # the mesh may stretch to this many rest radii before the clip planes cut it


class MeshRenderer:
    """A mesh on the graphics side of a context, which must be current whenever a method is called.

    Args:
        mesh: what to draw; its vertices are the rest shape, for which soft shadows are baked.
        looks: surface qualities by part or material name, where the names themselves do not say (`render.looks`).
        soft_shadows: bake occlusion (0.1-0.3 s for a head); the flat light does not use it.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        mesh: Mesh,
        looks: Mapping[str, PartLook] | None = None,
        *,
        soft_shadows: bool = True,
    ) -> None:
        self.ctx = ctx
        self.mesh = mesh
        self._layout = make_layout(mesh, looks)
        self._faces = np.ascontiguousarray(self._layout.vertex_of[self._layout.corners]).astype(np.int32)
        self._surface = SurfaceNormals(mesh.vertices, self._faces)
        self._normal_of = self._surface.group[self._layout.vertex_of]
        solid = [g for g in self._layout.groups if not (g.transparent or g.cut_out)]
        among = np.concatenate([np.arange(g.first, g.first + g.count) for g in solid] or [np.zeros(0, np.int64)])
        self._outlines = Outlines(mesh.vertices, self._faces, among)
        self._openings = Openings(mesh.vertices, self._faces[among])
        self._closed = [is_closed(mesh.vertices, self._faces[g.first : g.first + g.count]) for g in self._layout.groups]
        self._edge_length = {g.first: _typical_edge(mesh.vertices, self._faces, g) for g in self._layout.groups}
        self._software = is_software(ctx)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        self._centre = ((low + high) / 2).astype(np.float64)
        self._radius = max(float(np.linalg.norm(high - low)) / 2, 1e-9)
        self._programs: dict[tuple[str, frozenset[str]], moderngl.Program] = {}
        self._arrays: dict[moderngl.Program, moderngl.VertexArray] = {}
        self._textures: dict[int, moderngl.Texture] = {}
        self._make_buffers(soft_shadows)
        self._make_outline_array()
        self.set_vertices(mesh.vertices)

    def _make_buffers(self, soft_shadows: bool) -> None:
        layout, mesh = self._layout, self.mesh
        count = len(layout.vertex_of)
        colors = np.ones((count, 3), dtype=np.float32)
        if mesh.vertex_colors is not None:
            colors = mesh.vertex_colors[layout.vertex_of].astype(np.float32)
        openness = np.ones(count, dtype=np.float32)
        if soft_shadows:
            openness = bake_openness(self.ctx, mesh, layout)[layout.vertex_of]
        self._positions = self.ctx.buffer(reserve=count * 12, dynamic=True)
        self._normals = self.ctx.buffer(reserve=count * 12, dynamic=True)
        self._uvs = self.ctx.buffer(np.ascontiguousarray(layout.uvs).data)
        self._colors = self.ctx.buffer(np.ascontiguousarray(colors).data)
        self._openness = self.ctx.buffer(np.ascontiguousarray(openness).data)
        self._indices = self.ctx.buffer(np.ascontiguousarray(layout.corners).data)

    def _make_outline_array(self) -> None:
        program = make_program(self.ctx, "outline", "outline", frozenset())
        self._outline_program = program
        self._outline_ends = self.ctx.buffer(reserve=max(len(self._outlines), 1) * 24, dynamic=True)
        content = [(self._outline_ends, "3f 3f/i", "in_from", "in_to")]
        self._outline_array = self.ctx.vertex_array(program, content)

    def set_vertices(self, vertices: NDArray[np.float32]) -> None:
        """Take this frame's vertices [V, 3] float32, before the head pose."""
        if vertices.shape != self.mesh.vertices.shape:
            raise ValueError(f"expected vertices {self.mesh.vertices.shape} as in the mesh, got {vertices.shape}")
        self._vertices = np.ascontiguousarray(vertices, dtype=np.float32)
        normals = self._surface.update(self._vertices)
        self._positions.write(self._vertices.take(self._layout.vertex_of, axis=0).data)
        self._normals.write(normals.take(self._normal_of, axis=0).data)

    def render(
        self,
        target: RenderTarget,
        T_camera_world: NDArray[np.float64],
        intrinsics: Intrinsics,
        T_world_head: NDArray[np.float64] | None = None,
        backdrop: Backdrop | None = None,
    ) -> None:
        """Draw under the studio light. Edges are smooth: by the target's samples, or drawn over its outlines."""
        view = _View(self, target, T_camera_world, intrinsics, T_world_head)
        target.begin(backdrop)
        self._set_state(target, blend=False)
        groups = list(zip(self._layout.groups, self._closed, strict=True))
        for group, closed in groups:
            if not (group.transparent or group.cut_out):
                self._draw_solid(view, group, closed)
        if not target.samples:
            self._smooth_outlines(view, target)
        for group, _ in groups:
            if group.transparent or group.cut_out:
                self._draw_soft(view, target, group)
        target.finish()

    def render_flat(
        self,
        target: RenderTarget,
        T_camera_world: NDArray[np.float64],
        intrinsics: Intrinsics,
        T_world_head: NDArray[np.float64] | None = None,
    ) -> NDArray[np.int64]:
        """Draw under the published flat light into a geometry target, black behind.

        Returns [F] the mesh's face for each face number that the target holds.
        """
        view = _View(self, target, T_camera_world, intrinsics, T_world_head, lights_on_camera=False)
        target.begin(None)
        self._set_state(target, blend=False)
        for group in self._layout.groups:
            cut = {"MASK": group.material.alpha_cutoff, "BLEND": 0.5}.get(group.material.alpha_mode, 0.0)
            program = self._program("flat", self._switches(group, cut > 0))
            view.write(program)
            base_color, first_face = group.material.base_color, float(group.first)
            set_uniforms(program, base_color=base_color, first_face=first_face, alpha_from=cut)
            self._draw(program, group)
        target.finish()
        return self._layout.order

    def _set_state(self, target: RenderTarget, *, blend: bool) -> None:
        ctx = self.ctx
        ctx.enable_only(ctx.DEPTH_TEST | (ctx.BLEND if blend else 0))
        ctx.depth_func = "<="
        ctx.front_face = "cw" if target.top_first else "ccw"  # a picture drawn top row first turns the faces round
        ctx.blend_func = ctx.SRC_ALPHA, ctx.ONE_MINUS_SRC_ALPHA

    def _draw_soft(self, view: _View, target: RenderTarget, group: DrawGroup) -> None:
        """What is (nearly) solid first, with depth; then the soft rest over it."""
        two_sided = frozenset({"TWO_SIDED"})
        self._draw_studio(view, group, two_sided, alpha=(0.98, 2.0))
        self._set_state(target, blend=True)
        view.target_framebuffer.depth_mask = False
        self._draw_studio(view, group, two_sided, alpha=(1 / 255, 0.98))
        view.target_framebuffer.depth_mask = True
        self._set_state(target, blend=False)

    def _switches(self, group: DrawGroup, alpha: bool) -> frozenset[str]:
        switches = set()
        if group.material.texture is not None:
            switches.add("TEXTURED")
        if self.mesh.vertex_colors is not None:
            switches.add("VERTEX_COLORS")
        if alpha:
            switches.add("ALPHA")
        return frozenset(switches)

    def _draw_solid(self, view: _View, group: DrawGroup, closed: bool) -> None:
        """An opaque group: fronts, and its inside where openings may show it. Hair cards and cloth show both sides."""
        if group.look.back_color is None and not closed:
            self._draw_studio(view, group, frozenset({"TWO_SIDED"}))
            return
        self.ctx.enable(self.ctx.CULL_FACE)
        lit = {"LIT_VERTICES"} if self._is_dense(view, group) else set()
        self._draw_studio(view, group, frozenset(lit))
        if group.look.back_color is not None and not closed:
            self.ctx.cull_face = "front"
            for box in view.openings:
                view.target_framebuffer.scissor = box
                self._draw_studio(view, group, frozenset({"INSIDE"}))
            view.target_framebuffer.scissor = (0, 0, *view.target_framebuffer.size)
            self.ctx.cull_face = "back"
        self.ctx.disable(self.ctx.CULL_FACE)

    def _is_dense(self, view: _View, group: DrawGroup) -> bool:
        """Whether its triangles are so small in this picture that light per vertex looks as good as light per pixel."""
        look = group.look
        if not self._software or look.faceted or look.glint > 0:
            return False
        return self._edge_length[group.first] * view.pixels_per_unit < _DENSE_EDGE_PX

    def _draw_studio(
        self, view: _View, group: DrawGroup, more: frozenset[str], alpha: tuple[float, float] = (0.0, 2.0)
    ) -> None:
        look, material = group.look, group.material
        switches = {*more, *self._switches(group, group.transparent or group.cut_out)}
        switches.add(f"SHEEN_SQUARINGS {look.sheen_squarings}")
        switches |= {"CUT_OUT"} if group.cut_out else set()
        switches |= {"GLINT"} if look.glint > 0 else set()
        switches |= {"FACETED"} if look.faceted else set()
        program = self._program("studio", frozenset(switches))
        view.write(program)
        set_uniforms(
            program,
            base_color=(*(_linear(value) for value in material.base_color[:3]), material.base_color[3]),
            wrap_gain=tuple(1 / (1 + wrap) for wrap in look.wrap),
            wrap_offset=tuple(wrap / (1 + wrap) for wrap in look.wrap),
            wrap_softness=tuple(0.45 * wrap for wrap in look.wrap),
            sheen=look.sheen,
            glint=look.glint,
            back_color=tuple(_linear(value) for value in look.back_color or (0.0, 0.0, 0.0)),
            alpha_from=alpha[0],
            alpha_to=alpha[1],
            cut_off=material.alpha_cutoff,
        )
        self._draw(program, group)

    def _program(self, fragment: str, switches: frozenset[str]) -> moderngl.Program:
        key = (fragment, switches)
        if key not in self._programs:
            self._programs[key] = make_program(self.ctx, "mesh", fragment, switches)
        return self._programs[key]

    def _draw(self, program: moderngl.Program, group: DrawGroup) -> None:
        if group.material.texture is not None:
            key = id(group.material.texture)
            if key not in self._textures:
                self._textures[key] = upload_texture(self.ctx, group.material.texture)
            self._textures[key].use(0)
        if program not in self._arrays:
            content = [
                (self._positions, "3f", "in_position"),
                (self._normals, "3f", "in_normal"),
                (self._uvs, "2f", "in_uv"),
                (self._colors, "3f", "in_color"),
                (self._openness, "1f", "in_open"),
            ]
            used = [entry for entry in content if entry[2] in program]
            self._arrays[program] = self.ctx.vertex_array(program, used, self._indices)
        self._arrays[program].render(vertices=3 * group.count, first=3 * group.first)

    def _smooth_outlines(self, view: _View, target: RenderTarget) -> None:
        ends = self._outlines.find(self._vertices, self._surface, view.eye_in_head)
        if len(ends) == 0:
            return
        target.snapshot().use(0)
        self._outline_ends.write(np.ascontiguousarray(ends).data)
        program = self._outline_program
        nearer = view.depth_step(_OUTLINE_PULL * self._radius)
        set_uniforms(program, clip_from_head=view.clip_from_head, size=target.size, nearer=nearer)
        view.target_framebuffer.depth_mask = False
        self._outline_array.render(self.ctx.TRIANGLE_STRIP, vertices=4, instances=len(ends))
        view.target_framebuffer.depth_mask = True

    def release(self) -> None:
        """Free the memory on the graphics side."""
        made: list[Any] = [*self._arrays.values(), *self._programs.values(), *self._textures.values()]
        made += [self._outline_array, self._outline_program, self._outline_ends]
        made += [self._positions, self._normals, self._uvs, self._colors, self._openness, self._indices]
        for item in made:
            item.release()


class _View:
    """The matrices of one picture."""

    def __init__(
        self,
        renderer: MeshRenderer,
        target: RenderTarget,
        T_camera_world: NDArray[np.float64],
        intrinsics: Intrinsics,
        T_world_head: NDArray[np.float64] | None,
        lights_on_camera: bool = True,
    ) -> None:
        if (intrinsics.width, intrinsics.height) != target.size:
            raise ValueError(f"the camera is for {intrinsics.width}x{intrinsics.height}, the target is {target.size}")
        T_world_head = np.eye(4) if T_world_head is None else T_world_head
        T_camera_head = T_camera_world @ T_world_head
        centre_z = float(T_camera_head[2, :3] @ renderer._centre + T_camera_head[2, 3])
        reach = _ROOM_TO_MOVE * renderer._radius
        self._near = max(centre_z - reach, 0.02 * reach)
        self._far = max(centre_z + reach, 2 * self._near)
        self._centre_z = max(centre_z, self._near)
        clip = gl_projection(intrinsics, self._near, self._far) @ T_camera_head
        clip = _TOP_ROW_FIRST @ clip if target.top_first else clip
        lights = _OPENCV_TO_VIEW @ T_camera_head[:3, :3] if lights_on_camera else T_world_head[:3, :3]
        self.clip_from_head = np.ascontiguousarray(clip.T, dtype=np.float32).tobytes()
        self.openings = renderer._openings.boxes(renderer._vertices, clip, target.size) if lights_on_camera else []
        self._camera_from_head = np.ascontiguousarray(T_camera_head.T, dtype=np.float32).tobytes()
        self._light_from_head = np.ascontiguousarray(lights.T, dtype=np.float32).tobytes()
        self.pixels_per_unit = intrinsics.fx / self._centre_z
        self.eye_in_head = -T_camera_head[:3, :3].T @ T_camera_head[:3, 3]
        self.target_framebuffer = target.drawn

    def write(self, program: moderngl.Program) -> None:
        """Set the matrices of a program."""
        set_uniforms(
            program,
            clip_from_head=self.clip_from_head,
            camera_from_head=self._camera_from_head,
            light_from_head=self._light_from_head,
        )

    def depth_step(self, distance: float) -> float:
        """Difference in normalised device depth of two points so far apart along the view, at the mesh's centre."""
        near, far = self._near, self._far
        return 2 * far * near / (far - near) * distance / self._centre_z**2


def _typical_edge(vertices: NDArray[np.float32], faces: NDArray[np.int32], group: DrawGroup) -> float:
    """Length that nine tenths of a group's edges stay below."""
    corners = vertices[faces[group.first : group.first + group.count]]
    return float(np.quantile(np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1), 0.9))


def _linear(value: float) -> float:
    """The shader's approximation of the sRGB curve, for single values."""
    return value * (0.0342 + value * (0.5998 + value * 0.3660))
