"""The queue before the disk: it never blocks, and what it loses is counted."""

import threading

from realtime.threads.disk_queue import DiskQueue


def test_the_disk_queue_never_blocks_and_counts_what_it_lost() -> None:
    gate, written, ended = threading.Event(), [], []

    def write(item: int) -> None:
        gate.wait(60)
        written.append(item)

    disk: DiskQueue[int] = DiskQueue("slow disk", write, lambda: ended.append(True), capacity=3)
    for number in range(20):
        disk.put(number)
    gate.set()
    assert disk.close()
    assert ended == [True]
    assert len(written) + disk.lost == 20
    assert disk.lost >= 16
    assert written == sorted(written)


def test_a_queue_that_drops_the_oldest_keeps_what_is_new() -> None:
    begun, go_on, written = threading.Event(), threading.Event(), list[int]()

    def write(item: int) -> None:
        begun.set()
        go_on.wait(60)
        written.append(item)

    disk: DiskQueue[int] = DiskQueue("slow film", write, lambda: None, capacity=3, drops_oldest=True)
    disk.put(0)
    assert begun.wait(60)
    for item in range(1, 8):
        disk.put(item)
    go_on.set()
    assert disk.close()
    assert written == [0, 5, 6, 7]
    assert disk.lost == 4


def test_a_failure_ends_the_queue_and_is_kept_with_it() -> None:
    ended = threading.Event()

    def write(item: int) -> None:
        raise OSError(28, "No space left on device")

    disk: DiskQueue[int] = DiskQueue("full disk", write, ended.set, capacity=3)
    disk.put(1)
    assert ended.wait(60), "what is there is finished at once"
    assert isinstance(disk.failure, OSError)
    disk.put(2)
    assert disk.lost == 2
    disk.close()
