"""The fewest shapes that repeat a moving mesh within a tolerance, worked out frame by frame.

Principal components of the displacements (as Alexa and Müller, "Representing Animations by Principal Components",
2000, compress them), but with the largest error of any vertex in any frame as the measure, and with never more than
the shapes and one block of frames in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

Array = NDArray[np.float32]
Tell = Callable[[str, int, int | None], None]

_BLOCK_BYTES = 1 << 26
_MOST_BYTES = 1 << 31  # of all shapes together
_FIRST = 0.1  # of the tolerance: what the first pass may leave
_CUT = 0.05  # of the tolerance: what leaving out tiny displacements of all shapes together may cost
_SPARE = 0.02  # of the tolerance: for sums in single precision


@dataclass(frozen=True, eq=False)
class LowRank:
    """A moving mesh as a sum of shapes.

    Attributes:
        shapes: [K, V, 3] float32 displacements, in the order of what they contribute. Where a component goes both ways,
            each way is a shape of its own: programs such as Blender and Unity take weights below 0 for 0.
        weights: [T, K] float32 in 0..1; each is 1 in one frame at least.
        error: the largest distance of any vertex in any frame from where it should be, measured on these very numbers.
    """

    shapes: Array
    weights: Array
    error: float


def fewest_shapes(
    frames: Callable[[], Iterable[Array]],
    count: int,
    tolerance: float,
    tell: Tell = lambda _what, _done, _total: None,
) -> LowRank:
    """The shapes for displacements [V, 3] float32, which `frames` gives once a pass, `count` of them; two passes.

    The error is `tolerance` at most: components are taken until no vertex of any frame is farther off. Raises
    InputError where that takes more shapes than memory should hold, as for noise.
    """
    basis, coefficients = _spanned(frames, count, _FIRST * tolerance, tell)
    shapes, weights = _reduced(basis, coefficients, tolerance * (1 - _FIRST - _CUT - _SPARE))
    shapes, weights = _one_way(shapes.reshape(len(shapes), shapes.shape[1] // 3, 3), weights)
    if len(shapes):
        tiny = np.linalg.norm(shapes, axis=2) < _CUT * tolerance / len(shapes)
        shapes[tiny] = 0.0
    return LowRank(shapes, weights, _largest_error(frames, count, shapes, weights, tell))


def _spanned(
    frames: Callable[[], Iterable[Array]], count: int, tolerance: float, tell: Tell
) -> tuple[Array, NDArray[np.float64]]:
    """Orthonormal directions [K, 3V] that repeat every frame within the tolerance, in order of appearance, and where
    the frames lie along them [T, K]."""
    basis: Array | None = None
    found: list[NDArray[np.float64]] = []
    done = 0
    for block in _blocks(frames()):
        if basis is None:
            basis = np.zeros((0, block.shape[1]), dtype=np.float32)
        along: Array = block @ basis.T
        left: Array = block - along @ basis
        while (worst := _largest(left)) > tolerance:
            new = _leading(left, tolerance)
            new -= (new @ basis.T) @ basis  # again: rounding
            new = np.linalg.qr(new.T)[0].T.astype(np.float32)
            basis = np.concatenate([basis, new])
            if basis.nbytes > _MOST_BYTES:
                raise InputError(
                    f"more than {len(basis)} shapes would be needed for the error that is asked for ({worst:.3g} units "
                    "are left); the motion is too rough: take --format usd-points or pc2, which hold every point"
                )
            along = np.concatenate([along, left @ new.T], axis=1)
            left = np.asarray(left - (left @ new.T) @ new, dtype=np.float32)
        found.append(along.astype(np.float64))
        done += len(block)
        tell("looking for the fewest shapes", done, count)
    rank = 0 if basis is None else len(basis)
    coefficients = np.zeros((done, rank))
    row = 0
    for lying in found:
        coefficients[row : row + len(lying), : lying.shape[1]] = lying
        row += len(lying)
    return (np.zeros((0, 0), dtype=np.float32) if basis is None else basis), coefficients


def _leading(left: Array, tolerance: float) -> Array:
    """[k, 3V] the principal directions of what is left of a block [n, 3V], as many as stand out."""
    values, vectors = np.linalg.eigh(left.astype(np.float64) @ left.T.astype(np.float64))
    order = np.argsort(-values)
    # a component whose largest coefficient moves no vertex by the tolerance is of no use by itself
    strong = np.sqrt(np.maximum(values[order], 0.0)) > max(tolerance, 1e-3 * float(np.sqrt(max(values.max(), 0.0))))
    strong[0] = True
    kept = order[strong][:16]
    directions = vectors[:, kept].T @ left
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True), dtype=np.float32)


def _reduced(basis: Array, coefficients: NDArray[np.float64], tolerance: float) -> tuple[Array, Array]:
    """The principal components [K, 3V] of what the directions span, as few as leave `tolerance`, and their weights."""
    if not len(basis):
        return basis, np.zeros((len(coefficients), 0), dtype=np.float32)
    left, sizes, right = np.linalg.svd(coefficients, full_matrices=False)
    along = left * sizes
    directions = right.astype(np.float32) @ basis
    few, many = 0, len(directions)
    while few < many:  # the error falls with every component, or as good as
        middle = (few + many) // 2
        if _tail(along, directions, middle, tolerance):
            many = middle
        else:
            few = middle + 1
    along, directions = along[:, :many], directions[:many]
    most = np.abs(along).max(axis=0, initial=0.0)
    most[most == 0] = 1.0
    return directions * most[:, None].astype(np.float32), (along / most).astype(np.float32)


def _one_way(shapes: Array, weights: Array) -> tuple[Array, Array]:
    """The same sum with weights in 0..1."""
    both = ((sign, number) for number in range(len(shapes)) for sign in (1, -1))
    ways = [(sign, number) for sign, number in both if (sign * weights[:, number] > 0).any()]
    signs, numbers = np.array(ways, dtype=np.int64).reshape(-1, 2).T
    forward = np.maximum(signs.astype(np.float32) * weights[:, numbers], 0)
    most = forward.max(axis=0, initial=np.float32(0))
    return shapes[numbers] * (signs * most).astype(np.float32)[:, None, None], forward / most


def _tail(along: NDArray[np.float64], directions: Array, kept: int, tolerance: float) -> bool:
    """Whether what the components after the first `kept` do is below the tolerance everywhere."""
    rest, shapes = along[:, kept:].astype(np.float32), directions[kept:]
    if not len(shapes):
        return True
    step = max(1, _BLOCK_BYTES // (4 * shapes.shape[1]))
    order = np.argsort(-np.linalg.norm(rest, axis=1))  # what is too far off is found at once
    return all(_largest(rest[order[a : a + step]] @ shapes) <= tolerance for a in range(0, len(rest), step))


def _largest_error(
    frames: Callable[[], Iterable[Array]], count: int, shapes: Array, weights: Array, tell: Tell
) -> float:
    flat = shapes.reshape(len(shapes), 3 * shapes.shape[1])
    worst, done = 0.0, 0
    for block in _blocks(frames()):
        if len(flat):
            block = block - weights[done : done + len(block)] @ flat
        worst = max(worst, _largest(block))
        done += len(block)
        tell("measuring the error", done, count)
    return worst


def _largest(flat: Array) -> float:
    """The length of the longest of the vectors that rows [n, 3V] hold."""
    vectors = flat.reshape(-1, 3)
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))


def _blocks(frames: Iterable[Array]) -> Iterator[Array]:
    """[n, 3V] some frames at a time."""
    rows: list[Array] = []
    for frame in frames:
        rows.append(np.asarray(frame, dtype=np.float32).reshape(-1))
        if len(rows) * rows[0].nbytes >= _BLOCK_BYTES:
            yield np.stack(rows)
            rows = []
    if rows:
        yield np.stack(rows)
