"""Reached without a jump: what an engine shows after a loss, a return or a new neutral."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

_LOST_S = 0.27  # from a loss to rest: with the 0.15 s that a camera's silence is overlooked, within half a second
_RESUME_S, _RECALIBRATE_S = 0.4, 0.8  # until the live state is reached


@dataclass(frozen=True, eq=False)
class State:
    """Everything that an engine smooths and eases, all zero at neutral. Subclasses name the arrays."""

    @property
    def parts(self) -> tuple[NDArray[np.float64], ...]:
        """The arrays, in the order in which they are declared."""
        return tuple(vars(self).values())

    def of(self, parts: Iterable[NDArray[np.float64]]) -> Self:
        """A state of the same kind with other arrays."""
        return type(self)(*parts)

    def __add__(self, other: Self) -> Self:
        return self.of(own + others for own, others in zip(self.parts, other.parts, strict=True))

    def __sub__(self, other: Self) -> Self:
        return self.of(own - others for own, others in zip(self.parts, other.parts, strict=True))

    def __mul__(self, share: float) -> Self:
        return self.of(part * share for part in self.parts)


AnyState = TypeVar("AnyState", bound=State)


class Easing(Generic[AnyState]):
    """Follows a live state; where that jumps, the difference is gone after a while.

    Attributes:
        rest: the state of a neutral face.
        shown: the last eased state.
    """

    def __init__(self, rest: AnyState) -> None:
        self.rest = rest
        self.shown = rest
        self._offset = rest
        self._ease_s = _RESUME_S
        self._easing_for_s = 0.0
        self._recalibrated = False
        self._was_tracked = False
        self._time_s: float | None = None

    @property
    def starting(self) -> bool:
        """Whether the next tracked state is the first after a loss or a new neutral: filters begin anew."""
        return not self._was_tracked or self._recalibrated

    @property
    def renewed(self) -> bool:
        """Whether the next tracked state goes on from one that was relative to another neutral."""
        return self._was_tracked and self._recalibrated

    def recalibrated(self) -> None:
        """The next tracked state is relative to another neutral."""
        self._recalibrated = True

    def step(self, live: AnyState, tracked: bool, time_s: float) -> AnyState:
        """The state to show at `time_s`; `live` is the rest state while nothing is tracked."""
        step_s = 0.0 if self._time_s is None else max(time_s - self._time_s, 0.0)
        self._time_s = time_s
        before, self._easing_for_s = self._easing_for_s, self._easing_for_s + step_s
        left = _away(self._easing_for_s / self._ease_s) / max(_away(before / self._ease_s), 1e-9)
        self._offset = self._offset * left
        if tracked != self._was_tracked or (tracked and self._recalibrated):
            self._ease_s = _LOST_S if not tracked else _RECALIBRATE_S if self._recalibrated else _RESUME_S
            self._easing_for_s = 0.0
            self._offset = self.shown - live
        if tracked:
            self._recalibrated = False
        self._was_tracked = tracked
        self.shown = live + self._offset
        return self.shown

    def begin(self, live: AnyState, time_s: float) -> AnyState:
        """Show `live` as it is: nothing was shown before that it would jump from."""
        self.shown, self._offset = live, self.rest
        self._was_tracked, self._recalibrated, self._time_s = True, False, time_s
        return live


def _away(t: float) -> float:
    """1 at 0 and before, 0 from 1 on, gently at both ends."""
    t = min(t, 1.0)
    return 1.0 - t * t * (3.0 - 2.0 * t)
