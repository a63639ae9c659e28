"""What flow says is checked before it moves an avatar: against the avatar's own expression units, and by occlusion.

    displacement of controllers ─▶ robust fit of the units ─▶ trust ─▶ units + a bounded remainder, filled in smoothly
        ─▶ halfway to what the units named by somebody else do

The fit is least squares under Geman and McClure's weights ("Statistical methods for tomographic image reconstruction",
1987), reweighted: controllers that say what no expression does lose their vote. What they leave open is filled by the
units and by heat spread over the skin, (I + τL)⁻¹, which is factored once.

Flow, and the units that preparation carried onto the avatar, are two opinions of what an expression looks like on this
head. They err in different ways, so that less error lies between them than in either.
"""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import ssyrk

from calib.rig.expression_basis import ExpressionBasis, ExpressionUnits
from core.native.compiled_library import pointer
from engine.flow.following_kernels import LANES, MOST_UNITS, compiled_kernels

_ROUNDS = 2
_VOTING = 2  # of so many controllers, one takes part in the fit: they lie close together
_TOLERANCE = 0.025  # avatar units by which a controller may miss every expression and still count half
_RIDGE = 1e-3  # of a unit's mean square way, against weights that move nothing
_WEIGHTS = (-0.4, 1.3)  # what faces do, in units
_REACH, _LEAST_REACH = 0.6, 0.012  # the remainder's length: share of what the units do there, and avatar units
_SPREAD = 0.04  # avatar units over which untrusted controllers go along with their neighbours
_LEAST_HEARD = 0.2  # of a controller's surroundings must be trusted for their remainder to count in full
_NEIGHBOURS = 8
_BY_FLOW = 0.5  # of the motion where units are named: 0.65 gains 0.003 on heads of other artists and loses 0.02 at home

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GuardedMotion:
    """What is left of a displacement.

    Attributes:
        moved: [K, 3] displacement that the avatar's skin can do, avatar units.
        trust: [K] of each controller, 0 to 1.
        share: of the controllers that flow should tell of, how many are trusted.
        named: [K, 3] what the named units do without any flow; None where nobody names them.
    """

    moved: Points
    trust: NDArray[np.float64]
    share: float
    named: Points | None = None


class FlowGuard:
    """Keeps what one avatar's flow says within what its skin can do. No state from frame to frame.

    Args:
        rest: [K, 3] controllers at rest, avatar units.
        units: [52, K, 3] where each expression unit takes them.
        side: [K] controllers of different sides of an opening (not 0) share nothing.
        told: [K] which of them flow should tell of.
    """

    def __init__(self, rest: Points, units: Points, side: NDArray[np.int64], told: NDArray[np.bool_]) -> None:
        count = len(rest)
        length = np.linalg.norm(units, axis=2)
        self._reach = _REACH * length.max(axis=0, initial=0.0) + _LEAST_REACH
        used = self._used = length.max(axis=1, initial=0.0) > 1e-6
        self._units = np.ascontiguousarray(units[used].reshape(-1, count * 3).T, np.float32)  # [3 K, U]
        self._voters = np.ascontiguousarray(
            self._units.reshape(count, 3, -1)[::_VOTING].reshape(-1, len(self._units.T))
        )
        mean_square = np.square(self._voters).sum(axis=0).mean() if used.any() else 1.0
        self._ridge = np.float32(_RIDGE * mean_square) * np.eye(self._units.shape[1], dtype=np.float32)
        self._spread = _heat(rest, side)
        self._told = told
        kernels = compiled_kernels()
        fits = 0 < self._units.shape[1] <= MOST_UNITS
        self._kernel = kernels.fit_units if kernels is not None and fits else None
        self._padded = np.pad(self._units, ((0, 0), (0, -self._units.shape[1] % LANES)))

    def __call__(
        self, moved: Points, known: NDArray[np.bool_], named: NDArray[np.floating] | None = None
    ) -> GuardedMotion:
        """Of displacements [K, 3], of which those `known` [K] count; `named` [52] weights of the units that should come
        of them, where somebody says."""
        given = np.where(known[:, None], moved, 0.0).astype(np.float32)
        heard = known.astype(np.float32)
        trust, fit = heard, np.zeros_like(given)
        for _ in range(_ROUNDS):
            fit = self._fit(given, trust)
            miss = np.square((given - fit) / np.float32(_TOLERANCE)).sum(axis=1)
            trust = heard / np.square(1 + miss)
        fit = self._fit(given, trust)
        rest = given - fit
        length = np.linalg.norm(rest, axis=1)
        rest *= (trust * np.minimum(1.0, self._reach / np.maximum(length, 1e-9)))[:, None]
        around = self._spread @ np.concatenate([rest, trust[:, None]], axis=1)
        filled = around[:, :3] / np.maximum(around[:, 3:], _LEAST_HEARD)
        result = fit + rest + (1 - trust)[:, None] * filled
        by_units = None
        if named is not None:
            by_units = (self._units @ named[self._used].astype(np.float32)).reshape(-1, 3).astype(np.float64)
            result = by_units + _BY_FLOW * (result - by_units)
        share = float((trust[self._told] > 0.5).mean()) if self._told.any() else 0.0
        return GuardedMotion(result.astype(np.float64), trust.astype(np.float64), share, by_units)

    def _fit(self, given: NDArray[np.float32], trust: NDArray[np.float32]) -> NDArray[np.float32]:
        """[K, 3] the expression nearest to what is given, as far as that is trusted."""
        if self._kernel is not None:
            fit, sizes = np.empty_like(given), (len(given), self._padded.shape[1], _VOTING)
            numbers = [ctypes.c_float(value) for value in (self._ridge[0, 0], *_WEIGHTS)]
            held = [np.ascontiguousarray(each, np.float32) for each in (self._padded, given, trust)]
            self._kernel(*map(pointer, held), *map(ctypes.c_long, sizes), *numbers, pointer(fit))
            return fit
        share = np.repeat(np.sqrt(trust[::_VOTING]), 3)
        weighted = self._voters * share[:, None]
        normal = ssyrk(1.0, weighted.T, beta=1.0, c=self._ridge)  # its upper half, which is all that is looked at
        factor = cho_factor(normal, overwrite_a=True, check_finite=False)
        told = (share * given[::_VOTING].ravel()) @ weighted
        weights = np.clip(cho_solve(factor, told, check_finite=False), *_WEIGHTS)
        return np.asarray((self._units @ weights).reshape(-1, 3), dtype=np.float32)


def controller_units(basis: ExpressionBasis) -> Points:
    """[52, K, 3] where each unit takes an avatar's own controllers."""
    units = ExpressionUnits(basis)
    return np.stack([units.displacement(each)[1].astype(np.float64) for each in np.eye(len(units.names))])


def vertex_units(basis: ExpressionBasis, vertices: NDArray[np.int64]) -> Points:
    """[52, n, 3] where each unit takes these vertices of an avatar."""
    units = ExpressionUnits(basis)
    return np.stack([units.displacement(each)[0][vertices].astype(np.float64) for each in np.eye(len(units.names))])


def _heat(rest: Points, side: NDArray[np.int64]) -> NDArray[np.float32]:
    """[K, K] how much controllers share of what each knows: heat after a while, with each on the graph of their
    nearest neighbours."""
    distance = np.linalg.norm(rest[:, None] - rest[None], axis=2)
    across = (side[:, None] != side[None]) & (side[:, None] > 0) & (side[None] > 0)
    distance = np.where(across, np.inf, distance)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :_NEIGHBOURS]
    graph = np.zeros_like(distance)
    near = np.take_along_axis(distance, nearest, axis=1)
    np.put_along_axis(graph, nearest, (_SPREAD / np.maximum(near, 0.1 * _SPREAD)) ** 2, axis=1)
    graph = np.maximum(graph, graph.T)
    system = np.diag(1 + graph.sum(axis=1)) - graph
    return np.linalg.inv(system).astype(np.float32)
