import threading
import time

import pytest

from realtime.threads.latest_slot import LatestSlot, SlotClosedError


def test_the_newest_item_wins_and_the_rest_are_counted() -> None:
    slot: LatestSlot[int] = LatestSlot()
    for number in range(5):
        slot.put(number)
    assert slot.take(0) == 4
    assert slot.dropped == 4
    assert slot.take(0) is None


def test_take_comes_back_empty_after_the_time_asked_for() -> None:
    started = time.monotonic()
    assert LatestSlot[int]().take(0.05) is None
    assert time.monotonic() - started >= 0.04


def test_take_wakes_at_once_when_an_item_comes() -> None:
    slot: LatestSlot[str] = LatestSlot()
    threading.Timer(0.05, slot.put, ["late"]).start()
    assert slot.take(3600) == "late"  # long after the test's own time limit, if it slept on


def test_the_last_item_survives_closing() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(7)
    slot.close()
    assert slot.take(0) == 7
    with pytest.raises(SlotClosedError):
        slot.take(0)


def test_closing_wakes_a_waiter() -> None:
    slot: LatestSlot[int] = LatestSlot()
    threading.Timer(0.05, slot.close).start()
    with pytest.raises(SlotClosedError):
        slot.take(10)


def test_items_put_after_closing_count_as_dropped() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.close()
    slot.put(1)
    assert slot.dropped == 1


def test_a_fast_producer_never_makes_a_slow_consumer_see_old_items() -> None:
    slot: LatestSlot[int] = LatestSlot()
    produced = 2_000

    def produce() -> None:
        for number in range(produced):
            slot.put(number)
        slot.close()

    threading.Thread(target=produce).start()
    seen: list[int] = []
    with pytest.raises(SlotClosedError):
        while True:
            item = slot.take(5)
            assert item is not None
            seen.append(item)
    assert seen == sorted(set(seen))
    assert seen[-1] == produced - 1
    assert len(seen) + slot.dropped == produced
