"""Twenty seconds in which a person shows how far the face goes, so that everybody's broadest smile is a full one."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calib.person.profile import GAIN_RANGE
from core.expression_units import UNIT_NAMES

_SETTLE_S = 0.8  # at the beginning of a step, while the person reads it
_SHOWN = 0.4  # of a full unit: less was not shown at all
_EXTREME = 0.9  # of the frames of a step lie below the extreme that counts


@dataclass(frozen=True)
class RangeStep:
    """What the person is asked for, for how long, and which units it tells of."""

    prompt: str
    units: tuple[str, ...]
    seconds: float = 3.0


def _both(*stems: str) -> tuple[str, ...]:
    return tuple(f"{stem}{side}" for stem in stems for side in ("Left", "Right"))


STEPS: Final = (
    RangeStep("open your mouth wide", ("jawOpen",)),
    RangeStep("smile as broadly as you can", _both("mouthSmile")),
    RangeStep("pucker your lips", ("mouthPucker", "mouthFunnel")),
    RangeStep("raise your brows", ("browInnerUp", *_both("browOuterUp"))),
    RangeStep("frown", _both("browDown", "noseSneer")),
    RangeStep("close your eyes", _both("eyeBlink"), 2.0),
    RangeStep("look left, right, up and down", _both("eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown"), 3.0),
)
"""Twenty seconds in all."""


class RangeOfMotion:
    """Collects unit weights while the person follows the prompts; time comes with the frames."""

    def __init__(self) -> None:
        self._started_s: float | None = None
        self._now_s = 0.0
        self._weights: list[list[NDArray[np.float64]]] = [[] for _ in STEPS]

    def offer(self, timestamp_s: float, weights: NDArray[np.float64] | None) -> None:
        """Weights [52] of one frame, shown with gains of one; None where no face is tracked."""
        if self._started_s is None:
            self._started_s = timestamp_s
        self._now_s = timestamp_s
        number, inside_s = self._step()
        if weights is not None and number < len(STEPS) and inside_s >= _SETTLE_S:
            self._weights[number].append(weights.copy())

    @property
    def prompt(self) -> str:
        """What the person should do now; empty when all is done."""
        number, _ = self._step()
        return f"{number + 1}/{len(STEPS)}: {STEPS[number].prompt}" if number < len(STEPS) else ""

    @property
    def seconds_left(self) -> int:
        """Of the present step, rounded up; 0 when all is done."""
        number, inside_s = self._step()
        return math.ceil(STEPS[number].seconds - inside_s) if number < len(STEPS) else 0

    @property
    def done(self) -> bool:
        return self._step()[0] >= len(STEPS)

    def gains(self) -> NDArray[np.float64]:
        """[52] that bring what the person can do to a full unit, within GAIN_RANGE; both sides alike, 1 where nothing
        was shown."""
        gains = np.ones(len(UNIT_NAMES))
        for step, seen in zip(STEPS, self._weights, strict=True):
            if not seen:
                continue
            extreme = dict(zip(UNIT_NAMES, np.quantile(np.array(seen), _EXTREME, axis=0).tolist(), strict=True))
            for unit in step.units:
                stem = unit.removesuffix("Left").removesuffix("Right")
                sides = [extreme[name] for name in step.units if name in (stem, f"{stem}Left", f"{stem}Right")]
                reached = float(np.mean(sides))
                if reached >= _SHOWN:
                    gains[UNIT_NAMES.index(unit)] = np.clip(1.0 / reached, *GAIN_RANGE)
        return gains

    def _step(self) -> tuple[int, float]:
        """Number of the present step, and seconds since it began."""
        left = 0.0 if self._started_s is None else self._now_s - self._started_s
        for number, step in enumerate(STEPS):
            if left < step.seconds:
                return number, left
            left -= step.seconds
        return len(STEPS), left
