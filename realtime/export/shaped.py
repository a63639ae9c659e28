"""A take as shapes and their weights: the 52 units of `vfa rig`, with corrections, or the fewest within a tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.rig.own_shapes import units_among
from calib.rigging.morphs import MorphUnits
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.mesh import MeshPart
from engine.motion.protocol import AvatarPose
from realtime.export.low_rank import Tell, fewest_shapes
from realtime.export.one_way import one_way
from realtime.export.posed import PosedAvatar
from realtime.export.sampling import Frame
from realtime.rig.head_shapes import UNITS_PER_METRE, HeadShapes, head_shapes
from realtime.rig.naming import targets
from render.mesh.export.rigged_mesh import RiggedMesh, Shape
from render.mesh.export.shape_animation import ShapeAnimation

Array = NDArray[np.float32]
ShapesName = Literal["auto", "units", "corrected", "fewest"]

TOLERANCE_MM = 0.1
_NECK, _NECK_MM = "neckBend", 0.5
_INSIDE, _INSIDE_MM = "mouthInside", 0.5
_CORRECTION, CORRECTION_MM = "correction", 0.5
_KEPT_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class ShapedTake:
    """What goes into an animated file.

    Attributes:
        rigged: the mesh and its shapes.
        own: names of those that the head's file has already.
        animation: their weights over time.
        kind: "units", "corrected" or "fewest".
        worst_mm: [T] of each frame, how far the farthest vertex is from where live shows it, with weights that are
            taken for 0 below 0 and for 1 above 1, on a head as large as people's; where the frames were not measured
            one by one, a single number: the largest of all.
    """

    rigged: RiggedMesh
    own: frozenset[str]
    animation: ShapeAnimation
    kind: Literal["units", "corrected", "fewest"]
    worst_mm: NDArray[np.float64]


def in_units(posed: PosedAvatar, tell: Tell, *, correction_mm: float | None = None) -> ShapedTake:
    """The 52 units with the weights of the motion, all in 0..1: what goes below 0 or above 1 is a shape of its own
    (`realtime.export.one_way`). A few shapes more, `neckBend0` and so on, bend the neck as the head turns, and
    `mouthInside0` and so on turn teeth and tongue with the jaw, whose turns are no sum.

    The error is what the sum of single units misses of lips that touch and lids that close, which live sees to.
    `correction_mm` adds `correction0` and so on, as few as leave no vertex farther off than this.
    """
    avatar, motion = posed.avatar, posed.motion
    tell("shapes", 0, None)
    made: HeadShapes | None = None
    weights, neutral = motion.weights.astype(np.float32), avatar.rig.rest
    if own := avatar.file_mesh.morphs is not None:
        rigged, moved = _own_shapes(avatar)
        weights = weights[:, [UNIT_NAMES.index(unit) for unit in units_among(avatar.file_mesh)]]
    else:
        made = head_shapes(avatar, targets("arkit"))
        rigged, moved, neutral = made.rigged, made.posed - made.neutral, made.neutral
    names = rigged.names
    rigged, played, moved = _played(rigged, weights, moved)
    still, inside = avatar.rig.neck.share < 1, np.zeros(len(neutral), dtype=bool)
    inside[avatar.rig.jaw.vertices], inside[avatar.rig.jaw.upper] = True, True
    inside &= ~still
    skin = ~(still | inside)
    shapes_of = {id(of): moved[:, of].reshape(len(moved), -1) for of in (still, inside, skin)}

    def left_of(number: int, pose: AvatarPose, of: NDArray[np.bool_]) -> Array:
        """What the units leave to be done."""
        done = (played[number] @ shapes_of[id(of)]).reshape(-1, 3)
        return np.asarray(pose.vertices[of] - neutral[of] - done)

    def again(of: NDArray[np.bool_]) -> Callable[[], Iterator[Array]]:
        return lambda: (left_of(number, pose, of) for number, pose in enumerate(posed.poses()))

    few = 12 * int((still | inside).sum()) * len(motion) <= _KEPT_BYTES
    kept: dict[str, list[Array]] = {_NECK: [], _INSIDE: []}  # where memory allows: the head need not be posed anew
    T_head = np.empty((len(motion), 4, 4))
    worst = np.empty(len(motion))
    for number, pose in enumerate(posed.poses()):
        T_head[number] = avatar.motion_to_file(pose.T_world_head)
        worst[number] = _longest(left_of(number, pose, skin)) * 1000 / UNITS_PER_METRE
        if few:
            kept[_NECK].append(left_of(number, pose, still))
            kept[_INSIDE].append(left_of(number, pose, inside))
        tell("weights", number + 1, len(motion))
    corrected: list[tuple[str, NDArray[np.bool_], float]] = []
    if not np.allclose(T_head, np.eye(4)):
        corrected.append((_NECK, still, _NECK_MM))
    corrected.append((_INSIDE, inside, _INSIDE_MM))
    if correction_mm is not None and worst.max(initial=0.0) > correction_mm:
        corrected.append((_CORRECTION, skin, correction_mm))
        worst[:] = 0.0
    added: list[Shape] = []
    added_weights: list[Array] = []
    for name, of, most_mm in corrected:
        if not of.any():
            continue
        frames = partial(iter, kept[name]) if few and name in kept else again(of)
        found = fewest_shapes(frames, len(motion), most_mm / 1000 * UNITS_PER_METRE, tell)
        worst = np.maximum(worst, found.error * 1000 / UNITS_PER_METRE)
        added_weights.append(found.weights)
        for number, shape in enumerate(found.shapes):
            whole = np.zeros_like(neutral)
            whole[of] = shape
            added.append(Shape.of(f"{name}{number}", _in_file(avatar, made, whole), rigged.least))
    rigged = replace(rigged, shapes=(*rigged.shapes, *added))
    animation = ShapeAnimation(
        _from_zero(motion.timestamps_s),
        rigged.names,
        np.concatenate([played, *added_weights], axis=1),
        T_head if posed.head_pose == "follow" else None,
    )
    in_file = frozenset(names if own else ())
    kind: Literal["units", "corrected"] = "units" if correction_mm is None else "corrected"
    return ShapedTake(rigged, in_file, animation, kind, worst)


def _played(rigged: RiggedMesh, weights: Array, moved: Array) -> tuple[RiggedMesh, Array, Array]:
    """With a shape more where a weight goes below 0 or above 1: the mesh, weights [T, K] in 0..1 and how the shapes
    move what is drawn [K, R, 3]."""
    ways = one_way(rigged.names, weights)
    shapes = list(rigged.shapes)
    for name, number, reach in ways.added:
        of = rigged.shapes[number]
        shapes.append(Shape(name, of.rows, (of.moved * np.float32(reach)).astype(np.float32)))
    more = [moved[number] * np.float32(reach) for _, number, reach in ways.added]
    return (
        replace(rigged, shapes=tuple(shapes)),
        ways.weights,
        np.concatenate([moved, np.array(more).reshape(-1, *moved.shape[1:])]).astype(np.float32),
    )


def _own_shapes(avatar: Avatar) -> tuple[RiggedMesh, Array]:
    """Of a head that is moved by the shapes in its file: these, and how they move what is drawn [M, R, 3]."""
    morphs = avatar.file_mesh.morphs
    assert morphs is not None, "such a head has shapes"
    own, found = MorphUnits(avatar), units_among(avatar.file_mesh)
    alone = np.eye(UNIT_COUNT)
    moved = np.stack([own.displacement(alone[UNIT_NAMES.index(unit)])[0] for unit in found])
    rigged = file_as_it_is(avatar)
    shapes = tuple(Shape.of(morphs.names[number], morphs.displacement[number], 0.0) for number in found.values())
    return replace(rigged, shapes=shapes), moved


def fewest(
    posed: PosedAvatar | None,
    recorded: Callable[[], Iterator[Frame]] | None,
    avatar: Avatar,
    times_s: NDArray[np.float64],
    T_file_head: NDArray[np.float64] | None,
    tell: Tell,
    tolerance_mm: float = TOLERANCE_MM,
) -> ShapedTake:
    """As few shapes as repeat every frame within `tolerance_mm` on a head as large as people's.

    Of a motion, worked out with the avatar's whole mesh, inside of the mouth and cut lips included; of recorded
    vertices, on the file's own mesh.
    """
    if posed is not None:
        made = head_shapes(avatar, targets("arkit")[:1])
        rigged = made.rigged
        T_seen: list[NDArray[np.float64]] = []

        def frames() -> Iterator[Array]:
            T_seen.clear()
            for pose in posed.poses():
                T_seen.append(avatar.motion_to_file(pose.T_world_head))
                yield _in_file(avatar, made, pose.vertices - made.neutral)
    else:
        assert recorded is not None, "one of the two is given"
        rigged, source = file_as_it_is(avatar), recorded
        rest = avatar.file_mesh.vertices

        def frames() -> Iterator[Array]:
            return (vertices - rest for vertices, _ in source())

    scale = float(np.cbrt(np.linalg.det(rigged.T_metres_file[:3, :3])))
    found = fewest_shapes(frames, len(times_s), tolerance_mm / 1000 / scale, tell)
    if posed is not None:
        T_file_head = np.stack(T_seen) if posed.head_pose == "follow" else None
    names = tuple(f"shape{number:03}" for number in range(len(found.shapes)))
    shapes = tuple(Shape.of(name, each, 0.0) for name, each in zip(names, found.shapes, strict=True))
    animation = ShapeAnimation(_from_zero(times_s), names, found.weights, T_file_head)
    worst = np.array([found.error * scale * 1000])
    return ShapedTake(replace(rigged, shapes=shapes), frozenset(), animation, "fewest", worst)


def file_as_it_is(avatar: Avatar) -> RiggedMesh:
    """The head's file with nothing added and no shapes."""
    mesh = avatar.file_mesh
    parts = mesh.parts or (MeshPart("mesh", 0, len(mesh.faces), 0),)
    T_metres_file = np.diag([1 / UNITS_PER_METRE] * 3 + [1.0]) @ avatar.T_world_file
    firsts = tuple(part.first_face for part in parts)
    plain = replace(mesh, parts=parts, morphs=None)
    return RiggedMesh(plain, mesh.vertices, mesh.faces, firsts, (), frozenset(), 0.0, T_metres_file)


def _in_file(avatar: Avatar, shapes: HeadShapes | None, moved: Array) -> Array:
    """Displacements [R, 3] of what is drawn, avatar units → of the rigged mesh's vertices, file coordinates."""
    linear = np.linalg.inv(avatar.T_world_file)[:3, :3].astype(np.float32)
    if shapes is None:
        if avatar.binding is not None:
            return np.asarray(avatar.binding.spread(moved) @ linear.T)
        return np.asarray(moved[: len(avatar.file_mesh.vertices)] @ linear.T)
    return np.asarray(shapes.spread(moved) @ linear.T)


def _longest(vectors: Array) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))


def _from_zero(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(times_s - times_s[0])
