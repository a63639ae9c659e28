"""Changes of a motion track, each a function of its own: what comes out is another track, what goes in stays as it is.

Times are seconds from the beginning of the track that goes in; the one that comes out begins at the same timestamp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from core.errors import InputError
from core.face_motion import MotionTrack
from engine.motion.contact import smoothstep
from realtime.editing import channels
from realtime.editing.channels import FACE, GAZE, HEAD, Array, Part

_SHORTEST_S, _LONGEST_S = 1e-3, 1e6
_MOST_FRAMES = 500_000  # that an edit makes: two hours at 60 a second


class Edit(Protocol):
    """One change. A frozen dataclass of numbers, names and None, checked when it is made (InputError)."""

    name: ClassVar[str]

    def __call__(self, track: MotionTrack) -> MotionTrack:
        """Raises InputError where nothing would be left, or what is meant is not in the track."""

    def told(self) -> str:
        """What it does, in a few words."""


def _number(edit: Edit, option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # false for NaN
        raise InputError(f"{edit.name}: {option} {value:g}: expected {least:g} to {most:g}")


def _span(edit: Edit, from_s: float, to_s: float) -> None:
    _number(edit, "begin", from_s, 0.0, _LONGEST_S)
    _number(edit, "end", to_s, 0.0, _LONGEST_S)
    if not from_s < to_s:
        raise InputError(f"{edit.name}: expected an end after the beginning, got {from_s:g} to {to_s:g} s")


def _since_start(track: MotionTrack) -> Array:
    return track.timestamps_s - (track.timestamps_s[0] if len(track) else 0.0)


def _some(edit: Edit, track: MotionTrack) -> MotionTrack:
    if not len(track):
        raise InputError(f"{edit.name}: nothing would be left of the motion; choose other times")
    return track


class Kept(NamedTuple):
    """A part of a track's time that stays: seconds since its beginning, and where the part begins afterwards."""

    from_s: float
    to_s: float
    begins_s: float


@dataclass(frozen=True)
class Trim:
    """Keep the part between two times alone."""

    name: ClassVar[str] = "trim"
    from_s: float
    to_s: float

    def __post_init__(self) -> None:
        _span(self, self.from_s, self.to_s)

    def __call__(self, track: MotionTrack) -> MotionTrack:
        time_s = _since_start(track)
        kept = _some(self, channels.taken(track, (time_s >= self.from_s) & (time_s <= self.to_s)))
        return channels.retimed(kept, kept.timestamps_s - kept.timestamps_s[0] + track.timestamps_s[0])

    def kept(self, track: MotionTrack) -> list[Kept]:
        """What of the time stays."""
        time_s = _since_start(track)
        inside = time_s[(time_s >= self.from_s) & (time_s <= self.to_s)]
        return [Kept(float(inside[0]), float(inside[-1]) + channels.step_s(track), 0.0)]

    def told(self) -> str:
        return f"keep {self.from_s:g} to {self.to_s:g} s alone"


@dataclass(frozen=True)
class Cut:
    """Take the part between two times out; what follows moves up.

    Attributes:
        blend_s: within this time after the cut, what jumps there has gone back to what was recorded; 0: it jumps.
    """

    name: ClassVar[str] = "cut"
    from_s: float
    to_s: float
    blend_s: float = 0.2

    def __post_init__(self) -> None:
        _span(self, self.from_s, self.to_s)
        _number(self, "blend", self.blend_s, 0.0, 60.0)

    def __call__(self, track: MotionTrack) -> MotionTrack:
        time_s = _since_start(track)
        before, after = time_s < self.from_s, time_s > self.to_s
        kept = _some(self, channels.taken(track, before | after))
        if len(kept) == len(track):
            raise InputError(f"cut: there is no frame between {self.from_s:g} and {self.to_s:g} s; choose other times")
        first = int(before.sum())  # of what follows
        moved_s = kept.timestamps_s.copy()
        if first == 0:
            moved_s += track.timestamps_s[0] - moved_s[0]
        elif first < len(kept):
            moved_s[first:] += moved_s[first - 1] + channels.step_s(track) - moved_s[first]
        values = channels.of_track(kept)
        if 0 < first < len(kept) and self.blend_s > 0:
            left = 1.0 - smoothstep((moved_s[first:] - moved_s[first - 1]) / self.blend_s)
            values[first:] += left[:, None] * (values[first - 1] - values[first])
        return channels.to_track(moved_s, kept.tracked, values)

    def kept(self, track: MotionTrack) -> list[Kept]:
        """What of the time stays."""
        time_s = _since_start(track)
        before, after = time_s[time_s < self.from_s], time_s[time_s > self.to_s]
        joint_s = float(before[-1]) + channels.step_s(track) if len(before) else 0.0
        stays = [Kept(0.0, joint_s, 0.0)] if len(before) else []
        return [*stays, Kept(float(after[0]), math.inf, joint_s)] if len(after) else stays

    def told(self) -> str:
        return f"take out {self.from_s:g} to {self.to_s:g} s, blended over {self.blend_s:g} s"


@dataclass(frozen=True)
class Retime:
    """Play faster or slower, and at an even rate where one is given.

    Attributes:
        speed: 2 plays twice as fast.
        fps: frames a second; None: those that were recorded stay.
    """

    name: ClassVar[str] = "retime"
    speed: float = 1.0
    fps: float | None = None

    def __post_init__(self) -> None:
        _number(self, "speed", self.speed, 0.01, 100.0)
        if self.fps is not None:
            _number(self, "fps", self.fps, 0.1, 1000.0)
        if self.speed == 1.0 and self.fps is None:
            raise InputError("retime: expected a speed, frames a second or both, got neither; give --speed or --fps")

    def __call__(self, track: MotionTrack) -> MotionTrack:
        if not len(track):
            return track
        slower = channels.retimed(track, track.timestamps_s[0] + _since_start(track) / self.speed)
        if self.fps is None:
            return slower
        first_s, last_s = slower.timestamps_s[[0, -1]]
        count = math.floor((last_s - first_s) * self.fps + 1e-6) + 1
        if count > _MOST_FRAMES:
            raise InputError(f"retime: {count} frames would come out, expected {_MOST_FRAMES} at most; lower --fps")
        return channels.resampled(slower, first_s + np.arange(count) / self.fps)

    def told(self) -> str:
        rate = "" if self.fps is None else f", at {self.fps:g} frames a second"
        return f"play {self.speed:g} times as fast{rate}"


@dataclass(frozen=True)
class OneEuroFilter:
    """Smooth as the live engines do (One-Euro filter, Casiez et al. 2012): it lags a little behind.

    Attributes:
        min_cutoff_hz: cutoff at rest; lower is smoother.
        beta: hertz by which the cutoff rises for each unit a second; higher lags less.
        part: what is smoothed.
    """

    name: ClassVar[str] = "one-euro"
    min_cutoff_hz: float = 1.0
    beta: float = 1.0
    part: Part = "all"

    def __post_init__(self) -> None:
        _number(self, "min-cutoff", self.min_cutoff_hz, 0.001, 1000.0)
        _number(self, "beta", self.beta, 0.0, 10_000.0)
        channels.check_part(self.name, self.part)

    def __call__(self, track: MotionTrack) -> MotionTrack:
        from engine.motion.smoothing import OneEuro

        values = channels.of_track(track)
        for part in (FACE, *GAZE, *HEAD):  # each unit for itself; an eye, the head's turn and its shift as one
            chosen = values[:, part] if channels.is_of(part, self.part) else None
            if chosen is None:
                continue
            each = (len(range(*part.indices(values.shape[1]))), 1) if part == FACE else (1, -1)
            smooth = OneEuro(self.min_cutoff_hz, self.beta)
            for frame, time_s in enumerate(track.timestamps_s.tolist()):
                chosen[frame] = smooth(chosen[frame].reshape(each), time_s).reshape(-1)
        return channels.to_track(track.timestamps_s, track.tracked, values)

    def told(self) -> str:
        return f"One-Euro filter, {self.min_cutoff_hz:g} Hz at rest, beta {self.beta:g} ({self.part})"


@dataclass(frozen=True)
class GaussianFilter:
    """Smooth with a Gaussian window over time, which lags behind nothing.

    Attributes:
        sigma_s: its standard deviation, seconds.
        part: what is smoothed.
    """

    name: ClassVar[str] = "gaussian"
    sigma_s: float
    part: Part = "all"

    def __post_init__(self) -> None:
        _number(self, "sigma", self.sigma_s, _SHORTEST_S, 10.0)
        channels.check_part(self.name, self.part)

    def __call__(self, track: MotionTrack) -> MotionTrack:
        values = channels.of_track(track)
        smooth = channels.averaged(track.timestamps_s, values, self.sigma_s)
        for part in (FACE, *GAZE, *HEAD):
            if channels.is_of(part, self.part):
                values[:, part] = smooth[:, part]
        return channels.to_track(track.timestamps_s, track.tracked, values)

    def told(self) -> str:
        return f"Gaussian filter of {self.sigma_s:g} s ({self.part})"


@dataclass(frozen=True)
class Mirror:
    """Left and right change places: of the units, of the eyes, of the head's turns and ways."""

    name: ClassVar[str] = "mirror"

    def __call__(self, track: MotionTrack) -> MotionTrack:
        return track.mirrored()

    def told(self) -> str:
        return "left and right change places"


@dataclass(frozen=True)
class BlendGaps:
    """Lead over gaps, in which there was no face or no frame: from what was done before to what is done after, in place
    of the way to rest and back. Frames are put where there were none. Gaps at either end stay.

    Attributes:
        longest_s: longer gaps stay.
        ease_s: for so long after a face came back the avatar was on its way from rest: that goes, too.
    """

    name: ClassVar[str] = "blend-gaps"
    longest_s: float = 2.0
    ease_s: float = 0.4

    def __post_init__(self) -> None:
        _number(self, "longest", self.longest_s, _SHORTEST_S, 3600.0)
        _number(self, "ease", self.ease_s, 0.0, 10.0)

    def __call__(self, track: MotionTrack) -> MotionTrack:
        faces = np.flatnonzero(track.tracked)
        if len(faces) < 2:
            return track
        step_s = channels.step_s(track)
        tracked = track.tracked.copy()
        times, values = [], []
        full, done = channels.of_track(track), 0  # frames before `done` are dealt with
        for last, back in pairwise(faces.tolist()):
            away_s = float(track.timestamps_s[back] - track.timestamps_s[last])
            if last < done or (back == last + 1 and away_s <= 3 * step_s) or away_s > self.longest_s:
                continue
            meet = self._meets(track, int(back))
            begin_s, end_s = (float(track.timestamps_s[frame]) for frame in (last, meet))
            kept_s = track.timestamps_s[last + 1 : meet]
            put_s = _between(np.concatenate([[begin_s], kept_s, [end_s]]), step_s)
            share = smoothstep((put_s - begin_s) / (end_s - begin_s))[:, None]
            times += [track.timestamps_s[done : last + 1], put_s]
            values += [full[done : last + 1], (1 - share) * full[last] + share * full[meet]]
            tracked[last:meet] = True
            done = meet
        if not times:
            return track
        times.append(track.timestamps_s[done:])
        values.append(full[done:])
        put_s = np.concatenate(times)
        before = np.searchsorted(track.timestamps_s, put_s, side="right") - 1  # what is new is tracked as that is
        return channels.to_track(put_s, tracked[before], np.concatenate(values))

    def _meets(self, track: MotionTrack, back: int) -> int:
        """The frame at which a face that came back is followed in full; before the next loss."""
        lost = np.flatnonzero(~track.tracked[back:])
        ends = back + int(lost[0]) if len(lost) else len(track)
        due = int(np.searchsorted(track.timestamps_s, track.timestamps_s[back] + self.ease_s))
        return max(min(due, ends - 1), back)

    def told(self) -> str:
        return f"lead over gaps of up to {self.longest_s:g} s"


def _between(times_s: Array, step_s: float) -> Array:
    """The times without the first and the last; where two are far apart, with others between them at an even rate."""
    found = [times_s[:1]]
    for before, after in pairwise(times_s.tolist()):
        missing = round((after - before) / step_s) - 1
        if missing > _MOST_FRAMES:
            raise InputError(f"blend-gaps: {missing} frames would be put into a gap; choose a shorter --longest")
        if missing > 0:
            found.append(np.linspace(before, after, missing + 2)[1:-1])
        found.append(np.array([after]))
    return np.concatenate(found)[1:-1]


EDITS: tuple[type[Any], ...] = (Trim, Cut, Retime, OneEuroFilter, GaussianFilter, Mirror, BlendGaps)
Name = Literal["trim", "cut", "retime", "one-euro", "gaussian", "mirror", "blend-gaps"]


def to_content(edit: Edit) -> dict[str, Any]:
    """Plain values; `of_content` is the inverse."""
    return {"edit": edit.name, **{each.name: getattr(edit, each.name) for each in fields(edit)}}  # type: ignore[arg-type]


def of_content(content: Any) -> Edit:
    """Raises InputError for what is no edit."""
    kinds = {kind.name: kind for kind in EDITS}
    given = content.get("edit") if isinstance(content, dict) else content
    if not isinstance(content, dict) or not isinstance(given, str) or given not in kinds:
        raise InputError(f"expected an edit, one of {', '.join(kinds)}, got {given!r:.60}")
    kind = kinds[given]
    values = {name: value for name, value in content.items() if name != "edit"}
    for each in fields(kind):
        value = values.get(each.name)
        wanted = str if each.type == "Part" else (int, float)
        optional = "None" in str(each.type) and value is None
        if each.name in values and not optional and (isinstance(value, bool) or not isinstance(value, wanted)):
            raise InputError(f"{content['edit']}: {each.name} = {value!r:.60}: expected another kind of value")
    try:
        made: Edit = kind(**values)
    except TypeError:
        raise InputError(f"{content['edit']}: expected {[each.name for each in fields(kind)]}, got others") from None
    return made
