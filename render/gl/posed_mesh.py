"""A head that is posed on the graphics side: per frame, a pose's numbers go up, and all else is worked out there.

    numbers ─▶ margins of lids that would cross ─▶ places of skin, teeth, eyeballs ─▶ places of lashes
        ─▶ normals and soft shadow of what is drawn

Passes of vertex shaders whose results are kept (transform feedback), each of which reads what the one before
wrote: OpenGL 3.3 has no storage buffers, so lists are textures, and what a pass wrote is copied into one for the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from render.gl.eyeballs import SHADE_RIM, Eyeballs
from render.gl.shader_programs import make_transform, set_uniforms
from render.skin.moving_skin import LASH, Follows, LidMargins, MovingSkin, SkinPose

if TYPE_CHECKING:
    import moderngl
    from scipy import sparse

Kept = TypeVar("Kept")

_WIDE = 1024  # of lists as textures: OpenGL 3.3 promises no more
_TEXTURES = (
    *("exact", "rounded", "follows", "lids", "places", "rims", "lashes"),
    *("faces", "shade", "margins", "follows_margins", "follows_units"),
)  # in the order of their units, from 1 on: materials use 0


@dataclass(frozen=True, eq=False)
class ShownVertices:
    """What of a head is drawn.

    Attributes:
        vertex: [N] the skin's vertices.
        faces: [F, 3] vertices of the faces; around: [N, F] how often each counts in a normal.
        openness: [R] share of its surroundings that each vertex sees at rest.
        eyeballs: which are lit as balls; shade: [balls, grid, grid] what is seen from there by direction.
    """

    vertex: NDArray[np.integer]
    faces: NDArray[np.int32]
    around: sparse.csr_matrix
    openness: NDArray[np.float32]
    eyeballs: Eyeballs
    shade: NDArray[np.float32]


class PosedMesh:
    """The vertices of one head on the graphics side.

    Attributes:
        skin: whose poses it takes.
        shown: buffer of place (3), openness (1) and normal (3) in single precision for each vertex that is drawn.
    """

    def __init__(self, ctx: moderngl.Context, skin: MovingSkin, drawn: ShownVertices) -> None:
        self._ctx, self.skin = ctx, skin
        self._made: list[Any] = []
        is_lash = skin.kind == LASH
        rows = -(-len(skin.rest) // _WIDE)
        lashes = np.concatenate([eye.lashes for eye in skin.eyes])
        self._place = np.arange(len(skin.rest))
        self._place[lashes] = rows * _WIDE + np.arange(len(lashes))  # apart, as they are written later
        assert is_lash.sum() == len(lashes)
        self._rows, self._lash_rows = rows, -(-len(lashes) // _WIDE)
        self._exact = self._keep(ctx.texture((skin.exact, 1), 1, dtype="f4"))
        self._rounded = self._keep(ctx.texture((max(skin.count - skin.exact, 1), 1), 1, dtype="f2"))
        self._places = self._keep(ctx.texture((_WIDE, rows + self._lash_rows), 4, dtype="f4"))
        # without a display there is no framebuffer of the context's own, and OpenGL refuses to work without one
        self._nowhere = self._keep(ctx.framebuffer([self._keep(ctx.renderbuffer((1, 1)))]))
        self._textures = {"exact": self._exact, "rounded": self._rounded, "places": self._places}
        self._margin_pass = None if skin.margins is None else self._make_margin_pass(skin.margins)
        self._skin_pass, self._skin_places = self._make_skin_pass(skin)
        self._lash_pass = self._make_lash_pass(skin, len(lashes))
        self._shown_pass, self.shown = self._make_shown_pass(drawn)
        self._balls: bool | None = None

    def _keep(self, made: Kept) -> Kept:
        self._made.append(made)
        return made

    def _make_margin_pass(self, margins: LidMargins) -> tuple[moderngl.VertexArray, moderngl.Buffer]:
        program = self._program("pose_margins", ("at",))
        set_uniforms(program, to_skin=np.ascontiguousarray(margins.to_skin, np.float32).tobytes())
        self._list("follows_units", np.column_stack([margins.follows.number, margins.follows.amount]))
        rows = -(-len(margins.base) // _WIDE)
        self._textures["margins"] = self._keep(self._ctx.texture((_WIDE, rows), 4, dtype="f4"))
        floats = np.column_stack([margins.base, margins.centre, margins.share]).astype(np.float32)
        whole = np.column_stack([_runs(margins.follows), margins.number]).astype(np.int32)
        content = [
            (self._buffer(floats), "3f 3f 1f", "in_base", "in_centre", "in_share"),
            (self._buffer(whole), "2i 1i", "in_follows", "in_overlap"),
        ]
        array = self._keep(self._ctx.vertex_array(program, content))
        return array, self._keep(self._ctx.buffer(reserve=16 * _WIDE * rows))

    def _make_skin_pass(self, skin: MovingSkin) -> tuple[moderngl.VertexArray, moderngl.Buffer]:
        program = self._program("pose_skin", ("at",))
        set_uniforms(
            program,
            profile=np.concatenate([eye.profile for eye in skin.eyes]).astype(np.float32).tobytes(),
            neck_base=tuple(skin.neck_base.tolist()),
        )
        self._list("follows", np.column_stack([skin.follows.number, skin.follows.amount]))
        self._list("follows_margins", np.column_stack([skin.follows_margins.number, skin.follows_margins.amount]))
        self._list("lids", np.column_stack([skin.lids.number, skin.lids.amount]))
        floats = np.column_stack([skin.rest, skin.neck_share]).astype(np.float32)
        runs = [_runs(each) for each in (skin.follows, skin.follows_margins, skin.lids)]
        whole = np.column_stack([*runs, skin.kind, skin.eye]).astype(np.int32)
        content = [
            (self._buffer(floats), "3f 1f", "in_rest", "in_share"),
            (self._buffer(whole), "2i 2i 2i 2i", "in_follows", "in_margins", "in_lids", "in_kind"),
        ]
        array = self._keep(self._ctx.vertex_array(program, content))
        return array, self._keep(self._ctx.buffer(reserve=16 * _WIDE * self._rows))

    def _make_lash_pass(self, skin: MovingSkin, count: int) -> tuple[moderngl.VertexArray, moderngl.Buffer] | None:
        if not count:
            return None
        program = self._program("pose_lashes", ("at",))
        set_uniforms(program, lash_turn=skin.eyes[0].lash_turn)
        between = [
            np.dstack([self._place[eye.rims], eye.rim_share[..., None], eye.rest_angle[..., None]]) for eye in skin.eyes
        ]
        self._table("rims", np.concatenate(between))
        tables = []
        for eye in skin.eyes:
            table = np.zeros((len(eye.lashes), 11, 4), dtype=np.float32)
            table[:, 0, 0], table[:, 0, 1] = eye.lash_column, eye.lash_rim
            table[:, 1, :3] = eye.lash_offset
            table[:, 2:].reshape(len(table), -1)[:, :33] = eye.lash_weights
            tables.append(table)
        self._table("lashes", np.concatenate(tables))
        which = np.repeat(np.arange(2), [len(table) for table in tables])
        rows = self._buffer(np.column_stack([np.arange(count), which]).astype(np.int32))
        array = self._keep(self._ctx.vertex_array(program, [(rows, "2i", "in_lash")]))
        return array, self._keep(self._ctx.buffer(reserve=16 * _WIDE * self._lash_rows))

    def _make_shown_pass(self, drawn: ShownVertices) -> tuple[moderngl.VertexArray, moderngl.Buffer]:
        program = self._program("pose_shown", ("shown", "normal"))
        set_uniforms(program, shade_rim=SHADE_RIM)
        corners = self._place[drawn.faces[drawn.around.indices]]
        self._list("faces", np.column_stack([corners, drawn.around.data]))
        shade = drawn.shade if len(drawn.shade) else np.ones((1, 1, 1), np.float32)
        picture = np.ascontiguousarray(shade.reshape(-1, shade.shape[2]), dtype=np.float32)
        self._textures["shade"] = self._keep(self._ctx.texture(picture.shape[::-1], 1, picture.tobytes(), dtype="f4"))
        ball = np.zeros((len(drawn.openness), 4), dtype=np.float32)
        ball[:, 3] = -1
        balls = drawn.eyeballs
        ball[balls.vertices, :3], ball[balls.vertices, 3] = balls.centres, balls.of_vertex
        start, end = drawn.around.indptr[:-1], drawn.around.indptr[1:]
        whole = np.column_stack([self._place[drawn.vertex], start, end - start]).astype(np.int32)
        floats = np.column_stack([drawn.openness[drawn.vertex], ball[drawn.vertex]]).astype(np.float32)
        content = [
            (self._buffer(whole), "1i 2i", "in_place", "in_faces"),
            (self._buffer(floats), "1f 4f", "in_open", "in_ball"),
        ]
        array = self._keep(self._ctx.vertex_array(program, content))
        return array, self._keep(self._ctx.buffer(reserve=28 * len(drawn.vertex)))

    def _program(self, name: str, results: tuple[str, ...]) -> moderngl.Program:
        """A pass, with what never changes set."""
        program = self._keep(make_transform(self._ctx, name, results))
        eyes = self.skin.eyes
        set_uniforms(
            program,
            **{name: unit for unit, name in enumerate(_TEXTURES, 1)},
            exact_count=self.skin.exact,
            frame=np.stack([eye.frame for eye in eyes]).astype(np.float32).tobytes(),
            centre=np.stack([eye.centre for eye in eyes]).astype(np.float32).tobytes(),
        )
        return program

    def _buffer(self, content: NDArray[Any]) -> moderngl.Buffer:
        return self._keep(self._ctx.buffer(np.ascontiguousarray(content).tobytes()))

    def _list(self, name: str, entries: NDArray[Any]) -> None:
        """Entries [n, 4 at most] to be read one by one."""
        rows = max(-(-len(entries) // _WIDE), 1)
        table = np.zeros((rows * _WIDE, 4), dtype=np.float32)
        table[: len(entries), : entries.shape[1]] = entries
        self._table(name, table.reshape(rows, _WIDE, 4))

    def _table(self, name: str, table: NDArray[Any]) -> None:
        """[rows, columns, 4] to be read by column and row."""
        content = np.ascontiguousarray(table, dtype=np.float32)
        self._textures[name] = self._keep(self._ctx.texture(content.shape[1::-1], 4, content.tobytes(), dtype="f4"))

    def pose(self, pose: SkinPose) -> None:
        """Take the numbers of a pose of this skin."""
        exact = self.skin.exact
        self._exact.write(pose.numbers[:exact].tobytes())
        if exact < self.skin.count:
            self._rounded.write(pose.numbers[exact:].astype(np.float16).tobytes())
        self._balls = None
        self._begin()
        set_uniforms(self._skin_pass.program, crossing=int(pose.crossing))
        if self._margin_pass is not None and pose.crossing:
            margin_pass, turned = self._margin_pass
            margin_pass.transform(turned, self._ctx.POINTS)
            self._textures["margins"].write(turned)
        self._skin_pass.transform(self._skin_places, self._ctx.POINTS)
        self._places.write(self._skin_places, viewport=(0, 0, _WIDE, self._rows))
        if self._lash_pass is not None:
            lash_pass, lash_places = self._lash_pass
            lash_pass.transform(lash_places, self._ctx.POINTS)
            self._places.write(lash_places, viewport=(0, self._rows, _WIDE, self._lash_rows))

    def _begin(self) -> None:
        self._nowhere.use()
        for name, texture in self._textures.items():
            texture.use(1 + _TEXTURES.index(name))

    def make_shown(self, *, balls: bool) -> None:
        """Fill `shown`, to be lit with eyeballs as `balls`, or every face as the mesh has it."""
        if self._balls is balls:
            return
        self._balls = balls
        self._begin()
        set_uniforms(self._shown_pass.program, balls=int(balls))
        self._shown_pass.transform(self.shown, self._ctx.POINTS)

    def vertices(self) -> NDArray[np.float32]:
        """[R, 3] where the vertices are, read back: for tests and comparisons."""
        places = np.frombuffer(self._places.read(), dtype=np.float32).reshape(-1, 4)
        return np.ascontiguousarray(places[self._place, :3])

    def release(self) -> None:
        """Free the memory on the graphics side."""
        for each in reversed(self._made):
            each.release()
        self._made.clear()


def _runs(follows: Follows) -> NDArray[np.int32]:
    """[R, 2] first entry of each row, and how many."""
    return np.column_stack([follows.start[:-1], np.diff(follows.start)])
