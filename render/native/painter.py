"""Pictures of a head drawn by the processor alone.

What Mesa's rasteriser does with a general pipeline, `painter.c` does for heads: each pixel is lit once, whatever the
size of the triangles, on one thread, and without Python's lock.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.mesh import Mesh
from core.native.compiled_library import loaded_if_possible, pointer
from core.spans import span
from render.mesh.mesh_edges import MeshEdges
from render.mesh.mesh_layout import DrawGroup, RenderLayout, weld_smooth
from render.mesh.openings import Box
from render.native.paint_room import PaintRoom

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("painter.c")
_WITHOUT = "heads are drawn by OpenGL's software rasteriser"
_MOST_BOXES, _MOST_LEVELS, _MOST_SIDE = 16, 14, 4096
_LIT_VERTICES, _TWO_SIDED, _BALL, _VERTEX_COLORS, _HAS_INSIDE, _HIDDEN = (1 << bit for bit in range(6))
_BORDER, _SLIT = 1, 2
_ROW, _UV = 16, slice(7, 9)  # of a vertex in the picture


class _Group(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("first_vertex", "vertices", "first_face", "faces", "flags", "texture")),
        ("squarings", ctypes.c_int32),
        *((name, ctypes.c_float * 3) for name in ("base", "gain", "offset", "softness")),
        ("sheen", ctypes.c_float),
        ("glint", ctypes.c_float),
        ("back", ctypes.c_float * 3),
    )


class _Texture(ctypes.Structure):
    _fields_ = (
        ("texels", ctypes.c_void_p * _MOST_LEVELS),
        ("width", ctypes.c_int32 * _MOST_LEVELS),
        ("height", ctypes.c_int32 * _MOST_LEVELS),
        ("levels", ctypes.c_int32),
        ("repeat", ctypes.c_int32),
    )


class _Scene(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("groups", "textures", "vertices", "faces", "welded", "edges", "hairs")),
        ("group", ctypes.POINTER(_Group)),
        ("texture", ctypes.POINTER(_Texture)),
        *((name, ctypes.c_void_p) for name in ("vertex_of", "weld", "corners", "color", "edge")),
        ("apart", ctypes.c_float),
        ("hair", ctypes.c_void_p),
        ("hair_tint", ctypes.c_void_p),
    )


class _View(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("points", "open", "centre")),
        ("clip", ctypes.c_float * 16),
        ("light", ctypes.c_float * 9),
        *((name, ctypes.c_float) for name in ("outline_pull", "hair_pull")),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("boxes", ctypes.c_int32),
        ("inside", ctypes.c_int32 * (4 * _MOST_BOXES)),
        ("as_lines", ctypes.c_int32),
    )


@functools.cache
def compiled_painter(folder: Path | None = None) -> ctypes.CDLL | None:
    """The compiled painter; None, and a line in the log, where it cannot be had: OpenGL draws then."""
    found = loaded_if_possible(SOURCE, folder, "is_quick", _WITHOUT)
    if found is not None and not found.is_quick():
        log.info("%s: the painter needs a processor with AVX2", _WITHOUT)
        return None
    return found


def can_paint(layout: RenderLayout) -> bool:
    """Whether a head is made of what the painter draws: opaque, smooth surfaces."""
    return not any(group.transparent or group.cut_out or group.look.faceted for group in layout.groups)


@dataclass(frozen=True, eq=False)
class PaintedView:
    """One picture to paint. Depths are OpenGL's, from -1 to 1.

    Attributes:
        size: width and height.
        clip: [4, 4] from the head's frame to clip space, first row at the top; light: [3, 3] normals to view axes.
        dense: which groups, by their first face, have triangles so small here that light per vertex looks as good.
        openings: where backs may be seen.
        as_lines: draw thin groups as hairlines; hair_pull, outline_pull: how much nearer lines are than the mesh.
    """

    size: tuple[int, int]
    clip: NDArray[np.float64]
    light: NDArray[np.float64]
    dense: Collection[int]
    openings: list[Box]
    as_lines: bool
    hair_pull: float
    outline_pull: float


class Painter:
    """Paints one head whose vertices move. For one thread at a time.

    Args:
        compiled: what `library` returns.
        layout: for which `can_paint` holds; its faces [F] are those that `edges` counts.
        edges: where outlines may be.
        closed: the groups, by their first face, of whose backs nothing can be seen.
        tints: [n, 3] sRGB of the faces of thin groups, in drawing order.
        repeat: whether textures go on beyond their edges.
    """

    def __init__(
        self,
        compiled: ctypes.CDLL,
        mesh: Mesh,
        layout: RenderLayout,
        edges: MeshEdges,
        *,
        closed: Collection[int],
        tints: NDArray[np.float32],
        repeat: bool,
    ) -> None:
        self._library = compiled
        self._kept: list[Any] = []  # what C points into
        self._groups, corners, vertex = _own_vertices(layout)
        vertex_of = layout.vertex_of[vertex]
        weld = weld_smooth(mesh.vertices, layout.vertex_of[layout.corners].astype(np.int32))
        count, faces = len(vertex_of), len(corners)
        colors = np.ones((count, 3)) if mesh.vertex_colors is None else mesh.vertex_colors[vertex_of]
        self._group = (_Group * len(layout.groups))()
        pictures: dict[int, int] = {}
        textures: list[_Texture] = []
        for own, group, (first, vertices) in zip(self._group, layout.groups, self._groups, strict=True):
            picture = group.material.texture
            if picture is not None and id(picture) not in pictures:
                pictures[id(picture)] = len(textures)
                textures.append(self._texture(picture, repeat))
            own.texture = -1 if picture is None else pictures[id(picture)]
            own.first_vertex, own.vertices, own.first_face, own.faces = first, vertices, group.first, group.count
            _set_look(own, group, colored=mesh.vertex_colors is not None, closed=group.first in closed)
        self._texture_array = (_Texture * max(len(textures), 1))(*textures)
        thin = [np.arange(g.first, g.first + g.count) for g in layout.groups if g.look.thin]
        hairs = layout.vertex_of[layout.corners[np.concatenate([np.zeros(0, np.int64), *thin])]]
        kinds = _BORDER * edges.is_border + _SLIT * edges.is_slit
        edge = np.column_stack([edges.own, edges.other, edges.left, edges.right, edges.across, kinds])
        self._scene = _Scene(
            groups=len(layout.groups),
            textures=len(textures),
            vertices=count,
            faces=faces,
            welded=int(weld.max()) + 1,
            edges=len(edge),
            hairs=len(hairs),
            group=self._group,
            texture=self._texture_array,
            vertex_of=self._whole_numbers(vertex_of),
            weld=self._whole_numbers(weld[vertex_of]),
            corners=self._whole_numbers(corners),
            color=self._numbers(colors),
            edge=self._whole_numbers(edge),
            apart=edges.apart,
            hair=self._whole_numbers(hairs),
            hair_tint=self._numbers(tints),
        )
        rows = np.zeros((count, _ROW), dtype=np.float32)
        rows[:, _UV] = layout.uvs[vertex]
        self._vertex = self._numbers(rows)
        self._normal = self._numbers(np.zeros((int(weld.max()) + 1, 3)))
        self._front = self._numbers(np.zeros(faces))
        self._thin = {number for number, group in enumerate(layout.groups) if group.look.thin}
        self._group_of = (ctypes.c_void_p * faces)()

    def room(self, size: tuple[int, int]) -> PaintRoom:
        """Room for pictures of this width and height: each that is painted again and again takes one of its own."""
        return PaintRoom(size, self._scene.faces)

    def _whole_numbers(self, array: NDArray[Any]) -> ctypes.c_void_p | None:
        self._kept.append(np.ascontiguousarray(array, dtype=np.int32))
        return pointer(self._kept[-1])

    def _numbers(self, array: NDArray[Any]) -> ctypes.c_void_p | None:
        self._kept.append(np.ascontiguousarray(array, dtype=np.float32))
        return pointer(self._kept[-1])

    def _texture(self, picture: NDArray[np.uint8], repeat: bool) -> _Texture:
        """The picture and its halves."""
        texture = _Texture(repeat=int(repeat))
        shrink = min(_MOST_SIDE / max(picture.shape[:2]), 1.0)
        width, height = (max(round(side * shrink), 1) for side in (picture.shape[1], picture.shape[0]))
        level = np.ascontiguousarray(picture[..., :3])
        while texture.levels < _MOST_LEVELS:
            if level.shape[:2] != (height, width):
                level = np.asarray(cv2.resize(level, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
            self._kept.append(np.ascontiguousarray(cv2.cvtColor(level, cv2.COLOR_RGB2RGBA)))
            number = texture.levels
            texture.texels[number] = self._kept[-1].ctypes.data
            texture.width[number], texture.height[number] = width, height
            texture.levels = number + 1
            if width == height == 1:
                break
            width, height = max(width // 2, 1), max(height // 2, 1)
        return texture

    def paint(
        self,
        vertices: NDArray[np.float32],
        openness: NDArray[np.float32],
        centres: NDArray[np.float32],
        view: PaintedView,
        backdrop: NDArray[np.uint32],
        room: PaintRoom,
    ) -> NDArray[np.uint32]:
        """The room's picture [H, W] uint32, 0xAARRGGBB with the alpha multiplied in, first row at the top.

        Args:
            vertices: [V, 3] float32 of the mesh, before the head pose.
            openness: [V] float32 share of its surroundings that each sees; centres: [V, 3] float32 of its eyeball.
            backdrop: [H, W] what is behind, the same array as long as it is the same picture.
            room: of the view's size.
        """
        room.put_behind(backdrop)
        work = room.work
        work.vertex, work.normal, work.front = self._vertex, self._normal, self._front
        work.workers = room.workers if room.helped else 1
        for number, own in enumerate(self._group):
            per_vertex = own.first_face in view.dense and not own.flags & _TWO_SIDED and own.glint <= 0
            own.flags = own.flags & ~(_LIT_VERTICES | _HIDDEN) | (_LIT_VERTICES if per_vertex else 0)
            if view.as_lines and number in self._thin:
                own.flags |= _HIDDEN
        given = [np.ascontiguousarray(array, dtype=np.float32) for array in (vertices, openness, centres)]
        openings = view.openings if len(view.openings) <= _MOST_BOXES else [(0, 0, *view.size)]
        frame = _View(
            *(pointer(array) for array in given),
            (ctypes.c_float * 16)(*view.clip.reshape(-1)),
            (ctypes.c_float * 9)(*view.light.reshape(-1)),
            view.outline_pull,
            view.hair_pull,
            *view.size,
            len(openings),
            (ctypes.c_int32 * (4 * _MOST_BOXES))(*(side for box in openings for side in box)),
            int(view.as_lines),
        )
        with span("gl"):
            self._library.draw_head(
                ctypes.byref(self._scene),
                ctypes.byref(frame),
                ctypes.byref(work),
                self._group_of,
            )
        return room.picture


def _own_vertices(layout: RenderLayout) -> tuple[list[tuple[int, int]], NDArray[np.int64], NDArray[np.int64]]:
    """First vertex and number of vertices of each group, which share none; corners [F, 3] of those; and the vertices
    [n] of the layout that they are."""
    ranges, corners, vertices, first = [], [], [], 0
    for group in layout.groups:
        flat = layout.corners[group.first : group.first + group.count].reshape(-1)
        used, at, inverse = np.unique(flat, return_index=True, return_inverse=True)
        order = np.argsort(at)  # in the order of drawing
        number = np.empty(len(used), dtype=np.int64)
        number[order] = np.arange(len(used))
        corners.append(first + number[inverse.reshape(-1)].reshape(-1, 3))
        vertices.append(used[order])
        ranges.append((first, len(used)))
        first += len(used)
    return ranges, np.concatenate(corners), np.concatenate(vertices)


def _set_look(own: _Group, group: DrawGroup, *, colored: bool, closed: bool) -> None:
    look = group.look
    own.base = tuple(_linear(value) for value in group.material.base_color[:3])
    own.gain = tuple(1 / (1 + wrap) for wrap in look.wrap)
    own.offset = tuple(wrap / (1 + wrap) for wrap in look.wrap)
    own.softness = tuple(0.45 * wrap for wrap in look.wrap)
    own.squarings, own.sheen, own.glint = look.sheen_squarings, look.sheen, look.glint
    own.back = tuple(_linear(value) for value in look.back_color or (0.0, 0.0, 0.0))
    own.flags = (_BALL if look.ball else 0) | (_VERTEX_COLORS if colored else 0)
    own.flags |= _HAS_INSIDE if look.back_color is not None else 0
    own.flags |= _TWO_SIDED if look.back_color is None and not closed else 0


def _linear(value: float) -> float:
    """The shader's approximation of the sRGB curve, for single values."""
    return value * (0.0342 + value * (0.5998 + value * 0.3660))
