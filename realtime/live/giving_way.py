"""What is given up when there is not time for everything, decided here once. In this order:

1. Frames. Of several that wait, the newest is tracked and shown (`realtime.threads.latest_slot`).
2. The picture's resolution, where fewer pictures than frames are shown and drawing is a good part of why: it is drawn
   smaller and enlarged (`render.window.reduced_picture`), step by step.
3. Recordings: pictures of the film first, poses last (`realtime.threads.disk_queue`).

Never: smooth edges, lips and lids that close, the 52 coefficients at the rate of the frames, the newest pose's latency.
A picture without smooth edges looks broken, not soft; coefficients cost less than a millisecond.
"""

import logging
from collections.abc import Sequence

log = logging.getLogger(__name__)

LOOK_S = 1.0
_SLOW, _KEEPS_UP = 0.92, 0.97  # pictures of each frame offered; between them nothing changes
_BUSY, _WANTED = 0.7, 0.2  # of the time is spent drawing: it is what holds all up; others wait for its core
_PATIENCE = 3  # looks in a row that have to agree
_HOLD_S, _LONGEST_HOLD_S = 10.0, 160.0  # of keeping up before a larger picture is tried; doubled where that fails
_SETTLED_S = 60.0  # of keeping up with it: what failed before is forgotten
_LEAST_OFFERED = 5.0  # frames a second, or nobody is waiting for pictures


class GivingWay:
    """Decides in which share of its size the picture is drawn. Asked after every picture; owned by one thread.

    Attributes:
        scale: what holds now.
        reduced_s: for how long it was less than 1 so far.
    """

    def __init__(self) -> None:
        self.scale = 1.0
        self.reduced_s = 0.0
        self._looked_s: float | None = None
        self._asked_s = 0.0
        self._before = (0, 0, 0.0)  # what it was told at the last look
        self._slow, self._keeping_up_s = 0, 0.0  # looks in a row, and time without a gap
        self._hold_s = _HOLD_S
        self._larger_since_s: float | None = None  # tried again, and not settled yet

    def __call__(
        self, now_s: float, offered: int, shown: int, drawing_s: float, *, core_free: bool, scales: Sequence[float]
    ) -> float:
        """The share from now on.

        Args:
            offered, shown: frames that came, and pictures that were shown of them, so far.
            drawing_s: time that drawing took so far, waiting for the screen left out.
            core_free: whether a core has had nothing to do lately, so that nobody waits for the one that draws.
            scales: shares that there are, the whole first, each less than the one before.
        """
        if self._looked_s is None:
            self._looked_s, self._before = now_s, (offered, shown, drawing_s)
        elif (passed_s := now_s - self._looked_s) >= LOOK_S:
            frames, pictures, drawn_s = (
                one - other for one, other in zip((offered, shown, drawing_s), self._before, strict=True)
            )
            self._looked_s, self._before = now_s, (offered, shown, drawing_s)
            held_up = drawn_s >= (_WANTED if not core_free else _BUSY) * passed_s
            if self.scale not in scales:  # the window has another size by now
                self._settle(max((scale for scale in scales if scale < self.scale), default=1.0))
            elif frames < _LEAST_OFFERED * passed_s:
                self._slow, self._keeping_up_s = 0, 0.0
            elif pictures < _SLOW * frames:
                self._fall_behind(held_up, [scale for scale in scales if scale < self.scale])
            else:
                self._keep_up(now_s, passed_s if pictures >= _KEEPS_UP * frames else 0.0, scales)
        if self.scale < 1.0:
            self.reduced_s += now_s - self._asked_s
        self._asked_s = now_s
        return self.scale

    def _fall_behind(self, held_up: bool, smaller: Sequence[float]) -> None:
        self._keeping_up_s = 0.0
        self._slow = self._slow + 1 if held_up else 0
        if self._slow >= _PATIENCE and smaller:
            if self._larger_since_s is not None:
                self._hold_s, self._larger_since_s = min(2 * self._hold_s, _LONGEST_HOLD_S), None
            self._settle(smaller[0])

    def _keep_up(self, now_s: float, passed_s: float, scales: Sequence[float]) -> None:
        self._slow = 0
        self._keeping_up_s = self._keeping_up_s + passed_s if passed_s else 0.0
        if self._larger_since_s is not None and now_s - self._larger_since_s > _SETTLED_S:
            self._hold_s, self._larger_since_s = _HOLD_S, None
        larger = [scale for scale in scales if scale > self.scale]
        if larger and self._keeping_up_s >= self._hold_s:
            self._settle(larger[-1])
            self._larger_since_s = now_s

    def _settle(self, scale: float) -> None:
        self.scale = scale
        self._slow, self._keeping_up_s = 0, 0.0
        log.info("the picture is drawn in %.0f %% of its width and height", 100 * scale)
