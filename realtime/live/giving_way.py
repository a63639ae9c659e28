"""What is given up when there is not time for everything, decided here once. In this order:

1. Frames. Of several that wait, the newest is tracked and shown (`realtime.threads.latest_slot`).
2. The picture's resolution, where fewer pictures than frames are shown and drawing is a good part of why: it is drawn
   smaller and enlarged (`render.window.reduced_picture`), step by step, as long as that helps.
3. Recordings: pictures of the film first, poses last (`realtime.threads.disk_queue`).

Never: smooth edges, lips and lids that close, the 52 coefficients at the rate of the frames, the newest pose's latency.
Edges cost a tenth of drawing, and a picture without them looks broken, not soft; coefficients cost less than a
millisecond.
"""

import logging
from collections.abc import Sequence

log = logging.getLogger(__name__)

LOOK_S = 1.0
_SLOW, _KEEPS_UP = 0.92, 0.97  # pictures of each frame offered; between them nothing changes
_LEAST_DRAWING = 0.2  # of the time is spent drawing: below, smaller pictures would hardly help
_PATIENCE, _TRIED = 3, 2  # looks in a row that have to agree, and those in which a smaller picture has to help
_LEAST_GAIN = 1.03  # times as many pictures, or a smaller one was no help
_HOLD_S, _LONGEST_HOLD_S = 10.0, 160.0  # of keeping up before a larger picture is tried; doubled where that fails
_SETTLED_S = 60.0  # of keeping up with it: what failed before is forgotten
_NO_HELP_S = 60.0  # nothing is tried again; doubled each time
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
        self._offered = self._shown = 0
        self._drawing_s = 0.0
        self._slow: list[float] = []  # pictures a second in looks that were too slow, those in a row
        self._keeping_up_s = 0.0
        self._trial: tuple[float, list[float]] | None = None  # pictures a second before, and since, a smaller one
        self._hold_s, self._no_help_s = _HOLD_S, _NO_HELP_S
        self._not_before_s = float("-inf")
        self._larger_since_s: float | None = None  # tried again, and not settled yet

    def __call__(self, now_s: float, offered: int, shown: int, drawing_s: float, scales: Sequence[float]) -> float:
        """The share from now on.

        Args:
            offered, shown: frames that came, and pictures that were shown of them, so far.
            drawing_s: time that drawing took so far.
            scales: shares that there are, the whole first, each less than the one before.
        """
        if self._looked_s is None:
            self._begin(now_s, offered, shown, drawing_s)
        elif now_s - self._looked_s >= LOOK_S:
            passed_s = now_s - self._looked_s
            rates = ((offered - self._offered) / passed_s, (shown - self._shown) / passed_s)
            share = (drawing_s - self._drawing_s) / passed_s
            self._begin(now_s, offered, shown, drawing_s)
            self._look(now_s, passed_s, *rates, share, scales)
        if self.scale < 1.0:
            self.reduced_s += now_s - self._asked_s
        self._asked_s = now_s
        return self.scale

    def _begin(self, now_s: float, offered: int, shown: int, drawing_s: float) -> None:
        self._looked_s, self._offered, self._shown, self._drawing_s = now_s, offered, shown, drawing_s

    def _look(
        self, now_s: float, passed_s: float, offered: float, shown: float, share: float, scales: Sequence[float]
    ) -> None:
        smaller = [scale for scale in scales if scale < self.scale]
        larger = [scale for scale in scales if scale > self.scale]
        slow = shown < _SLOW * offered
        if self.scale not in scales:  # the window has another size by now
            self._settle(max(smaller, default=1.0))
        elif offered < _LEAST_OFFERED:
            self._slow, self._keeping_up_s = [], 0.0
        elif self._trial is not None:
            self._judge(now_s, shown, slow, larger)
        elif slow:
            self._keeping_up_s = 0.0
            self._slow = [*self._slow, shown] if share >= _LEAST_DRAWING and smaller else []
            if len(self._slow) >= _PATIENCE and now_s >= self._not_before_s:
                self._go_smaller(smaller[0])
        else:
            self._slow = []
            self._keeping_up_s = self._keeping_up_s + passed_s if shown >= _KEEPS_UP * offered else 0.0
            if self._larger_since_s is not None and now_s - self._larger_since_s > _SETTLED_S:
                self._hold_s, self._larger_since_s = _HOLD_S, None
            if larger and self._keeping_up_s >= self._hold_s:
                self._settle(larger[-1])
                self._larger_since_s = now_s

    def _go_smaller(self, scale: float) -> None:
        if self._larger_since_s is not None:
            self._hold_s, self._larger_since_s = min(2 * self._hold_s, _LONGEST_HOLD_S), None
        self._trial = (sum(self._slow) / len(self._slow), [])
        self._settle(scale)

    def _judge(self, now_s: float, shown: float, slow: bool, larger: Sequence[float]) -> None:
        """Whether the smaller picture is worth it: after the first look, which its own beginning disturbs."""
        assert self._trial is not None
        before, since = self._trial
        since.append(shown)
        if len(since) <= _TRIED:
            return
        self._trial = None
        if slow and sum(since[1:]) / len(since[1:]) < _LEAST_GAIN * before:
            log.info("a smaller picture does not help: drawing is not what takes the time")
            self._settle(larger[-1])
            self._not_before_s = now_s + self._no_help_s
            self._no_help_s *= 2

    def _settle(self, scale: float) -> None:
        self.scale = scale
        self._slow, self._keeping_up_s = [], 0.0
        log.info("the picture is drawn in %.0f %% of its width and height", 100 * scale)
