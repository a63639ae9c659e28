"""Hand-over between two threads where only the newest item matters."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class SlotClosedError(Exception):
    """The producer has finished and the last item was taken."""


class LatestSlot(Generic[T]):
    """Holds at most one item. `put` never waits and replaces what nobody took; those are counted in `dropped`.

    Any number of threads may put and take. Nothing is ever queued, so a slow consumer sees fresh items, not a backlog.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items that were replaced before anybody took them."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """How many items wait to be taken: 0 or 1."""
        return int(self._item is not None)

    def put(self, item: T) -> None:
        """Offer the newest item. Ignored, and counted as dropped, once the slot is closed."""
        with self._condition:
            if self._closed or self._item is not None:
                self._dropped += 1
            if not self._closed:
                self._item = item
                self._condition.notify()

    def take(self, timeout_s: float) -> T | None:
        """Remove and return the newest item, or None if none came within `timeout_s`.

        Raises SlotClosedError once the slot is closed and empty: an item put before closing is still delivered.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            if item is None and self._closed:
                raise SlotClosedError
            return item

    def close(self) -> None:
        """No more items will come. Wakes everybody who waits."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
