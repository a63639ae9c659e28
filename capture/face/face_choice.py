"""Which of several faces is the driver: the larger one and the one that moves, and the same one again after a loss.

Faces on posters and screens, and people behind, are seen now and then while the driver is followed, and remembered as
others: when the driver is hidden for a moment, none of them takes over. What is not known to be another face, wherever
it turns up, is the driver who has moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.face.face_detector import SeenFace

PATIENCE_S = 3.0  # for so long after a loss only the driver is taken, and nobody known to be another
_FORGOTTEN_S = 30.0  # another face that was not seen for so long; some parts of a picture are seldom looked at
_MISSED_S = 60.0  # a driver who was not seen for so long: whoever is followed instead is the driver then
_LARGER = 1.6  # times as large: the better choice than a face that does not move
_SMALLER = 0.35  # times as large: still a better choice when it moves and the other one does not
_MOVES = 1.3  # levels; still faces under noise and compression stay below 1.1, people who sit still have about 2
_MOVES_MORE = 2.0
_LOOKS_TO_TELL = 3  # sightings after which it is known whether a face moves
_NEWER = 0.4  # share of the newest sighting in what is known of the motion
_LEAST_BETWEEN_S = 0.4
_PATCH_PX = 24


@dataclass(eq=False)
class KnownFace:
    """A face that was seen more than once, or may be.

    Attributes:
        place: where it was seen last.
        seen_s: when.
        motion: how much it changes from sighting to sighting, in levels of brightness.
        looks: sightings.
    """

    place: SeenFace
    seen_s: float
    motion: float = 0.0
    looks: int = 1
    patch: NDArray[np.float32] | None = None

    @property
    def moves(self) -> bool | None:
        """None as long as that cannot be told."""
        return self.motion > _MOVES if self.looks >= _LOOKS_TO_TELL else None

    def see(self, place: SeenFace, rgb: NDArray[np.uint8], time_s: float) -> None:
        """Seen again in a picture [H, W, 3]; too soon after the last time, nothing can have changed."""
        if self.patch is not None and 0 <= time_s - self.seen_s < _LEAST_BETWEEN_S:
            return
        if self.patch is not None:
            change = _patch(rgb, self.place) - self.patch
            moved = float(np.abs(change - change.mean()).mean())  # light that goes up and down is no motion
            self.motion += (moved - self.motion) * (_NEWER if self.looks > 1 else 1.0)
            self.looks += 1
        self.place, self.seen_s, self.patch = place, time_s, _patch(rgb, place)


class FaceChoice:
    """Remembers the faces of one stream, and says which of those that are seen to follow.

    The driver is followed; while they are gone for long, somebody else may be, until the driver is back.
    """

    def __init__(self) -> None:
        self._driver: KnownFace | None = None
        self._followed: KnownFace | None = None
        self._others: list[KnownFace] = []
        self._pinned = False

    def candidates(self, seen: list[SeenFace], rgb: NDArray[np.uint8], time_s: float) -> list[SeenFace]:
        """Those of the faces seen in a picture [H, W, 3] that may be followed now that none is, the best first."""
        patient = self._driver is not None and time_s - self._driver.seen_s < PATIENCE_S
        ranked = []
        for face in seen:
            other = self._known(face)
            if other is not None and other is not self._driver:
                other.see(face, rgb, time_s)
                if patient:
                    continue
            moves = other is not None and bool(other.moves)
            ranked.append((other is not None and other is self._driver, face.side * (2.0 if moves else 1.0), face))
        return [face for *_, face in sorted(ranked, key=lambda it: it[:2], reverse=True)]

    def follow(self, face: SeenFace, others: list[SeenFace], rgb: NDArray[np.uint8], time_s: float) -> None:
        """This one is followed from now on; others that were seen with it are known from now on.

        A face that is not known to be another is the driver.
        """
        known = self._known(face) or self._driver or KnownFace(face, time_s)
        if self._followed not in (None, self._driver, known):
            self._others.append(self._followed)
        self._driver = self._driver or known
        self._others = [other for other in self._others if other is not known]
        self._followed = known
        known.see(face, rgb, time_s)
        self._others += [KnownFace(other, time_s) for other in others if self._known(other) is None]

    def lose(self) -> None:
        """The face that was followed is not seen any more."""
        if self._followed is not None and self._followed is not self._driver:
            self._others.append(self._followed)
        self._followed = None

    def better(self, seen: list[SeenFace], here: SeenFace, rgb: NDArray[np.uint8], time_s: float) -> SeenFace | None:
        """The face to follow instead of the one that is followed and is `here`, or None."""
        assert self._followed is not None
        self._followed.see(next((face for face in seen if _is(face, here)), here), rgb, time_s)
        self._forget_old(time_s)
        for face in seen:
            if _is(face, here):
                continue
            known = self._known(face)
            if known is None:
                known = KnownFace(face, time_s)
                self._others.append(known)
            if known is self._driver:
                return face
            known.see(face, rgb, time_s)
            if not self._pinned and self._outdoes(known, self._followed):
                self._make_driver(known)
                return face
        return None

    def pin_next(self, seen: list[SeenFace], here: SeenFace | None, time_s: float) -> SeenFace | None:
        """The next face from left to right after the one that is `here`: the driver from now on, whatever moves or is
        larger. None where there is no other."""
        faces = sorted((face for face in seen if here is None or not _is(face, here)), key=lambda face: face.x)
        if not faces:
            return None
        chosen = next((face for face in faces if here is not None and face.x > here.x), faces[0])
        self._pinned = True
        self._make_driver(self._known(chosen) or KnownFace(chosen, time_s))
        return chosen

    def _known(self, face: SeenFace) -> KnownFace | None:
        """Who of those that are not followed this is; the driver may have moved a little farther."""
        driver = self._driver if self._driver is not self._followed else None
        near = [known for known in self._others if known.place.matches(face)]
        near += [driver] if driver is not None and driver.place.matches(face, reach=1.0) else []
        return min(near, key=lambda known: known.place.distance(face), default=None)

    def _make_driver(self, known: KnownFace) -> None:
        before, self._driver = self._driver, known
        self._others = [other for other in self._others if other is not known]
        if before is not None and before is not known and before is not self._followed:
            self._others.append(before)

    def _outdoes(self, other: KnownFace, followed: KnownFace) -> bool:
        """Whether somebody else is the better choice than a face that has not moved for a while."""
        share = other.place.side / followed.place.side
        if followed.moves is not False:
            return False
        return share > (_SMALLER if other.moves and other.motion > _MOVES_MORE * followed.motion else _LARGER)

    def _forget_old(self, time_s: float) -> None:
        self._others = [known for known in self._others if time_s - known.seen_s < _FORGOTTEN_S]
        if self._driver is not None and time_s - self._driver.seen_s > _MISSED_S:
            self._driver = self._followed


def _is(face: SeenFace, here: SeenFace) -> bool:
    """Whether a face that was seen is the one whose landmarks are known: rather too often than not."""
    return face.matches(here, reach=0.7, ratio=2.0)


def _patch(rgb: NDArray[np.uint8], face: SeenFace) -> NDArray[np.float32]:
    """[24, 24] brightness of a face's box, as far as the picture reaches."""
    height, width = rgb.shape[:2]
    left, right = (int(np.clip(round(face.x + sign * face.side / 2), 0, width)) for sign in (-1, 1))
    top, bottom = (int(np.clip(round(face.y + sign * face.side / 2), 0, height)) for sign in (-1, 1))
    if right <= left or bottom <= top:
        return np.zeros((_PATCH_PX, _PATCH_PX), np.float32)
    small = cv2.resize(rgb[top:bottom, left:right], (_PATCH_PX, _PATCH_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small.mean(axis=2), np.float32)
