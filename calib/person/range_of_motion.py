"""Ten seconds in which a person shows how far the face goes, so that everybody's broadest smile is a full one."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calib.person.profile import GAIN_RANGE
from core.expression_units import UNIT_NAMES

_SETTLE_S = 0.6  # at the beginning of a step, while the person reads it
_HELD_S = 0.5  # an extreme kept so long is the one that was asked for: the next step begins
_LEAST_FRAMES = 5  # in that time: after a gap, one frame shows nothing kept
_STEADY = 0.8  # the least of what was held, as a share of the most
_SHOWN = 0.4  # of a full unit: less was not shown at all
_ABOVE_OTHERS = 0.2  # of a full unit, by which a step's extreme exceeds what the unit does in the other steps
_EXTREME = 0.9  # of the frames of a step lie below the extreme that counts


@dataclass(frozen=True)
class RangeStep:
    """What the person is asked for, and which units it tells of.

    Attributes:
        seconds: after which the next step begins, whatever was shown.
        held: whether it is over as soon as an extreme is kept for half a second.
    """

    prompt: str
    units: tuple[str, ...]
    seconds: float = 3.0
    held: bool = True


def _both(*stems: str) -> tuple[str, ...]:
    return tuple(f"{stem}{side}" for stem in stems for side in ("Left", "Right"))


STEPS: Final = (
    RangeStep("open your mouth wide", ("jawOpen",)),
    RangeStep("smile as broadly as you can", _both("mouthSmile")),
    RangeStep("pucker your lips", ("mouthPucker", "mouthFunnel")),
    RangeStep("raise your brows", ("browInnerUp", *_both("browOuterUp"))),
    RangeStep("frown", _both("browDown", "noseSneer")),
    RangeStep("close your eyes", _both("eyeBlink"), 2.0),
    RangeStep(
        "look left, right, up and down", _both("eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown"), held=False
    ),
)
"""About ten seconds for somebody who follows at once; twenty at most."""
FEWEST_FOLLOWED: Final = 5
"""With fewer steps followed, chance explains what was seen: nothing is learnt."""


class RangeOfMotion:
    """Collects unit weights while the person follows the prompts; time comes with the frames."""

    def __init__(self) -> None:
        self._number, self._began_s, self._now_s = 0, math.nan, math.nan
        self._times: list[list[float]] = [[] for _ in STEPS]
        self._weights: list[list[NDArray[np.float64]]] = [[] for _ in STEPS]

    def offer(self, timestamp_s: float, weights: NDArray[np.float64] | None) -> None:
        """Weights [52] of one frame, shown with gains of one; None where no face is tracked."""
        if math.isnan(self._began_s) or timestamp_s < self._now_s:  # a clip that goes round
            self._began_s = timestamp_s
            if not self.done:
                self._times[self._number], self._weights[self._number] = [], []
        self._now_s = timestamp_s
        if self.done:
            return
        if weights is not None and timestamp_s - self._began_s >= _SETTLE_S:
            self._times[self._number].append(timestamp_s)
            self._weights[self._number].append(weights.copy())
        if self.seconds_left <= 0 or self._held():
            self._number, self._began_s = self._number + 1, timestamp_s

    @property
    def prompt(self) -> str:
        """What the person should do now; empty when all is done."""
        return "" if self.done else f"{self._number + 1}/{len(STEPS)}: {STEPS[self._number].prompt}"

    @property
    def seconds_left(self) -> int:
        """Of the present step, rounded up, if nothing is held before; 0 when all is done."""
        if self.done:
            return 0
        passed_s = 0.0 if math.isnan(self._began_s) else self._now_s - self._began_s
        return math.ceil(STEPS[self._number].seconds - passed_s - 1e-6)

    @property
    def done(self) -> bool:
        return self._number >= len(STEPS)

    @property
    def followed(self) -> int:
        """In how many steps the person did what was asked, as far as can be seen."""
        return len(self._followed())

    def gains(self) -> NDArray[np.float64]:
        """[52] that bring what the person can do to a full unit, within GAIN_RANGE; both sides alike, 1 where nothing
        was shown, and everywhere if too few prompts were followed."""
        gains = np.ones(len(UNIT_NAMES))
        followed = self._followed()
        if len(followed) < FEWEST_FOLLOWED:
            return gains
        for step in followed:
            extreme = self._extremes(step)
            for unit in STEPS[step].units:
                if (reached := _reached(STEPS[step], unit, extreme)) >= _SHOWN:
                    gains[UNIT_NAMES.index(unit)] = np.clip(1.0 / reached, *GAIN_RANGE)
        return gains

    def _held(self) -> bool:
        """Whether the strongest unit of this step has been steady for a while."""
        step, times = STEPS[self._number], self._times[self._number]
        if not step.held or not times or times[-1] - times[0] < _HELD_S:
            return False
        late = [
            row for time_s, row in zip(times, self._weights[self._number], strict=True) if time_s >= times[-1] - _HELD_S
        ]
        if len(late) < _LEAST_FRAMES:
            return False
        shown = np.array(late)[:, [UNIT_NAMES.index(unit) for unit in step.units]].max(axis=1)
        return bool(shown.min() >= max(_SHOWN, _STEADY * shown.max()))

    def _followed(self) -> list[int]:
        """Steps in which a unit that was asked for went clearly beyond what it does in the others."""
        seen = [number for number in range(len(STEPS)) if self._weights[number]]
        extremes = {number: self._extremes(number) for number in seen}
        found = []
        for number in seen:
            step = STEPS[number]
            elsewhere = [extremes[other] for other in seen if other != number]
            usual = np.median(elsewhere, axis=0) if elsewhere else np.zeros(len(UNIT_NAMES))
            reached = [(_reached(step, unit, extremes[number]), _reached(step, unit, usual)) for unit in step.units]
            if any(own >= _SHOWN and own - other >= _ABOVE_OTHERS for own, other in reached):
                found.append(number)
        return found

    def _extremes(self, number: int) -> NDArray[np.float64]:
        """[52] how far each unit went in a step."""
        return np.asarray(np.quantile(np.array(self._weights[number]), _EXTREME, axis=0))


def _reached(step: RangeStep, unit: str, extreme: NDArray[np.float64]) -> float:
    """What a unit reached, the mean of both sides where there are two."""
    stem = unit.removesuffix("Left").removesuffix("Right")
    sides = [name for name in step.units if name in (stem, f"{stem}Left", f"{stem}Right")]
    return float(np.mean([extreme[UNIT_NAMES.index(name)] for name in sides]))
