"""A take as shapes and their weights: the 52 units of `vfa rig`, or the fewest shapes within a tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.rigging.morphs import MorphUnits, units_among
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.mesh import MeshPart
from engine.motion.protocol import AvatarPose
from realtime.export.low_rank import Tell, fewest_shapes
from realtime.export.posed import PosedAvatar
from realtime.export.sampling import Frame
from realtime.rig.head_shapes import UNITS_PER_METRE, HeadShapes, head_shapes
from realtime.rig.naming import targets
from render.mesh.export.rigged_mesh import RiggedMesh, Shape
from render.mesh.export.shape_animation import ShapeAnimation

Array = NDArray[np.float32]
ShapesName = Literal["auto", "units", "fewest"]

TOLERANCE_MM = 0.1
_NECK, _NECK_MM = "neckBend", 0.5
_KEPT_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class ShapedTake:
    """What goes into an animated file.

    Attributes:
        rigged: the mesh and its shapes.
        own: names of those that the head's file has already.
        animation: their weights over time.
        kind: "units" or "fewest".
        error_mm: the largest distance of a vertex in any frame from where live shows it, and mean_error_mm: the mean
            over frames of the farthest vertex; on a head as large as people's.
    """

    rigged: RiggedMesh
    own: frozenset[str]
    animation: ShapeAnimation
    kind: Literal["units", "fewest"]
    error_mm: float
    mean_error_mm: float


def in_units(posed: PosedAvatar, tell: Tell) -> ShapedTake:
    """The 52 units with the weights of the motion; where the head has a neck, a few shapes more, `neckBend0` and so on,
    which bend it as the head turns.

    The error is what the sum of single units misses of lips that touch and lids that close, which live sees to.
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
    still = avatar.rig.neck.share < 1
    rest = np.flatnonzero(~still)
    flat, below = moved[:, rest].reshape(len(moved), -1), moved[:, still].reshape(len(moved), -1)

    def neck_in(number: int, pose: AvatarPose) -> Array:
        """What the units leave to be done below the head."""
        return np.asarray(pose.vertices[still] - neutral[still] - (weights[number] @ below).reshape(-1, 3))

    kept: list[Array] = []  # where memory allows, the head need not be posed anew for it
    few = 12 * int(still.sum()) * len(motion) <= _KEPT_BYTES
    T_head = np.empty((len(motion), 4, 4))
    worst = np.empty(len(motion))
    for number, pose in enumerate(posed.poses()):
        T_head[number] = avatar.motion_to_file(pose.T_world_head)
        off = pose.vertices[rest] - neutral[rest] - (weights[number] @ flat).reshape(-1, 3)
        worst[number] = _longest(off)
        if few:
            kept.append(neck_in(number, pose))
        tell("weights", number + 1, len(motion))
    worst *= 1000 / UNITS_PER_METRE
    extra: list[Array] = []
    extra_names: tuple[str, ...] = ()
    extra_weights: Array = np.zeros((len(motion), 0), np.float32)
    neck_mm = 0.0
    if still.any() and not np.allclose(T_head, np.eye(4)):

        def neck() -> Iterator[Array]:
            return iter(kept) if few else (neck_in(number, pose) for number, pose in enumerate(posed.poses()))

        bend = fewest_shapes(neck, len(motion), _NECK_MM / 1000 * UNITS_PER_METRE, tell)
        extra_names = tuple(f"{_NECK}{number}" for number in range(len(bend.shapes)))
        whole = np.zeros((len(bend.shapes), *neutral.shape), dtype=np.float32)
        whole[:, still] = bend.shapes
        extra = [_in_file(avatar, made, each) for each in whole]
        extra_weights, neck_mm = bend.weights, bend.error * 1000 / UNITS_PER_METRE
    added = tuple(Shape.of(name, each, rigged.least) for name, each in zip(extra_names, extra, strict=True))
    rigged = replace(rigged, shapes=(*rigged.shapes, *added))
    animation = ShapeAnimation(
        _from_zero(motion.timestamps_s),
        (*names, *extra_names),
        np.concatenate([weights, extra_weights], axis=1),
        T_head if posed.head_pose == "follow" else None,
    )
    worst = np.maximum(worst, neck_mm)
    in_file = frozenset(names if own else ())
    return ShapedTake(rigged, in_file, animation, "units", float(worst.max()), float(worst.mean()))


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
    error = found.error * scale * 1000
    return ShapedTake(replace(rigged, shapes=shapes), frozenset(), animation, "fewest", error, error)


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
