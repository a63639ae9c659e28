"""Draws a mesh whose vertices change every frame: under studio light for people, or flat for the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from core.camera import Intrinsics
from core.mesh import Mesh
from render.gl.backdrop import Backdrop
from render.gl.gl_context import is_software
from render.gl.gpu_mesh import GpuMesh
from render.gl.line_passes import HairlinePass, OutlinePass
from render.gl.material_block import material_block, use_material
from render.gl.mesh_view import VIEW_BYTES, MeshView
from render.gl.render_target import RenderTarget
from render.gl.shader_programs import set_uniforms
from render.gl.unlocked_gl import has_screen_order
from render.mesh.looks import RGB, PartLook
from render.mesh.mesh_edges import MeshEdges
from render.mesh.mesh_layout import DrawGroup, is_closed
from render.mesh.openings import Openings, faces_in_boxes
from render.mesh.surface_normals import Outlines
from render.native.paint_room import PaintRoom
from render.native.painter import PaintedView, Painter, can_paint, compiled_painter
from render.native.spare_core import SpareCore
from render.skin.moving_skin import SkinPose

if TYPE_CHECKING:
    import moderngl

_OUTLINE_PULL = 0.02  # of the mesh's radius
_HAIRLINE_PULL = 0.004
_HAIRLINE_PX = 1.6  # faces thinner than this are drawn as lines
_DENSE_EDGE_PX = 48.0
_SOLID_ALPHA = 0.98
_STRETCH = 2.0  # edges may become so many times longer than at rest
_TWO_SIDED = frozenset({"TWO_SIDED"})


class MeshRenderer:
    """A mesh on the graphics side of a context, which must be current whenever a method is called.

    Args:
        mesh: what to draw; its vertices are the rest shape, for which soft shadows are baked.
        looks: surface qualities by part or material name, where the names themselves do not say (`render.mesh.looks`).
        soft_shadows: bake occlusion (0.1-0.3 s for a head); the flat light does not use it.
        detail: where the processor draws and the mesh is dense, leave out faces that make no difference at a scale at
            which this length in mesh units is about a pixel. None: draw every face.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        mesh: Mesh,
        looks: Mapping[str, PartLook] | None = None,
        *,
        soft_shadows: bool = True,
        detail: float | None = None,
    ) -> None:
        self.ctx = ctx
        self._software = is_software(ctx)
        self._gpu = GpuMesh(ctx, mesh, looks, soft_shadows, detail if self._software else None)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        self._centre = ((low + high) / 2).astype(np.float64)
        self._radius = max(float(np.linalg.norm(high - low)) / 2, 1e-9)
        faces, groups = self._gpu.faces, self._gpu.layout.groups
        solid = [group for group in groups if not (group.transparent or group.cut_out)]
        self._openings = Openings(mesh.vertices, MeshEdges(mesh.vertices, faces, _indices(solid)))
        self._closed = {g.first: is_closed(mesh.vertices, faces[_indices([g])]) for g in groups}
        first_edges = np.linalg.norm(mesh.vertices[faces[:, 0]] - mesh.vertices[faces[:, 1]], axis=1)
        self._edge = {g.first: float(np.quantile(first_edges[_indices([g])], 0.9)) for g in groups}
        self._reach = _longest_edges(mesh.vertices[faces])
        insides: dict[RGB, list[DrawGroup]] = {}
        for group in solid:
            if group.look.back_color is not None:
                insides.setdefault(group.look.back_color, []).append(group)
        self._insides = [(alike[0], _indices(alike)) for alike in insides.values()]
        self._materials = {group.first: material_block(ctx, group) for group in groups}
        self._thin = [group for group in solid if group.look.thin]
        self._thickness = min((_thickness(mesh.vertices[faces[_indices([g])]]) for g in self._thin), default=0.0)
        edged = MeshEdges(mesh.vertices, faces, _indices([group for group in solid if not group.look.thin]))
        self._outlines = Outlines(edged)
        self._outline_pass = OutlinePass(ctx, self._outlines.most)
        lashes = faces[_indices(self._thin)]
        tints = np.full((len(lashes), 3), 0.08, dtype=np.float32)
        if mesh.vertex_colors is not None:
            tints = np.asarray(mesh.vertex_colors[lashes].mean(axis=1) * 0.7, dtype=np.float32)  # they lie in shade
        self._hairline_pass = HairlinePass(ctx, lashes, tints) if len(lashes) else None
        self._view = ctx.buffer(reserve=VIEW_BYTES, dynamic=True)
        self._black: NDArray[np.uint32] | None = None
        self._rooms: WeakKeyDictionary[RenderTarget, PaintRoom] = WeakKeyDictionary()
        self._painter: Painter | None = None
        if self._software and detail is not None and has_screen_order() and can_paint(self._gpu.layout):
            compiled = compiled_painter()
            if compiled is not None:
                closed = {first for first, is_so in self._closed.items() if is_so}
                self._painter = Painter(
                    compiled, mesh, self._gpu.layout, edged, closed=closed, tints=tints, repeat=self._gpu.repeat
                )
                self._spare_core = SpareCore()
                self._centres = np.zeros((len(mesh.vertices), 3), dtype=np.float32)
                self._centres[self._gpu.eyeballs.vertices] = self._gpu.eyeballs.centres

    def set_vertices(self, vertices: NDArray[np.float32]) -> None:
        """Take this frame's vertices [V, 3] float32, before the head pose."""
        self._gpu.set_vertices(vertices)

    def set_pose(self, pose: SkinPose) -> None:
        """Take this frame's pose instead, before the head pose. Only targets with samples can be drawn to then: smooth
        edges without them need to know where the vertices are."""
        self._gpu.set_pose(pose)

    def render(
        self,
        target: RenderTarget,
        T_camera_world: NDArray[np.float64],
        intrinsics: Intrinsics,
        T_world_head: NDArray[np.float64] | None = None,
        backdrop: Backdrop | None = None,
    ) -> None:
        """Draw under the studio light. Edges are smooth: by the target's samples, or drawn over its outlines."""
        view = MeshView(target, T_camera_world, intrinsics, T_world_head, self._centre, self._radius)
        # lashes may be so thin in this picture that without samples they would break up into specks
        as_lines = bool(self._thin) and not target.samples and self._thickness * view.pixels_per_unit < _HAIRLINE_PX
        if self._painter is not None and not target.samples:
            self._paint(self._painter, target, view, backdrop, as_lines=as_lines)
            return
        posed = self._gpu.posed
        if posed and not target.samples:
            raise ValueError("a pose that was not set as vertices is drawn to targets with samples alone")
        self._gpu.make_ready(balls=True)
        self._use(view)
        facing = None if posed else self._gpu.surface.facing(view.eye_in_head)
        target.begin(backdrop, None if posed else view.box(self._gpu.shown))
        self._set_state(blend=False)
        soft = [group for group in self._gpu.layout.groups if group.transparent or group.cut_out]
        for group in self._gpu.layout.groups:
            if group not in soft and not (as_lines and group.look.thin):
                self._draw_solid(view, group)
        self._draw_insides(view, target, facing)
        if not target.samples and facing is not None:
            ends = self._outlines.find(self._gpu.vertices, self._gpu.surface, facing)
            pull = view.depth_step(_OUTLINE_PULL * self._radius)
            self._outline_pass.draw(target, ends, view.clip_bytes, pull)
        for group in soft:
            self._draw_soft(target, group)
        if as_lines and self._hairline_pass is not None:
            self._set_state(blend=True)
            pull = view.depth_step(_HAIRLINE_PULL * self._radius)
            self._hairline_pass.draw(target, self._gpu.vertices, view.clip_bytes, pull)
        target.finish()

    def _paint(
        self, painter: Painter, target: RenderTarget, view: MeshView, backdrop: Backdrop | None, *, as_lines: bool
    ) -> None:
        """The same picture without OpenGL."""
        gpu = self._gpu
        if backdrop is None and (self._black is None or self._black.shape != target.size[::-1]):
            self._black = np.zeros(target.size[::-1], dtype=np.uint32)
        behind = self._black if backdrop is None else backdrop.picture(target.size)
        assert behind is not None
        painted = PaintedView(
            target.size,
            view.clip,
            view.lights,
            {first for first, edge in self._edge.items() if edge * view.pixels_per_unit < _DENSE_EDGE_PX},
            self._openings.boxes(gpu.vertices, view.clip, target.size),
            as_lines,
            view.depth_step(_HAIRLINE_PULL * self._radius),
            view.depth_step(_OUTLINE_PULL * self._radius),
        )
        room = self._rooms.get(target)
        if room is None:
            room = self._rooms[target] = painter.room(target.size)
        room.helped = self._spare_core()
        target.put(painter.paint(gpu.vertices, gpu.openness(), self._centres, painted, behind, room), room.changed)

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
        pose, place = (T_camera_world, intrinsics, T_world_head), (self._centre, self._radius)
        view = MeshView(target, *pose, *place, lights_on_camera=False)
        self._gpu.make_ready(balls=False)
        self._use(view)
        target.begin(None)
        self._set_state(blend=False)
        for group in self._gpu.layout.groups:
            cut = {"MASK": group.material.alpha_cutoff, "BLEND": 0.5}.get(group.material.alpha_mode, 0.0)
            program = self._gpu.program("flat", group, frozenset(), alpha=cut > 0)
            base_color, first_face = group.material.base_color, float(group.first)
            set_uniforms(
                program, base_color=base_color, first_face=first_face, alpha_from=cut, depth_from_head=view.depth_row
            )
            self._gpu.draw(program, group)
        target.finish()
        return self._gpu.layout.order

    def _use(self, view: MeshView) -> None:
        self._view.write(view.block)
        self._view.bind_to_uniform_block(0)  # which is what programs read unless they are told otherwise

    def _set_state(self, *, blend: bool) -> None:
        ctx = self.ctx
        ctx.enable_only(ctx.DEPTH_TEST | (ctx.BLEND if blend else 0))
        ctx.depth_func = "<="
        ctx.front_face = "cw"  # a picture drawn top row first turns the faces round
        ctx.cull_face = "back"
        # colours end up multiplied by their alpha: before nothing, hair is as opaque as it covers
        ctx.blend_func = ctx.SRC_ALPHA, ctx.ONE_MINUS_SRC_ALPHA, ctx.ONE, ctx.ONE_MINUS_SRC_ALPHA  # type: ignore[assignment]

    def _draw_solid(self, view: MeshView, group: DrawGroup) -> None:
        """The fronts of an opaque group; of hair cards and cloth both sides."""
        if group.look.back_color is None and not self._closed[group.first]:
            self._draw_studio(group, _TWO_SIDED)
            return
        # of triangles so small in this picture, light per vertex looks as good as light per pixel
        dense = self._edge[group.first] * view.pixels_per_unit < _DENSE_EDGE_PX
        by_vertex = self._software and dense and not group.look.faceted and group.look.glint <= 0
        self.ctx.enable(self.ctx.CULL_FACE)
        self._draw_studio(group, frozenset({"LIT_VERTICES"} if by_vertex else set()))
        self.ctx.disable(self.ctx.CULL_FACE)

    def _draw_insides(self, view: MeshView, target: RenderTarget, facing: NDArray[np.bool_] | None) -> None:
        """Backs of surfaces, dark: where an opening may show them, given which faces show their front; or all."""
        if facing is None:
            self.ctx.enable(self.ctx.CULL_FACE)
            self.ctx.cull_face = "front"
            for number, (like, backs) in enumerate(self._insides):
                self._gpu.draw_same_faces(self._inside_program(like), number, backs)
            self.ctx.cull_face = "back"
            self.ctx.disable(self.ctx.CULL_FACE)
            return
        boxes = self._openings.boxes(self._gpu.vertices, view.clip, target.size)
        if not boxes:
            return
        reach = self._reach * np.float32(view.pixels_per_unit * _STRETCH)
        origins = self._gpu.surface.face_origins
        for like, backs in self._insides:
            away = backs[~facing.take(backs)]
            near = faces_in_boxes(origins.take(away, axis=1), reach.take(away), view.clip, target.size, boxes)
            which = away[near]
            if len(which):
                self._gpu.draw_faces(self._inside_program(like), which)

    def _inside_program(self, like: DrawGroup) -> moderngl.Program:
        program = self._gpu.inside_program()
        use_material(program, self._materials[like.first])
        return program

    def _draw_soft(self, target: RenderTarget, group: DrawGroup) -> None:
        """What is (nearly) solid first, with depth; then the soft rest over it."""
        self._set_state(blend=False)
        self._draw_studio(group, _TWO_SIDED, alpha=(_SOLID_ALPHA, 2.0))
        self._set_state(blend=True)
        target.drawn.depth_mask = False
        self._draw_studio(group, _TWO_SIDED, alpha=(1 / 255, _SOLID_ALPHA))
        target.drawn.depth_mask = True

    def _draw_studio(self, group: DrawGroup, switches: frozenset[str], alpha: tuple[float, float] = (0.0, 2.0)) -> None:
        look = group.look
        more = {*switches, f"SHEEN_SQUARINGS {look.sheen_squarings}"}
        more |= {"CUT_OUT"} if group.cut_out else set()
        more |= {"EYEBALL" if look.ball else "GLINT"} if look.glint > 0 else set()
        more |= {"FACETED"} if look.faceted else set()
        program = self._gpu.program("studio", group, frozenset(more), alpha=group.transparent or group.cut_out)
        use_material(program, self._materials[group.first])
        set_uniforms(program, alpha_from=alpha[0], alpha_to=alpha[1])
        self._gpu.draw(program, group)

    def release(self) -> None:
        """Free the memory on the graphics side."""
        self._gpu.release()
        for buffer in (self._view, *self._materials.values()):
            buffer.release()
        self._outline_pass.release()
        if self._hairline_pass is not None:
            self._hairline_pass.release()


def _indices(groups: list[DrawGroup]) -> NDArray[np.int64]:
    """Numbers of the faces of these groups, in drawing order."""
    return np.concatenate([np.zeros(0, np.int64), *(np.arange(g.first, g.first + g.count) for g in groups)])


def _longest_edges(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n] length of the longest edge of each of the triangles [n, 3, 3]."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    return np.asarray(edges.max(axis=1), dtype=np.float32)


def _thickness(corners: NDArray[np.float32]) -> float:
    """Median height over the longest side of triangles [n, 3, 3]."""
    sides = _longest_edges(corners)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return float(np.median(areas / np.maximum(sides, 1e-20)))
