"""A mesh on the graphics side: its buffers and textures, filled anew as its vertices move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.mesh import Mesh
from render.gl.eyeballs import Eyeballs, EyeShade
from render.gl.kept_arrays import simplify_once
from render.gl.occlusion import bake_openness
from render.gl.posed_mesh import PosedMesh, ShownVertices
from render.gl.shader_programs import make_program
from render.gl.textures import upload_texture
from render.gl.unlocked_gl import draw_triangles
from render.mesh.looks import PartLook
from render.mesh.mesh_layout import DrawGroup, make_layout, neighbours_together
from render.mesh.mesh_simplify import MOST_FACES, simplified
from render.mesh.surface_normals import SurfaceNormals
from render.skin.moving_skin import MovingSkin, SkinPose

if TYPE_CHECKING:
    import moderngl


class GpuMesh:
    """Buffers, textures and programs to draw the groups of one mesh.

    Attributes:
        mesh: what it was made from.
        layout: how it is arranged for drawing.
        faces: [F, 3] int32 mesh vertices of the faces, in drawing order.
        vertices: [V, 3] float32 as last set; shown: [R, 3] those that are drawn, once made ready. Neither where a pose
            was set instead.
        posed: whether one was: the graphics side alone knows where the vertices are.
        surface: their normals, once made ready.
        eyeballs: which of them belong to one.
        repeat: whether textures go on beyond their edges.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        mesh: Mesh,
        looks: Mapping[str, PartLook] | None,
        soft_shadows: bool,
        detail: float | None,
    ) -> None:
        self._ctx = ctx
        self.mesh = mesh
        self.layout = make_layout(mesh, looks)
        if detail is not None and len(mesh.faces) > MOST_FACES:
            self.layout = simplified(self.layout, mesh, MOST_FACES, detail, simplify_once)
        self.layout = neighbours_together(self.layout, mesh.vertices)
        self.faces: NDArray[np.int32] = self.layout.vertex_of[self.layout.corners].astype(np.int32)
        self.surface = SurfaceNormals(mesh.vertices, self.faces, self.layout.vertex_of)
        self.eyeballs = Eyeballs(mesh.vertices, mesh.faces[self.layout.order[_ball_faces(self.layout.groups)]])
        row = np.full(len(mesh.vertices), -1, dtype=np.int64)
        row[self.eyeballs.vertices] = np.arange(len(self.eyeballs.vertices))
        self._eye_rows = np.flatnonzero(row[self.layout.vertex_of] >= 0)
        self._eye_vertex = row[self.layout.vertex_of[self._eye_rows]]
        self._programs: dict[tuple[str, frozenset[str]], moderngl.Program] = {}
        self._arrays: dict[tuple[moderngl.Program, object], moderngl.VertexArray] = {}
        self._same_indices: dict[int, moderngl.Buffer] = {}
        self._posing: PosedMesh | None = None
        self._posed_arrays: dict[tuple[moderngl.Program, object], moderngl.VertexArray] = {}
        self._textures: dict[int, moderngl.Texture] = {}
        low, high = self.layout.uvs.min(initial=0.0), self.layout.uvs.max(initial=1.0)
        self.repeat = bool(low < -1e-3 or high > 1 + 1e-3)  # else opposite edges would bleed into each other
        self._make_buffers(soft_shadows)
        self.set_vertices(mesh.vertices)

    def _make_buffers(self, soft_shadows: bool) -> None:
        layout, mesh = self.layout, self.mesh
        count = len(layout.vertex_of)
        colors = np.ones((count, 3), dtype=np.float32)
        if mesh.vertex_colors is not None:
            colors = mesh.vertex_colors[layout.vertex_of].astype(np.float32)
        openness = np.ones(len(mesh.vertices), dtype=np.float32)
        if soft_shadows:
            openness = bake_openness(self._ctx, mesh, layout)
        self._shade = EyeShade(self.eyeballs, mesh.vertices, openness)
        self._open, self._rest_open = openness.copy(), openness
        self._positions = self._ctx.buffer(reserve=count * 12, dynamic=True)
        self._normals = self._ctx.buffer(reserve=count * 12, dynamic=True)
        self._uvs = self._ctx.buffer(np.ascontiguousarray(layout.uvs).data)
        self._colors = self._ctx.buffer(np.ascontiguousarray(colors).data)
        self._openness = self._ctx.buffer(openness.take(layout.vertex_of).data, dynamic=True)
        self._indices = self._ctx.buffer(np.ascontiguousarray(layout.corners).data)
        self._some_indices = self._ctx.buffer(reserve=layout.corners.nbytes, dynamic=True)

    def set_vertices(self, vertices: NDArray[np.float32]) -> None:
        """Take vertices [V, 3] float32."""
        if vertices.shape != self.mesh.vertices.shape:
            raise ValueError(f"expected vertices {self.mesh.vertices.shape} as in the mesh, got {vertices.shape}")
        self.vertices, self.posed = np.ascontiguousarray(vertices, dtype=np.float32), False
        self._ready_for: bool | None = None

    def set_pose(self, pose: SkinPose) -> None:
        """Take a pose, whose vertices are worked out on the graphics side. What never changes of its skin goes there
        with the first one."""
        if self._posing is None or self._posing.skin is not pose.skin:
            self._posing = self._make_posing(pose.skin)
        self._posing.pose(pose)
        self.posed = True

    def _make_posing(self, skin: MovingSkin) -> PosedMesh:
        if skin.rest.shape != self.mesh.vertices.shape:
            raise ValueError(f"expected a skin of {len(self.mesh.vertices)} vertices, got {len(skin.rest)}")
        for array in self._posed_arrays.values():
            array.release()
        self._posed_arrays.clear()
        if self._posing is not None:
            self._posing.release()
        around, shade = self.surface.around, self._shade.pictures
        shown = ShownVertices(self.layout.vertex_of, self.faces, around, self._rest_open, self.eyeballs, shade)
        return PosedMesh(self._ctx, skin, shown)

    def make_ready(self, *, balls: bool) -> None:
        """Bring the vertices and their normals to the graphics side, before they are drawn: to be lit with eyeballs as
        `balls` (`render.gl.eyeballs`), or every face as the mesh has it."""
        if self.posed:
            assert self._posing is not None
            self._posing.make_shown(balls=balls)
            return
        if self._ready_for is None:
            self._mesh_normals = self.surface.update(self.vertices)  # [R, 3]
            self.shown = self.vertices.take(self.layout.vertex_of, axis=0)
            self._positions.write(self.shown.data)
        if self._ready_for is balls:
            return
        self._ready_for = balls
        normals = self._mesh_normals
        if balls and len(self._eye_rows):
            normals = normals.copy()
            normals[self._eye_rows] = self.eyeballs.normals(self.vertices)[self._eye_vertex]
            self._openness.write(self.openness().take(self.layout.vertex_of).data)
        self._normals.write(normals.data)

    def posed_vertices(self) -> NDArray[np.float32]:
        """[V, 3] where the graphics side has the vertices of the pose last set, read back: for comparisons."""
        if self._posing is None:
            raise ValueError("expected a pose to be set first")
        return self._posing.vertices()

    def openness(self) -> NDArray[np.float32]:
        """[V] share of its surroundings that each vertex sees now."""
        if len(self._eye_rows):
            self._open[self.eyeballs.vertices] = self._shade.openness(self.vertices)
        return self._open

    def program(self, fragment: str, group: DrawGroup, more: frozenset[str], *, alpha: bool) -> moderngl.Program:
        """The program that draws a group with shaders/mesh.vert.glsl and this fragment shader.

        `more`: switches besides those that follow from the mesh and the group's material.
        """
        switches = set(more)
        switches |= {"TEXTURED"} if group.material.texture is not None else set()
        switches |= {"VERTEX_COLORS"} if self.mesh.vertex_colors is not None else set()
        switches |= {"ALPHA"} if alpha else set()
        key = (fragment, frozenset(switches))
        if key not in self._programs:
            self._programs[key] = make_program(self._ctx, "mesh", fragment, key[1])
        return self._programs[key]

    def inside_program(self) -> moderngl.Program:
        """The program for backs of surfaces, which are all alike."""
        key = ("studio", frozenset({"INSIDE", "SHEEN_SQUARINGS 0"}))
        if key not in self._programs:
            self._programs[key] = make_program(self._ctx, "mesh", *key)
        return self._programs[key]

    def draw(self, program: moderngl.Program, group: DrawGroup) -> None:
        """Draw a group with a program whose uniforms are set."""
        if group.material.texture is not None:
            key = id(group.material.texture)
            if key not in self._textures:
                self._textures[key] = upload_texture(self._ctx, group.material.texture, repeat=self.repeat)
            self._textures[key].use(0)
        draw_triangles(self._array(program), 3 * group.count, 3 * group.first)

    def draw_faces(self, program: moderngl.Program, which: NDArray[np.int64]) -> None:
        """Draw some faces, by their numbers in drawing order, whatever group they belong to."""
        self._some_indices.write(self.layout.corners.take(which, axis=0).data)
        draw_triangles(self._array(program, self._some_indices), 3 * len(which), 0)

    def draw_same_faces(self, program: moderngl.Program, number: int, which: NDArray[np.int64]) -> None:
        """The same for faces that never change under this number: it goes up once."""
        if number not in self._same_indices:
            self._same_indices[number] = self._ctx.buffer(
                np.ascontiguousarray(self.layout.corners.take(which, axis=0)).data
            )
        draw_triangles(self._array(program, self._same_indices[number]), 3 * len(which), 0)

    def _array(self, program: moderngl.Program, indices: moderngl.Buffer | None = None) -> moderngl.VertexArray:
        indices = indices or self._indices
        key, arrays = (program, indices), self._posed_arrays if self.posed else self._arrays
        if key not in arrays:
            content = [
                *(self._posed_content(program) if self.posed else self._content()),
                (self._uvs, "2f", "in_uv"),
                (self._colors, "3f", "in_color"),
            ]
            used = [entry for entry in content if any(name in program for name in entry[2:])]
            arrays[key] = self._ctx.vertex_array(program, used, indices)
        return arrays[key]

    def _content(self) -> list[tuple[Any, ...]]:
        return [
            (self._positions, "3f", "in_position"),
            (self._normals, "3f", "in_normal"),
            (self._openness, "1f", "in_open"),
        ]

    def _posed_content(self, program: moderngl.Program) -> list[tuple[Any, ...]]:
        assert self._posing is not None
        parts = ((3, "in_position"), (1, "in_open"), (3, "in_normal"))
        layout = " ".join(f"{wide}f" if name in program else f"{wide}x4" for wide, name in parts)
        return [(self._posing.shown, layout, *(name for _, name in parts if name in program))]

    def release(self) -> None:
        """Free the memory on the graphics side."""
        made: list[Any] = [*self._arrays.values(), *self._posed_arrays.values(), *self._same_indices.values()]
        made += [*self._programs.values(), *self._textures.values(), *([self._posing] if self._posing else [])]
        made += [
            self._positions,
            self._normals,
            self._uvs,
            self._colors,
            self._openness,
            self._indices,
            self._some_indices,
        ]
        for item in made:
            item.release()


def _ball_faces(groups: tuple[DrawGroup, ...]) -> NDArray[np.int64]:
    """Numbers of the faces of eyeballs, in drawing order."""
    balls = [np.arange(group.first, group.first + group.count) for group in groups if group.look.ball]
    return np.concatenate([np.zeros(0, dtype=np.int64), *balls])
