"""Streams and CUDA graphs as the backend uses them, without a GPU: capture keeps the call, replay repeats it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class FakeStream:
    def __init__(self, log: list[str]) -> None:
        self._log = log

    def wait_stream(self, other: "FakeStream") -> None:
        self._log.append("wait")


class FakeGraph:
    def __init__(self) -> None:
        self.recorded: Callable[[], None] | None = None

    def replay(self) -> None:
        assert self.recorded is not None, "replayed before it was captured"
        self.recorded()


class FakeCudaGraphs:
    """As with the real thing, results of a replay appear in the tensors that the capture made."""

    def __init__(self, module_of: Callable[[], Any]) -> None:
        self.log: list[str] = []
        self._module_of = module_of
        self._current = FakeStream(self.log)

    def is_available(self) -> bool:
        return True

    def Stream(self) -> FakeStream:
        return FakeStream(self.log)

    def current_stream(self) -> FakeStream:
        return self._current

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        self.log.append("warm up")
        yield

    def CUDAGraph(self) -> FakeGraph:
        return FakeGraph()

    @contextmanager
    def graph(self, graph: FakeGraph) -> Iterator[None]:
        self.log.append("capture")
        yield

        def again() -> None:
            motion = self._module_of()
            with torch.no_grad():
                for held, fresh in zip(motion._outputs, motion._network(*motion._inputs), strict=True):
                    held.copy_(fresh)

        graph.recorded = again

    def synchronize(self) -> None:
        self.log.append("synchronize")
